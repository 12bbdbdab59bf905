"""The waiting line: who waits is served in the order of coming, one at a time.

Calls with the same route wait in one line. Who came earlier goes first, but only where it
could go at all: a call that waits for one target does not keep others from another. The head
is woken by whatever frees something, the others by the head's leaving, or by the head if it
has no use for what was freed. So nothing polls and no herd runs. The caller holds the lock;
waiting itself happens outside of it.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from itertools import pairwise
from typing import Protocol

from aio_llm.core.routing import Route
from aio_llm.core.trail import Trail


class Waiter(Protocol):
    """A call that can be woken; its cancel scope is one."""

    def expect_nudge(self) -> None: ...

    def nudge(self) -> None: ...


class Place:
    """A call's place in the line: `ticket` says when it came, and is kept for all its life;
    `trail` what it has been through.
    """

    __slots__ = ("ticket", "trail", "waiter")

    def __init__(self, ticket: int, waiter: Waiter, trail: Trail) -> None:
        self.ticket = ticket
        self.waiter = waiter
        self.trail = trail

    def __lt__(self, other: Place) -> bool:
        return self.ticket < other.ticket


class WaitingLine:
    """Lines of waiting calls, one per route."""

    def __init__(self) -> None:
        self._lines: dict[Route, list[Place]] = {}
        self._tickets: dict[Waiter, int] = {}
        self._next = 0

    def join(self, route: Route, waiter: Waiter, trail: Trail) -> None:
        """Stand in the line; nudges are remembered from here on. Who was in it before, and was
        refused, stands where it stood.
        """
        waiter.expect_nudge()
        if waiter not in self._tickets:
            self._next += 1
            self._tickets[waiter] = self._next
        line = self._lines.setdefault(route, [])
        if all(place.waiter is not waiter for place in line):
            insort(line, Place(self._tickets[waiter], waiter, trail))

    def step_out(self, route: Route, waiter: Waiter) -> None:
        """Try one's luck; the next one is woken."""
        line = self._lines.get(route)
        if line is None:
            return
        kept = [place for place in line if place.waiter is not waiter]
        if len(kept) == len(line):
            return
        if kept:
            self._lines[route] = kept
            kept[0].waiter.nudge()
        else:
            del self._lines[route]

    def leave(self, route: Route, waiter: Waiter) -> None:
        """Go for good."""
        self.step_out(route, waiter)
        self._tickets.pop(waiter, None)

    def earlier(self, route: Route, waiter: Waiter) -> Iterator[Place]:
        """Those who came before `waiter` and still wait."""
        mine = self._tickets.get(waiter, self._next + 1)
        for place in self._lines.get(route, ()):
            if place.ticket >= mine:
                return
            yield place

    def pass_on(self, route: Route, waiter: Waiter) -> None:
        """`waiter` was woken and found nothing it can use: the next one may."""
        line = self._lines.get(route, [])
        for place, following in pairwise(line):
            if place.waiter is waiter:
                following.waiter.nudge()

    def wake_heads(self) -> None:
        """Something may have become free: let the head of every line look."""
        for line in self._lines.values():
            line[0].waiter.nudge()

    def __len__(self) -> int:
        return len(self._tickets)
