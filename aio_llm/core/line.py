"""The waiting line: who waits is served in the order of coming, one at a time.

Calls with the same route wait in one line. Only the head looks at the clock; it is woken by
whatever frees something, the others by the head's leaving. So nothing polls and no herd runs.
The caller holds the lock; waiting itself happens outside of it.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from aio_llm.core.routing import Route


class Waiter(Protocol):
    """A call that can be woken; its cancel scope is one."""

    def expect_nudge(self) -> None: ...

    def nudge(self) -> None: ...


class WaitingLine:
    """Lines of waiting calls, one per route."""

    def __init__(self) -> None:
        self._lines: dict[Route, deque[Waiter]] = {}

    def join(self, route: Route, waiter: Waiter) -> None:
        """Stand at the end unless already in the line; nudges are remembered from here on."""
        waiter.expect_nudge()
        line = self._lines.setdefault(route, deque())
        if waiter not in line:
            line.append(waiter)

    def leave(self, route: Route, waiter: Waiter) -> None:
        """Step out; the next one is woken. Ignored if not in the line."""
        line = self._lines.get(route)
        if line is None or waiter not in line:
            return
        line.remove(waiter)
        if line:
            line[0].nudge()
        else:
            del self._lines[route]

    def is_behind(self, route: Route, waiter: Waiter) -> bool:
        """Somebody else came earlier."""
        line = self._lines.get(route)
        return line is not None and line[0] is not waiter

    def wake_heads(self) -> None:
        """Something may have become free: let the head of every line look."""
        for line in self._lines.values():
            line[0].nudge()

    def __len__(self) -> int:
        return sum(len(line) for line in self._lines.values())
