"""The waiting line: who waits is served in the order of coming, one at a time.

Calls with the same route wait in one line. Only the head looks at the clock; it is woken by
whatever frees something, the others by the head's leaving. So nothing polls and no herd runs.
The caller holds the lock; waiting itself happens outside of it.
"""

from __future__ import annotations

from bisect import insort
from typing import Protocol

from aio_llm.core.routing import Route


class Waiter(Protocol):
    """A call that can be woken; its cancel scope is one."""

    def expect_nudge(self) -> None: ...

    def nudge(self) -> None: ...


class Place:
    """A call's place in the line: `ticket` says when it came, and is kept for all its life."""

    __slots__ = ("ticket", "waiter")

    def __init__(self, ticket: int, waiter: Waiter) -> None:
        self.ticket = ticket
        self.waiter = waiter

    def __lt__(self, other: Place) -> bool:
        return self.ticket < other.ticket


class WaitingLine:
    """Lines of waiting calls, one per route."""

    def __init__(self) -> None:
        self._lines: dict[Route, list[Place]] = {}
        self._tickets: dict[Waiter, int] = {}
        self._next = 0

    def join(self, route: Route, waiter: Waiter) -> None:
        """Stand in the line; nudges are remembered from here on. Who was in it before, and was
        refused, stands where it stood.
        """
        waiter.expect_nudge()
        if waiter not in self._tickets:
            self._next += 1
            self._tickets[waiter] = self._next
        line = self._lines.setdefault(route, [])
        if all(place.waiter is not waiter for place in line):
            insort(line, Place(self._tickets[waiter], waiter))

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

    def is_behind(self, route: Route, waiter: Waiter) -> bool:
        """Somebody else came earlier and still waits."""
        line = self._lines.get(route)
        return line is not None and line[0].ticket < self._tickets.get(waiter, self._next + 1)

    def wake_heads(self) -> None:
        """Something may have become free: let the head of every line look."""
        for line in self._lines.values():
            line[0].waiter.nudge()

    def __len__(self) -> int:
        return len(self._tickets)
