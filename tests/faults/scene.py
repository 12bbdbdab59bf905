"""The cast of these tests: a faulty first vendor, a healthy second one, and who asks them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aio_llm import AIO, ChatCompletion
from aio_llm.simulator import Rule, Simulator

VENDORS = ("groq", "cerebras", "openrouter", "google-ai")
MODES = ("call", "stream")
WHOLE = 5  # pieces of a healthy stream

KeyRow = dict[str, Any]


def partner(vendor: str) -> str:
    """Another vendor, a different one for each."""
    return VENDORS[(VENDORS.index(vendor) + 1) % len(VENDORS)]


def ask(aio: AIO, mode: str, text: str = "hello", **options: Any) -> ChatCompletion:
    """The answer, called for or streamed; of a stream it must be the text that was shown."""
    if mode == "call":
        return aio.chat_completion(text, **options)
    with aio.chat_completion_stream(text, **options) as stream:
        chunks = list(stream)
    assert [chunk.done for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert not any(chunk.restarted for chunk in chunks)
    assert "".join(chunk.content for chunk in chunks) == (stream.response.content or "")
    return stream.response


def moved(sim: Simulator, vendor: str, origin: str) -> str:
    """The vendor's base URL at another scheme, host and port."""
    return origin + sim.base_url(vendor).removeprefix(sim.origin)


def healthy_text(sim: Simulator, vendor: str, text: str = "hello") -> str:
    """What the vendor's first model answers."""
    return f"{vendor}/{sim.models(vendor)[0]} says: {text}"


@dataclass
class Scene:
    """An `AIO` that prefers `first`, which may fail, and has `second`, which does not."""

    sim: Simulator
    aio: AIO
    first: str
    second: str
    mode: str

    def ask(self, text: str = "hello", **options: Any) -> ChatCompletion:
        """One call in this scene's mode."""
        return ask(self.aio, self.mode, text, **options)

    def fail(self, fault: str, **params: Any) -> Rule:
        """Let the first vendor fail in this way."""
        return self.sim.inject(fault, vendor=self.first, **params)

    @property
    def arrived(self) -> tuple[int, int]:
        """How many requests each of the two has seen."""
        return self.sim.count(self.first), self.sim.count(self.second)

    @property
    def keys(self) -> list[KeyRow]:
        """What is known of the first vendor's keys."""
        rows: list[KeyRow] = self.aio.get_key_stats(self.first)["keys"]
        return rows


def until(is_so: Callable[[], bool], timeout: float = 5.0) -> bool:
    """Wait for something that sends no notice; False if it is still not so (seconds)."""
    blink = threading.Event()
    for _ in range(int(timeout / 0.002)):
        if is_so():
            return True
        blink.wait(0.002)
    return is_so()


def quickest(measure: Callable[[], float], enough: float) -> float:
    """The least of up to five measurements (seconds): a busy machine is nobody's fault."""
    taken = [measure()]
    while taken[-1] >= enough and len(taken) < 5:
        taken.append(measure())
    return min(taken)
