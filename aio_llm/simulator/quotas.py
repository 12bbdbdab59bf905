"""Rate limits per key group and model: who may pass, and when the next one may.

A window is *sliding* (the last 60 s or 24 h), *fixed* (whole minutes and days of the clock, so
midnight UTC) or a *bucket* (`limit * burst` at most, refilled continuously).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

MINUTE, DAY = 60.0, 86_400.0
AXES = {"rpm": MINUTE, "tpm": MINUTE, "rpd": DAY, "tpd": DAY}
ALL_MODELS = "*"


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit of one vendor: requests and tokens per minute and day.

    `model`: None counts each model by itself, a name limits that model only, "*" lets all models
    share one counter. `group`: None holds for every key group, each with its own counters.
    `burst` is the size of a bucket as a multiple of the limit. `count_refused`: refusals count too.
    """

    vendor: str
    rpm: int | None = None
    tpm: int | None = None
    rpd: int | None = None
    tpd: int | None = None
    model: str | None = None
    group: str | None = None
    window: str = "sliding"
    burst: float = 1.0
    count_refused: bool = False

    def __post_init__(self) -> None:
        """Refuse an unknown window."""
        if self.window not in _WINDOWS:
            raise ValueError(f"window must be one of {', '.join(_WINDOWS)}, not {self.window!r}")

    def limits(self) -> dict[str, int]:
        """The limits that are set, by axis name."""
        found = ((axis, getattr(self, axis)) for axis in AXES)
        return {axis: limit for axis, limit in found if limit is not None}

    def covers(self, vendor: str, group: str, model: str) -> bool:
        """Whether this limit holds for a request."""
        if self.vendor != vendor or self.group not in (None, group):
            return False
        return self.model in (None, ALL_MODELS, model)


@dataclass(frozen=True, slots=True)
class Meter:
    """The state of one limit; `reset` is in seconds until it is full again."""

    limit: int
    remaining: int
    reset: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request may not pass; `wait` is in seconds, infinite when it can never pass."""

    axis: str
    limit: int
    used: int
    requested: int
    wait: float


class Counter(Protocol):
    """Counts amounts in a window; all times in seconds of the simulator's clock."""

    def used(self, now: float) -> float:
        """What counts at this moment."""

    def wait(self, now: float, amount: int) -> float:
        """Seconds until `amount` fits: 0 when it does, infinite when it never will."""

    def add(self, now: float, amount: int) -> None:
        """Count an amount."""

    def reset(self, now: float) -> float:
        """Seconds until nothing counts any more."""


class Sliding:
    """The last `span` seconds."""

    def __init__(self, limit: int, span: float, burst: float) -> None:
        self._limit = limit
        self._span = span
        self._seen: deque[tuple[float, int]] = deque()
        self._sum = 0

    def used(self, now: float) -> float:
        """What was counted in the last `span` seconds."""
        while self._seen and self._seen[0][0] + self._span <= now:
            self._sum -= self._seen.popleft()[1]
        return self._sum

    def wait(self, now: float, amount: int) -> float:
        """Seconds until enough of the oldest amounts are out of the window."""
        over = self.used(now) + amount - self._limit
        if over <= 0:
            return 0.0
        for at, counted in self._seen:
            over -= counted
            if over <= 0:
                return at + self._span - now
        return math.inf

    def add(self, now: float, amount: int) -> None:
        """Count an amount at this moment."""
        self._seen.append((now, amount))
        self._sum += amount

    def reset(self, now: float) -> float:
        """Seconds until the newest amount is out of the window."""
        return self._seen[-1][0] + self._span - now if self.used(now) else 0.0


class Fixed:
    """Whole minutes or days of the clock."""

    def __init__(self, limit: int, span: float, burst: float) -> None:
        self._limit = limit
        self._span = span
        self._window = -1
        self._sum = 0

    def used(self, now: float) -> float:
        """What was counted in the current window."""
        window = int(now // self._span)
        if window != self._window:
            self._window, self._sum = window, 0
        return self._sum

    def wait(self, now: float, amount: int) -> float:
        """Seconds until the next window when the amount does not fit in this one."""
        if self.used(now) + amount <= self._limit:
            return 0.0
        return math.inf if amount > self._limit else self._left(now)

    def add(self, now: float, amount: int) -> None:
        """Count an amount in the current window."""
        self.used(now)
        self._sum += amount

    def reset(self, now: float) -> float:
        """Seconds until the next window."""
        return self._left(now) if self.used(now) else 0.0

    def _left(self, now: float) -> float:
        return self._span - now % self._span


class Bucket:
    """A bucket of `limit * burst`, refilled by `limit` per `span` seconds."""

    def __init__(self, limit: int, span: float, burst: float) -> None:
        self._size = max(1.0, limit * burst)
        self._rate = limit / span
        self._debt = 0.0
        self._at = -math.inf

    def used(self, now: float) -> float:
        """What has not been refilled yet."""
        self._debt = max(0.0, self._debt - max(0.0, now - self._at) * self._rate)
        self._at = max(now, self._at)
        return self._debt

    def wait(self, now: float, amount: int) -> float:
        """Seconds until the bucket holds the amount."""
        if amount > self._size or not self._rate:
            return math.inf
        over = self.used(now) + amount - self._size
        return over / self._rate if over > 1e-9 else 0.0

    def add(self, now: float, amount: int) -> None:
        """Take an amount out of the bucket."""
        self._debt = self.used(now) + amount

    def reset(self, now: float) -> float:
        """Seconds until the bucket is full."""
        return self.used(now) / self._rate if self._rate else 0.0


_WINDOWS: dict[str, Callable[[int, float, float], Counter]] = {
    "sliding": Sliding,
    "fixed": Fixed,
    "bucket": Bucket,
}


class Ledger:
    """All counters. Used from the server thread only, but for `reset`."""

    def __init__(self, quotas: Iterable[Quota], clock: Callable[[], float]) -> None:
        self._quotas = tuple(quotas)
        self._clock = clock
        self._counters: dict[tuple[int, str, str, str], Counter] = {}

    def reset(self) -> None:
        """Forget what was counted."""
        self._counters = {}

    def limited(self, vendor: str) -> bool:
        """Whether this vendor has any limit."""
        return any(quota.vendor == vendor for quota in self._quotas)

    def admit(self, vendor: str, group: str, model: str, tokens: int) -> Refusal | None:
        """Count a request of so many tokens; when a limit is spent, count nothing and say why."""
        now = self._clock()
        held = list(self._held(vendor, group, model))
        refusals = [
            Refusal(axis, limit, round(counter.used(now)), amount, counter.wait(now, amount))
            for _, axis, limit, counter in held
            for amount in (_amount(axis, tokens),)
        ]
        worst = max(refusals, key=lambda refusal: refusal.wait, default=None)
        refused = worst is not None and worst.wait > 0
        for quota, axis, _, counter in held:
            if not refused or quota.count_refused:
                counter.add(now, _amount(axis, tokens))
        return worst if refused else None

    def meters(self, vendor: str, group: str, model: str) -> dict[str, Meter]:
        """The state of each limit that holds for a key group and model, by axis."""
        now = self._clock()
        found = {}
        for _, axis, limit, counter in self._held(vendor, group, model):
            left = max(0, limit - math.ceil(counter.used(now)))
            found[axis] = Meter(limit, left, counter.reset(now))
        return found

    def _held(
        self, vendor: str, group: str, model: str
    ) -> Iterator[tuple[Quota, str, int, Counter]]:
        for index, quota in enumerate(self._quotas):
            if quota.covers(vendor, group, model):
                for axis, limit in quota.limits().items():
                    yield quota, axis, limit, self._counter(index, axis, group, model)

    def _counter(self, index: int, axis: str, group: str, model: str) -> Counter:
        quota = self._quotas[index]
        place = (index, axis, group, "" if quota.model == ALL_MODELS else model)
        counter = self._counters.get(place)
        if counter is None:
            build = _WINDOWS[quota.window]
            counter = build(getattr(quota, axis), AXES[axis], quota.burst)
            self._counters[place] = counter
        return counter


def _amount(axis: str, tokens: int) -> int:
    return 1 if axis.startswith("r") else tokens
