"""Take and settle: the best target that is free now, and what an attempt's end changes.

`take` decides under the lock and returns what to do: a lease, or how long to wait. `settle`
applies the policy table to the places of a lease. Neither sleeps or sends.
"""

from __future__ import annotations

import math
import random as chance
from collections.abc import Callable
from dataclasses import dataclass

from aio_llm.clock import Clock
from aio_llm.config import Settings
from aio_llm.core.availability import FAILURES_TO_OPEN, OPEN_FOR, Place, Record, place
from aio_llm.core.backoff import Backoff
from aio_llm.core.keys import KeyManager, KeyState, Lease
from aio_llm.core.line import Waiter, WaitingLine
from aio_llm.core.policy import Next, Rest, Rule, Strike, judge
from aio_llm.core.routing import Lane, Route
from aio_llm.core.trail import Trail
from aio_llm.faults import Category, Fault, Kind, Scope
from aio_llm.fork import renew_after_fork

GUESS = 5.0
"""Seconds a place rests first when nobody said how long; doubled per failure in a row."""

SHORTEST = 0.25
"""Seconds a place rests at least: "try again in 0 s" still means somebody else first.
Doubled per failure in a row."""

LONG = 3600.0
"""Seconds for what only a person can mend: no credit, a refused key."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing is free. `until`: when it may be (clock seconds, inf: never by itself).
    `behind`: others came first. `retry`: it ends a back-off of this call, not a lack of
    capacity.
    """

    until: float
    behind: bool = False
    retry: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a fault changed. `rests`: seconds its place is left alone. `disabled`: why its key
    is out from now on. `sister`: masked key it was found to share a quota with.
    """

    rule: Rule
    rests: float = 0.0
    disabled: str = ""
    sister: str = ""


@dataclass(frozen=True, slots=True)
class Skip:
    """A target that would not be tried now, and why. `until`: clock seconds."""

    lane: Lane
    key: str
    kind: Kind
    until: float
    reason: str
    index: int


_ANSWERED = (Category.RATE_LIMIT, Category.AUTH, Category.INVALID_REQUEST)


class Scheduler:
    """Keys, their availability and the waiting line of one `AIO`. Thread-safe."""

    def __init__(
        self, settings: Settings, clock: Clock, random: Callable[[], float] = chance.random
    ) -> None:
        self.keys = KeyManager(settings.providers, clock)
        self.line = WaitingLine()
        self.backoff = Backoff(
            settings.retry_delay, settings.backoff_multiplier, settings.max_delay
        )
        self._guess = Backoff(GUESS, 2.0, max(settings.max_delay, GUESS))
        self._max_retries = settings.max_retries
        self._filtered_goes_on = settings.on_content_filter == "next"
        self._clock = clock
        self._random = random
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Nobody waits in a child."""
        self.line = WaitingLine()

    def take(self, route: Route, trail: Trail, waiter: Waiter) -> Lease | Wait:
        """The best target of `route` that is free now, or how long to wait for one."""
        with self.keys.lock:
            now = self._clock.now()
            found = self._best(route, trail, now) or self._later(route, trail, now)
            if isinstance(found, Wait):
                self.line.join(route, waiter, trail)
                if trail.attempts:  # what this call cannot use, the next one may
                    self.line.pass_on(route, waiter)
                return found
            lane, key = found
            for earlier in self.line.earlier(route, waiter):
                if self._would_take(earlier.trail, lane, key, now):
                    earlier.waiter.nudge()
                    self.line.join(route, waiter, trail)
                    return Wait(math.inf, behind=True)
            self.line.step_out(route, waiter)
            trail.tried(lane, key.index)
            return self.keys.grant(lane, key, now)

    def _would_take(self, trail: Trail, lane: Lane, key: KeyState, now: float) -> bool:
        """A call with that trail has a use for this target now."""
        if lane in trail.excluded or trail.is_spent(lane, self._max_retries):
            return False
        if key.index in trail.spent(lane, self._max_retries):
            return False
        return self._lane_at(lane, trail, now)[0] <= now

    def leave(self, route: Route, waiter: Waiter) -> None:
        """The call waits no longer, for whatever reason."""
        if len(self.line):
            with self.keys.lock:
                self.line.leave(route, waiter)

    def _best(self, route: Route, trail: Trail, now: float) -> tuple[Lane, KeyState] | None:
        found = self._first_free(route, trail, now, avoided=False)
        if found is None and trail.avoided:
            found = self._first_free(route, trail, now, avoided=True)
        return found

    def _first_free(
        self, route: Route, trail: Trail, now: float, *, avoided: bool
    ) -> tuple[Lane, KeyState] | None:
        for tier in route.tiers:
            if len(tier) == 1 and not trail.attempts and not trail.excluded:
                key = self._free_key(tier[0], trail, now)
                if key is not None:
                    return tier[0], key
                continue
            free = [
                (lane, key)
                for lane in tier
                if lane not in trail.excluded
                and (lane.provider in trail.avoided) == avoided
                and (key := self._free_key(lane, trail, now)) is not None
            ]
            if free:
                return min(free, key=lambda pair: pair[1].rank[:3])
        return None

    def _free_key(self, lane: Lane, trail: Trail, now: float) -> KeyState | None:
        availability = self.keys.availability
        if availability.records and availability.until(self.keys.lane_places(lane)) > now:
            return None
        if trail.is_spent(lane, self._max_retries):
            return None
        return self.keys.pool(lane, now).pick(now, trail.spent(lane, self._max_retries))

    def _later(self, route: Route, trail: Trail, now: float) -> tuple[Lane, KeyState] | Wait:
        """Nobody is free: who may be tried all the same, or when somebody is."""
        soonest = Wait(math.inf)
        for lane in route.lanes:
            if lane in trail.excluded or trail.is_spent(lane, self._max_retries):
                continue
            lane_at, retry = self._lane_at(lane, trail, now)
            spent = trail.spent(lane, self._max_retries)
            pool = self.keys.pool(lane, now)
            key = pool.pick(now, spent)
            if key is not None and lane_at <= now:
                return lane, key
            at = max(lane_at, now if key is not None else pool.earliest(now, spent))
            if at < soonest.until:
                soonest = Wait(at, retry=retry and key is not None)
        return soonest

    def _lane_at(self, lane: Lane, trail: Trail, now: float) -> tuple[float, bool]:
        """When a lane may be used by this call; True if only its own back-off stands before."""
        blocking = self.keys.availability.blocking(self.keys.lane_places(lane), now)
        if not blocking:
            return -math.inf, False
        if all(record.soft and not record.is_open for _, record in blocking):
            return trail.again_at(lane), True
        if lane.provider in trail.avoided and any(record.soft for _, record in blocking):
            return math.inf, False  # this call has seen it fail: no waiting for its breaker
        return max(record.free_at for _, record in blocking), False

    def settle(self, lease: Lease, fault: Fault, trail: Trail, *, sent: bool) -> Verdict:
        """Give a failed lease back and apply the policy; returns what changed."""
        rule = judge(fault)
        if fault.kind is Kind.CONTENT_FILTER and self._filtered_goes_on:
            rule = Rule(Next.MODEL)
        with self.keys.lock:
            now = self._clock.now()
            if rule.next is Next.MODEL and not fault.rotate:
                trail.excluded.add(lease.lane)
            if rule.next is Next.ELSEWHERE:
                trail.avoided.add(lease.lane.provider)
            if rule.rest is Rest.HINT:
                trail.not_counted(lease.lane, lease.key.index)
            if rule.rest is Rest.BACKOFF:
                trail.set_back(lease.lane, now, self.backoff, self._random())
                trail.not_before(lease.lane, now + (fault.retry_after or 0.0))
            rests, sister = self._rest(lease, fault, rule, now)
            disabled = self.keys.fail(lease, fault, sent=sent, strike=rule.strike is Strike.KEY)
            self.line.wake_heads()
        return Verdict(rule, rests, disabled, sister)

    def _rest(self, lease: Lease, fault: Fault, rule: Rule, now: float) -> tuple[float, str]:
        if rule.rest is Rest.NONE:
            self.keys.release(lease, answered=fault.status is not None)
            return 0.0, ""
        sister = self._find_sister(lease, fault, now)
        spot = self._place(lease, rule.at or fault.scope)
        self.keys.release(lease, spot, answered=fault.category in _ANSWERED)
        old = self.keys.availability.records.get(spot)
        if old is not None and lease.turn < old.turn:
            # Old news: the place rests already, and this is not one more failure in a row.
            if fault.retry_after is not None:
                old.until = max(old.until, now + max(fault.retry_after, SHORTEST))
            return max(0.0, old.free_at - now), sister
        until = self._until(fault, rule, old, lease, now)
        record = self.keys.availability.rest(
            spot, fault.kind, until, soft=rule.rest is Rest.BACKOFF, message=fault.message
        )
        return (0.0 if record.until == math.inf else record.until - now), sister

    def _find_sister(self, lease: Lease, fault: Fault, now: float) -> str:
        """Keys refused for the same limit, until the same moment, are one quota group."""
        if fault.scope is not Scope.GROUP_MODEL or fault.retry_after is None:
            return ""
        if fault.category is not Category.RATE_LIMIT or lease.key.requests > 1:
            return ""
        until = now + fault.retry_after
        sister = self.keys.join_groups(lease.key, lease.lane, until)
        return sister.masked if sister else ""

    def _place(self, lease: Lease, scope: Scope) -> Place:
        lane, key = lease.lane, lease.key
        shared = lane.quota != lane.model
        if scope is Scope.GROUP_MODEL or (scope is Scope.GROUP and shared):
            return place(Scope.GROUP_MODEL, lane.provider, key.group, lane.quota)
        names = {
            Scope.KEY: (str(key.index),),
            Scope.KEY_MODEL: (str(key.index), lane.model),
            Scope.GROUP: (key.group,),
            Scope.MODEL: (lane.model,),
        }
        return place(scope, lane.provider, *names.get(scope, ()))

    def _until(
        self, fault: Fault, rule: Rule, old: Record | None, lease: Lease, now: float
    ) -> float:
        failures = old.failures + 1 if old is not None else 1
        if rule.rest is Rest.OUT:
            return math.inf
        if fault.retry_after is not None:
            hint = fault.retry_after
            return now + (hint if hint >= SHORTEST else SHORTEST * 2.0 ** min(failures - 1, 10))
        if rule.rest is Rest.LONG:
            return now + LONG
        if rule.rest is Rest.DAY:
            return self.keys.day_rest(lease.lane.provider)
        if rule.rest is Rest.BACKOFF and failures >= FAILURES_TO_OPEN:
            return now + OPEN_FOR
        return now + self._guess.rest(failures, self._random)

    def succeed(self, lease: Lease) -> None:
        """Give a lease back after an answer; who waits is woken if that freed something."""
        if self.keys.succeed(lease) and len(self.line):
            self.wake()

    def give_up(self, lease: Lease, *, sent: bool) -> None:
        """Give a lease back without a verdict."""
        self.keys.give_up(lease, sent=sent)
        self.wake()

    def wake(self) -> None:
        """Something may have become free."""
        if len(self.line):
            with self.keys.lock:
                self.line.wake_heads()

    def skipped(self, route: Route, trail: Trail, limit: int = 200) -> list[Skip]:
        """Targets of `route` that would not be tried now, and why."""
        found: list[Skip] = []
        with self.keys.lock:
            self.keys.turn_days()
            now = self._clock.now()
            for lane in route.lanes:
                blocking = self.keys.availability.blocking(self.keys.lane_places(lane), now)
                for key in self.keys.keys(lane.provider):
                    if len(found) >= limit:
                        return found
                    skip = self._skip(lane, key, blocking, trail, now)
                    if skip is not None:
                        found.append(skip)
        return found

    def _skip(
        self,
        lane: Lane,
        key: KeyState,
        blocking: list[tuple[Place, Record]],
        trail: Trail,
        now: float,
    ) -> Skip | None:
        if not key.on:
            words = f"disabled: {key.disabled}"
            return Skip(lane, key.masked, Kind.BAD_KEY, math.inf, words, key.index)
        records = blocking + self.keys.availability.blocking(self.keys.key_places(lane, key), now)
        if key.requests >= key.limit:
            until = self.keys.day_rest(lane.provider)
            words = f"daily limit of {int(key.limit)} requests used up"
            return Skip(lane, key.masked, Kind.DAY_LIMIT, until, words, key.index)
        if not records:
            return None
        spot, record = max(records, key=lambda pair: pair[1].free_at)
        left = record.free_at - now
        when = "until it is reloaded" if left == math.inf else f"for {left:.1f} s"
        words = f"{spot[0]} rests {when}: {record.kind.value}"
        return Skip(lane, key.masked, record.kind, record.free_at, words, key.index)
