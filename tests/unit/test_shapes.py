"""Answers of any shape become our models or a fault, never a surprise."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio_llm import ChatCompletion, StreamChunk, Target
from aio_llm.faults import FaultError
from aio_llm.providers import google_shape, openai_shape

TARGET = Target("p", "m", "…", "secret")
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "index": 0}
OPENAI: dict[str, Any] = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": [{"type": "text", "text": "a"}, {"type": "thinking", "thinking": []}],
                "reasoning": "r",
                "tool_calls": [CALL],
                "refusal": None,
            },
            "delta": {"role": "assistant", "content": "a", "reasoning": "r", "tool_calls": [CALL]},
            "logprobs": {"content": []},
            "finish_reason": "stop",
            "native_finish_reason": "stop",
            "error": None,
        }
    ],
    "usage": {
        "prompt_tokens": 1,
        "completion_tokens": 1,
        "total_tokens": 2,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
        "cost": 0.1,
    },
    "x_groq": {"usage": {"prompt_tokens": 1}, "error": None},
    "error": None,
}
GOOGLE: dict[str, Any] = {
    "candidates": [
        {
            "index": 0,
            "content": {
                "role": "model",
                "parts": [
                    {"text": "a"},
                    {"text": "r", "thought": True},
                    {"functionCall": {"name": "f", "args": {}, "id": "1"}, "thoughtSignature": "s"},
                    {"inlineData": {"mimeType": "image/png", "data": "x"}},
                ],
            },
            "finishReason": "STOP",
            "logprobsResult": {"chosenCandidates": []},
        }
    ],
    "promptFeedback": {"blockReason": None},
    "usageMetadata": {
        "promptTokenCount": 1,
        "candidatesTokenCount": 1,
        "thoughtsTokenCount": 1,
        "totalTokenCount": 3,
        "cachedContentTokenCount": 1,
        "toolUsePromptTokenCount": 1,
    },
    "modelVersion": "m",
    "responseId": "1",
    "error": None,
}
# fmt: off
JUNK: st.SearchStrategy[Any] = st.sampled_from((
    None, True, 0, -1, 1.5, 10**30, "", "x", "stop", "error", [], [None], [3], ["x"], [[]], {},
    {"x": None}, {"message": 3}, {"code": "429", "message": None}, [{}], [{"type": 3}],
    {"text": None}, [{"text": 3}], "\x00",
))
# fmt: on
Path = tuple[str | int, ...]


def children(value: Any) -> dict[str | int, Any]:
    """What is inside an object or a list, by name or number."""
    if isinstance(value, list):
        return dict(enumerate(value))
    return value if isinstance(value, dict) else {}


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """The paths to everything inside a JSON value."""
    for name, one in children(value).items():
        yield (*path, name)
        yield from places(one, (*path, name))


def spoilt(body: dict[str, Any], damage: list[tuple[Path, Any]]) -> bytes:
    """The body with things replaced; places that are gone by then are left out."""
    body = copy.deepcopy(body)
    for path, junk in damage:
        found: Any = body
        for step in path[:-1]:
            found = children(found).get(step)
        if path[-1] in children(found):
            found[path[-1]] = copy.deepcopy(junk)
    return json.dumps(body).encode()


def damaged(body: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """Bodies with one to three things replaced by junk."""
    hits = st.lists(st.tuples(st.sampled_from(list(places(body))), JUNK), min_size=1, max_size=3)
    return hits.map(lambda damage: spoilt(body, damage))


def is_answer(answer: ChatCompletion) -> bool:
    """All that a caller reads of an answer can be read."""
    answer.model_dump_json()
    return isinstance(answer.content, str) and isinstance(answer.tool_calls, list)


def is_chunk(chunk: StreamChunk) -> bool:
    """All that a caller reads of a chunk can be read."""
    return (
        isinstance(chunk.content, str)
        and isinstance(chunk.reasoning, str)
        and isinstance(chunk.index, int)
        and (chunk.done or not chunk.choices or chunk.choices[0].delta is not None)
    )


Read = Callable[[bytes, Target], ChatCompletion]
Chunks = Callable[[list[bytes], Target], Iterator[StreamChunk]]
SHAPES: dict[str, tuple[dict[str, Any], Read, Chunks]] = {
    "openai": (OPENAI, openai_shape.read_completion, openai_shape.read_chunks),
    "google": (GOOGLE, google_shape.read_completion, google_shape.read_chunks),
}


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=300)
@given(data=st.data())
def test_a_damaged_answer_is_read_or_is_a_fault(shape: str, data: st.DataObject) -> None:
    body, read, _ = SHAPES[shape]
    content = data.draw(damaged(body))

    with suppress(FaultError):
        assert is_answer(read(content, TARGET))


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=300)
@given(data=st.data())
def test_a_damaged_stream_is_read_or_is_a_fault(shape: str, data: st.DataObject) -> None:
    body, _, read = SHAPES[shape]
    events = [b"data: %b\n\n" % data.draw(damaged(body)) for _ in range(2)]

    with suppress(FaultError):
        chunks = list(read(events, TARGET))
        assert all(is_chunk(chunk) for chunk in chunks)
        assert chunks[-1].done


@pytest.mark.parametrize("shape", SHAPES)
def test_the_undamaged_answer_is_whole(shape: str) -> None:
    body, read, chunks = SHAPES[shape]
    content = json.dumps(body).encode()

    answer = read(content, TARGET)
    pieces = list(chunks([b"data: %b\n\n" % content], TARGET))

    assert (answer.content, answer.reasoning) == ("a", "r")
    assert [call.function.name for call in answer.tool_calls] == ["f"]
    assert ("".join(p.content for p in pieces), "".join(p.reasoning for p in pieces)) == ("a", "r")
    assert pieces[-1].finish_reason in ("stop", "tool_calls")


@pytest.mark.parametrize("shape", SHAPES)
@given(st.binary(max_size=60))
def test_any_bytes_are_an_answer_or_a_fault(shape: str, content: bytes) -> None:
    _, read, chunks = SHAPES[shape]

    for attempt in (lambda: read(content, TARGET), lambda: list(chunks([content], TARGET))):
        with pytest.raises(FaultError):
            attempt()
