"""A `ChatStream` is iterated, left, closed and read like an answer."""

from __future__ import annotations

from typing import Any

import pytest

from aio_llm import (
    CancelToken,
    ChatCompletion,
    ChatStream,
    InvalidRequestError,
    RequestCancelledError,
)
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO

VENDORS = ("groq", "cerebras", "google-ai", "openrouter")
TOOL = {"type": "function", "function": {"name": "note", "parameters": {"type": "object"}}}


def said(sim: Simulator, vendor: str, text: str = "hello") -> str:
    """What the simulated vendor answers."""
    return f"{vendor}/{sim.models(vendor)[0]} says: {text}"


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_pieces_are_the_answer(vendor: str, sim: Simulator, make_aio: MakeAIO) -> None:
    stream = make_aio(vendor).chat_completion_stream("hello")

    chunks = list(stream)

    assert "".join(chunk.content for chunk in chunks) == stream.text == said(sim, vendor)
    assert len([chunk for chunk in chunks if chunk.content]) > 1
    assert [chunk.done for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert (chunks[-1].finish_reason, stream.finish_reason) == ("stop", "stop")
    assert chunks[-1].usage is stream.usage is not None


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_response_is_the_answer_of_a_plain_call(
    vendor: str, sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio(vendor)
    plain = aio.chat_completion("[think] hello")

    streamed = aio.chat_completion_stream("[think] hello").response

    assert isinstance(streamed, ChatCompletion)
    assert streamed.content == plain.content
    assert streamed.reasoning == plain.reasoning
    assert streamed.finish_reason == plain.finish_reason
    assert (streamed.provider, streamed.model) == (plain.provider, plain.model)
    assert streamed.usage is not None
    assert plain.usage is not None
    assert streamed.usage.total_tokens == plain.usage.total_tokens


@pytest.mark.parametrize("vendor", VENDORS)
def test_tool_calls_are_put_together(vendor: str, make_aio: MakeAIO) -> None:
    aio = make_aio(vendor)
    plain = aio.chat_completion("[tool] hello", tools=[TOOL])

    streamed = aio.chat_completion_stream("[tool] hello", tools=[TOOL]).response

    (one,), (other,) = plain.tool_calls, streamed.tool_calls
    assert other.function.name == one.function.name == "note"
    assert other.function.arguments == one.function.arguments
    assert streamed.finish_reason == plain.finish_reason == "tool_calls"


QUESTIONS: dict[str, dict[str, Any]] = {
    "text": {"messages": "hello"},
    "thoughts": {"messages": "[think] hello"},
    "a tool": {"messages": "[tool] hello", "tools": [TOOL]},
    "a limit": {"messages": "hello", "max_tokens": 2},
}


def shape(answer: ChatCompletion) -> dict[str, Any]:
    """The first choice without what differs from call to call."""
    choice = answer.choices[0].model_dump()
    choice["message"].pop("reasoning_details", None)
    for call in choice["message"]["tool_calls"] or ():
        del call["id"], call["index"]
    return choice | {"served_model": (answer.model_extra or {}).get("served_model")}


@pytest.mark.parametrize("case", QUESTIONS)
@pytest.mark.parametrize("vendor", VENDORS)
def test_the_response_of_a_stream_is_shaped_like_that_of_a_call(
    vendor: str, case: str, make_aio: MakeAIO
) -> None:
    aio = make_aio(vendor)
    plain = aio.chat_completion(**QUESTIONS[case])

    streamed = aio.chat_completion_stream(**QUESTIONS[case]).response

    assert shape(streamed) == shape(plain)


def test_details_of_the_thoughts_are_kept_for_sending_them_back(make_aio: MakeAIO) -> None:
    aio = make_aio("openrouter")

    message = aio.chat_completion_stream("[think] hello").response.choices[0].message

    details = (message.model_extra or {})["reasoning_details"]
    assert "".join(part["text"] for part in details) == message.reasoning


@pytest.mark.parametrize("vendor", ["cerebras", "openrouter"])
def test_probabilities_are_put_together(vendor: str, make_aio: MakeAIO) -> None:
    aio = make_aio(vendor)
    plain = aio.chat_completion("hello", logprobs=True)

    streamed = aio.chat_completion_stream("hello", logprobs=True).response

    (one,), (other,) = plain.choices, streamed.choices
    assert [t["token"] for t in other.logprobs["content"]] == [
        t["token"] for t in one.logprobs["content"]
    ]


def test_nothing_is_known_of_the_end_before_the_end(make_aio: MakeAIO) -> None:
    stream = make_aio("groq").chat_completion_stream("hello")
    next(stream)

    assert (stream.usage, stream.finish_reason) == (None, None)
    assert 0 < len(stream.text) < len(stream.response.content)


def test_the_stream_says_who_answers(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", "cerebras")
    sim.inject("503", vendor="groq")

    with aio.chat_completion_stream("hello", request_id="mine") as stream:
        assert (stream.provider, stream.model) == ("cerebras", "gpt-oss-120b")
        assert stream.request_id == "mine"
        assert [a.outcome for a in stream.attempts] == ["server", "ok"]
        assert stream.key.endswith(sim.keys("cerebras")[0][-4:])
        assert "cerebras/gpt-oss-120b" in repr(stream)


def test_leaving_the_block_hangs_up(sim: Simulator, make_aio: MakeAIO) -> None:
    sim.inject("stall")
    with make_aio("groq").chat_completion_stream("hello") as stream:
        next(stream)

    assert sim.wait_for(lambda: sim.aborted == 1)
    assert list(stream) == []


@pytest.mark.parametrize("times", [1, 2])
def test_closing_hangs_up_and_may_be_repeated(
    times: int, sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio("groq")
    sim.inject("stall")
    stream = aio.chat_completion_stream("hello")

    for _ in range(times):
        stream.close()

    assert sim.wait_for(lambda: sim.aborted == 1)
    assert aio.get_key_stats()["keys"][0]["in_flight"] == 0
    assert aio.get_key_stats()["total_errors"] == 0


def test_a_dropped_stream_hangs_up(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    sim.inject("stall")

    next(aio.chat_completion_stream("hello"))

    assert sim.wait_for(lambda: sim.aborted == 1)
    assert aio.get_key_stats()["keys"][0]["in_flight"] == 0


def test_a_finished_stream_gives_its_connection_back(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq")

    for _ in range(5):
        list(aio.chat_completion_stream("hello"))

    assert sim.connections == 1


def test_reading_on_after_the_end_gives_nothing(make_aio: MakeAIO) -> None:
    stream = make_aio("groq").chat_completion_stream("hello")
    whole = stream.response

    assert list(stream) == []
    assert stream.response.content == whole.content
    with pytest.raises(StopIteration):
        next(stream)


def test_only_the_text_can_be_asked_for(sim: Simulator, make_aio: MakeAIO) -> None:
    stream = make_aio("groq").chat_completion_stream("[think] hello")

    pieces = list(stream.text_chunks())

    assert all(pieces)
    assert "".join(pieces) == said(sim, "groq", "[think] hello")
    assert "Thinking" in stream.reasoning


def test_cancel_ends_it_with_an_error(sim: Simulator, make_aio: MakeAIO) -> None:
    token = CancelToken()
    stream = make_aio("groq").chat_completion_stream("hello", cancel=token)
    next(stream)

    token.cancel()

    with pytest.raises(RequestCancelledError) as caught:
        list(stream)
    assert caught.value.attempts == tuple(stream.attempts)


def test_two_streams_of_one_aio_do_not_mix(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    one, two = (aio.chat_completion_stream(text) for text in ("one", "two"))

    pairs = list(zip(one, two, strict=True))

    assert "".join(a.content for a, _ in pairs) == said(sim, "groq", "one")
    assert "".join(b.content for _, b in pairs) == said(sim, "groq", "two")


@pytest.mark.parametrize("wrong", ["ignore", "", None])
def test_an_unknown_way_to_go_on_is_refused(wrong: Any, sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq")

    with pytest.raises(InvalidRequestError, match="on_interrupt"):
        aio.chat_completion_stream("hello", on_interrupt=wrong)

    assert sim.requests == []


def test_several_choices_are_kept_apart(make_aio: MakeAIO) -> None:
    stream = make_aio("openrouter").chat_completion_stream("hello", n=2)
    assert isinstance(stream, ChatStream)

    choices = stream.response.choices

    assert [choice.index for choice in choices] == [0, 1]
    assert choices[0].message.content == choices[1].message.content != ""
