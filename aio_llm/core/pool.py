"""The keys of one model, best first: choosing costs the same for ten keys as for ten thousand.

Two heaps: keys that are ready, by rank (priority, then least used today, then fewest recent
errors), and keys that rest, by the moment they wake. Entries are corrected lazily, when they
come to the top. The caller holds the lock; time and the rules come from outside.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from heapq import heapify, heappop, heappush, heapreplace
from typing import Generic, Protocol, TypeVar

from aio_llm.core.limits import ONE
from aio_llm.core.recent import Size

Rank = tuple[int, int, int, int]


class Ranked(Protocol):
    """What a pool chooses among."""

    index: int

    @property
    def rank(self) -> Rank: ...


K = TypeVar("K", bound=Ranked)


class KeyPool(Generic[K]):
    """Chooses among `keys`; `ready_at(key, now, size)` says from when each may be used (seconds)
    for a request of that size. Keys without room for even the smallest one rest.
    """

    def __init__(self, keys: Sequence[K], ready_at: Callable[[K, float, Size], float]) -> None:
        self._keys = keys
        self._ready_at = ready_at
        self._stamps = [0] * len(keys)
        self._ready: list[tuple[Rank, int, int]] = []
        self._resting: list[tuple[float, int, int]] = []
        self._asleep = bytearray(len(keys))
        self._nobody: tuple[float, int, Size] = (-math.inf, -1, ONE)
        self.rebuild()

    def rebuild(self) -> None:
        """Look at every key afresh (a new day, a reload)."""
        self.touch()
        self._ready = [(key.rank, at, self._stamps[at]) for at, key in enumerate(self._keys)]
        self._resting = []
        self._asleep = bytearray(len(self._keys))
        heapify(self._ready)

    def renew(self, index: int) -> None:
        """Key `index` may have become better or ready earlier than it was known to be."""
        self.touch()
        self._stamps[index] += 1
        self._asleep[index] = 0
        heappush(self._ready, (self._keys[index].rank, index, self._stamps[index]))
        if len(self._ready) + len(self._resting) > 2 * len(self._keys) + 64:
            self.rebuild()

    def wake(self, index: int) -> None:
        """Key `index` has more room than was known."""
        self.touch()
        if self._asleep[index]:
            self.renew(index)

    def touch(self) -> None:
        """Somebody may have room earlier than was known."""
        self._nobody = (-math.inf, -1, ONE)

    def blocked(self, now: float, size: Size) -> tuple[float, int] | None:
        """What `earliest` found for a request no larger than `size`, while that still holds."""
        at, index, asked = self._nobody
        if at <= now or size[1] < asked[1] or size[2] < asked[2]:
            return None
        return at, index

    def pick(self, now: float, skip: Collection[int] = (), size: Size = ONE) -> K | None:
        """The best key not in `skip` that has room for `size` at `now`; None if there is none."""
        self._wake(now)
        passed: list[tuple[Rank, int, int]] = []
        found: K | None = None
        while self._ready and found is None:
            rank, index, stamp = self._ready[0]
            key = self._keys[index]
            if stamp != self._stamps[index]:
                heappop(self._ready)
            elif rank != key.rank:
                heapreplace(self._ready, (key.rank, index, stamp))
            elif (at := self._ready_at(key, now, ONE)) > now:
                heappop(self._ready)
                self._rest(at, index)
            elif index in skip or (size is not ONE and self._ready_at(key, now, size) > now):
                passed.append(heappop(self._ready))
            else:
                found = key
        for entry in passed:
            heappush(self._ready, entry)
        return found

    def earliest(
        self, now: float, skip: Collection[int] = (), size: Size = ONE
    ) -> tuple[float, int]:
        """When, at the earliest, a key that is not in `skip` has room for `size` (inf if none
        will), and the number of one that has room for smaller ones already, -1 if none has.
        """
        soonest, best = math.inf, -1
        for _, index, stamp in self._ready:  # those have room, but not for `size`
            if stamp == self._stamps[index] and index not in skip:
                at = max(now, self._ready_at(self._keys[index], now, size))
                soonest, best = min((soonest, best), (at, index))
        found = min(soonest, self._first_awake(now, skip)), best
        if not skip:
            self._nobody = (*found, size)
        return found

    def _first_awake(self, now: float, skip: Collection[int]) -> float:
        passed: list[tuple[float, int, int]] = []
        soonest = math.inf
        while self._resting:
            at, index, stamp = self._resting[0]
            actual = self._ready_at(self._keys[index], now, ONE)
            if stamp != self._stamps[index]:
                heappop(self._resting)
            elif actual <= now:
                heappop(self._resting)
                self._asleep[index] = 0
                heappush(self._ready, (self._keys[index].rank, index, stamp))
                if index not in skip:
                    soonest = now
                    break
            elif actual != at:
                heappop(self._resting)
                self._rest(actual, index)
            elif index in skip:
                passed.append(heappop(self._resting))
            else:
                soonest = at
                break
        for entry in passed:
            heappush(self._resting, entry)
        return soonest

    def _rest(self, until: float, index: int) -> None:
        self._asleep[index] = 1
        if until < math.inf:
            heappush(self._resting, (until, index, self._stamps[index]))

    def _wake(self, now: float) -> None:
        while self._resting and self._resting[0][0] <= now:
            _, index, stamp = heappop(self._resting)
            if stamp == self._stamps[index]:
                self._asleep[index] = 0
                heappush(self._ready, (self._keys[index].rank, index, stamp))
