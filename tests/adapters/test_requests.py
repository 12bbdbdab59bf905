"""What arrives at each vendor: histories, options, tools, formats, headers."""

from __future__ import annotations

from typing import Any

import pytest

from aio_llm import ModelNotFoundError, UnsupportedFeatureError
from aio_llm.simulator import Simulator
from tests.adapters.support import OPENAI_LIKE, USER, VENDORS, WEATHER, arrived, ask, body
from tests.conftest import MakeAIO

HISTORY: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is the weather in Oslo?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"place": "Oslo"}'},
            }
        ],
    },
    {"role": "tool", "tool_call_id": "call_1", "content": "4 degrees, rain"},
    {"role": "assistant", "content": "It rains."},
    {
        "role": "user",
        "content": [{"type": "text", "text": "And "}, {"type": "text", "text": "now?"}],
    },
]
CONTENTS = [
    {"role": "user", "parts": [{"text": "What is the weather in Oslo?"}]},
    {
        "role": "model",
        "parts": [{"functionCall": {"name": "weather", "args": {"place": "Oslo"}}}],
    },
    {
        "role": "user",
        "parts": [
            {
                "functionResponse": {
                    "name": "weather",
                    "response": {"output": "4 degrees, rain"},
                }
            }
        ],
    },
    {"role": "model", "parts": [{"text": "It rains."}]},
    {"role": "user", "parts": [{"text": "And "}, {"text": "now?"}]},
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("vendor", OPENAI_LIKE)
def test_a_history_arrives_word_for_word(vendor: str, stream: bool, sim: Simulator) -> None:
    ask(sim, vendor, HISTORY, stream=stream)

    assert body(sim)["messages"] == HISTORY


@pytest.mark.parametrize("stream", [False, True])
def test_google_gets_a_history_in_its_own_shape(stream: bool, sim: Simulator) -> None:
    ask(sim, "google-ai", HISTORY, stream=stream)

    sent = body(sim)
    assert sent["systemInstruction"] == {"parts": [{"text": "Be brief."}]}
    assert sent["contents"] == CONTENTS


def test_google_gets_neighbouring_turns_of_one_speaker_as_one(sim: Simulator) -> None:
    turns = [USER, {"role": "user", "content": "again"}, {"role": "developer", "content": "x"}]

    ask(sim, "google-ai", turns)

    assert body(sim)["contents"] == [
        {"role": "user", "parts": [{"text": "hello"}, {"text": "again"}]}
    ]
    assert body(sim)["systemInstruction"] == {"parts": [{"text": "x"}]}


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_model_and_the_kind_of_call_are_where_the_vendor_looks(
    vendor: str, sim: Simulator
) -> None:
    ask(sim, vendor)
    ask(sim, vendor, stream=True)

    plain, streamed = sim.requests
    model = sim.models(vendor)[0]
    assert (plain.model, plain.stream) == (model, False)
    assert (streamed.model, streamed.stream) == (model, True)
    assert plain.key == sim.keys(vendor)[0]
    assert plain.method == "POST"


@pytest.mark.parametrize("vendor", ["groq", "cerebras"])
def test_usage_is_asked_for_in_a_stream(vendor: str, sim: Simulator) -> None:
    answer = ask(sim, vendor, stream=True)

    assert body(sim)["stream_options"] == {"include_usage": True}
    assert answer.usage is not None


# Option as given, and where it is in the body: OpenAI's field, Google's field.
OPTIONS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "temperature": ({"temperature": 0.5}, {"temperature": 0.5}, {"temperature": 0.5}),
    "temperature zero": ({"temperature": 0}, {"temperature": 0}, {"temperature": 0}),
    "top_p": ({"top_p": 0.25}, {"top_p": 0.25}, {"topP": 0.25}),
    "stop": ({"stop": "END"}, {"stop": "END"}, {"stopSequences": ["END"]}),
    "stops": ({"stop": ["A", "B"]}, {"stop": ["A", "B"]}, {"stopSequences": ["A", "B"]}),
    "seed": ({"seed": 7}, {"seed": 7}, {"seed": 7}),
    "presence": ({"presence_penalty": 1.5}, {"presence_penalty": 1.5}, {"presencePenalty": 1.5}),
    "frequency": (
        {"frequency_penalty": -1}, {"frequency_penalty": -1}, {"frequencyPenalty": -1}),
    "json": (
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_object"}},
        {"responseMimeType": "application/json"},
    ),
    "text": (
        {"response_format": {"type": "text"}}, {"response_format": {"type": "text"}}, {}),
    "schema": (
        {"response_format": {"type": "json_schema",
                             "json_schema": {"name": "a", "schema": {"type": "object"}}}},
        {"response_format": {"type": "json_schema",
                             "json_schema": {"name": "a", "schema": {"type": "object"}}}},
        {"responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}},
    ),
    "effort": (
        {"reasoning_effort": "low"},
        {"reasoning_effort": "low"},
        {"thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": True}},
    ),
    "no thinking": (
        {"reasoning_effort": "none"},
        {"reasoning_effort": "none"},
        {"thinkingConfig": {"thinkingBudget": 0, "includeThoughts": False}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("case", OPTIONS)
def test_an_option_arrives_under_the_vendors_name(
    case: str, vendor: str, stream: bool, sim: Simulator
) -> None:
    given, openais, googles = OPTIONS[case]

    ask(sim, vendor, stream=stream, **given)

    if vendor == "google-ai":
        assert body(sim).get("generationConfig", {}) == googles
    else:
        own = {"model", "messages", "stream", "stream_options"}
        assert {k: v for k, v in body(sim).items() if k not in own} == openais


LIMITS = {
    "groq": "max_tokens",
    "openrouter": "max_tokens",
    "cerebras": "max_completion_tokens",
    "google-ai": "maxOutputTokens",
}


@pytest.mark.parametrize("vendor", LIMITS)
def test_the_limit_of_tokens_has_the_name_this_vendor_knows(vendor: str, sim: Simulator) -> None:
    answer = ask(sim, vendor, max_tokens=3)

    sent = body(sim)
    where = sent["generationConfig"] if vendor == "google-ai" else sent
    assert [(name, value) for name, value in where.items() if "ax" in name] == [(LIMITS[vendor], 3)]
    assert answer.finish_reason == "length"


LEVELS = {"none": ("MINIMAL", False), "low": ("LOW", True), "high": ("HIGH", True)}


@pytest.mark.parametrize("effort", LEVELS)
def test_google_thinks_in_levels_from_its_third_generation_on(effort: str, sim: Simulator) -> None:
    level, thoughts = LEVELS[effort]

    with pytest.raises(ModelNotFoundError):  # the simulator has no such model
        ask(sim, "google-ai", provider={"models": ["gemini-3-flash"]}, reasoning_effort=effort)

    thinking = body(sim)["generationConfig"]["thinkingConfig"]
    assert thinking == {"thinkingLevel": level, "includeThoughts": thoughts}


CHOICES: dict[str, tuple[Any, dict[str, Any]]] = {
    "auto": ("auto", {"mode": "AUTO"}),
    "none": ("none", {"mode": "NONE"}),
    "required": ("required", {"mode": "ANY"}),
    "one": (
        {"type": "function", "function": {"name": "weather"}},
        {"mode": "ANY", "allowedFunctionNames": ["weather"]},
    ),
}


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("case", CHOICES)
def test_tools_and_the_choice_of_one_arrive(case: str, vendor: str, sim: Simulator) -> None:
    choice, googles = CHOICES[case]

    ask(sim, vendor, tools=[WEATHER], tool_choice=choice)

    sent, function = body(sim), WEATHER["function"]
    if vendor == "google-ai":
        declared = {**function, "parametersJsonSchema": function["parameters"]}
        del declared["parameters"]
        assert sent["tools"] == [{"functionDeclarations": [declared]}]
        assert sent["toolConfig"] == {"functionCallingConfig": googles}
    else:
        assert (sent["tools"], sent["tool_choice"]) == ([WEATHER], choice)


def test_an_image_arrives_at_everybody(sim: Simulator) -> None:
    url = "data:image/png;base64,iVBORw0KGgo="
    picture = {"role": "user", "content": [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": url}}]}  # fmt: skip

    ask(sim, "google-ai", [picture])
    ask(sim, "openrouter", [picture])

    google, openrouter = ((r.body or {}) for r in sim.requests)
    inline = {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}
    assert google["contents"][0]["parts"] == [{"text": "What is this?"}, inline]
    assert openrouter["messages"] == [picture]


KNOWN = {"role", "content", "tool_calls", "name", "refusal"}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("source", ["openrouter", "google-ai", "groq"])
@pytest.mark.parametrize("vendor", ["groq", "cerebras"])
def test_only_what_every_vendor_knows_is_sent_back(
    vendor: str, source: str, stream: bool, sim: Simulator
) -> None:
    question = "[think] [tool] hello"
    said = ask(sim, source, question, tools=[WEATHER], stream=stream).choices[0].message
    call = (said.tool_calls or [])[0]
    result = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
    sim.clear()

    ask(sim, vendor, [USER, said, result])

    turn = body(sim)["messages"][1]
    assert set(turn) <= KNOWN
    assert [set(call) for call in turn["tool_calls"]] == [{"id", "type", "function"}]
    assert [set(call["function"]) for call in turn["tool_calls"]] == [{"name", "arguments"}]


def test_what_openrouter_thought_is_sent_back_to_it(sim: Simulator) -> None:
    said = ask(sim, "openrouter", "[think] hello").choices[0].message
    sim.clear()

    ask(sim, "openrouter", [USER, said, USER])

    sent = body(sim)["messages"][1]
    assert sent["reasoning_details"] == (said.model_extra or {})["reasoning_details"]


LACKING = {
    ("groq", "n"): 2,
    ("groq", "logprobs"): True,
    ("groq", "top_logprobs"): 3,
    ("groq", "logit_bias"): {"50256": -100},
    ("cerebras", "n"): 2,
    ("cerebras", "logit_bias"): {"50256": -100},
    ("google-ai", "logit_bias"): {"50256": -100},
    ("google-ai", "user"): "customer 7",
    ("google-ai", "parallel_tool_calls"): False,
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("vendor", "field"), LACKING)
def test_what_a_vendor_lacks_is_refused_and_nothing_is_sent(
    vendor: str, field: str, stream: bool, sim: Simulator
) -> None:
    option: dict[str, Any] = {field: LACKING[vendor, field]}

    with pytest.raises(UnsupportedFeatureError, match=field):
        ask(sim, vendor, stream=stream, **option)

    assert sim.requests == []


def test_a_call_with_such_a_field_goes_to_a_vendor_that_has_it(
    sim: Simulator, make_aio: MakeAIO
) -> None:
    answer = make_aio("groq", "openrouter").chat_completion("hello", n=2)

    assert answer.provider == "openrouter"
    assert [r.vendor for r in sim.requests] == ["openrouter"]


@pytest.mark.parametrize("vendor", VENDORS)
def test_extra_fields_of_the_body_are_sent_as_they_are(vendor: str, sim: Simulator) -> None:
    extra = {"labels": {"team": "a"}, "service_tier": "flex"}

    ask(sim, vendor, extra_body=extra)

    assert extra.items() <= body(sim).items()


def test_extra_fields_win_over_ours(sim: Simulator) -> None:
    ask(sim, "groq", temperature=0.1, extra_body={"temperature": 0.9})

    assert body(sim)["temperature"] == 0.9


def test_extra_fields_cannot_replace_the_messages(sim: Simulator) -> None:
    ask(sim, "groq", extra_body={"messages": [{"role": "user", "content": "other"}]})

    assert body(sim)["messages"] == [USER]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("vendor", VENDORS)
def test_headers_of_the_provider_and_of_the_call_arrive(
    vendor: str, stream: bool, sim: Simulator
) -> None:
    ask(
        sim, vendor, stream=stream, extra_headers={"X-Title": "call", "X-Call": "1"},
        provider={"headers": {"X-Title": "provider", "HTTP-Referer": "https://example.org"}},
    )  # fmt: skip

    headers = arrived(sim).headers
    assert headers["x-title"] == "call"
    assert headers["x-call"] == "1"
    assert headers["http-referer"] == "https://example.org"


@pytest.mark.parametrize("vendor", VENDORS)
def test_headers_of_one_call_are_gone_with_the_next(
    vendor: str, sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio(vendor)

    aio.chat_completion("one", extra_headers={"X-Call": "1"})
    aio.chat_completion("two")

    assert ["x-call" in r.headers for r in sim.requests] == [True, False]
    assert sim.connections == 1


@pytest.mark.parametrize("vendor", VENDORS)
def test_metadata_stays_with_us(vendor: str, sim: Simulator) -> None:
    ask(sim, vendor, metadata={"customer": "secret project"}, request_id="row 7")

    assert "secret project" not in str(arrived(sim))
    assert "row 7" not in str(arrived(sim))


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_letter_arrives_as_it_was_typed(vendor: str, sim: Simulator) -> None:
    text = 'Grüße, 世界! 🎉 \u2028 "quoted" \\ </script> \t\x7f'

    answer = ask(sim, vendor, text)

    sent = body(sim)
    google = vendor == "google-ai"
    (turn,) = sent["contents"][0]["parts"] if google else sent["messages"]
    assert turn["text" if google else "content"] == text
    assert text in answer.content


@pytest.mark.parametrize("vendor", VENDORS)
def test_one_request_arrives_for_one_call(vendor: str, sim: Simulator) -> None:
    sim.inject("500")

    with pytest.raises(Exception, match="server"):
        ask(sim, vendor)

    assert sim.count() == 1
