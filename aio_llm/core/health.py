"""How each model of each provider is doing: calls under way, latency, suspicion of hanging.

A vendor that hangs says nothing for as long as an attempt may take. It is suspected when the
oldest call to it has been out for much longer than its answers usually take and nobody got one
since; from then on only a probe now and then goes there. Pure; the caller holds the lock.
"""

from __future__ import annotations

import math
from collections.abc import Hashable

from aio_llm.quota.windows import ALWAYS

PATIENCE = 5.0
"""Seconds without an answer that are never suspicious."""

SLOWER = 8.0
"""How many times the usual latency a call may take before it is."""

WEIGHT = 0.2
"""Share of the newest answer in the average latency."""


class Health:
    """One model of one provider. `under_way`: calls nobody has heard of yet, and since when;
    `streams`: calls whose answer is being read. `latency`: seconds until one is heard of, moving
    average, 0 before any answer. `turn`: the number of its last call among all, 0 before any.
    """

    __slots__ = ("_answered_from", "_last_start", "latency", "streams", "turn", "under_way")

    def __init__(self) -> None:
        self.under_way: dict[Hashable, float] = {}
        self.streams: set[Hashable] = set()
        self.latency = 0.0
        self.turn = 0
        self._answered_from = self._last_start = ALWAYS

    def begin(self, call: Hashable, now: float, turn: int = 1) -> None:
        """A call goes out, as number `turn` of all."""
        self.under_way[call] = self._last_start = now
        self.turn = turn

    def speak(self, call: Hashable, now: float) -> None:
        """A stream has given its first output: it does not hang, however long it is read."""
        self.end(call, now, answered=True)
        self.streams.add(call)

    def end(self, call: Hashable, now: float, *, answered: bool) -> None:
        """A call is over; only answers tell how long one takes."""
        started = self.under_way.pop(call, None)
        if started is None:
            self.streams.discard(call)
            return
        if not answered:
            return
        self._answered_from = max(self._answered_from, started)
        took = now - started
        self.latency += (took - self.latency) * (WEIGHT if self.latency else 1.0)

    @property
    def has_answered(self) -> bool:
        """Whether `latency` means anything."""
        return self._answered_from > ALWAYS

    @property
    def in_flight(self) -> int:
        """How many calls have not ended."""
        return len(self.under_way) + len(self.streams)

    @property
    def patience(self) -> float:
        """Seconds a call may be out before that is suspicious."""
        return max(PATIENCE, SLOWER * self.latency)

    def is_suspect(self, now: float) -> bool:
        """The oldest call is out for too long, and no answer has come since it went."""
        for oldest in self.under_way.values():
            return now - oldest > self.patience and self._answered_from < oldest
        return False

    def ready_at(self, now: float) -> float:
        """From when a call may go there: `ALWAYS` if now, after a while as a probe if suspect."""
        if not self.is_suspect(now):
            return ALWAYS
        at = self._last_start + 2 * self.patience
        return at if at > now else ALWAYS

    @property
    def oldest(self) -> float:
        """When the oldest call under way began; inf if there is none (clock seconds)."""
        return next(iter(self.under_way.values()), math.inf)
