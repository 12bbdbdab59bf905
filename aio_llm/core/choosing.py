"""Which target a call takes now, or when it may find one. Decides; changes nothing but caches."""

from __future__ import annotations

import math
import random as chance
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from aio_llm.core.availability import Record
from aio_llm.core.health import Health
from aio_llm.core.key_state import KeyState, Lease
from aio_llm.core.keys import KeyManager
from aio_llm.core.limits import ONE
from aio_llm.core.recent import Size
from aio_llm.core.routing import Lane, Route
from aio_llm.core.rules import Tiers, in_order
from aio_llm.core.sessions import Sessions
from aio_llm.core.standing import Standing
from aio_llm.core.trail import Trail
from aio_llm.faults import Scope

Claims = Collection[tuple[Lane, int]]
"""Targets that earlier calls wait for: lane and key number."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is free. `until`: when it may be (clock seconds, inf: never by itself); `wakes`:
    when to look without being told. `behind`: others came first. `retry`: it ends a back-off
    of this call, not a lack of capacity. `claim`: the target that lacks only room. `room`: a
    smaller request may find some. `outage`: some target is out for its faults.
    """

    until: float
    behind: bool = False
    retry: bool = False
    claim: tuple[Lane, int] | None = None
    wakes: float = math.inf
    room: bool = False
    outage: bool = False


class Chooser:
    """Looks at keys, records and health; the caller holds the lock."""

    def __init__(
        self, keys: KeyManager, max_retries: int, random: Callable[[], float] = chance.random
    ) -> None:
        self.keys = keys
        self.health: dict[Lane, Health] = {}
        self.sessions: Sessions[tuple[Lane, KeyState]] = Sessions()
        self._max_retries = max_retries
        self._random = random

    def health_of(self, lane: Lane) -> Health:
        """How a lane is doing; made when first asked for."""
        known = self.health.get(lane)
        if known is None:
            known = self.health[lane] = Health()
        return known

    def under_way(self, lane: Lane, scope: Scope) -> int:
        """Calls to the model, or to all models of its provider, that may still be answered."""
        if scope is not Scope.PROVIDER:
            return len(self.health_of(lane).under_way)
        lanes = (other for other in self.health if other.provider == lane.provider)
        return sum(len(self.health[other].under_way) for other in lanes)

    def size(self, lane: Lane, trail: Trail) -> Size:
        """What the call is expected to cost on `lane`."""
        if not self.keys.quotas.counts_tokens:
            return ONE
        known = trail.sizes.get(lane)
        if known is None:
            demand = trail.demand
            known = trail.sizes[lane] = self.keys.quotas.size(
                lane, demand.prompt, demand.max_tokens
            )
        return known

    def best(
        self, route: Route, trail: Trail, now: float, claims: Claims = ()
    ) -> tuple[Lane, KeyState] | None:
        """The best target that is free now; who just failed this call is asked last. Where the
        call's session was answered last is the best of all.
        """
        if trail.session is not None:
            known = self.of_session(route, trail, now, claims)
            if known is not None:
                return known
        found = self._first_free(route, trail, now, claims, avoided=False)
        if found is None and trail.avoided:
            found = self._first_free(route, trail, now, claims, avoided=True)
        return found

    def remember(self, session: str, lease: Lease, now: float) -> None:
        """The session goes on where it has been answered."""
        self.sessions.remember(session, (lease.lane, lease.key), now)

    def of_session(
        self, route: Route, trail: Trail, now: float, claims: Claims = ()
    ) -> tuple[Lane, KeyState] | None:
        """The target that answered the call's session last, if the call may use it now."""
        known = self.sessions.find(trail.session, now) if trail.session is not None else None
        if known is None:
            return None
        lane, key = known
        if lane not in route.lanes or lane.provider in trail.avoided:
            return None
        if (lane, key.index) in claims:
            return None
        if len(route.lanes) > 1 and self._hangs_until(lane, now) > now:
            return None
        self.keys.pool(lane, now)  # a new day may begin
        return known if self.target_at(trail, lane, key, now) <= now else None

    def _by_rule(self, route: Route, trail: Trail) -> Tiers:
        """The lanes of `route` in the order of a rule that is not priority."""
        view = Standing(self.keys, self.health, route, trail.demand, self._random)
        return in_order(route, view)

    def _first_free(
        self, route: Route, trail: Trail, now: float, claims: Claims, *, avoided: bool
    ) -> tuple[Lane, KeyState] | None:
        alone = len(route.lanes) == 1
        for tier in self._by_rule(route, trail) if route.stages else route.tiers:
            if len(tier) == 1 and not trail.attempts and not trail.excluded:
                key = self._free_key(tier[0], trail, now, claims, alone=alone)
                if key is not None:
                    return tier[0], key
                continue
            free = [
                (lane, key)
                for lane in tier
                if lane not in trail.excluded
                and (lane.provider in trail.avoided) == avoided
                and (key := self._free_key(lane, trail, now, claims, alone=alone)) is not None
            ]
            if free:
                return min(free, key=lambda pair: pair[1].rank[:3])
        return None

    def _free_key(
        self, lane: Lane, trail: Trail, now: float, claims: Claims, *, alone: bool
    ) -> KeyState | None:
        availability = self.keys.availability
        if availability.records and availability.until(self.keys.lane_places(lane)) > now:
            return None
        if trail.is_spent(lane, self._max_retries):
            return None
        if not alone and self._hangs_until(lane, now) > now:
            return None
        pool, size = self.keys.pool(lane, now), self.size(lane, trail)
        if pool.blocked(now, size) is not None:
            return None
        return pool.pick(now, self._skip(lane, trail, claims), size)

    def _hangs_until(self, lane: Lane, now: float) -> float:
        health = self.health.get(lane)
        return -math.inf if health is None or not health.under_way else health.ready_at(now)

    def _skip(self, lane: Lane, trail: Trail, claims: Claims) -> Collection[int]:
        spent = trail.spent(lane, self._max_retries)
        if not claims:
            return spent
        return spent | {index for claimed, index in claims if claimed is lane}

    def later(
        self, route: Route, trail: Trail, now: float, claims: Claims = ()
    ) -> tuple[Lane, KeyState] | Wait:
        """Nobody is free: who may be tried all the same, or when somebody is. A rest that is only
        our own guess is passed over, after the call's own back-off.
        """
        soonest, room, outage = Wait(math.inf), False, False
        passing: list[tuple[float, Lane, KeyState, Record]] = []
        healthy = math.inf
        for lane, lane_at, record in self._usable(route, trail, now):
            asked = record is None and not trail.avoided  # by `best`
            key, key_at, index = self._first_key(lane, trail, now, claims, asked=asked)
            if key is not None and lane_at <= now:
                return lane, key
            if key is not None and record is not None and not record.is_open:
                passing.append((trail.again_at(lane), lane, key, record))
            room, outage = room or index >= 0, outage or record is not None
            at = max(lane_at, key_at)
            healthy = healthy if record is not None else min(healthy, at)
            if at < soonest.until:
                claim = self._claim(lane, index)
                soonest = Wait(at, claim=claim, outage=lane_at > key_at)
        over = [found for found in passing if self._may_pass(found[3], healthy, now)]
        if over:
            at, lane, key, _ = min(over, key=lambda found: found[0])
            if at <= now:
                return lane, key
            if at < soonest.until:
                return Wait(at, retry=True)
        return replace(soonest, room=room, behind=bool(claims), outage=outage)

    def _claim(self, lane: Lane, index: int) -> tuple[Lane, int] | None:
        """What to keep others from while room for a large request gathers there."""
        if index < 0 or not self.keys.quotas.saves_up(lane, self.keys.key(lane.provider, index)):
            return None
        return lane, index

    def unclaimed(self, route: Route, claims: Claims) -> tuple[Lane, int] | None:
        """The best target that saves up and nobody has claimed."""
        for lane in route.lanes:
            for key in self.keys.keys(lane.provider):
                if (lane, key.index) not in claims and self.keys.quotas.saves_up(lane, key):
                    return lane, key.index
        return None

    @staticmethod
    def _may_pass(record: Record, healthy: float, now: float) -> bool:
        """If no healthy target is free before the rest is over: one call at a time, or all if
        there is no healthy target at all.
        """
        return healthy == math.inf or (healthy > record.until and record.gate <= now)

    def _first_key(
        self, lane: Lane, trail: Trail, now: float, claims: Claims, *, asked: bool
    ) -> tuple[KeyState | None, float, int]:
        """A key that is free now; else when one is, and the number of one that lacks only room."""
        pool, size = self.keys.pool(lane, now), self.size(lane, trail)
        known = pool.blocked(now, size)
        if known is not None:
            return None, *known
        skip = self._skip(lane, trail, claims)
        key = None if asked else pool.pick(now, skip, size)
        if key is not None:
            return key, now, -1
        return None, *pool.earliest(now, skip, size)

    def _usable(
        self, route: Route, trail: Trail, now: float
    ) -> Iterator[tuple[Lane, float, Record | None]]:
        """Lanes this call may still use, from when, and the record that is in the way."""
        alone = len(route.lanes) == 1
        for lane in self._lanes(route, trail):
            if lane in trail.excluded or trail.is_spent(lane, self._max_retries):
                continue
            record = self.keys.availability.longest(self.keys.lane_places(lane), now)
            lane_at = -math.inf if record is None else record.free_at
            if not alone:
                lane_at = max(lane_at, self._hangs_until(lane, now))
            yield lane, lane_at, record

    def _lanes(self, route: Route, trail: Trail) -> Iterable[Lane]:
        """The lanes of `route`, best first."""
        if not route.stages:
            return route.lanes
        return [lane for tier in self._by_rule(route, trail) for lane in tier]

    def target_at(self, trail: Trail, lane: Lane, key: KeyState, now: float) -> float:
        """When the call with that trail could use one target; inf if it has no use for it."""
        if lane in trail.excluded or trail.is_spent(lane, self._max_retries):
            return math.inf
        if key.index in trail.spent(lane, self._max_retries):
            return math.inf
        ready = self.keys.ready_at(lane, key, now, self.size(lane, trail))
        record = self.keys.availability.longest(self.keys.lane_places(lane), now)
        return ready if record is None else max(record.free_at, ready)
