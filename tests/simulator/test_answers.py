"""Healthy answers, read by the vendors' own SDKs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from google.genai.errors import ClientError

from aio_llm.simulator import Simulator
from aio_llm.simulator.latency import as_latency
from aio_llm.simulator.records import Ask
from tests.simulator.callers import Caller

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
GOOGLE_TOOL = {"function_declarations": [{"name": "weather"}]}
OPENAI_LIKE = ("groq", "cerebras", "openrouter")
LIMITS = {"google-ai": "max_output_tokens", "cerebras": "max_completion_tokens"}
Callers = Callable[[str], Caller]


def test_a_plain_call_echoes_the_question(caller: Caller) -> None:
    model = caller.sim.models(caller.vendor)[0]

    assert caller.text("hello") == f"{caller.vendor}/{model} says: hello"


def test_a_stream_has_as_many_pieces_as_asked_for(caller: Caller) -> None:
    texts = caller.texts("hello")

    assert len(texts) == 5
    assert "".join(texts) == caller.text("hello")


def test_a_stream_ends_with_a_finish_reason(caller: Caller) -> None:
    chunks = list(caller.stream())

    if caller.vendor == "google-ai":
        assert chunks[-1].candidates[0].finish_reason == "STOP"
    else:
        reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
        assert "stop" in reasons


def test_non_ascii_text_survives(caller: Caller) -> None:
    assert caller.text("žluťoučký 🐎").endswith("žluťoučký 🐎")
    assert "".join(caller.texts("žluťoučký 🐎")).endswith("žluťoučký 🐎")


def test_only_openrouter_sends_usage_in_a_stream_unasked(sim: Simulator) -> None:
    asked: dict[str, Any] = {"stream_options": {"include_usage": True}}

    assert [c.usage for c in Caller(sim, "openrouter").stream()][-1].cost == 0.0
    assert not any(c.usage for c in Caller(sim, "cerebras").stream())
    assert [c.usage for c in Caller(sim, "cerebras").stream(**asked)][-1].total_tokens > 0
    assert not any(c.usage for c in Caller(sim, "groq").stream())
    last = list(Caller(sim, "groq").stream(extra_body=asked))[-1]
    assert last.choices == []
    assert last.usage.total_tokens > 0


def test_groq_sends_usage_in_x_groq(sim: Simulator) -> None:
    marks = [chunk.x_groq for chunk in Caller(sim, "groq").stream() if chunk.x_groq]

    assert marks[0].id.startswith("req_")
    assert marks[-1].usage.total_tokens > 0


def test_google_sends_usage_in_each_chunk(sim: Simulator) -> None:
    caller = Caller(sim, "google-ai")
    counts = [chunk.usage_metadata.total_token_count for chunk in caller.stream()]

    assert len(counts) == 6
    assert counts == sorted(counts)


@pytest.mark.parametrize("vendor", OPENAI_LIKE)
def test_reasoning_comes_the_vendors_way(vendor: str, caller_of: Callers) -> None:
    message = caller_of(vendor).call("[think] hard").choices[0].message
    deltas = [c.choices[0].delta for c in caller_of(vendor).stream("[think] hard") if c.choices]
    streamed = "".join(getattr(delta, "reasoning", None) or "" for delta in deltas)

    assert message.reasoning == streamed == "Thinking about: [think] hard"
    assert hasattr(message, "reasoning_details") == (vendor == "openrouter")


def test_google_marks_thoughts(sim: Simulator) -> None:
    answer = Caller(sim, "google-ai").call("[think]")

    thought, said = answer.candidates[0].content.parts
    assert thought.thought
    assert not said.thought
    assert answer.usage_metadata.thoughts_token_count > 0


@pytest.mark.parametrize("vendor", OPENAI_LIKE)
def test_a_tool_call_is_streamed_in_pieces(vendor: str, caller_of: Callers) -> None:
    call = caller_of(vendor).call("[tool]", tools=[TOOL]).choices[0].message.tool_calls[0]
    chunks = [c for c in caller_of(vendor).stream("[tool]", tools=[TOOL]) if c.choices]
    pieces = [c.choices[0].delta.tool_calls[0] for c in chunks if c.choices[0].delta.tool_calls]
    arguments = "".join(piece.function.arguments for piece in pieces)

    assert call.function.name == pieces[0].function.name == "weather"
    assert len(pieces) == 4
    assert json.loads(arguments) == json.loads(call.function.arguments) == {"text": "[tool]"}


def test_google_calls_a_tool_with_an_object(sim: Simulator) -> None:
    answer = Caller(sim, "google-ai").call("[tool]", tools=[GOOGLE_TOOL])

    assert answer.function_calls[0].name == "weather"
    assert answer.function_calls[0].args == {"text": "[tool]"}


def test_max_tokens_shortens_the_answer(caller: Caller) -> None:
    name = "max_output_tokens" if caller.vendor == "google-ai" else "max_tokens"
    options: dict[str, Any] = {name: 2}

    assert len(caller.text(**options)) == 8


def test_json_mode_answers_in_json(sim: Simulator) -> None:
    wanted = {"type": "json_object"}
    texts = [Caller(sim, vendor).text(response_format=wanted) for vendor in OPENAI_LIKE]
    texts.append(Caller(sim, "google-ai").text(response_mime_type="application/json"))

    assert all(json.loads(text)["says"].endswith("hello") for text in texts)


@pytest.mark.parametrize("options", [{"candidate_count": 9}, {"candidate_count": 0}])
def test_google_has_at_most_eight_candidates(options: dict[str, Any], sim: Simulator) -> None:
    with pytest.raises(ClientError, match="400"):
        Caller(sim, "google-ai").call(**options)


@pytest.mark.parametrize(("vendor", "answers"), [("cerebras", 3), ("openrouter", 3)])
def test_several_answers_are_numbered(vendor: str, answers: int, caller_of: Callers) -> None:
    choices = caller_of(vendor).call(n=answers).choices

    assert [choice.index for choice in choices] == [0, 1, 2]


def test_google_has_candidates(sim: Simulator) -> None:
    assert len(Caller(sim, "google-ai").call(candidate_count=2).candidates) == 2


def test_log_probabilities_come_when_asked_for(sim: Simulator) -> None:
    choice = Caller(sim, "openrouter").call(logprobs=True).choices[0]
    candidate = Caller(sim, "google-ai").call(response_logprobs=True).candidates[0]

    assert choice.logprobs.content[0].logprob < 0
    assert candidate.logprobs_result.chosen_candidates[0].log_probability < 0


def test_models_are_listed(caller: Caller) -> None:
    listed = caller.client().models.list()
    found = listed.data if caller.vendor == "groq" else list(listed)
    names = [getattr(model, "id", None) or model.name.removeprefix("models/") for model in found]

    assert names == caller.sim.models(caller.vendor)


def test_openrouter_tells_the_state_of_a_key(sim: Simulator) -> None:
    url, key = sim.base_url("openrouter"), sim.keys("openrouter")[0]

    good = httpx.get(f"{url}/key", headers={"authorization": f"Bearer {key}"})
    bad = httpx.get(f"{url}/key", headers={"authorization": "Bearer no"})

    assert good.json()["data"]["is_free_tier"] is True
    assert bad.status_code == 401


def raw(sim: Simulator, vendor: str, stream: bool) -> httpx.Response:
    """The answer as bytes."""
    key = sim.keys(vendor)[0]
    body: dict[str, Any] = {"model": sim.models(vendor)[0], "stream": stream}
    body["messages"] = [{"role": "user", "content": "hello"}]
    paths = {"groq": "/openai/v1/chat/completions"}
    url = sim.base_url(vendor) + paths.get(vendor, "/chat/completions")
    if vendor == "google-ai":
        body = {"contents": [{"parts": [{"text": "hello"}]}]}
        url = f"{sim.base_url(vendor)}/v1beta/models/gemini-2.5-flash:"
        url += "streamGenerateContent?alt=sse" if stream else "generateContent"
    headers = {"authorization": f"Bearer {key}", "x-goog-api-key": key}
    return httpx.post(url, headers=headers, json=body)


def test_groq_always_tells_its_limits(sim: Simulator) -> None:
    for stream in (False, True):
        headers = raw(sim, "groq", stream).headers

        found = sorted(name for name in headers if name.startswith("x-ratelimit"))
        kinds, things = ("limit", "remaining", "reset"), ("requests", "tokens")
        wanted = [f"x-ratelimit-{kind}-{thing}" for kind in kinds for thing in things]
        assert found == sorted(wanted)


def test_cerebras_tells_its_limits_in_seconds(sim: Simulator) -> None:
    headers = raw(sim, "cerebras", stream=False).headers

    assert float(headers["x-ratelimit-reset-requests-day"]) > 0
    assert float(headers["x-ratelimit-reset-tokens-minute"]) > 0


@pytest.mark.parametrize("vendor", ["google-ai", "openrouter"])
def test_others_tell_no_limits(vendor: str, sim: Simulator) -> None:
    assert "ratelimit" not in str(raw(sim, vendor, stream=False).headers)


def test_openrouter_keeps_the_connection_alive_before_the_answer(sim: Simulator) -> None:
    assert raw(sim, "openrouter", stream=False).text.startswith("\n         \n")
    assert raw(sim, "openrouter", stream=True).text.startswith(": OPENROUTER PROCESSING\n\n")


def test_google_separates_events_with_crlf_and_has_no_terminator(sim: Simulator) -> None:
    text = raw(sim, "google-ai", stream=True).text

    assert text.count("\r\n\r\n") == 6
    assert "[DONE]" not in text


def test_the_others_end_with_done(sim: Simulator) -> None:
    for vendor in OPENAI_LIKE:
        assert raw(sim, vendor, stream=True).text.endswith("data: [DONE]\n\n")


def told_usage(answer: Any) -> tuple[int, int]:
    """Tokens of prompt and answer, whatever the SDK calls them."""
    usage = getattr(answer, "usage", None) or answer.usage_metadata
    if hasattr(usage, "prompt_tokens"):
        return usage.prompt_tokens, usage.completion_tokens
    return usage.prompt_token_count, usage.candidates_token_count


@pytest.mark.parametrize(("limit", "spent"), [(None, 130), (200, 130), (50, 50)])
def test_a_prompt_can_say_how_long_the_answer_is(
    caller: Caller, limit: int | None, spent: int
) -> None:
    name = LIMITS.get(caller.vendor, "max_tokens")
    options: dict[str, Any] = {} if limit is None else {name: limit}

    assert told_usage(caller.call("[answer 130] tokens", **options)) == (5, spent)


def test_latency_can_be_chance_or_a_function_of_the_request() -> None:
    ask = Ask("groq", "key", "model", stream=False, path="/", serial=1, text="Job 3")
    one, same = (as_latency((0.45, 0.5, 9)) for _ in range(2))
    drawn = [one(ask) for _ in range(400)]

    assert drawn == [same(ask) for _ in range(400)]
    assert 0.4 < sorted(drawn)[200] < 0.5
    assert as_latency(lambda asked: float(len(asked.text)))(ask) == 5.0
    assert as_latency(0.2)(ask) == 0.2
