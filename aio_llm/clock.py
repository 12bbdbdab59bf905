"""Time, handed in: every wait of the engine goes through a `Clock`.

`SystemClock` is what programs use; `FakeClock` is virtual time for tests, the library's own
and its users'.
"""

from __future__ import annotations

import math
import threading
import time
from typing import Protocol


class Sleeper(Protocol):
    """What a clock's `sleep` can be woken by; a call's cancel scope is one."""

    def wait(self, seconds: float) -> bool: ...


class Clock:
    """Monotonic seconds, wall time derived from them, and sleeping.

    Wall time is read once and advanced by the monotonic clock: a jump of the system's clock
    (NTP, DST, a person) moves no daily limit and no cool-down.
    """

    rate = 1.0
    """Seconds of this clock in a real one: another rate lets tests of hours run in minutes."""

    def __init__(self) -> None:
        self._wall_offset = time.time() - self.now()

    def now(self) -> float:
        """Seconds that only go forward."""
        raise NotImplementedError(f"{type(self).__name__} must say what time it is: def now(self)")

    def wall(self) -> float:
        """Seconds since the epoch (UTC)."""
        return self._wall_offset + self.now()

    def sleep(self, seconds: float, sleeper: Sleeper) -> None:
        """Return after `seconds`, or as soon as `sleeper` is cancelled or nudged."""
        raise NotImplementedError(f"{type(self).__name__} must be able to sleep")


class SystemClock(Clock):
    """Real time. Counts the time a laptop is suspended where the system can tell."""

    def now(self) -> float:
        """Seconds since boot, suspended time included (CLOCK_BOOTTIME on Linux)."""
        return _seconds()

    def sleep(self, seconds: float, sleeper: Sleeper) -> None:
        """Block this thread in `sleeper.wait`."""
        sleeper.wait(seconds)


def _boot_time() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


_seconds = _boot_time if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic


class FakeClock(Clock):
    """Virtual time: `sleep` advances it and returns at once; thread-safe.

    `slept` lists the seconds of every sleep. `wall` starts at `wall_start` (epoch seconds).
    """

    def __init__(self, start: float = 1_000.0, wall_start: float = 1_790_000_000.0) -> None:
        self._now = start
        self._lock = threading.Lock()
        self.slept: list[float] = []
        super().__init__()
        self._wall_offset = wall_start - start

    def now(self) -> float:
        """The virtual moment, in seconds."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        with self._lock:
            self._now += seconds

    def sleep(self, seconds: float, sleeper: Sleeper) -> None:
        """Let `seconds` pass at once; a sleep without end waits for real to be woken."""
        if seconds == math.inf:
            sleeper.wait(seconds)
            return
        with self._lock:
            self.slept.append(seconds)
            self._now += max(seconds, 0.0)
