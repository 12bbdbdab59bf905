"""What choosing a target costs, with few and with many keys. Nothing is sent."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from aio_llm.cancel import CancelScope
from aio_llm.clock import SystemClock
from aio_llm.config import read_settings
from aio_llm.core.key_state import Lease
from aio_llm.core.routing import Router
from aio_llm.core.scheduler import Scheduler
from aio_llm.core.trail import Trail

from .measure import Measured, Setup, micro, take_turns

FEW, MANY = 10, 10_000
TIMES = 5_000


def choosing(setup: Setup) -> list[Measured]:
    """`take` and `succeed`, one thread."""
    few, many = _chooser(FEW), _chooser(MANY)
    for chooser in (few, many):
        for _ in range(1 + MANY // TIMES):
            chooser()
    took = take_turns(few, many, setup.rounds(31, 11))
    cost = [seconds * 1e6 for seconds in took.base]
    return [
        Measured("choosing", took.ratios, f"{micro(took.ours)} : {micro(took.base)}"),
        Measured("choosing cost", cost, f"{FEW} keys, one thread"),
    ]


def _chooser(keys: int) -> Callable[[], float]:
    """Processor seconds of choosing once among `keys`."""
    provider: dict[str, Any] = {
        "provider": "groq",
        "api_keys": [f"gsk_{number:016}" for number in range(keys)],
        "models": ["llama-3.3-70b-versatile"],
    }
    settings = read_settings({"providers": [provider], "auto_mode": True})
    scheduler = Scheduler(settings, SystemClock())
    route = Router(settings).route(None, None, auto=True, fallback=False)
    scope = CancelScope()

    def choose() -> float:
        trails = [Trail(0.0) for _ in range(TIMES)]
        started = time.process_time()
        for trail in trails:
            lease = scheduler.take(route, trail, scope)
            assert isinstance(lease, Lease)
            scheduler.succeed(lease)
        return (time.process_time() - started) / TIMES

    return choose
