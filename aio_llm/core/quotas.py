"""The quotas of one configuration: which of them a key on a lane uses, and how they learn.

A group of keys has one quota per model (models that share one at the vendor share it here),
and one for everything it does where a key's own limits are configured. The caller holds the
lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache, partial

from aio_llm.allowances import PERIODS, Allowance
from aio_llm.clock import Clock
from aio_llm.config import ApiKey, ModelConfig, ProviderConfig
from aio_llm.core.availability import Place, place
from aio_llm.core.key_state import KeyState, Lease
from aio_llm.core.limits import ONE, Mood, Plan, Quota
from aio_llm.core.recent import Size
from aio_llm.core.routing import Lane, quota_name
from aio_llm.faults import Category, Fault, Kind, Scope
from aio_llm.providers.presets import UNKNOWN, UTC, Habits, preset
from aio_llm.quota.shapes import Shape
from aio_llm.quota.windows import ALWAYS
from aio_llm.tokens import Correction

_UNITS = {"total": 2, "reserved": 2, "input": 1}
_NO_TOKENS = (Category.RATE_LIMIT, Category.AUTH, Category.INVALID_REQUEST)
"""Faults after which the vendor has not worked, so that only the request itself may count."""


class QuotaBook:
    """All quotas by place, and what is learned per model."""

    def __init__(self, providers: Iterable[ProviderConfig], clock: Clock) -> None:
        self.counts_tokens = False
        self.quotas: dict[Place, Quota] = {}
        self.corrections: dict[Lane, Correction] = {}
        self._mood = Mood()
        self.plans: dict[tuple[str, str], Plan] = {}
        self._recalled: dict[Place, dict[str, float]] = {}
        self._clock = clock
        self._configs = {config.label: config for config in providers}

    def of(self, lane: Lane, key: KeyState) -> tuple[Quota, ...]:
        """What a request of `key` on `lane` counts against; made when first asked for."""
        known = key.quotas.get(lane)
        if known is None:
            known = key.quotas[lane] = tuple(self._of(lane, key))
        return known

    def _of(self, lane: Lane, key: KeyState) -> Iterator[Quota]:
        config = self._configs[lane.provider]
        name = config.provider
        models = [m for m in config.models if quota_name(name, m.model_id) == lane.quota]
        spot = place(Scope.GROUP_MODEL, lane.provider, key.group, lane.quota)
        yield self._quota(spot, config, lane.quota, models)
        members = self._members(config, key)
        if any(member.limits() or member.max_concurrent for member in members):
            yield self._quota(place(Scope.GROUP, lane.provider, key.group), config, "", members)

    @staticmethod
    def _members(config: ProviderConfig, key: KeyState) -> list[ApiKey]:
        """The keys that share what `key` may do. Alone, its day is counted by the key itself."""
        own = config.api_keys[key.index]
        if own.group is None:
            return [own.model_copy(update={"rpd": None})]
        return [other for other in config.api_keys if other.group == own.group]

    def _quota(
        self,
        spot: Place,
        config: ProviderConfig,
        plan: str,
        limits: Iterable[ApiKey] | Iterable[ModelConfig],
    ) -> Quota:
        known = self.quotas.get(spot)
        if known is not None:
            return known
        row = preset(config.provider)
        habits, zone = (row.habits, row.day) if row else (UNKNOWN, UTC)
        stated = list(limits)
        quota = self.quotas[spot] = Quota(
            spot,
            self.plans.setdefault((config.label, plan or "/".join(spot)), Plan()),
            partial(shape_of, habits=habits, zone=zone),
            self._clock.wall() - self._clock.now(),
            self._mood,
            configured=_smallest(section.limits() for section in stated),
            max_concurrent=min(
                (m.max_concurrent for m in stated if m.max_concurrent), default=None
            ),
        )
        for axis, limit in self._recalled.get(spot, {}).items():
            quota.recall(axis, limit, self._clock.now())
        self.counts_tokens = self.counts_tokens or quota.counts_tokens
        return quota

    def ready_at(self, lane: Lane, key: KeyState, now: float, size: Size = ONE) -> float:
        """From when all quotas have room for `size`; `ALWAYS` if now."""
        at = ALWAYS
        for quota in self.of(lane, key):
            free = quota.ready_at(now, size)
            if free > at:
                at = free
        return at

    def saves_up(self, lane: Lane, key: KeyState) -> bool:
        """Whether a large request has to wait there for room that small ones could take away."""
        return any(quota.saves_up for quota in self.of(lane, key))

    def size(self, lane: Lane, prompt: int, max_tokens: int | None) -> Size:
        """What a request is expected to cost on `lane`, rather too much than too little."""
        correction = self.corrections.get(lane)
        if correction is None:
            other = next(iter(self.corrections.values()), None)
            correction = Correction() if other is None else other.like()
            self.corrections[lane] = correction
        read, written = correction.predict(prompt, max_tokens)
        return (1, read, read + written)

    def settle(self, lease: Lease, now: float, used: tuple[int, int] | None) -> bool:
        """The attempt gave an answer that cost `used` (prompt, completion) tokens; True if that
        made room.
        """
        size = None if used is None else (1, used[0], used[0] + used[1])
        room = False
        for hold in lease.holds:
            room = hold.quota.settle(hold, now, lease.arrived(now), size) or room
        if used is not None and lease.estimate:
            correction = self.corrections.get(lease.lane)
            if correction is not None:
                correction.learn(lease.estimate, *used)
        return room

    def give_back(self, lease: Lease, now: float, fault: Fault | None, *, sent: bool) -> None:
        """The attempt gave no answer: what the vendor has not counted is free again."""
        keep = self.kept(lease, fault, sent=sent)
        for hold in lease.holds:
            hold.quota.give_back(hold, lease.arrived(now), keep)

    def kept(self, lease: Lease, fault: Fault | None, *, sent: bool) -> tuple[int, ...]:
        """The units (see `Size`) that a vendor has counted although it gave no answer."""
        if not sent:
            return ()
        if fault is None or fault.category not in _NO_TOKENS:
            return (0, 1, 2)
        refused = fault.kind in (Kind.MINUTE_LIMIT, Kind.DAY_LIMIT)
        return () if refused and not self._habits(lease.lane).counts_refused else (0,)

    def believe(self, name: tuple[str, str], axis: str, shape: Shape) -> None:
        """Another process has learned a limit of the model of that plan."""
        plan = self.plans.setdefault(name, Plan())
        if shape.source == "guessed":
            shape = replace(shape, source="recalled")
        if plan.shapes.get(axis) == shape:
            return
        plan.shapes[axis] = shape
        for quota in plan.quotas:
            quota.adopt(axis, shape, self._clock.now())
            self.counts_tokens = self.counts_tokens or quota.counts_tokens

    def recall(self, spot: Place, axis: str, limit: float) -> None:
        """Another process, or an earlier one, was told a limit of the quota at that place."""
        self._recalled.setdefault(spot, {})[axis] = limit
        quota = self.quotas.get(spot)
        if quota is not None:
            quota.recall(axis, limit, self._clock.now())
            self.counts_tokens = self.counts_tokens or quota.counts_tokens

    def _habits(self, lane: Lane) -> Habits:
        row = preset(self._configs[lane.provider].provider)
        return row.habits if row else UNKNOWN

    def told(self, lease: Lease, allowances: Iterable[Allowance], now: float) -> bool:
        """What the vendor said of its limits beside an answer; True if that was news."""
        if not lease.holds or not lease.holds[0].quota.told(allowances, now):
            return False
        self.counts_tokens = self.counts_tokens or lease.holds[0].quota.counts_tokens
        return True

    def refused(
        self, lease: Lease, fault: Fault, wait: float | None, now: float, *, stale: bool
    ) -> bool:
        """The vendor refused for want of quota, for `wait` seconds; True if a meter now stands
        for that limit.
        """
        if not lease.holds:
            return False
        quota = lease.holds[0].quota
        metered = quota.refused(lease.holds[0], fault.allowance, wait, now, stale=stale)
        self.counts_tokens = self.counts_tokens or quota.counts_tokens
        return metered

    def merge(self, group: str, into: str, provider: str) -> None:
        """Two groups turned out to be one: what both have used is used."""
        now = self._clock.now()
        for spot, quota in list(self.quotas.items()):
            if spot[1:3] == (provider, group):
                other = self.quotas.get((*spot[:2], into, *spot[3:]))
                if other is not None:
                    other.absorb(quota, now)
                    del self.quotas[spot]

    def forget_days(self, provider: str) -> None:
        """A person says that the day's counters are zero."""
        for spot, quota in self.quotas.items():
            if spot[1] == provider:
                quota.forget_day()


def _smallest(many: Iterable[dict[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for limits in many:
        for axis, limit in limits.items():
            found[axis] = min(limit, found.get(axis, limit))
    return found


@lru_cache(maxsize=256)
def shape_of(axis: str, habits: Habits, zone: str) -> Shape:
    """The rule a vendor with such habits has for one kind of limit."""
    daily = PERIODS[axis] == PERIODS["rpd"]
    return Shape(
        kind=habits.day if daily else habits.minute,
        burst=1.0 if daily else habits.burst,
        zone=zone,
        unit=_UNITS[habits.tokens] if axis.startswith("t") else 0,
        keeps_estimate=axis.startswith("t") and habits.tokens == "reserved",
    )
