"""How much was counted in a window, and when the next amount fits: pure, time comes as `now`."""

from __future__ import annotations

import math
from collections import deque
from datetime import datetime, time, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

_DAY = 86_400.0
WINDOWS = ("sliding", "fixed", "bucket")


class Counter(Protocol):
    """Counts amounts in a window; all times in seconds of the simulator's clock."""

    def used(self, now: float) -> float:
        """What counts at this moment."""

    def wait(self, now: float, amount: int) -> float:
        """Seconds until `amount` fits: 0 when it does, infinite when it never will."""

    def add(self, now: float, amount: int) -> None:
        """Count an amount."""

    def reset(self, now: float) -> float:
        """Seconds until nothing counts any more."""


class Sliding:
    """The last `span` seconds."""

    def __init__(self, limit: int, span: float) -> None:
        self._limit = limit
        self._span = span
        self._seen: deque[tuple[float, int]] = deque()
        self._sum = 0

    def used(self, now: float) -> float:
        """What was counted in the last `span` seconds."""
        while self._seen and self._seen[0][0] + self._span <= now:
            self._sum -= self._seen.popleft()[1]
        return self._sum

    def wait(self, now: float, amount: int) -> float:
        """Seconds until enough of the oldest amounts are out of the window."""
        over = self.used(now) + amount - self._limit
        if over <= 0:
            return 0.0
        for at, counted in self._seen:
            over -= counted
            if over <= 0:
                return at + self._span - now
        return math.inf

    def add(self, now: float, amount: int) -> None:
        """Count an amount at this moment."""
        self._seen.append((now, amount))
        self._sum += amount

    def reset(self, now: float) -> float:
        """Seconds until the newest amount is out of the window."""
        return self._seen[-1][0] + self._span - now if self.used(now) else 0.0


class Fixed:
    """Whole seconds, minutes, hours or days of the clock; they begin `phase` seconds late.

    `zone`: whose midnight begins a day, with its days of 23 and 25 hours.
    """

    def __init__(self, limit: int, span: float, phase: float = 0.0, zone: str = "UTC") -> None:
        self._limit = limit
        self._span = span
        self._phase = phase
        self._zone = ZoneInfo(zone) if span == _DAY and zone != "UTC" else None
        self._begin = self._end = -math.inf
        self._sum = 0

    def used(self, now: float) -> float:
        """What was counted in the current window."""
        if not self._begin <= now < self._end:
            self._begin, self._end = self.window(now)
            self._sum = 0
        return self._sum

    def wait(self, now: float, amount: int) -> float:
        """Seconds until the next window when the amount does not fit in this one."""
        if self.used(now) + amount <= self._limit:
            return 0.0
        return math.inf if amount > self._limit else self._end - now

    def add(self, now: float, amount: int) -> None:
        """Count an amount in the current window."""
        self.used(now)
        self._sum += amount

    def reset(self, now: float) -> float:
        """Seconds until the next window."""
        return self._end - now if self.used(now) else 0.0

    def window(self, now: float) -> tuple[float, float]:
        """Begin and end of the window that is open at a moment."""
        if self._zone is not None:
            return self._day(now - self._phase, self._zone)
        number = (now - self._phase) // self._span
        begin, end = (self._phase + (number + more) * self._span for more in (0, 1))
        return (begin, end) if now < end else (end, end + self._span)  # floats: now may be the end

    def _day(self, moment: float, zone: ZoneInfo) -> tuple[float, float]:
        today = datetime.fromtimestamp(moment, zone).date()
        days = (today, today + timedelta(days=1))
        begin, end = (datetime.combine(day, time(), zone).timestamp() for day in days)
        return begin + self._phase, end + self._phase


class Bucket:
    """A bucket of `limit * burst`, refilled by `limit` per `span` seconds."""

    def __init__(self, limit: int, span: float, burst: float = 1.0) -> None:
        self._size = max(1.0, limit * burst)
        self._rate = limit / span
        self._debt = 0.0
        self._at = -math.inf

    def used(self, now: float) -> float:
        """What has not been refilled yet."""
        self._debt = max(0.0, self._debt - max(0.0, now - self._at) * self._rate)
        self._at = max(now, self._at)
        return self._debt

    def wait(self, now: float, amount: int) -> float:
        """Seconds until the bucket holds the amount."""
        if amount > self._size or not self._rate:
            return math.inf
        over = self.used(now) + amount - self._size
        return over / self._rate if over > 1e-9 else 0.0

    def add(self, now: float, amount: int) -> None:
        """Take an amount out of the bucket."""
        self._debt = self.used(now) + amount

    def reset(self, now: float) -> float:
        """Seconds until the bucket is full."""
        return self.used(now) / self._rate if self._rate else 0.0


class Slots:
    """Requests at once: one place each, until it is left."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0

    def used(self, now: float) -> float:
        """The places that are taken."""
        return self._taken

    def wait(self, now: float, amount: int) -> float:
        """0, or a guess: nobody knows when a place is left."""
        return 0.0 if self._taken + amount <= self._limit else _GUESS

    def add(self, now: float, amount: int) -> None:
        """Take a place."""
        self._taken += amount

    def leave(self) -> None:
        """Give a place back."""
        self._taken = max(0, self._taken - 1)

    def reset(self, now: float) -> float:
        """A guess."""
        return _GUESS if self._taken else 0.0


_GUESS = 1.0  # seconds
