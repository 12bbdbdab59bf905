"""Keys: what each has done, and the manager that hands them out and takes them back.

Everything that changes is in here, under one lock, and only bookkeeping happens under it: the
manager decides and returns what to do; sending and sleeping happen outside.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator

from aio_llm.clock import Clock
from aio_llm.config import ProviderConfig
from aio_llm.core.availability import Availability, Place, place
from aio_llm.core.key_state import KeyState, Lease, ProviderState
from aio_llm.core.limits import ONE, Quota
from aio_llm.core.pool import KeyPool
from aio_llm.core.quotas import QuotaBook
from aio_llm.core.recent import Size
from aio_llm.core.routing import Lane
from aio_llm.faults import Fault, Kind, Scope
from aio_llm.fork import renew_after_fork
from aio_llm.providers.presets import UTC, preset
from aio_llm.quota.days import day_end

STRIKES_TO_DISABLE = 3
"""Key-scoped errors in a row after which a key is out until `enable_key()`."""


_ABOUT_KEYS = frozenset({Scope.KEY, Scope.KEY_MODEL, Scope.GROUP, Scope.GROUP_MODEL})


_BY_HAND = frozenset({Kind.BILLING, Kind.ACCOUNT_DISABLED, Kind.MODEL_NOT_FOUND})
"""What only a person can mend, and so can declare mended."""


class KeyManager:
    """Which key of a lane may be used now, and what became of it. Thread-safe, exact."""

    def __init__(self, providers: list[ProviderConfig], clock: Clock) -> None:
        self.lock = threading.RLock()
        self.availability = Availability()
        self._lane_places: dict[Lane, tuple[Place, Place]] = {}
        self._using: dict[Quota, list[tuple[KeyPool[KeyState], int]]] = {}
        self._clock = clock
        self.quotas = QuotaBook(providers, clock)
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
        for quota in self.quotas.quotas.values():
            quota.in_flight = 0

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
            pool = KeyPool(state.keys, lambda key, at, size: self.ready_at(lane, key, at, size))
            state.pools[lane.model] = pool
            state.lanes[lane.model] = lane
            self._using = {}
        return pool

    def ready_at(self, lane: Lane, key: KeyState, now: float, size: Size = ONE) -> float:
        """From when `key` may be used on `lane` for a request of `size`; -inf now, inf not until
        it is enabled.
        """
        if not key.on:
            return math.inf
        at = self.quotas.ready_at(lane, key, now, size)
        if self.availability.records:
            at = max(at, self.availability.until(self.key_places(lane, key)))
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
            key.requests = key.before = 0
        for pool in state.pools.values():
            pool.rebuild()

    # Handing out and taking back

    def grant(
        self, lane: Lane, key: KeyState, now: float, size: Size = ONE, estimate: int = 0
    ) -> Lease:
        """Count one request of `key`, reserve its `size`, and hand it out."""
        key.requests += 1
        key.total += 1
        key.in_flight += 1
        key.last_used = now
        probes: tuple[Place, ...] = ()
        if self.availability.records:
            places = (*self.lane_places(lane), *self.key_places(lane, key))
            probes = self.availability.admit(places, now)
        holds = tuple(quota.take(now, size) for quota in self.quotas.of(lane, key))
        turn = self.availability.next_turn()
        return Lease(lane, key, turn, now, probes, holds, estimate)

    def succeed(
        self, lease: Lease, now: float, used: tuple[int, int] | None = None
    ) -> tuple[bool, bool]:
        """The attempt gave an answer that cost `used` (prompt, completion) tokens: what it probed
        is free. Returns whether a place became free, and whether its quotas got more room.
        """
        with self.lock:
            if not self._take_back(lease, sent=True):
                return False, False
            key = lease.key
            key.strikes = 0
            freed = self._free(lease) if lease.probes else []
            if self.availability.records:
                self.availability.calm(self.lane_places(lease.lane))
            room = self.quotas.settle(lease, now, used)
            if key.failures or freed:
                key.failures = 0
                self._renew(lease.lane.provider, freed, key)
            if room:
                self.wake(lease)
            return bool(freed), room

    def _free(self, lease: Lease) -> list[Place]:
        return [spot for spot in lease.probes if self.availability.succeed(spot, lease.turn)]

    def wake(self, lease: Lease) -> None:
        """Keys that rested for want of what `lease` gave back may be ready earlier."""
        for hold in lease.holds:
            for pool, index in self._users(hold.quota):
                pool.wake(index)

    def _users(self, quota: Quota) -> Iterable[tuple[KeyPool[KeyState], int]]:
        """Every place in a pool where a key uses `quota`."""
        known = self._using.get(quota)
        if known is None:
            state = self._states[quota.name[1]]
            known = self._using[quota] = [
                (pool, key.index)
                for model, pool in state.pools.items()
                for key in self._members(state, quota.name[2])
                if quota in self.quotas.of(state.lanes[model], key)
            ]
        return known

    def _members(self, state: ProviderState, group: str) -> list[KeyState]:
        """The keys of one group."""
        if not state.groups:
            for key in state.keys:
                state.groups.setdefault(key.group, []).append(key)
        return state.groups.get(group, [])

    def give_up(self, lease: Lease, now: float, *, sent: bool) -> None:
        """The attempt ended without a verdict; refunded if nothing reached the vendor."""
        with self.lock:
            if not self._take_back(lease, sent=sent):
                return
            self.release(lease)
            self.quotas.give_back(lease, now, None, sent=sent)
            self.wake(lease)
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

    def fail(self, lease: Lease, fault: Fault, now: float, *, sent: bool, strike: bool) -> str:
        """The attempt failed; returns why the key was disabled by it, "" if it was not."""
        with self.lock:
            if not self._take_back(lease, sent=sent):
                return ""
            key = lease.key
            self.quotas.give_back(lease, now, fault, sent=sent)
            self.wake(lease)
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
            self._states[key.provider].in_use = None
            key.disabled = f"{key.strikes} key errors in a row, the last: {fault.kind.value}"
            return key.disabled

    def _take_back(self, lease: Lease, *, sent: bool) -> bool:
        if lease.settled:
            return False
        lease.settled = True
        key = lease.key
        key.in_flight = max(0, key.in_flight - 1)
        key.requests += lease.resent
        key.total += lease.resent
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

    def in_use(self, provider: str) -> int:
        """How many keys of a provider are not disabled."""
        state = self._states[provider]
        if state.in_use is None:
            state.in_use = sum(key.on for key in state.keys)
        return state.in_use

    def zone(self, provider: str) -> str:
        """The time zone in which the vendor's day ends."""
        return self._states[provider].zone

    def renew_all(self, provider: str) -> None:
        """Places of a provider are free earlier than was known."""
        for pool in self._states[provider].pools.values():
            pool.rebuild()

    def strike_out(self, key: KeyState, why: str) -> None:
        """Another process has found that a key is of no use."""
        if key.on:
            key.on, key.disabled = False, why
            self._states[key.provider].in_use = None

    def touch(self, provider: str) -> None:
        """Limits of a provider are others than was believed."""
        for pool in self._states[provider].pools.values():
            pool.touch()

    def lanes(self, provider: str) -> Iterable[Lane]:
        """The lanes of a provider that have been used."""
        return self._states[provider].lanes.values()

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
                self.unite(key, sister)
                return sister
        return None

    def unite(self, key: KeyState, sister: KeyState) -> None:
        """The groups of two keys are one from now on."""
        group = key.group
        self.quotas.merge(group, sister.group, key.provider)
        for each in self._states[key.provider].keys:
            if each.group == group:
                each.move_to(sister.group)
        self._states[key.provider].groups = {}
        self._using = {}

    # What people ask and say

    def keys(self, provider: str | None = None) -> Iterator[KeyState]:
        """The keys of one provider, or of all."""
        for label, state in self._states.items():
            if provider is None or label == provider:
                yield from state.keys

    def key(self, provider: str, index: int) -> KeyState:
        """A key by its number."""
        return self._states[provider].keys[index]

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
            self._states[key.provider].in_use = None
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
                self.quotas.forget_days(label)
                self._new_day(self._states[label])
            return sum(1 for _ in self.keys(provider))
