"""What comes back: text, thoughts, tool calls, usage, finish reasons, and what vendors add."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aio_llm import AIO, ChatCompletion
from aio_llm.simulator import Simulator
from tests.adapters.support import VENDORS, WEATHER, ask
from tests.replay.server import Server, plain


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("vendor", VENDORS)
def test_an_answer_has_text_usage_and_an_end(vendor: str, stream: bool, sim: Simulator) -> None:
    answer = ask(sim, vendor, "hello", stream=stream)

    model = sim.models(vendor)[0]
    assert answer.content == f"{vendor}/{model} says: hello"
    assert (answer.finish_reason, answer.provider, answer.model) == ("stop", vendor, model)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 2
    assert answer.usage.completion_tokens == (len(answer.content) + 3) // 4
    assert answer.usage.total_tokens == 2 + answer.usage.completion_tokens


ENDS: dict[str, tuple[dict[str, Any], str, dict[str, str]]] = {
    "the end": ({}, "stop", {"google-ai": "STOP"}),
    "the limit": ({"max_tokens": 2}, "length", {"google-ai": "MAX_TOKENS"}),
    "a tool": ({"tools": [WEATHER]}, "tool_calls", {"google-ai": "STOP"}),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("case", ENDS)
def test_the_reason_of_the_end_is_openais_word_and_the_vendors_is_kept(
    case: str, vendor: str, stream: bool, sim: Simulator
) -> None:
    options, reason, native = ENDS[case]

    (choice,) = ask(sim, vendor, "[tool] hello", stream=stream, **options).choices

    assert choice.finish_reason == reason
    assert choice.native_finish_reason == native.get(vendor, reason)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("vendor", VENDORS)
def test_thoughts_are_kept_apart_from_the_answer(vendor: str, stream: bool, sim: Simulator) -> None:
    answer = ask(sim, vendor, "[think] hello", stream=stream)

    assert answer.reasoning == "Thinking about: [think] hello"
    assert "Thinking" not in answer.content
    assert answer.usage is not None
    details = answer.usage.completion_tokens_details
    assert details is not None
    assert details.reasoning_tokens == (len(answer.reasoning) + 3) // 4
    assert answer.usage.completion_tokens > details.reasoning_tokens
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


@pytest.mark.parametrize("vendor", VENDORS)
def test_an_answer_without_thoughts_has_none(vendor: str, sim: Simulator) -> None:
    assert ask(sim, vendor).reasoning is None


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("vendor", VENDORS)
def test_a_tool_call_is_read(vendor: str, stream: bool, sim: Simulator) -> None:
    answer = ask(sim, vendor, "[tool] hello", stream=stream, tools=[WEATHER])

    (call,) = answer.tool_calls
    assert (call.type, call.function.name) == ("function", "weather")
    assert call.function.arguments.replace(" ", "") == '{"text":"[tool]hello"}'
    assert not answer.content
    assert not answer.is_empty


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_tool_call_can_be_sent_back(vendor: str, sim: Simulator) -> None:
    first = ask(sim, vendor, "[tool] hello", tools=[WEATHER])
    call = first.tool_calls[0]
    result = {"role": "tool", "tool_call_id": call.id or "", "name": "weather", "content": "rain"}

    history = [{"role": "user", "content": "hello"}, first.choices[0].message, result]
    answer = ask(sim, vendor, history, tools=[WEATHER])

    assert answer.content
    assert [r.status for r in sim.requests] == [200, 200]


def test_every_tool_call_has_an_id(sim: Simulator) -> None:
    for vendor in VENDORS:
        for stream in (False, True):
            answer = ask(sim, vendor, "[tool] hello", tools=[WEATHER], stream=stream)

            assert answer.tool_calls[0].id


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("vendor", ["openrouter", "google-ai"])
def test_several_answers_come_where_the_vendor_has_them(
    vendor: str, stream: bool, sim: Simulator
) -> None:
    answer = ask(sim, vendor, n=3, stream=stream)

    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) == 1
    assert {choice.finish_reason for choice in answer.choices} == {"stop"}


@pytest.mark.parametrize("vendor", ["openrouter", "cerebras", "google-ai"])
def test_probabilities_come_where_the_vendor_has_them(vendor: str, sim: Simulator) -> None:
    answer = ask(sim, vendor, logprobs=True, top_logprobs=1)

    assert answer.choices[0].logprobs


@pytest.mark.parametrize("vendor", ["openrouter", "cerebras"])
def test_probabilities_come_in_a_stream_too(vendor: str, sim: Simulator, make_aio: Any) -> None:
    chunks = list(make_aio(vendor).chat_completion_stream("hello", logprobs=True))

    tokens = [c.logprobs["content"][0]["token"] for c in chunks if c.logprobs]
    assert "".join(tokens) == "".join(chunk.content for chunk in chunks)


@pytest.mark.parametrize("vendor", VENDORS)
def test_json_comes_as_text(vendor: str, sim: Simulator) -> None:
    answer = ask(sim, vendor, response_format={"type": "json_object"})

    assert answer.content.startswith('{"says": ')


def extras(answer: ChatCompletion) -> dict[str, Any]:
    """The fields a vendor added."""
    return answer.model_extra or {}


def test_what_vendors_add_is_kept(sim: Simulator) -> None:
    groq, cerebras, router, google = (
        ask(sim, vendor, "[think] hello")
        for vendor in ("groq", "cerebras", "openrouter", "google-ai")
    )

    assert extras(groq)["x_groq"]["id"].startswith("req_")
    assert extras(groq)["service_tier"] == "on_demand"
    assert extras(cerebras)["time_info"]["total_time"] > 0
    assert (router.choices[0].message.model_extra or {})["reasoning_details"]
    assert router.usage is not None
    assert (router.usage.model_extra or {})["is_byok"] is False
    assert google.usage is not None
    assert (google.usage.model_extra or {})["vendor"]["thoughtsTokenCount"] > 0


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_served_model_is_told_apart_from_the_asked_one(vendor: str, sim: Simulator) -> None:
    answer = ask(sim, vendor)

    assert extras(answer)["served_model"] == answer.model == sim.models(vendor)[0]


def test_a_cost_of_zero_is_a_cost(sim: Simulator) -> None:
    assert ask(sim, "openrouter").cost == 0.0
    assert ask(sim, "openrouter", stream=True).cost == 0.0
    assert ask(sim, "cerebras").cost is None


def choices(said: Any, end: Any = "stop") -> list[dict[str, Any]]:
    """One choice of OpenAI's shape, good for a call and for a stream."""
    return [{"index": 0, "message": said, "delta": said, "finish_reason": end}]


def candidates(content: Any, end: Any = "STOP") -> list[dict[str, Any]]:
    """One candidate of Google's shape."""
    return [{"content": content, "finishReason": end}]


CALL_AS_TEXT = {"parts": [{"functionCall": "f"}]}
WRONG: dict[str, tuple[Any, Any]] = {
    "choices as text": ("none", "none"),
    "choices as a number": (3, 3),
    "a choice as text": (["x"], ["x"]),
    "content as a number": (choices({"content": 3}), candidates(3)),
    "parts as numbers": (choices({"content": [{"text": 3}]}), candidates({"parts": [3]})),
    "an end as a list": (
        choices({"content": "x"}, ["stop"]), candidates({"parts": [{"text": "x"}]}, ["STOP"])),
    "a tool call as text": (choices({"tool_calls": "f"}), candidates(CALL_AS_TEXT)),
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("vendor", ["groq", "google-ai"])
@pytest.mark.parametrize("case", WRONG)
def test_an_answer_of_a_wrong_shape_falls_over(
    case: str, vendor: str, stream: bool, sim: Simulator
) -> None:
    theirs, googles = WRONG[case]
    body = json.dumps({"choices": theirs, "candidates": googles}).encode()
    said = plain(200, b"data: %b\n\n" % body, "text/event-stream") if stream else plain(200, body)

    with Server(lambda _: said) as server:
        broken = sim.provider(vendor, base_url=server.url, priority=200)
        with AIO([broken, sim.provider("cerebras")], auto_mode=True) as aio:
            send = aio.chat_completion_stream if stream else aio.chat_completion
            answer = send("hello")

            assert answer.provider == "cerebras"
            assert {a.outcome for a in answer.attempts[:-1]} == {"bad_response"}
