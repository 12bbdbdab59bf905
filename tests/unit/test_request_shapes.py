"""Requests of any shape are refused by name, or can be written for every vendor."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aio_llm import InvalidRequestError
from aio_llm.faults import FaultError
from aio_llm.providers.google_shape import build_body
from aio_llm.providers.openai_shape import encode_body
from aio_llm.requests import ROLES, build_request
from aio_llm.types import ChatRequest

JUNK: st.SearchStrategy[Any] = st.sampled_from(
    (None, True, 0, -1, 1.5, "", "x", "auto", "{}", "{", "[]", "3", [], [None], [3], ["x"], {},
     {"x": None}, {"name": "f"}, {"url": "data:,"}, {"url": "x"}, {"url": 3}, float("nan"))
)  # fmt: skip
CALL = st.fixed_dictionaries(
    {}, optional={
        "id": JUNK, "type": JUNK, "thought_signature": JUNK,
        "function": st.fixed_dictionaries({}, optional={"name": JUNK, "arguments": JUNK}) | JUNK,
    },
)  # fmt: skip
PART = st.fixed_dictionaries(
    {"type": st.sampled_from(("text", "image_url", "input_audio", "file", 3))},
    optional={"text": JUNK, "image_url": JUNK},
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(sorted(ROLES))},
    optional={
        "content": JUNK | st.lists(PART | JUNK, max_size=2),
        "tool_calls": JUNK | st.lists(CALL | JUNK, max_size=2),
        "tool_call_id": JUNK,
        "name": JUNK,
    },
)
TOOL = st.fixed_dictionaries(
    {"type": JUNK},
    optional={
        "function": JUNK
        | st.fixed_dictionaries({"name": JUNK}, optional={"parameters": JUNK, "description": JUNK})
    },
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "tools": JUNK | st.lists(TOOL | JUNK, max_size=2),
        "tool_choice": JUNK | st.fixed_dictionaries({"type": JUNK, "function": JUNK}),
        "response_format": JUNK
        | st.fixed_dictionaries({"type": st.sampled_from(("json_schema", "json_object", 3))},
                                optional={"json_schema": JUNK}),
        "stop": JUNK, "seed": JUNK, "n": JUNK, "logit_bias": JUNK, "reasoning_effort": JUNK,
        "temperature": JUNK, "user": JUNK, "top_logprobs": JUNK, "logprobs": JUNK,
    },
)  # fmt: skip


def accepted(messages: Any, options: dict[str, Any]) -> ChatRequest | None:
    """The request, None if it is refused."""
    with suppress(InvalidRequestError):
        return build_request(messages, options, request_id="1")
    return None


def strict(text: bytes) -> Any:
    """JSON as the standard has it, which knows no NaN."""

    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


@settings(max_examples=400)
@given(st.lists(MESSAGE | JUNK, max_size=3), OPTIONS)
@example([{"role": "user", "content": [{"type": "text", "text": float("nan")}]}], {})
def test_what_is_accepted_can_be_written_in_openais_shape(
    messages: list[Any], options: dict[str, Any]
) -> None:
    request = accepted(messages, options)

    if request is not None:
        body = strict(encode_body(request, "m", dict(request.options), request.messages_json))
        assert len(body["messages"]) == len(messages)
        assert body["model"] == "m"


@settings(max_examples=400)
@given(st.lists(MESSAGE | JUNK, max_size=3), OPTIONS, st.sampled_from(("gemini-2.5-x", "gemini-3")))
@example([{"role": "tool", "content": [{"type": "text", "text": None}]}], {}, "gemini-3")
def test_what_is_accepted_can_be_written_in_googles_shape_or_is_a_fault_of_the_request(
    messages: list[Any], options: dict[str, Any], model: str
) -> None:
    request = accepted(messages, options)

    if request is not None:
        with suppress(FaultError):
            body = build_body(request, model)
            assert strict(json.dumps(body).encode()) == body


def test_a_plain_request_is_accepted() -> None:
    request = accepted([{"role": "user", "content": "x"}], {"temperature": 1})

    assert request is not None
    assert build_body(request, "gemini-2.5-x")["generationConfig"] == {"temperature": 1}


@pytest.mark.parametrize("junk", ["{", "[]", "3", '"x"'])
def test_arguments_that_are_no_object_are_a_fault_of_the_request_at_google(junk: str) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": junk}}
    request = accepted([{"role": "assistant", "tool_calls": [call]}], {})

    assert request is not None
    with pytest.raises(FaultError):
        build_body(request, "gemini-2.5-x")
