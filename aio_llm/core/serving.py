"""Serving: who gets which target, at once or from the waiting line.

Whoever makes room serves the line: it chooses for those who wait and puts a lease into the
place of each it can serve. The caller holds the keys' lock; sending and sleeping happen outside.
"""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice

from aio_llm.core.choosing import Chooser, Claims, Wait
from aio_llm.core.key_state import KeyState, Lease
from aio_llm.core.limits import ONE
from aio_llm.core.line import Line, Place, Unserved, Waiter, WaitingLine
from aio_llm.core.routing import Lane, Route
from aio_llm.core.trail import Trail, smallest

OFFERS = 8
"""Waiting calls that are asked whether what one target has got more of is enough."""


class Serving:
    """The waiting line of one `AIO`, and how it is served by what `choose` finds."""

    def __init__(self, choose: Chooser) -> None:
        self.line = WaitingLine()
        self._choose = choose

    def take(self, route: Route, trail: Trail, waiter: Waiter, now: float) -> Lease | Wait:
        """The best target of `route` that is free now, or how long to wait for one."""
        mine = self.line.place_of(route, waiter) if len(self.line) else None
        if mine is None:
            found = self._find(route, trail, now, self._claims(route, waiter))
            if not isinstance(found, Wait) and not self._is_wanted(route, waiter, found, now):
                return self._grant(*found, trail, now)
            mine = self.line.join(route, waiter, trail)
            mine.until = found.until if isinstance(found, Wait) else now
            mine.claim = found.claim if isinstance(found, Wait) else None
            if isinstance(found, Wait):
                return self._watch(route, mine, found)
        return self._taken(route, mine, now)

    def _taken(self, route: Route, mine: Place, now: float) -> Lease | Wait:
        """Serve the line, oneself in one's turn."""
        wait = Wait(math.inf, behind=True)
        if mine.lease is None:
            wait = self._serve(route, now, asking=mine) or wait
        if mine.lease is None:
            return self._watch(route, mine, wait)
        self.line.step_out(route, mine.waiter)
        return mine.lease

    def _watch(self, route: Route, mine: Place, wait: Wait) -> Wait:
        """Whether `mine` is the one that wakes by itself."""
        mine.waiter.expect_nudge()
        line = self.line.lines[route]
        if line.watch is None or line.watch is mine:
            line.watch, line.wakes = mine, -math.inf  # it knows: nobody has to be told
        line.set_watch()
        wakes = line.wakes if line.watch is mine else math.inf
        return replace(wait, wakes=min(wakes, wait.until) if wait.retry else wakes)

    def _find(
        self, route: Route, trail: Trail, now: float, claims: Claims
    ) -> tuple[Lane, KeyState] | Wait:
        best = self._choose.best(route, trail, now, claims)
        return best or self._choose.later(route, trail, now, claims)

    def _claims(self, route: Route, waiter: Waiter) -> Claims:
        if not len(self.line):
            return ()
        earlier = self.line.earlier(route, waiter)
        return {place.claim for place in earlier if place.claim is not None}

    def _is_wanted(
        self, route: Route, waiter: Waiter, found: tuple[Lane, KeyState], now: float
    ) -> bool:
        """Somebody who came before has a use for that target."""
        if not len(self.line):
            return False
        return any(
            self._choose.target_at(earlier.trail, *found, now) <= now
            for earlier in self.line.earlier(route, waiter)
        )

    def _serve(self, route: Route, now: float, asking: Place | None = None) -> Wait | None:
        """Give leases to those of one line who can be served; what `asking` has to wait for."""
        line, claims, answer = self.line.lines[route], set[tuple[Lane, int]](), None
        unserved = Unserved()
        idle = self._least_wait(route, line, now)
        if idle is not None and asking is not None:
            answer = self._ask_for(route, asking, now)
        for place in list(line.waiting()):
            if idle is not None:
                line.put_off(idle.until)
                break
            if place is not asking and unserved.covers(place):
                place.claim = self._choose.unclaimed(route, claims)
            else:
                found = self._find(route, place.trail, now, claims)
                if not isinstance(found, Wait):
                    place.lease = self._grant(*found, place.trail, now)
                    place.waiter.nudge()
                    idle = self._least_wait(route, line, now)
                    continue
                place.until, place.claim = found.until, found.claim
                unserved.add(place, found.until)
                if place is asking:
                    answer = found
            if place.claim is not None:
                claims.add(place.claim)
        line.set_watch()
        return answer

    def _ask_for(self, route: Route, place: Place, now: float) -> Wait | None:
        """When one of those who wait may find something."""
        found = self._find(route, place.trail, now, ())
        if not isinstance(found, Wait):
            return None
        place.until, place.claim = found.until, found.claim
        return found

    def _least_wait(self, route: Route, line: Line, now: float) -> Wait | None:
        """How long even the smallest of all who wait would have to; None if not at all."""
        demands = [place.trail.demand for place in line.waiting()]
        if not demands:
            return None
        found = self._find(route, Trail(now, smallest(demands)), now, ())
        return found if isinstance(found, Wait) else None

    def offer(self, lease: Lease, now: float) -> None:
        """One target has more room: the first of those who wait get it, if it is enough."""
        lane, key = lease.lane, lease.key
        for route, line in list(self.line.lines.items()):
            if lane not in route.lanes:
                continue
            for place in list(islice(line.waiting(), OFFERS)):
                at = self._choose.target_at(place.trail, lane, key, now)
                if at <= now:
                    place.lease = self._grant(lane, key, place.trail, now)
                    place.waiter.nudge()
                    continue
                place.until = min(place.until, at)
                if place.claim == (lane, key.index):
                    break  # kept for that one
            line.set_watch()

    def serve_all(self, now: float) -> None:
        """Anything may have become free."""
        for route in list(self.line.lines):
            self._serve(route, now)

    def _grant(self, lane: Lane, key: KeyState, trail: Trail, now: float) -> Lease:
        size = self._choose.size(lane, trail)
        estimate = trail.demand.prompt if size is not ONE else 0
        trail.tried(lane, key.index)
        lease = self._choose.keys.grant(lane, key, now, size, estimate)
        self._choose.health_of(lane).begin(lease, now, lease.turn)
        lease.session = trail.session
        return lease
