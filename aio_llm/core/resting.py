"""How long a place rests after a fault, and which place that is. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable

from aio_llm.config import Breaker
from aio_llm.core.availability import Place, Record, place
from aio_llm.core.backoff import Backoff
from aio_llm.core.key_state import KeyState, Lease
from aio_llm.core.policy import Rest, Rule
from aio_llm.faults import Fault, Scope

GUESS = 5.0
"""Seconds a place rests first when nobody said how long; doubled per failure in a row."""

SHORTEST = 0.25
"""Seconds a place rests at least: "try again in 0 s" still means somebody else first.
Doubled per failure in a row."""

LONG = 3600.0
"""Seconds for what only a person can mend: no credit, a refused key."""

STUBBORN = 6
"""Refusals in a row after which the vendor's own word is doubled each time: some count what
they refuse, and would never be done.
"""

PERIOD = 60.0
"""Seconds up to which it is doubled."""


class Resting:
    """The rules; `random` gives chance in [0, 1)."""

    def __init__(self, breaker: Breaker, max_delay: float, random: Callable[[], float]) -> None:
        self._breaker = breaker
        self._guess = Backoff(GUESS, 2.0, max(max_delay, GUESS))
        self._probe = Backoff(breaker.timeout / 30, 2.0, breaker.timeout / 2)
        self._random = random

    def record(
        self,
        fault: Fault,
        rule: Rule,
        old: Record | None,
        now: float,
        *,
        day_ends: float,
        under_way: int,
    ) -> Record:
        """The record `fault` leaves at its place, whose record so far is `old`.

        `under_way`: calls to the same model that may still answer: failures come back sooner
        than answers, so a burst alone does not trip the breaker.
        """
        failures = old.failures + 1 if old is not None else 1
        strikes = old.strikes + 1 if old is not None else 1
        record = Record(0.0, fault.kind, message=fault.message, soft=rule.rest is Rest.BACKOFF)
        record.until = self._until(fault, rule, failures, now, day_ends)
        if record.soft:
            record.gap = 10.0
            opened = old.opened if old is not None else 0
            if opened or self.trips(strikes, under_way):
                told = record.until if fault.retry_after is not None else now
                self.open(record, opened + 1, now)
                record.until = max(record.until, told)
        return record

    def trips(self, strikes: int, under_way: int) -> bool:
        """So many failures in a row are enough."""
        return strikes >= max(self._breaker.failure_threshold, under_way)

    def open(self, record: Record, times: int, now: float) -> None:
        """The breaker opens for the `times`-th time in a row; a probe may go after a while."""
        record.opened = times
        record.gap = self._breaker.timeout
        record.enough = self._breaker.success_threshold
        record.until = now + self._probe.rest(times, self._random)

    def _until(self, fault: Fault, rule: Rule, failures: int, now: float, day_ends: float) -> float:
        if rule.rest is Rest.OUT:
            return math.inf
        if fault.retry_after is not None:
            return now + self._told(fault.retry_after, failures)
        if rule.rest is Rest.LONG:
            return now + LONG
        if rule.rest is Rest.DAY:
            return day_ends
        rest = self._guess.rest(failures, self._random)
        return now + (min(rest, self._probe.cap) if rule.rest is Rest.BACKOFF else rest)

    @staticmethod
    def _told(hint: float, failures: int) -> float:
        if hint < SHORTEST:
            return SHORTEST * 2.0 ** min(failures - 1, 10)
        if failures < STUBBORN or hint > PERIOD:
            return hint
        return float(min(PERIOD, hint * 2.0 ** min(failures - STUBBORN + 1, 10)))


def resting_place(lease: Lease, scope: Scope) -> Place:
    """What `scope` means for one attempt."""
    lane, key = lease.lane, lease.key
    shared = lane.quota != lane.model
    if scope is Scope.GROUP_MODEL or (scope is Scope.GROUP and shared):
        return place(Scope.GROUP_MODEL, lane.provider, key.group, lane.quota)
    return place(scope, lane.provider, *_names(lease, key).get(scope, ()))


def _names(lease: Lease, key: KeyState) -> dict[Scope, tuple[str, ...]]:
    return {
        Scope.KEY: (str(key.index),),
        Scope.KEY_MODEL: (str(key.index), lease.lane.model),
        Scope.GROUP: (key.group,),
        Scope.MODEL: (lease.lane.model,),
    }
