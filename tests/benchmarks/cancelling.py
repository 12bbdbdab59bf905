"""From `cancel()` in one thread to the exception in the other, which waits for an answer."""

from __future__ import annotations

import threading
import time
from statistics import median

from aio_llm import AIO, CancelToken, RequestCancelledError

from .callers import place
from .measure import Measured, Setup

_SETTLED = 0.02
"""Seconds after which a call is surely waiting for its answer."""


def cancelling(setup: Setup) -> list[Measured]:
    """A server that does not answer for a minute."""
    aio = AIO(providers=[place("openai", f"{setup.origin}/60000ms")], auto_mode=True)
    aio.warmup()
    _once(aio)
    times = [_once(aio) * 1e3 for _ in range(setup.rounds(200, 50))]
    note = f"{len(times)} times, median {median(times):.2f} ms"
    return [
        Measured("cancel", times, f"{len(times)} times"),
        Measured("worst cancel", [max(times)], note),
    ]


def _once(aio: AIO) -> float:
    """Seconds from cancel to the exception."""
    token, begun, raised = CancelToken(), threading.Event(), [0.0]

    def work() -> None:
        begun.set()
        try:
            aio.chat_completion("Hello!", cancel=token)
        except RequestCancelledError:
            raised[0] = time.perf_counter()

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    time.sleep(_SETTLED)
    asked = time.perf_counter()
    token.cancel()
    thread.join()
    return raised[0] - asked
