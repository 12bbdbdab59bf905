"""Time that runs faster than ours, the same in every process that is told the same numbers."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from aio_llm.clock import Clock, Sleeper

_real = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def real_seconds() -> float:
    """Seconds since this machine was started."""
    return time.clock_gettime(_real)


class ScaledClock(Clock):
    """`rate` seconds pass in a real one. `offset`: what is added to `now()` for the wall time
    (seconds since 1970); default: so that it is right at this moment.
    """

    def __init__(self, rate: float, offset: float | None = None) -> None:
        self.rate = rate
        super().__init__()
        if offset is not None:
            self._wall_offset = offset

    def now(self) -> float:
        """Seconds that only go forward, `rate` times as fast as real ones."""
        return real_seconds() * self.rate

    def sleep(self, seconds: float, sleeper: Sleeper) -> None:
        """Block this thread for a `rate`-th of `seconds`."""
        sleeper.wait(seconds / self.rate)


@dataclass(frozen=True)
class Timeline:
    """The time that all processes of a run go by."""

    rate: float
    offset: float

    @classmethod
    def now(cls, rate: float) -> Timeline:
        """One that is right at this moment."""
        return cls(rate, time.time() - real_seconds() * rate)

    def next_minute(self, real: float = 0.0, seconds: float = 0.0) -> float:
        """The first whole minute (wall seconds) that is both real seconds and seconds away."""
        now = self.clock().wall()
        return math.ceil((now + max(real * self.rate, seconds)) / 60.0) * 60.0

    def clock(self) -> ScaledClock:
        """A clock that goes by it."""
        return ScaledClock(self.rate, self.offset)
