"""Calls that are stuck on threads of their own, and a clock that tells who is asleep."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from aio_llm.clock import Sleeper, SystemClock

WAKE = 0.05  # seconds within which a cancelled call is back
ALWAYS = 1.0  # seconds, however busy the machine is


class TellingClock(SystemClock):
    """Real time; `somebody_sleeps()` returns once a call has gone to sleep."""

    def __init__(self) -> None:
        super().__init__()
        self._asleep = threading.Semaphore(0)

    def sleep(self, seconds: float, sleeper: Sleeper) -> None:
        self._asleep.release()
        super().sleep(seconds, sleeper)

    def somebody_sleeps(self, timeout: float = 5.0) -> bool:
        """Wait for one more sleep; False if there was none (seconds)."""
        return self._asleep.acquire(timeout=timeout)


class Stuck:
    """A call that blocks on a thread of its own, and how it ended."""

    def __init__(self, call: Callable[[], object]) -> None:
        self.result: object = None
        self.error: BaseException | None = None
        self._call = call
        self._ended = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._call()
        except BaseException as error:
            self.error = error
        self._ended = time.perf_counter()

    def wakes_after(self, signal: Callable[[], object]) -> float:
        """Seconds from the signal to the end of the call."""
        began = time.perf_counter()
        signal()
        self._thread.join(5)
        assert not self._thread.is_alive(), "the call is still stuck"
        assert self._ended - began < ALWAYS
        return self._ended - began
