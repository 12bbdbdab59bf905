"""The order in which a call would try targets if each of them failed it: what `explain()` shows.

The best key of each lane, among equal lanes the least used, the call's own tries counted. Where
a rule leaves it to chance, what is most likely comes first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from heapq import heapify, heappop, heapreplace
from itertools import count

from aio_llm.core.choosing import Chooser
from aio_llm.core.key_state import KeyState
from aio_llm.core.pool import Rank
from aio_llm.core.routing import Lane, Route
from aio_llm.core.rules import Tiers, in_order
from aio_llm.core.standing import Standing
from aio_llm.core.trail import Trail

_NEXT = 1 << 60
"""More than any turn there was."""


def expected(
    choose: Chooser, route: Route, trail: Trail, now: float, out: Collection[tuple[Lane, int]]
) -> Iterator[tuple[Lane, KeyState]]:
    """The targets of `route` that are not `out` (lane and key number), the first one to be tried
    first. The caller holds the lock.
    """
    order = _Order(choose, route, out)
    known = choose.of_session(route, trail, now)
    if known is not None:
        yield order.take(*known)
    if route.stages:
        view = _Foreseen(choose.keys, choose.health, route, trail.demand, lambda: 0.5)
        view.turns = order.turns
        while (found := order.first(in_order(route, view))) is not None:
            yield found
        return
    for tier in route.tiers:
        while (found := order.first([tier])) is not None:
            yield found


class _Foreseen(Standing):
    """How the lanes would stand after some tries."""

    turns: dict[Lane, int]

    def turn(self, lane: Lane) -> int:
        return self.turns.get(lane) or super().turn(lane)


class _Order:
    """The targets that are left, and what the tries so far have changed."""

    def __init__(self, choose: Chooser, route: Route, out: Collection[tuple[Lane, int]]) -> None:
        self.turns: dict[Lane, int] = {}
        self._number = count(_NEXT)
        self._tries: dict[KeyState, int] = {}
        self._left = {
            lane: [
                (key.rank, key)
                for key in choose.keys.keys(lane.provider)
                if (lane, key.index) not in out
            ]
            for lane in route.lanes
        }
        for heap in self._left.values():
            heapify(heap)

    def first(self, tiers: Tiers) -> tuple[Lane, KeyState] | None:
        """The best target that is left of the first tier that has any."""
        for tier in tiers:
            lanes = [lane for lane in tier if self._left[lane]]
            if lanes:
                return self.take(*self._best(lanes))
        return None

    def take(self, lane: Lane, key: KeyState) -> tuple[Lane, KeyState]:
        """Try that one."""
        heap = self._left[lane]
        if heap[0][1] is key:
            heappop(heap)
        else:
            heap[:] = [entry for entry in heap if entry[1] is not key]
            heapify(heap)
        self._tries[key] = self._tries.get(key, 0) + 1
        self.turns[lane] = next(self._number)
        return lane, key

    def _best(self, lanes: Sequence[Lane]) -> tuple[Lane, KeyState]:
        for lane in lanes:
            heap = self._left[lane]
            while heap[0][0] != (now := self._rank(heap[0][1])):
                heapreplace(heap, (now, heap[0][1]))  # it was tried on another lane
        lane = min(lanes, key=lambda lane: self._left[lane][0][0][:3])
        return lane, self._left[lane][0][1]

    def _rank(self, key: KeyState) -> Rank:
        more = self._tries.get(key, 0)
        return (-key.priority, key.requests + more, key.failures + more, key.index)
