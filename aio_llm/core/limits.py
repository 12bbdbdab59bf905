"""What one quota of a vendor lets through: its meters, reserved before a call and settled after.

A quota belongs to a group of keys and a model (or to a group alone). Limits come from the
configuration, from what the vendor says in headers and refusals, or from a sister key of the
same plan. While nothing is known a quota starts slowly: two calls at once, one more per answer
and per half second, so that a first burst does not end in a row of refusals.

Pure: every method takes `now`, the caller holds the lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aio_llm.allowances import PERIODS, Allowance
from aio_llm.core.meter import Meter
from aio_llm.core.others import Others
from aio_llm.core.recent import Recent, Size
from aio_llm.quota.shapes import Shape
from aio_llm.quota.windows import ALWAYS, Window

ONE: Size = (1, 0, 0)

ON_RELEASE = 1e15
"""The moment when a call that is under way ends: nobody knows it, but it comes."""

WIDE = 64
"""Calls at once at which a quota nobody has told about counts as unlimited."""

GROWTH = 0.5
"""Seconds after which one more call may be out at once, answers or not."""

EVIDENCE = 0.3
"""The share of a limit we must have used ourselves to believe that we have hit it."""

LARGE = 1000
"""Requests per minute above which a limit that we seem to have hit may be one of tokens."""

FEWEST = 3
"""Answers within a minute before a refusal without numbers is taken for a limit."""


@dataclass(slots=True)
class Hold:
    """What one call has reserved of a quota; `size` as it was estimated. The windows are those
    it was counted in: a meter may have learned another rule since.
    """

    quota: Quota
    size: Size
    entries: list[tuple[Meter, Window, Any]]


@dataclass(slots=True)
class Mood:
    """Shared by all quotas of an `AIO`. `wary`: somebody has refused for want of quota, so that
    what is unknown is approached slowly. Before, the best target gets all there is.
    """

    wary: bool = False


@dataclass(slots=True)
class Plan:
    """What the keys of one model learn together: sister keys are usually on the same plan."""

    shapes: dict[str, Shape] = field(default_factory=dict)
    quotas: list[Quota] = field(default_factory=list)


class Quota:
    """The meters of one place. `wake`: called when capacity came back earlier than expected."""

    __slots__ = (
        "_guessed", "_mood", "_offset", "_pending", "_recent", "_shape", "_since", "_width",
        "in_flight", "max_concurrent", "meters", "name", "others", "plan", "warm",
    )  # fmt: skip

    def __init__(
        self,
        name: tuple[str, ...],
        plan: Plan,
        shape: Callable[[str], Shape],
        offset: float,
        mood: Mood,
        *,
        configured: Mapping[str, int],
        max_concurrent: int | None = None,
    ) -> None:
        self.name = name
        self.plan = plan
        self.meters: dict[str, Meter] = {}
        self.in_flight = 0
        self.max_concurrent = max_concurrent
        self.warm = bool(configured)
        mood.wary = mood.wary or self.warm
        self._shape = shape
        self._mood = mood
        self._offset = offset
        self._pending: Size = (0, 0, 0)
        self._width = 2
        self._since: float | None = None
        self._recent = Recent()
        self._guessed = False
        self.others: Others | None = None
        for axis, limit in configured.items():
            self._add(Meter(axis, shape(axis), offset, configured=limit))
        for axis, known in plan.shapes.items():
            self.adopt(axis, known, 0.0)
        plan.quotas.append(self)

    def _add(self, meter: Meter) -> Meter:
        self.meters[meter.axis] = meter
        self.warm = self.warm or meter.axis in _BRISK
        return meter

    @property
    def counts_tokens(self) -> bool:
        """Some limit is in tokens, so the size of a request matters."""
        return any(meter.unit for meter in self.meters.values())

    def ready_at(self, now: float, size: Size) -> float:
        """From when a request of `size` may go; `ALWAYS` if now."""
        at = ALWAYS
        for meter in self.meters.values():
            free = meter.window.ready_at(now, size[meter.unit])
            if free > at:
                at = free
        if self.others is not None:
            at = max(at, self.others.until(now, size))
        if self.max_concurrent is not None and self.in_flight >= self.max_concurrent:
            return max(at, ON_RELEASE)
        if self._mood.wary and not self.warm and self.in_flight >= self._width:
            return max(at, self._widens_at(now))
        return at

    def _widens_at(self, now: float) -> float:
        since = now if self._since is None else self._since
        at = since + GROWTH * (self.in_flight + 1 - self._width)
        return at if at > now else ALWAYS

    def go_alone(self, now: float) -> None:
        """Nothing is heard of the others any more: go on with the part that was ours."""
        for meter in self.meters.values():
            is_brisk = meter.window.period <= PERIODS["rpm"]
            if is_brisk and self.others is not None and self.others.compete(meter):
                ours = self._ours(meter.unit, now) / meter.limit
                share = min(ours, self.others.share(meter))
                meter.take_share(share, now, self.others.full(meter))

    def go_together(self, now: float) -> None:
        """The others are heard of again."""
        for meter in self.meters.values():
            meter.take_share(1.0, now)

    def take(self, now: float, size: Size) -> Hold:
        """Reserve for one request."""
        self.in_flight += 1
        if self._since is None:
            self._since = now
        if self.others is not None:
            self.others.enter(now)
        one, read, total = self._pending
        self._pending = (one + 1, read + size[1], total + size[2])
        entries = []
        for meter in self.meters.values():
            window = meter.window
            entries.append((meter, window, window.take(now, size[meter.unit])))
        return Hold(self, size, entries)

    def settle(self, hold: Hold, now: float, arrived: float, used: Size | None) -> bool:
        """An answer came: `used` instead of the estimate, None if nobody said. The request
        `arrived` by that moment. True if that may have made room.
        """
        self._release(hold)
        self._recent.add(now, hold.size if used is None else used)
        room = self.max_concurrent is not None
        for meter, window, entry in hold.entries:
            amount = cost(meter, hold.size, used)
            window.settle(entry, arrived, amount)
            given = hold.size[meter.unit] - amount
            if given > 0:
                room = True
                if self.others is not None:
                    self.others.give_back(meter, given)
            meter.calm(now)
        if not self.warm:
            self._width += 1
            self.warm = self._width >= WIDE
            return True
        return room

    def give_back(self, hold: Hold, arrived: float, keep: Iterable[int] = ()) -> None:
        """No answer came: everything is free again but the units in `keep`."""
        self._release(hold)
        for meter, window, entry in hold.entries:
            amount = hold.size[meter.unit] if meter.unit in keep else 0
            window.settle(entry, arrived, amount)

    def _release(self, hold: Hold) -> None:
        self.in_flight = max(0, self.in_flight - 1)
        one, read, total = self._pending
        self._pending = (one - 1, read - hold.size[1], total - hold.size[2])

    # What the vendor teaches

    def told(self, allowances: Iterable[Allowance], now: float) -> bool:
        """Limits as an answer states them; True if one is new or another than was believed."""
        changed = [self._told(allowance, now) for allowance in allowances]
        return any(changed)

    def _told(self, said: Allowance, now: float) -> bool:
        meter, limit = self.meters.get(said.axis), said.limit
        if limit is None:
            return False
        is_new = meter is None
        if meter is None:
            shape = self._shape(said.axis)
            meter = self._begin(Meter(said.axis, shape, self._offset, told=limit), now)
        changed = meter.hear(limit, now) or is_new
        if said.remaining is not None:
            meter.believe(limit - said.remaining, now)
        if changed:
            self._teach(meter, now)
        return changed

    def _begin(self, meter: Meter, now: float) -> Meter:
        """A limit becomes known in the middle: what this quota did in the last minute counts."""
        meter.window.take(now, self._ours(meter.unit, now))
        return self._add(meter)

    def _ours(self, unit: int, now: float) -> int:
        """What we have used in the last minute, what is under way included."""
        return self._recent.count(now, unit) + self._pending[unit]

    def refused(
        self, hold: Hold, said: Allowance | None, wait: float | None, now: float, *, stale: bool
    ) -> bool:
        """A granted call was refused for this quota. True if a meter now stands for the limit.

        `wait`: seconds the vendor named. `stale`: sent before an earlier refusal was known.
        """
        self._mood.wary = True
        axis = self._axis(said, now)
        if said is not None and said.limit is not None and axis in PERIODS:
            self._told(Allowance(axis, said.limit), now)
        meter = self._suspect(axis, now)
        if meter is None:
            return self._guess(axis, wait, hold.size, now)
        if not self._is_evidence(meter, now):
            return False
        if any(one is meter and window is meter.window for one, window, _ in hold.entries):
            if not stale:
                meter.miss(wait, now, hold.size[meter.unit])
        else:  # it went out before the limit was known
            if stale and self._guessed:
                meter.lower(now)
            meter.exhaust(wait, now, hold.size[meter.unit])
        self._teach(meter, now)
        return True

    def _axis(self, said: Allowance | None, now: float) -> str:
        """What the refusal is about. A limit of requests that is out of all proportion to ours,
        but not to our tokens, is one of tokens: not every vendor says which.
        """
        if said is None:
            return ""
        limit = 0 if said.limit is None else said.limit
        is_large = limit > max(LARGE, 20 * self._ours(0, now))
        is_tokens = is_large and limit <= self._ours(2, now) / EVIDENCE
        return "tpm" if said.axis == "rpm" and is_tokens else said.axis

    def _is_evidence(self, meter: Meter, now: float) -> bool:
        """We ourselves have used what is said to be used up. If not, somebody else has, or the
        vendor is busy: then it rests as long as it says, and comes back bit by bit.
        """
        if meter.window.period > PERIODS["rpm"]:
            return True
        ours = max(self._ours(meter.unit, now), meter.window.used(now))
        return ours >= EVIDENCE * meter.limit

    def _suspect(self, axis: str, now: float) -> Meter | None:
        """The meter a refusal without numbers is most likely about."""
        if axis in PERIODS:
            return self.meters.get(axis)
        brisk = [m for m in self.meters.values() if m.window.period <= PERIODS["rpm"]]
        return max(brisk, key=lambda meter: meter.fullness(now), default=None)

    def _guess(self, axis: str, wait: float | None, size: Size, now: float) -> bool:
        """Nobody says what the limit is: as much as went through in the last minute, of requests
        and of tokens, as it may be about either.
        """
        count = self._ours(0, now) - 1  # without the one that was refused
        if axis not in ("", "rpm") or count < FEWEST:
            self._width = max(1, self._width // 2)
            return False
        self._guessed = True
        for guessed in ("rpm", "tpm"):
            shape = self._shape(guessed)
            went_through = self._ours(shape.unit, now) - size[shape.unit]
            if went_through > 0 and guessed not in self.meters:
                guess = went_through / self._periods(shape, now)
                meter = self._begin(Meter(guessed, shape, self._offset, guess=guess), now)
                meter.exhaust(wait, now, size[shape.unit])
                self._teach(meter, now)
        return True

    @property
    def saves_up(self) -> bool:
        """Room for a large request comes bit by bit, so that small ones can take it away."""
        return any(m.unit and m.window.kind != "fixed" for m in self.meters.values())

    def _periods(self, shape: Shape, now: float) -> float:
        """How many minutes' worth a vendor of that habit has granted within the last minute: a
        bucket its burst, and what has flowed in since.
        """
        if shape.kind != "bucket" or self._since is None:
            return 1.0
        return shape.burst + min(PERIODS["rpm"], now - self._since) / PERIODS["rpm"]

    def _teach(self, meter: Meter, now: float) -> None:
        """Sister keys learn at once what this one has learned."""
        self.plan.shapes[meter.axis] = meter.shape()
        for sister in self.plan.quotas:
            if sister is not self:
                sister.adopt(meter.axis, meter.shape(), now)

    def adopt(self, axis: str, shape: Shape, now: float) -> None:
        """Believe what a sister key was told, where this one was told nothing itself."""
        meter = self.meters.get(axis)
        if meter is None and shape.limit is not None:
            self._begin(Meter(axis, shape, self._offset, guess=shape.limit), now)
        elif meter is not None:
            meter.adopt(shape, now)

    def recall(self, axis: str, limit: float, now: float) -> None:
        """This very quota was told a limit before, by another process."""
        meter = self.meters.get(axis)
        if meter is None:
            self._begin(Meter(axis, self._shape(axis), self._offset, told=limit), now)
        else:
            meter.hear(limit, now)

    def absorb(self, other: Quota, now: float) -> None:
        """`other` turned out to be the same quota: the fuller one of each limit is right."""
        self.plan.quotas.remove(other)
        for axis, meter in other.meters.items():
            mine = self.meters.get(axis)
            if mine is None:
                self._add(meter)
            else:
                unseen = meter.window.used(now) - mine.window.used(now)
                mine.window.take(now, max(0.0, unseen))

    def forget_day(self) -> None:
        """A person says that nothing has been used today."""
        for meter in self.meters.values():
            if meter.window.period >= PERIODS["rpd"]:
                meter.forget()

    def bottleneck(self, now: float, size: Size) -> tuple[float, str]:
        """When there is room for `size`, and what is in the way until then, in words."""
        slowest = max(
            self.meters.values(), key=lambda m: m.window.ready_at(now, size[m.unit]), default=None
        )
        at = self.ready_at(now, size)
        if slowest is not None and slowest.window.ready_at(now, size[slowest.unit]) >= at > now:
            return at, f"{slowest.words(now)}, room in {at - now:.1f} s"
        if self.others is not None and self.others.until(now, size) >= at > now:
            return at, f"used up by other processes, room in {at - now:.1f} s"
        if self.max_concurrent is not None and self.in_flight >= self.max_concurrent:
            return at, f"{self.in_flight} of {self.max_concurrent} requests at once under way"
        words = f"limits not known yet: {self.in_flight} of {self._width} at once under way"
        return at, words

    def rows(self, now: float) -> list[dict[str, Any]]:
        """The meters for people: axis, limit, used, window, where the limit is known from."""
        return [meter.row(now) for meter in self.meters.values()]


def cost(meter: Meter, size: Size, used: Size | None) -> int:
    """What a call was in truth. Some vendors count what the answer might have been: the estimate
    of the prompt is corrected, the room for the answer is not given back.
    """
    if used is None:
        return size[meter.unit]
    if meter.keeps_estimate:
        return used[1] + size[2] - size[1]
    return used[meter.unit]


_BRISK = frozenset({"rps", "rpm"})
"""Limits that bind within a minute: who knows one of them need not feel its way."""
