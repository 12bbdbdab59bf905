"""Why a target would not be tried now: the words of `explain()` and of errors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from aio_llm.core.availability import Place, Record
from aio_llm.core.key_state import KeyState
from aio_llm.core.limits import ON_RELEASE
from aio_llm.core.routing import Lane, Route
from aio_llm.core.scheduler import Scheduler
from aio_llm.core.trail import Trail
from aio_llm.faults import Kind


@dataclass(frozen=True, slots=True)
class Skip:
    """A target that would not be tried now, and why. `until`: clock seconds."""

    lane: Lane
    key: str
    kind: Kind
    until: float
    reason: str
    index: int


def skipped(
    scheduler: Scheduler, route: Route, trail: Trail, now: float, limit: int = 200
) -> list[Skip]:
    """Targets of `route` that a call with that trail would not try now, at most `limit`."""
    found: list[Skip] = []
    with scheduler.keys.lock:
        scheduler.keys.turn_days()
        for lane in route.lanes:
            for skip in _of_lane(scheduler, lane, trail, now, alone=len(route.lanes) == 1):
                found.append(skip)
                if len(found) >= limit:
                    return found
    return found


def _of_lane(
    scheduler: Scheduler, lane: Lane, trail: Trail, now: float, *, alone: bool
) -> Iterator[Skip]:
    keys = scheduler.keys
    blocking = keys.availability.blocking(keys.lane_places(lane), now)
    hangs = -math.inf if alone else scheduler.choose.health_of(lane).ready_at(now)
    for key in keys.keys(lane.provider):
        skip = _skip(scheduler, lane, key, blocking, trail, now)
        if skip is None and hangs > now:
            oldest = scheduler.choose.health_of(lane).oldest
            words = f"no answer for {now - oldest:.1f} s: suspected of hanging"
            skip = Skip(lane, key.masked, Kind.TIMEOUT, hangs, words, key.index)
        if skip is not None:
            yield skip


def _skip(
    scheduler: Scheduler,
    lane: Lane,
    key: KeyState,
    blocking: list[tuple[Place, Record]],
    trail: Trail,
    now: float,
) -> Skip | None:
    keys = scheduler.keys
    if not key.on:
        words = f"disabled: {key.disabled}"
        return Skip(lane, key.masked, Kind.BAD_KEY, math.inf, words, key.index)
    if key.requests >= key.limit:
        until = keys.day_rest(lane.provider)
        words = f"daily limit of {int(key.limit)} requests used up"
        return Skip(lane, key.masked, Kind.DAY_LIMIT, until, words, key.index)
    records = blocking + keys.availability.blocking(keys.key_places(lane, key), now)
    if not records:
        return _without_room(scheduler, lane, key, trail, now)
    spot, record = max(records, key=lambda pair: pair[1].free_at)
    left = record.free_at - now
    when = "until it is reloaded" if left == math.inf else f"for {left:.1f} s"
    words = f"{spot[0]} rests {when}: {record.kind.value}"
    return Skip(lane, key.masked, record.kind, record.free_at, words, key.index)


def _without_room(
    scheduler: Scheduler, lane: Lane, key: KeyState, trail: Trail, now: float
) -> Skip | None:
    """Its quota is used up: by which limit, and until when."""
    size = scheduler.choose.size(lane, trail)
    for quota in scheduler.keys.quotas.of(lane, key):
        until, why = quota.bottleneck(now, size)
        if until > now:
            is_long = 3600.0 < until - now < ON_RELEASE / 2
            kind = Kind.DAY_LIMIT if is_long else Kind.MINUTE_LIMIT
            return Skip(lane, key.masked, kind, until, why, key.index)
    return None
