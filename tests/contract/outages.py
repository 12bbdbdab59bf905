"""What the tests of health and of circuits share: how groq is made to fail, and what is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from aio_llm import AIO, AIOError
from aio_llm.simulator import Simulator
from tests.contract.test_cancel_by_name import Caller

MODEL = "llama-3.3-70b-versatile"
HERE = f"groq/{MODEL}"
ONCE: dict[str, Any] = {"max_retries": 0, "max_wait": 0}
SLOW = {"timeout": 600}  # no call waits for a probe of this breaker


def fail(aio: AIO, times: int = 1, **options: Any) -> None:
    """Calls whose end is not what matters."""
    for _ in range(times):
        with suppress(AIOError):
            aio.chat_completion("hello", **options)


def circuit(aio: AIO) -> dict[str, Any]:
    """The breaker of the first model of groq."""
    return aio.get_circuit_breaker_state("groq", MODEL)


def row(aio: AIO, name: str = HERE) -> dict[str, Any]:
    """How one model does."""
    found: dict[str, Any] = aio.health()["models"][name]
    return found


def open_circuit(aio: AIO, sim: Simulator, failures: int = 5) -> None:
    """So many failed attempts, one per call."""
    rule = sim.inject("503", vendor="groq")
    fail(aio, failures, provider="groq")
    rule.remove()


@contextmanager
def hanging(aio: AIO, sim: Simulator) -> Iterator[None]:
    """A call that gets no answer from groq."""
    rule = sim.inject("hang", vendor="groq")
    caller = Caller(aio, request_id="hangs")
    assert sim.wait_for(lambda: sim.active == 1)
    rule.remove()
    try:
        yield
    finally:
        aio.cancel_all()
        caller.join(5)
