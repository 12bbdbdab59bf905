"""Rate limits per key group and model: who may pass, and when the next one may.

A window is *sliding* (the last 60 s or 24 h), *fixed* (whole minutes and days of the clock, so
midnight UTC) or a *bucket* (`limit * burst` at most, refilled continuously). How each of them
counts: windows.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from aio_llm.simulator.records import Size
from aio_llm.simulator.windows import WINDOWS, Bucket, Counter, Fixed, Sliding, Slots

SECOND, MINUTE, HOUR, DAY = 1.0, 60.0, 3_600.0, 86_400.0
AXES = {
    "rps": SECOND, "rpm": MINUTE, "rph": HOUR, "rpd": DAY,
    "tps": SECOND, "tpm": MINUTE, "tph": HOUR, "tpd": DAY,
}  # fmt: skip
COUNTED = ("total", "input", "reserved")
ALL_MODELS = "*"


@dataclass(frozen=True, slots=True)
class Quota:
    """A limit of one vendor: requests and tokens per second, minute, hour and day.

    `model`: None counts each model by itself, a name limits that model only, "*" lets all models
    share one counter. `group`: None holds for every key group, each with its own counters.
    `burst` is the size of a bucket as a multiple of the limit. `count_refused`: refusals count too.
    `tokens`: "total" counts prompt and completion, "input" the prompt only, "reserved" prompt and
    `max_tokens`, whatever is used of it. `concurrent`: requests that may be answered at once.
    `phase`: seconds by which fixed windows begin late. `zone`: whose midnight begins fixed days.
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
    rps: int | None = None
    tps: int | None = None
    rph: int | None = None
    tph: int | None = None
    concurrent: int | None = None
    tokens: str = "total"
    phase: float = 0.0
    zone: str = "UTC"

    def __post_init__(self) -> None:
        """Refuse unknown words."""
        for name, value, known in (
            ("window", self.window, tuple(WINDOWS)),
            ("tokens", self.tokens, COUNTED),
        ):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(known)}, not {value!r}")

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


Held = tuple[Quota, str, int, Counter]
"""A quota, one of its axes, the limit there and its counter."""


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

    def admit(
        self, vendor: str, group: str, model: str, size: Size | int, at: float | None = None
    ) -> Refusal | None:
        """Count a request of so many tokens; when a limit is spent, count nothing and say why.

        `at`: seconds of the clock, None for now. What has passed must `leave` when it is answered,
        if there are limits of requests at once.
        """
        now, size = self._now(at), _size(size)
        held = list(self.held(vendor, group, model))
        worst = max(_refusals(held, size, now), key=lambda refusal: refusal.wait, default=None)
        refused = worst is not None and worst.wait > 0
        for quota, axis, _, counter in held:
            if not refused or (quota.count_refused and axis != "concurrent"):
                counter.add(now, size.amount(axis, quota.tokens))
        return worst if refused else None

    def wait(
        self, vendor: str, group: str, model: str, size: Size | int, at: float | None = None
    ) -> float:
        """Seconds until a request of so many tokens could pass, 0 for now; counts nothing."""
        now, size = self._now(at), _size(size)
        held = self.held(vendor, group, model)
        return max((refusal.wait for refusal in _refusals(held, size, now)), default=0.0)

    def leave(self, vendor: str, group: str, model: str) -> None:
        """A request that has passed is answered, or its client is gone."""
        for _, _, _, counter in self.held(vendor, group, model):
            if isinstance(counter, Slots):
                counter.leave()

    def meters(
        self, vendor: str, group: str, model: str, at: float | None = None
    ) -> dict[str, Meter]:
        """The state of each limit per time that holds for a key group and model, by axis."""
        now = self._now(at)
        found = {}
        for _, axis, limit, counter in self.held(vendor, group, model):
            if axis in AXES:
                left = max(0, limit - math.ceil(counter.used(now)))
                found[axis] = Meter(limit, left, counter.reset(now))
        return found

    def held(self, vendor: str, group: str, model: str) -> Iterator[Held]:
        """The limits that hold for a key group and model."""
        for index, quota in enumerate(self._quotas):
            if quota.covers(vendor, group, model):
                for axis, limit in quota.limits().items():
                    yield quota, axis, limit, self._counter(index, axis, group, model)
                if quota.concurrent is not None:
                    slots = self._counter(index, "concurrent", group, model)
                    yield quota, "concurrent", quota.concurrent, slots

    def _now(self, at: float | None) -> float:
        return self._clock() if at is None else at

    def _counter(self, index: int, axis: str, group: str, model: str) -> Counter:
        quota = self._quotas[index]
        place = (index, axis, group, "" if quota.model == ALL_MODELS else model)
        counter = self._counters.get(place)
        if counter is None:
            counter = self._counters[place] = make_counter(quota, axis)
        return counter


def make_counter(quota: Quota, axis: str) -> Counter:
    """A fresh counter for one axis of a quota."""
    limit = int(getattr(quota, axis))
    if axis == "concurrent":
        return Slots(limit)
    span = AXES[axis]
    if quota.window == "bucket":
        return Bucket(limit, span, quota.burst)
    if quota.window == "fixed":
        return Fixed(limit, span, quota.phase, quota.zone)
    return Sliding(limit, span)


def _size(size: Size | int) -> Size:
    return Size(size, size, size) if isinstance(size, int) else size


def _refusals(held: Iterable[Held], size: Size, now: float) -> Iterator[Refusal]:
    for quota, axis, limit, counter in held:
        amount = size.amount(axis, quota.tokens)
        used = round(counter.used(now))
        yield Refusal(axis, limit, used, amount, counter.wait(now, amount))
