"""About how much went through in the last minute, in constant memory (a sliding counter)."""

from __future__ import annotations

from aio_llm.quota.windows import ALWAYS

Size = tuple[int, int, int]
"""What one request costs: requests (1), input tokens, all tokens."""


class Recent:
    """About how much went through in the last minute: this minute's, and a share of the last's;
    requests, input tokens, all tokens.
    """

    __slots__ = ("_before", "_count", "_start")

    def __init__(self) -> None:
        self._start = ALWAYS
        self._before: Size = (0, 0, 0)
        self._count: Size = (0, 0, 0)

    def _turn(self, now: float) -> None:
        if now - self._start >= 120.0:
            self._start, self._before, self._count = now, (0, 0, 0), (0, 0, 0)
        elif now - self._start >= 60.0:
            self._start, self._before, self._count = self._start + 60.0, self._count, (0, 0, 0)

    def add(self, now: float, size: Size) -> None:
        """So much went through."""
        self._turn(now)
        requests, read, total = self._count
        self._count = (requests + size[0], read + size[1], total + size[2])

    def count(self, now: float, unit: int) -> int:
        """How much of one unit in the last minute."""
        self._turn(now)
        left = 1.0 - (now - self._start) / 60.0
        return self._count[unit] + round(self._before[unit] * left)
