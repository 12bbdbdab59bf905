"""Keys: what each has done, and the manager that hands them out and takes them back.

Everything that changes is in here, under one lock, and only bookkeeping happens under it: the
manager decides and returns what to do; sending and sleeping happen outside.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aio_llm.clock import Clock
from aio_llm.config import ApiKey, ProviderConfig
from aio_llm.core.availability import Availability, Place, place
from aio_llm.core.days import day_end
from aio_llm.core.pool import KeyPool, Rank
from aio_llm.core.routing import Lane
from aio_llm.faults import Fault, Kind, Scope
from aio_llm.fork import renew_after_fork
from aio_llm.providers.presets import UTC, preset

STRIKES_TO_DISABLE = 3
"""Key-scoped errors in a row after which a key is out until `enable_key()`."""


_ABOUT_KEYS = frozenset({Scope.KEY, Scope.KEY_MODEL, Scope.GROUP, Scope.GROUP_MODEL})


_BY_HAND = frozenset({Kind.BILLING, Kind.ACCOUNT_DISABLED, Kind.MODEL_NOT_FOUND})
"""What only a person can mend, and so can declare mended."""


class KeyState:
    """One key of one provider and what it has done; changed only under the manager's lock."""

    __slots__ = (
        "disabled", "errors", "failures", "group", "in_flight", "index", "last_error",
        "last_used", "limit", "masked", "on", "places", "priority", "provider", "requests",
        "secret", "strikes", "total",
    )  # fmt: skip

    def __init__(self, provider: str, index: int, key: ApiKey) -> None:
        self.provider = provider
        self.index = index
        self.secret = key.key.get_secret_value()
        self.masked = key.masked
        self.priority = key.priority
        self.limit = min(key.daily_limit or math.inf, key.rpd or math.inf)
        self.requests = key.requests_today
        self.group = key.group if key.group is not None else f"#{index}"
        self.on = key.is_active
        self.disabled = "" if key.is_active else "is_active is False in the configuration"
        self.strikes = self.failures = self.errors = self.total = self.in_flight = 0
        self.places: dict[Lane, tuple[Place, ...]] = {}
        self.last_error: str | None = None
        self.last_used: float | None = None

    def move_to(self, group: str) -> None:
        """Share the quota of `group` from now on."""
        self.group = group
        self.places = {}

    @property
    def rank(self) -> Rank:
        """Best first: priority, then least used today, then fewest recent errors."""
        return (-self.priority, self.requests, self.failures, self.index)


@dataclass(slots=True)
class Lease:
    """A key handed out for one attempt; goes back exactly once. `turn`: in which order."""

    lane: Lane
    key: KeyState
    turn: int
    probes: tuple[Place, ...] = ()
    settled: bool = False


@dataclass(slots=True)
class ProviderState:
    """The keys of one provider, a pool of them per model, and when its day ends."""

    config: ProviderConfig
    zone: str
    keys: list[KeyState]
    day_ends: float = 0.0
    pools: dict[str, KeyPool[KeyState]] = field(default_factory=dict)
    lanes: dict[str, Lane] = field(default_factory=dict)


class KeyManager:
    """Which key of a lane may be used now, and what became of it. Thread-safe, exact."""

    def __init__(self, providers: list[ProviderConfig], clock: Clock) -> None:
        self.lock = threading.RLock()
        self.availability = Availability()
        self._lane_places: dict[Lane, tuple[Place, Place]] = {}
        self._clock = clock
        self._states = {config.label: self._state(config) for config in providers}
        renew_after_fork(self)

    def _state(self, config: ProviderConfig) -> ProviderState:
        row = preset(config.provider)
        keys = [KeyState(config.label, i, key) for i, key in enumerate(config.api_keys)]
        state = ProviderState(config, row.day if row else UTC, keys)
        state.day_ends = self._next_day(state)
        return state

    def _next_day(self, state: ProviderState) -> float:
        wall = self._clock.wall()
        return self._clock.now() + day_end(wall, state.zone) - wall

    def after_fork(self) -> None:
        """A child starts with a fresh lock and nothing in flight."""
        self.lock = threading.RLock()
        for state in self._states.values():
            for key in state.keys:
                key.in_flight = 0

    # What may be used

    def lane_places(self, lane: Lane) -> tuple[Place, Place]:
        """The places that concern every key of a lane."""
        known = self._lane_places.get(lane)
        if known is None:
            known = self._lane_places[lane] = (
                place(Scope.PROVIDER, lane.provider),
                place(Scope.MODEL, lane.provider, lane.model),
            )
        return known

    def key_places(self, lane: Lane, key: KeyState) -> tuple[Place, ...]:
        """The places that concern one key on a lane."""
        known = key.places.get(lane)
        if known is None:
            index = str(key.index)
            known = key.places[lane] = (
                place(Scope.KEY, lane.provider, index),
                place(Scope.KEY_MODEL, lane.provider, index, lane.model),
                place(Scope.GROUP, lane.provider, key.group),
                place(Scope.GROUP_MODEL, lane.provider, key.group, lane.quota),
            )
        return known

    def pool(self, lane: Lane, now: float) -> KeyPool[KeyState]:
        """The keys of a lane, made at its first use; a new day starts here."""
        state = self._states[lane.provider]
        if now >= state.day_ends:
            self._new_day(state)
        pool = state.pools.get(lane.model)
        if pool is None:
            pool = KeyPool(state.keys, lambda key: self.ready_at(lane, key))
            state.pools[lane.model] = pool
            state.lanes[lane.model] = lane
        return pool

    def ready_at(self, lane: Lane, key: KeyState) -> float:
        """From when `key` may be used on `lane`; -inf now, inf not until it is enabled."""
        if not key.on:
            return math.inf
        at = -math.inf
        if self.availability.records:
            at = self.availability.until(self.key_places(lane, key))
        if key.requests >= key.limit:
            return max(at, self._states[lane.provider].day_ends)
        return at

    def turn_days(self) -> None:
        """Begin a new day wherever the vendor's has ended; call it under the lock."""
        now = self._clock.now()
        for state in self._states.values():
            if now >= state.day_ends:
                self._new_day(state)

    def _new_day(self, state: ProviderState) -> None:
        state.day_ends = self._next_day(state)
        for key in state.keys:
            key.requests = 0
        for pool in state.pools.values():
            pool.rebuild()

    # Handing out and taking back

    def grant(self, lane: Lane, key: KeyState, now: float) -> Lease:
        """Count one request of `key` and hand it out."""
        key.requests += 1
        key.total += 1
        key.in_flight += 1
        key.last_used = now
        probes: tuple[Place, ...] = ()
        if self.availability.records:
            places = (*self.lane_places(lane), *self.key_places(lane, key))
            probes = self.availability.admit(places, now)
        return Lease(lane, key, self.availability.next_turn(), probes)

    def succeed(self, lease: Lease) -> bool:
        """The attempt gave an answer: what it probed is free. True if something became so."""
        with self.lock:
            if not self._take_back(lease, sent=True):
                return False
            key = lease.key
            key.strikes = 0
            freed = self._free(lease) if lease.probes else []
            if key.failures or freed:
                key.failures = 0
                self._renew(lease.lane.provider, freed, key)
            return bool(freed)

    def _free(self, lease: Lease) -> list[Place]:
        return [spot for spot in lease.probes if self.availability.succeed(spot, lease.turn)]

    def give_up(self, lease: Lease, *, sent: bool) -> None:
        """The attempt ended without a verdict; refunded if nothing reached the vendor."""
        with self.lock:
            if not self._take_back(lease, sent=sent):
                return
            self.release(lease)
            if not sent:
                self._renew(lease.lane.provider, [], lease.key)

    def release(self, lease: Lease, but: Place = (), *, answered: bool = False) -> None:
        """What a lease probed, `but` one place, is not blamed; a vendor that `answered`, if only
        to refuse, is no longer down.
        """
        spots = [spot for spot in lease.probes if spot != but]
        for spot in spots:
            record = self.availability.records.get(spot)
            if answered and record is not None and record.soft:
                self.availability.succeed(spot, lease.turn)
            else:
                self.availability.release(spot, lease.turn)
        if spots:
            self._renew(lease.lane.provider, spots, lease.key)

    def fail(self, lease: Lease, fault: Fault, *, sent: bool, strike: bool) -> str:
        """The attempt failed; returns why the key was disabled by it, "" if it was not."""
        with self.lock:
            if not self._take_back(lease, sent=sent):
                return ""
            key = lease.key
            if not sent:
                self._renew(lease.lane.provider, [], key)
            key.errors += 1
            key.last_error = fault.kind.value
            if fault.scope in _ABOUT_KEYS:
                key.failures += 1
            if not strike:
                return ""
            key.strikes += 1
            if key.strikes < STRIKES_TO_DISABLE or not key.on:
                return ""
            key.on = False
            key.disabled = f"{key.strikes} key errors in a row, the last: {fault.kind.value}"
            return key.disabled

    def _take_back(self, lease: Lease, *, sent: bool) -> bool:
        if lease.settled:
            return False
        lease.settled = True
        key = lease.key
        key.in_flight = max(0, key.in_flight - 1)
        if not sent:
            key.requests = max(0, key.requests - 1)
            key.total -= 1
        return True

    def _renew(self, provider: str, freed: list[Place], key: KeyState) -> None:
        """Keys that may be ready earlier than their pools believe."""
        state = self._states[provider]
        groups = {spot[2] for spot in freed if spot[0].startswith("group")}
        for each in state.keys if groups else (key,):
            if each is key or each.group in groups:
                for pool in state.pools.values():
                    pool.renew(each.index)

    def day_rest(self, provider: str) -> float:
        """When the vendor's day ends, on the clock's `now()`."""
        return self._states[provider].day_ends

    def join_groups(self, key: KeyState, lane: Lane, until: float) -> KeyState | None:
        """Make `key` and a sister that was just refused alike share one group from now on.

        "Alike": the same model's limit, ending at the same moment. Returns the sister.
        """
        if not key.group.startswith("#"):
            return None  # configured: the person knows better
        for sister in self._states[lane.provider].keys:
            if sister.group == key.group or not sister.group.startswith("#"):
                continue
            spot = place(Scope.GROUP_MODEL, lane.provider, sister.group, lane.quota)
            record = self.availability.records.get(spot)
            if record is not None and abs(record.until - until) < 1.0:
                for each in self._states[lane.provider].keys:
                    if each.group == key.group and each is not key:
                        each.move_to(sister.group)
                key.move_to(sister.group)
                return sister
        return None

    # What people ask and say

    def keys(self, provider: str | None = None) -> Iterator[KeyState]:
        """The keys of one provider, or of all."""
        for label, state in self._states.items():
            if provider is None or label == provider:
                yield from state.keys

    def find(self, provider: str, key: str) -> KeyState | None:
        """A key by its text, its number, or its masked form if no other looks like it."""
        states = list(self.keys(provider))
        for state in states:
            if key in (state.secret, str(state.index)):
                return state
        alike = [state for state in states if state.masked == key]
        return alike[0] if len(alike) == 1 else None

    def switch(self, key: KeyState, *, on: bool, reason: str = "") -> None:
        """Put a key in or out of use by hand; putting it in forgets why it was out."""
        with self.lock:
            key.on = on
            key.disabled = "" if on else reason
            if on:
                key.strikes = key.failures = 0
                index = str(key.index)
                self.availability.forget(Scope.KEY, key.provider, index)
                self.availability.forget(Scope.KEY_MODEL, key.provider, index)
                for scope in (Scope.GROUP, Scope.GROUP_MODEL):
                    self.availability.forget(scope, key.provider, key.group, kinds=_BY_HAND)
            self._renew(key.provider, [], key)

    def reset_daily(self, provider: str | None = None) -> int:
        """Zero the daily counters and lift what a daily limit stopped; returns how many keys."""
        with self.lock:
            labels = [label for label in self._states if provider in (None, label)]
            for label in labels:
                records = self.availability.records
                for spot in [s for s, r in records.items() if r.kind is Kind.DAY_LIMIT]:
                    if spot[1] == label:
                        del records[spot]
                self._new_day(self._states[label])
            return sum(1 for _ in self.keys(provider))

    def row(self, key: KeyState) -> dict[str, Any]:
        """One row of `get_key_stats()`; call it under the lock."""
        now = self._clock.now()
        until, reason = self._rests(key, now)
        state = "disabled" if not key.on else "cooling" if until > now else "active"
        limit = None if key.limit == math.inf else int(key.limit)
        return {
            "provider": key.provider,
            "key": key.masked,
            "state": state,
            "reason": key.disabled or reason,
            "priority": key.priority,
            "group": key.group,
            "used_today": key.requests,
            "limit": limit,
            "remaining": None if limit is None else max(0, limit - key.requests),
            "total_usage": key.total,
            "total_errors": key.errors,
            "errors_in_row": key.strikes,
            "in_flight": key.in_flight,
            "last_error": key.last_error,
            "last_used": None
            if key.last_used is None
            else self._clock.wall() - now + key.last_used,
            "cooling_for": 0.0 if until <= now else until - now,
            "resets_at": self._clock.wall() + self._states[key.provider].day_ends - now,
        }

    def _rests(self, key: KeyState, now: float) -> tuple[float, str]:
        """Until when, and why, a key rests on at least one model."""
        until, reason = -math.inf, ""
        state = self._states[key.provider]
        places = {spot for lane in state.lanes.values() for spot in self.key_places(lane, key)}
        for _, record in self.availability.blocking(places, now):
            if record.free_at > until:
                until, reason = record.free_at, record.kind.value
        if key.requests >= key.limit:
            return max(until, state.day_ends), "daily_limit"
        return until, reason
