"""A call has a name, and can be cancelled by it from any thread."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from aio_llm import AIO, AIOError, CancelToken, InvalidRequestError, RequestCancelledError
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO


class Caller(threading.Thread):
    """One call on a thread of its own, and how it ended."""

    def __init__(self, aio: AIO, **arguments: Any) -> None:
        super().__init__()
        self.aio = aio
        self.arguments = arguments
        self.error: AIOError | None = None
        self.content = ""
        self.start()

    def run(self) -> None:
        """Ask, and remember the end."""
        try:
            self.content = self.aio.chat_completion("hello", **self.arguments).content
        except AIOError as error:
            self.error = error


def test_a_call_is_cancelled_by_its_name(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    sim.inject("hang")
    caller = Caller(aio, request_id="row 7")
    assert sim.wait_for(lambda: sim.active == 1)

    assert aio.cancel("row 7")
    caller.join(5)

    assert isinstance(caller.error, RequestCancelledError)
    assert caller.error.request_id == "row 7"
    assert sim.wait_for(lambda: sim.aborted == 1)
    assert sim.count() == 1


def test_only_the_named_call_is_cancelled(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    sim.inject("slow", seconds=0.1)
    one, two = Caller(aio, request_id="one"), Caller(aio, request_id="two")
    assert sim.wait_for(lambda: sim.active == 2)

    assert aio.cancel("one")
    one.join(5)
    two.join(5)

    assert isinstance(one.error, RequestCancelledError)
    assert (two.error, bool(two.content)) == (None, True)


def test_all_calls_are_cancelled_at_once(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", "cerebras")
    sim.inject("hang")
    callers = [Caller(aio) for _ in range(4)]
    all_in = sim.wait_for(lambda: sim.active == 4)

    cancelled = aio.cancel_all()
    for caller in callers:
        caller.join(5)

    assert all_in
    assert cancelled == 4
    assert all(isinstance(caller.error, RequestCancelledError) for caller in callers)


def test_a_stream_is_cancelled_by_its_name(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    sim.inject("stall")
    stream = aio.chat_completion_stream("hello", request_id="mine")

    assert aio.cancel("mine")

    with pytest.raises(RequestCancelledError):
        list(stream)
    assert not aio.cancel("mine")


def test_a_name_that_nobody_has_cancels_nothing(make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    aio.chat_completion("hello", request_id="over")

    assert not aio.cancel("over")
    assert not aio.cancel("never")
    assert aio.cancel_all() == 0


def test_a_name_is_free_again_after_the_call(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    sim.inject("400", times=1)
    with pytest.raises(InvalidRequestError):
        aio.chat_completion("hello", request_id="mine")

    aio.chat_completion("hello", request_id="mine")
    list(aio.chat_completion_stream("hello", request_id="mine"))
    aio.chat_completion_stream("hello", request_id="mine").close()

    assert aio.chat_completion("hello", request_id="mine").request_id == "mine"


def test_two_calls_cannot_have_one_name(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    stream = aio.chat_completion_stream("hello", request_id="mine")

    with pytest.raises(InvalidRequestError, match="request_id: 'mine' is in use"):
        aio.chat_completion("hello", request_id="mine")

    assert sim.count() == 1
    assert stream.response.content


def test_a_refused_second_call_leaves_no_trace_on_its_token(make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    token = CancelToken()
    stream = aio.chat_completion_stream("hello", request_id="mine")
    with pytest.raises(InvalidRequestError):
        aio.chat_completion("hello", request_id="mine", cancel=token)

    token.cancel()

    assert stream.response.content


def test_calls_without_a_name_get_different_ones(make_aio: MakeAIO) -> None:
    aio, other = make_aio("groq"), make_aio("groq")

    names = [one.chat_completion("hello").request_id for one in (aio, aio, other)]

    assert len(set(names)) == 3
    assert all(names)


def test_a_cancelled_token_sends_nothing(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    token = CancelToken()
    token.cancel()

    with pytest.raises(RequestCancelledError):
        aio.chat_completion("hello", cancel=token)
    with pytest.raises(RequestCancelledError):
        aio.chat_completion_stream("hello", cancel=token)

    assert sim.requests == []
    assert aio.get_key_stats()["total_usage"] == 0


def test_one_token_cancels_all_its_calls(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    token = CancelToken()
    sim.inject("hang")
    callers = [Caller(aio, cancel=token) for _ in range(3)]
    assert sim.wait_for(lambda: sim.active == 3)

    token.cancel()
    for caller in callers:
        caller.join(5)

    assert all(isinstance(caller.error, RequestCancelledError) for caller in callers)
    assert token.cancelled


@pytest.mark.parametrize("seconds", [0, 0.02])
def test_a_token_can_be_set_to_cancel_later(
    seconds: float, sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio("groq")
    sim.inject("hang")
    token = CancelToken()
    token.cancel_after(seconds)

    with pytest.raises(RequestCancelledError):
        aio.chat_completion("hello", cancel=token)

    assert sim.count() == (1 if seconds else 0)


@pytest.mark.parametrize("seconds", [-1, float("nan"), "soon"])
def test_a_time_that_makes_no_sense_is_refused(seconds: Any) -> None:
    token = CancelToken()

    with pytest.raises((ValueError, TypeError)):
        token.cancel_after(seconds)

    assert not token.cancelled


def test_closing_the_aio_cancels_what_is_running(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    sim.inject("hang")
    caller = Caller(aio)
    assert sim.wait_for(lambda: sim.active == 1)

    aio.close()
    caller.join(5)

    assert isinstance(caller.error, RequestCancelledError)
