"""One limit and how well it is known: the window that shadows it, and how it learns from errors.

A vendor that refuses what the shadow granted has another rule than was believed. What is
changed, in this order: the phase of a fixed window, then to even pacing (which is inside every
kind of window), then a burst of one, then a smaller share, which grows back while nothing is
refused: additive increase, multiplicative decrease (Chiu and Jain, 1989). The last step is also
what lets several processes share a quota without talking to each other.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from aio_llm.allowances import PERIODS
from aio_llm.quota.shapes import PACED_BURST, Shape, make_window, rate
from aio_llm.quota.windows import MARGIN, Window

PROBATION = 1.5
"""Half of the periods after which the first rule is tried again, once."""

BOLDEST, CAREFUL = 0.4, 0.02
"""The largest step by which a guess is raised while nothing is refused (steps double up to it),
and the one after a refusal has shown where the top is.
"""

NEARLY = 0.94
"""What is left of a guess at a bucket's limit that was a bit too high."""

SETTLED = 10.0
"""Periods for which the top that a refusal has shown is believed: plans change seldom."""

TOGETHER = 5.0
"""Seconds within which the refusals of several keys are one piece of news."""

SMALLER, LARGER, LEAST = 0.8, 1.05, 0.05


class Meter:
    """A limit of one quota. Pure; the caller holds the lock."""

    __slots__ = (
        "_believed", "_changed", "_doubts", "_first_form", "_form", "_missed", "_offset",
        "_probation", "_share", "_step", "axis", "configured", "keeps_estimate", "source",
        "unit", "window",
    )  # fmt: skip

    def __init__(
        self,
        axis: str,
        form: Shape,
        offset: float,
        *,
        configured: int | None = None,
        told: float | None = None,
        guess: float | None = None,
    ) -> None:
        self.axis = axis
        self.unit = form.unit
        self.keeps_estimate = form.keeps_estimate
        self.configured = configured
        self.source = "configured" if configured else "told" if told else form.source or "guessed"
        self._form = self._first_form = form
        self._probation = PROBATION
        self._offset = offset
        self._share = 1.0
        self._doubts = 0
        self._missed = -math.inf
        self._step = LARGER - 1.0
        self._changed = 0.0
        self._believed = told or guess
        self.window = self._window()

    @property
    def limit(self) -> float:
        """What is granted per period: the smaller of configured and believed, times the share."""
        known = [float(limit) for limit in (self.configured, self._believed) if limit]
        return max(1.0, min(known) * self._share)

    def _window(self) -> Window:
        return make_window(self._form, self.limit, PERIODS[self.axis], self._offset)

    def _reshape(self, form: Shape, now: float) -> None:
        """Another rule; what was used counts as used now."""
        used, self._form = self.window.used(now), form
        self.window = self._window()
        self.window.take(now, used)

    def _resize(self, now: float) -> None:
        self.window.resize(now, rate(self._form, self.limit))

    @property
    def form(self) -> Shape:
        """The rule it is counted by."""
        return self._form

    @property
    def is_guess(self) -> bool:
        """The vendor has not said what the limit is. A guess that another process, or an earlier
        one, has come to ("recalled") is not raised again before it turns out to be wrong.
        """
        return self.source in ("guessed", "recalled")

    def take_share(self, share: float, now: float, full: float = 0.0) -> None:
        """Use only a part of the limit: others, of whom nothing is heard, use the rest. `full`: the
        share of the limit that all have used. What refills evenly is as full for each of them.
        """
        self._share = min(1.0, max(LEAST, share))
        self._changed = now
        self._resize(now)
        if self._form.kind in ("bucket", "paced"):
            self.window.take(now, max(0.0, full * self.limit - self.window.used(now)))

    def shape(self) -> Shape:
        """What sister keys may believe of it."""
        return replace(self._form, limit=self._believed, source=self.source)

    def hear(self, limit: float, now: float) -> bool:
        """The vendor states its limit; True if that changes anything."""
        if limit <= 0 or (self._believed == limit and not self.is_guess):
            return False
        before, self._believed = self.limit, limit
        if self.source != "configured":
            self.source = "told"
        if self.limit == before:
            return False
        self._resize(now)
        return True

    def lower(self, now: float) -> None:
        """One of those that were counted when this was guessed has been refused after all."""
        if self.is_guess and self._believed is not None:
            self._believed = max(1.0, self._believed - 1.0)
            self._resize(now)

    def believe(self, used: float, now: float) -> None:
        """The vendor counts `used`: somebody else uses the quota too. Small differences are the
        time the answer took.
        """
        unseen = used - self.window.used(now)
        if unseen > max(1.0 if self.unit == 0 else 0.0, self.limit * 0.1):
            self.window.take(now, unseen)

    def adopt(self, shape: Shape, now: float) -> None:
        """What a sister learned: her limit if this one was told none, her rule in any case."""
        if shape.limit is not None and self.is_guess and shape.limit != self._believed:
            self._missed = now if shape.limit < (self._believed or 0.0) else self._missed
            self._believed, self._changed = shape.limit, now
            self._resize(now)
        if (shape.kind, shape.burst, shape.phase) != (
            self._form.kind, self._form.burst, self._form.phase,
        ):  # fmt: skip
            form = replace(self._form, kind=shape.kind, burst=shape.burst, phase=shape.phase)
            self._reshape(form, now)

    def forget(self) -> None:
        """Nothing has been used."""
        self.window = self._window()

    def exhaust(self, wait: float | None, now: float, amount: float) -> None:
        """The vendor says it is all used, and that `amount` fits again in `wait` seconds."""
        until = None if wait is None else now + wait
        if until is not None and self._form.kind == "fixed":
            self._rephase(until, now)
        self.window.exhaust(now, until, amount)

    def miss(self, wait: float | None, now: float, amount: float) -> None:
        """The vendor refused what this shadow had granted: the shadow is wrong."""
        since, self._missed, self._changed = now - self._missed, now, now
        is_long = self.window.period > PERIODS["rph"]
        if self.is_guess and not is_long:
            if since > TOGETHER:  # else a sister has just said the same
                self._found_top(amount, now)
        elif not is_long and not self._moves_to(wait, now):
            self._doubts += 1
            if self.unit == 0 or self._doubts > 1:  # tokens may have been estimated too low
                self._tighten(now)
        self.exhaust(wait, now, amount)

    def _found_top(self, amount: float, now: float) -> None:
        """A guess was raised too far: what went through is the limit, or very near to it. (A
        bucket does not remember what went through.)
        """
        passed = self.limit * NEARLY
        if self._form.kind in ("sliding", "fixed"):
            passed = self.window.used(now) - amount
        self._believed = max(1.0, passed)
        self._step = CAREFUL
        self._resize(now)

    def _moves_to(self, wait: float | None, now: float) -> bool:
        """The windows were right but for where they begin."""
        return self._form.kind == "fixed" and wait is not None and self._rephase(now + wait, now)

    def _tighten(self, now: float) -> None:
        """One step down the stairs: even pacing, no burst, a smaller share."""
        form, fits_one = self._form, 1.0 / self.limit
        if self._share < 1.0:  # others use it too
            self._share = max(LEAST, self._share * SMALLER)
            self._resize(now)
        elif form.kind != "paced":
            self._probation *= 2
            burst = max(fits_one, min(PACED_BURST, form.burst))
            self._reshape(replace(form, kind="paced", burst=burst), now)
        elif form.burst > fits_one and self.unit == 0:
            self._reshape(replace(form, burst=fits_one), now)
        else:
            self._share = max(LEAST, self._share * SMALLER)
            self._resize(now)

    def _rephase(self, border: float, now: float) -> bool:
        """Let a window begin at `border`; False if one does already."""
        period = self.window.period
        phase = (border + self._offset) % period
        away = abs((phase - self._form.phase + period / 2) % period - period / 2)
        if period > PERIODS["rph"] or away <= 2 * MARGIN:
            return False
        self._reshape(replace(self._form, phase=phase), now)
        return True

    def calm(self, now: float) -> None:
        """An answer came: after half a period without a refusal a bit more is tried."""
        is_paced = self._form.kind == "paced"
        if self._share >= 1.0 and self.source != "guessed" and not is_paced:
            return
        if now - self._changed < self.window.period * self._patience:
            return
        self._changed = now
        self._doubts = 0
        if self.source == "guessed" and self._step > CAREFUL:
            self._step = min(self._step * 2, BOLDEST)
        if is_paced and self._first_form.kind != "paced" and self._probation < 4 * PROBATION:
            self._reshape(self._first_form, now)  # perhaps it was right, but for one mistake
        if self._share < 1.0:
            self._share = min(1.0, self._share * LARGER)
        elif self._believed is not None and self.fullness(now) > 0.5:
            self._believed *= 1.0 + self._step
        self._resize(now)

    @property
    def _patience(self) -> float:
        """Periods without a refusal before a bit more is tried."""
        if self._form.kind == "paced":
            return self._probation
        return SETTLED if self.source == "guessed" and self._step == CAREFUL else 0.5

    def fullness(self, now: float) -> float:
        """The share of the limit that is used, 0 to 1 (or more)."""
        return self.window.used(now) / self.limit

    def words(self, now: float) -> str:
        """How much of which limit is used, for people."""
        return f"{self.axis} {self.window.used(now):.0f} of {self.limit:.0f} used ({self.source})"

    def row(self, now: float) -> dict[str, Any]:
        """This meter for people."""
        return {
            "axis": self.axis,
            "limit": round(self.limit, 2),
            "used": round(self.window.used(now), 2),
            "window": self._form.kind,
            "source": self.source,
        }
