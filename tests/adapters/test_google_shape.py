"""Histories that Google's shape has no exact place for."""

from __future__ import annotations

from typing import Any

import pytest

from aio_llm import AIO, InvalidRequestError
from aio_llm.simulator import Simulator
from tests.adapters.support import USER, WEATHER, ask, body


def call(name: str, arguments: str, **more: Any) -> dict[str, Any]:
    """One tool call of a history."""
    return {"type": "function", "function": {"name": name, "arguments": arguments}, **more}


def contents(sim: Simulator, *turns: dict[str, Any]) -> list[dict[str, Any]]:
    """What arrives of these turns after a first one of the user."""
    ask(sim, "google-ai", [USER, *turns])
    found: list[dict[str, Any]] = body(sim)["contents"]
    return found[1:]


def test_two_tool_calls_and_their_results_stay_in_pairs(sim: Simulator) -> None:
    calls = [call("a", '{"x": 1}', id="1"), call("b", '{"x": 2}', id="2")]
    found = contents(
        sim,
        {"role": "assistant", "content": "Looking.", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "1", "content": "one"},
        {"role": "tool", "tool_call_id": "2", "content": "two"},
    )

    said = [{"functionCall": {"name": n, "args": {"x": x}}} for n, x in (("a", 1), ("b", 2))]
    results = [
        {"functionResponse": {"name": name, "response": {"output": output}}}
        for name, output in (("a", "one"), ("b", "two"))
    ]
    assert found == [
        {"role": "model", "parts": [{"text": "Looking."}, *said]},
        {"role": "user", "parts": results},
    ]


@pytest.mark.parametrize("arguments", ["", "{}", None])
def test_a_call_without_arguments_has_empty_ones(arguments: Any, sim: Simulator) -> None:
    (turn,) = contents(sim, {"role": "assistant", "tool_calls": [call("now", arguments)]})

    assert turn["parts"] == [{"functionCall": {"name": "now", "args": {}}}]


def test_a_thought_signature_survives_the_round_trip(sim: Simulator) -> None:
    signed = call("now", "{}", thought_signature="c2lnbmVk")

    (turn,) = contents(sim, {"role": "assistant", "content": None, "tool_calls": [signed]})

    assert turn["parts"][0]["thoughtSignature"] == "c2lnbmVk"


def test_a_result_that_names_its_function_needs_no_call(sim: Simulator) -> None:
    (turn,) = contents(
        sim,
        {"role": "assistant", "content": "x"},
        {"role": "tool", "tool_call_id": "9", "name": "weather", "content": [
            {"type": "text", "text": "rain"}]},
    )[1:]  # fmt: skip

    part = turn["parts"][0]["functionResponse"]
    assert part == {"name": "weather", "response": {"output": "rain"}}


def test_the_schema_of_a_tool_is_handed_on_whole(sim: Simulator) -> None:
    ask(sim, "google-ai", tools=[WEATHER])

    ((declared,),) = [tool["functionDeclarations"] for tool in body(sim)["tools"]]
    assert declared["parametersJsonSchema"] == WEATHER["function"]["parameters"]
    assert "toolConfig" not in body(sim)


def test_a_tool_without_parameters_is_declared_without_any(sim: Simulator) -> None:
    ask(sim, "google-ai", tools=[{"type": "function", "function": {"name": "now"}}])

    assert body(sim)["tools"] == [{"functionDeclarations": [{"name": "now"}]}]


BROKEN: dict[str, dict[str, Any]] = {
    "arguments that are no JSON": {
        "messages": [USER, {"role": "assistant", "tool_calls": [call("now", '{"x": ')]}, USER]},
    "a tool call without a function": {
        "messages": [USER, {"role": "assistant", "tool_calls": [{"id": "1"}]}, USER]},
    "a tool without a function": {"tools": [{"name": "now"}]},
    "a tool that is no object": {"tools": ["now"]},
    "a choice without a function": {"tools": [WEATHER], "tool_choice": {"name": "now"}},
    "a schema without a schema": {"response_format": {"type": "json_schema"}},
    "an image without an address": {
        "messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
    "an image as plain text": {
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}]},
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_request_is_the_callers_fault_and_nobody_rests(
    case: str, stream: bool, sim: Simulator
) -> None:
    options = dict(BROKEN[case])
    messages = options.pop("messages", "hello")
    with AIO(**sim.config("google-ai"), max_retries=0) as aio:
        send = aio.chat_completion_stream if stream else aio.chat_completion
        with pytest.raises(InvalidRequestError):
            send(messages, **options)

        assert all(row["usable"] for row in aio.explain())
        assert aio.get_key_stats()["total_usage"] == 0
    assert sim.requests == []
