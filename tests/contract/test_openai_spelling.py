"""Code written for the OpenAI client runs with the constructor changed and nothing else."""

from __future__ import annotations

from typing import Any

import pytest

from aio_llm import ChatCompletion, ChatStream, InvalidRequestError
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO

HELLO: list[dict[str, Any]] = [{"role": "user", "content": "hello"}]
MODEL = "llama-3.3-70b-versatile"


def test_create_answers_in_openais_shape(make_aio: MakeAIO) -> None:
    aio = make_aio("groq", auto_mode=False)

    answer = aio.chat.completions.create(model=MODEL, messages=HELLO)

    assert isinstance(answer, ChatCompletion)
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.content == f"groq/{MODEL} says: hello"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_create_streams_in_openais_shape(make_aio: MakeAIO) -> None:
    aio = make_aio("groq", auto_mode=False)

    stream = aio.chat.completions.create(
        model=MODEL, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    assert isinstance(stream, ChatStream)
    chunks = list(stream)

    texts = [c.choices[0].delta.content or "" for c in chunks if c.choices]
    assert "".join(texts) == f"groq/{MODEL} says: hello"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert chunks[-1].usage is not None


FIELDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "max_completion_tokens": ({"max_completion_tokens": 9}, {"max_tokens": 9}),
    "max_tokens": ({"max_tokens": 9}, {"max_tokens": 9}),
    "sampling": ({"temperature": 0, "top_p": 0.5, "seed": 7}, {"temperature": 0, "seed": 7}),
    "stop": ({"stop": ["a", "b"]}, {"stop": ["a", "b"]}),
    "extra_body": ({"extra_body": {"service_tier": "flex"}}, {"service_tier": "flex"}),
    "n of one": ({"n": 1}, {}),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("case", FIELDS)
def test_openais_arguments_arrive(
    case: str, stream: bool, sim: Simulator, make_aio: MakeAIO
) -> None:
    given, sent = FIELDS[case]
    aio = make_aio("groq", auto_mode=False)

    aio.chat.completions.create(model=MODEL, messages=HELLO, stream=stream, **given)

    body = sim.requests[0].body or {}
    assert sent.items() <= body.items()
    assert (body.get("stream") is True) == stream


def test_the_model_auto_means_everybody(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", "cerebras")
    sim.inject("503", vendor="groq")

    answer = aio.chat.completions.create(model="auto", messages=HELLO)

    assert isinstance(answer, ChatCompletion)
    assert answer.provider == "cerebras"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("word", ["temprature", "max_token", "messsages", "top_k", "stream_option"])
def test_a_misspelt_keyword_is_a_type_error_and_sends_nothing(
    word: str, stream: bool, sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio("groq")
    wrong: dict[str, Any] = {word: 1}

    with pytest.raises(TypeError, match=word):
        aio.chat.completions.create(model=MODEL, messages=HELLO, stream=stream, **wrong)
    with pytest.raises(TypeError, match=word):
        aio.chat_completion("hello", **wrong)
    with pytest.raises(TypeError, match=word):
        aio.chat_completion_stream("hello", **wrong)

    assert sim.requests == []


def test_max_tokens_wins_over_its_other_name(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq")

    aio.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=5, max_completion_tokens=9)

    assert (sim.requests[0].body or {})["max_tokens"] == 5


def test_a_wrong_value_is_refused_by_its_name(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq")

    with pytest.raises(InvalidRequestError, match="max_tokens"):
        aio.chat.completions.create(model=MODEL, messages=HELLO, max_completion_tokens=0)

    assert sim.requests == []


def test_the_doors_are_made_once(make_aio: MakeAIO) -> None:
    aio = make_aio("groq")

    assert aio.chat is aio.chat
    assert aio.chat.completions is aio.chat.completions
