"""The waiting line: who waits is served in the order of coming, one at a time.

Calls with the same route wait in one line. Who came earlier goes first, but only where it
could go at all: a call that waits for one target does not keep others from another. A call too
large for what is free claims the target that will be large enough first, so that small ones
cannot starve it.

Whoever makes room, or finds that time has made it, serves the line: it chooses for those who
wait, puts a lease into the place of each it can serve, and wakes only those. One of a line, the
first that has no lease yet, keeps the watch: it alone sleeps until a moment, when anybody's may
have come. So nothing polls and no herd runs. The caller holds the lock; waiting itself
happens outside of it.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Iterator
from typing import Protocol

from aio_llm.core.key_state import Lease
from aio_llm.core.routing import Lane, Route
from aio_llm.core.trail import Trail

SOON = 1e-3
"""Seconds by which a moment has to be earlier to be worth waking somebody for."""


class Waiter(Protocol):
    """A call that can be woken; its cancel scope is one."""

    def expect_nudge(self) -> None: ...

    def nudge(self) -> None: ...


class Place:
    """A call's place in the line: `ticket` says when it came, and is kept for all its life;
    `trail` what it has been through; `until` when it may find something (clock seconds);
    `claim` the lane and key it needs more room of than there is; `lease` what it was given.
    """

    __slots__ = ("claim", "lease", "ticket", "trail", "until", "waiter")

    def __init__(self, ticket: int, waiter: Waiter, trail: Trail) -> None:
        self.ticket = ticket
        self.waiter = waiter
        self.trail = trail
        self.until = math.inf
        self.claim: tuple[Lane, int] | None = None
        self.lease: Lease | None = None

    def __lt__(self, other: Place) -> bool:
        return self.ticket < other.ticket


class Unserved:
    """What could not be served in one go through a line: who asks for no less cannot either."""

    __slots__ = ("_asked",)

    def __init__(self) -> None:
        self._asked: list[tuple[int, int, float]] = []

    def add(self, place: Place, until: float) -> None:
        """`place` found nothing before `until`. Calls that have been elsewhere say nothing of
        others: they may have seen targets fail that are free.
        """
        if not place.trail.attempts:
            self._asked.append((*place.trail.demand.least, until))

    def covers(self, place: Place) -> bool:
        """It asks for no less than another that found nothing, so it is put off too."""
        prompt, total = place.trail.demand.least
        for asked, asked_total, until in self._asked:
            if prompt >= asked and total >= asked_total:
                place.until = max(place.until, until)
                return True
        return False


class Line:
    """Those who wait with one route. `wakes`: when its watch looks by itself."""

    __slots__ = ("places", "wakes", "watch")

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.watch: Place | None = None
        self.wakes = math.inf

    def waiting(self) -> Iterator[Place]:
        """Those who have no lease yet, in their order."""
        return (place for place in self.places if place.lease is None)

    def put_off(self, until: float) -> None:
        """Nobody finds anything before then, but somebody may then."""
        for place in self.waiting():
            place.until = until

    def set_watch(self) -> None:
        """The first one watches, until the first moment that may bring something; it is told if
        it did not know.
        """
        first = next(self.waiting(), None)
        wakes = min((place.until for place in self.waiting()), default=math.inf)
        if first is not None and (first is not self.watch or wakes < self.wakes - SOON):
            first.waiter.nudge()
        self.watch, self.wakes = first, wakes


class WaitingLine:
    """Lines of waiting calls, one per route."""

    def __init__(self) -> None:
        self.lines: dict[Route, Line] = {}
        self._tickets: dict[Waiter, int] = {}
        self._next = 0

    def join(self, route: Route, waiter: Waiter, trail: Trail) -> Place:
        """Stand in the line; nudges are remembered from here on. Who was in it before, and was
        refused, stands where it stood.
        """
        waiter.expect_nudge()
        if waiter not in self._tickets:
            self._next += 1
            self._tickets[waiter] = self._next
        place = self.place_of(route, waiter)
        if place is None:
            place = Place(self._tickets[waiter], waiter, trail)
            insort(self.lines.setdefault(route, Line()).places, place)
        return place

    def place_of(self, route: Route, waiter: Waiter) -> Place | None:
        """Where `waiter` stands, None if it does not."""
        line = self.lines.get(route)
        if line is None or waiter not in self._tickets:
            return None
        return next((place for place in line.places if place.waiter is waiter), None)

    def step_out(self, route: Route, waiter: Waiter) -> None:
        """Try one's luck, or go; somebody else keeps the watch."""
        line, place = self.lines.get(route), self.place_of(route, waiter)
        if line is None or place is None:
            return
        line.places.remove(place)
        if not line.places:
            del self.lines[route]
        elif line.watch is place:
            line.set_watch()

    def leave(self, route: Route, waiter: Waiter) -> Lease | None:
        """Go for good; returns the lease that was not taken."""
        place = self.place_of(route, waiter)
        self.step_out(route, waiter)
        self._tickets.pop(waiter, None)
        return None if place is None else place.lease

    def earlier(self, route: Route, waiter: Waiter) -> Iterator[Place]:
        """Those who came before `waiter` and still wait."""
        line = self.lines.get(route)
        if line is None:
            return
        mine = self._tickets.get(waiter, self._next + 1)
        for place in line.waiting():
            if place.ticket >= mine:
                return
            yield place

    def __len__(self) -> int:
        return len(self._tickets)
