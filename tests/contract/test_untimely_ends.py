"""Calls that end otherwise than with an answer or an error: how they are counted and told."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aio_llm import (
    AIO,
    AttemptFailed,
    Call,
    ChatCompletion,
    ChatMessage,
    ChatRequest,
    Choice,
    FakeClock,
    RequestCompleted,
    RequestFailed,
    StreamChunk,
    StreamInterruptedError,
    register_provider,
)
from aio_llm.providers.base import BaseProvider
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO

EVENTS = ("attempt_failed", "request_completed", "request_failed")
NUMBERS = itertools.count(1)


class Impatient(BaseProvider):
    """Somebody presses Ctrl-C during every call, and in every stream after its first piece."""

    def chat(self, request: ChatRequest, call: Call) -> ChatCompletion:
        """Never an answer."""
        if request.messages[-1]["content"] == "quick":
            return ChatCompletion(choices=[Choice(message=ChatMessage(content="done"))])
        raise KeyboardInterrupt

    def stream(self, request: ChatRequest, call: Call) -> Iterator[StreamChunk]:
        """Half an answer."""
        yield StreamChunk("half")
        raise KeyboardInterrupt

    def check_key(self, call: Call) -> None:
        """Whatever the key."""


@pytest.fixture
def impatient() -> Iterator[AIO]:
    name = f"impatient-{next(NUMBERS)}"
    register_provider(name, Impatient)
    with AIO([{"provider": name, "api_keys": ["k"], "models": ["m"]}], auto_mode=True) as aio:
        yield aio


def listen(aio: AIO) -> list[Any]:
    """What is told of calls and attempts from now on."""
    told: list[Any] = []
    for name in EVENTS:
        aio.on(name, told.append)
    return told


def counted(aio: AIO) -> list[tuple[int, ...]]:
    """Requests, successes, failures and cancelled ones: of the calls, then of each model."""
    figures = aio.get_metrics()
    rows = [figures, *figures["models"].values()]
    names = ("requests", "successes", "failures", "cancelled")
    return [tuple(row[name] for name in names) for row in rows]


def called(aio: AIO) -> object:
    """An answer."""
    return aio.chat_completion("hello")


def streamed(aio: AIO) -> object:
    """A stream, read to its end."""
    return list(aio.chat_completion_stream("hello"))


CANCELLED = [(1, 0, 0, 1), (1, 0, 0, 1)]


def test_ctrl_c_in_a_call_is_a_cancelled_call(impatient: AIO) -> None:
    told = listen(impatient)

    with pytest.raises(KeyboardInterrupt):
        impatient.chat_completion("hello")

    (event,) = told
    assert counted(impatient) == CANCELLED
    assert isinstance(event, RequestFailed)
    assert (event.error, event.cancelled, event.message) == ("KeyboardInterrupt", True, "")
    assert impatient.health()["models"].popitem()[1]["in_flight"] == 0
    assert impatient.chat_completion("quick").content == "done"


def test_ctrl_c_in_a_stream_is_a_cancelled_call(impatient: AIO) -> None:
    told = listen(impatient)
    stream = impatient.chat_completion_stream("hello")

    with pytest.raises(KeyboardInterrupt):
        list(stream)

    (event,) = told
    assert counted(impatient) == CANCELLED
    assert (event.error, event.cancelled, event.stream) == ("KeyboardInterrupt", True, True)
    assert list(stream) == []
    assert counted(impatient) == CANCELLED


def test_a_stream_nobody_holds_is_counted_and_not_told(make_aio: MakeAIO) -> None:
    aio = make_aio("groq", alerts={"min_requests": 1, "error_rate": 0.0})
    told = listen(aio)
    aio.on("alert", told.append)
    stream = aio.chat_completion_stream("hello")
    next(stream)

    del stream
    gc.collect()

    assert counted(aio) == CANCELLED
    assert told == []


def test_a_stream_that_is_left_is_told_once_without_an_error(make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    told = listen(aio)
    stream = aio.chat_completion_stream("hello", metadata={"team": "red"})
    next(stream)

    stream.close()
    stream.cancel()

    (event,) = told
    assert counted(aio) == CANCELLED
    assert (event.cancelled, event.error) == (True, "")
    assert (event.message, event.metadata) == ("left before its end", {"team": "red"})


def test_a_stream_that_breaks_is_told_as_a_failed_attempt_and_call(
    sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio("groq")
    told = listen(aio)
    sim.inject("stall", times=1)

    with pytest.raises(StreamInterruptedError) as caught:
        list(aio.chat_completion_stream("hello", idle_timeout=0.1))

    attempt, call = told
    (step,) = caught.value.attempts
    assert (type(attempt), type(call)) == (AttemptFailed, RequestFailed)
    assert (
        (attempt.kind, attempt.latency) == (step.outcome, step.latency) == ("timeout", step.latency)
    )
    assert 0.1 <= attempt.latency <= call.latency
    assert (call.error, call.message) == ("StreamInterruptedError", str(caught.value))
    assert counted(aio) == [(1, 0, 1, 0), (1, 0, 1, 0)]


def test_a_stream_is_as_long_for_its_model_as_for_its_reader(
    make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", clock=clock)
    with aio.chat_completion_stream("hello") as stream:
        clock.advance(3)
        list(stream)

    figures = aio.get_metrics()
    (model,) = figures["models"].values()

    assert model["latency"]["p50"] == figures["latency"]["p50"] == pytest.approx(3, rel=0.06)
    assert figures["first_token"]["p50"] == 0.0


@pytest.mark.parametrize("ask", [called, streamed])
def test_a_handler_that_ends_the_program_ends_it_after_the_answer(
    ask: Callable[[AIO], object], make_aio: MakeAIO
) -> None:
    aio = make_aio("groq")

    def leave(event: object) -> None:
        raise SystemExit

    aio.on("request_completed", leave)
    with pytest.raises(SystemExit):
        ask(aio)

    assert counted(aio) == [(1, 1, 0, 0), (1, 1, 0, 0)]


def test_an_empty_answer_is_an_answer_of_a_failed_attempt(
    sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio("groq", max_retries=0)
    told = listen(aio)
    sim.inject("empty_content")

    answer = aio.chat_completion("hello")

    assert answer.content == ""
    assert [type(event) for event in told] == [AttemptFailed, RequestCompleted]
    assert (told[0].kind, told[1].attempts) == ("empty", 1)
    assert counted(aio) == [(1, 1, 0, 0), (1, 0, 1, 0)]
    assert next(iter(aio.get_metrics()["models"].values()))["answers"] == 1
