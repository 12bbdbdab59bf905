"""A wrong request is refused before anything is sent, and the field is named."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from aio_llm import AIO, AIOError, InvalidRequestError
from aio_llm.simulator import Simulator

NAN, INF, HUGE = float("nan"), float("inf"), 10**400
USER: dict[str, Any] = {"role": "user", "content": "hello"}
CYCLE: list[Any] = []
CYCLE.append(CYCLE)
DEEP: Any = "x"
for _ in range(5000):
    DEEP = [DEEP]


@pytest.fixture
def aio(sim: Simulator) -> Iterator[AIO]:
    with AIO(**sim.config("groq", "google-ai")) as made:
        yield made


def says(content: Any, **more: Any) -> list[Any]:
    """One turn of the user."""
    return [{"role": "user", "content": content, **more}]


MESSAGES: dict[str, tuple[Any, str]] = {
    "nothing": (None, "messages: must be a string or a list"),
    "an empty text": ("", "messages: is empty"),
    "blanks": (" \n\t", "messages: is empty"),
    "an empty list": ([], "messages: is empty"),
    "a number": (3, "messages: must be a string or a list"),
    "bytes": (b"hello", "messages: must be a string or a list"),
    "one message alone": (USER, "messages: must be a string or a list"),
    "a list of texts": (["hello"], r"messages\[0\]: must be a dict"),
    "a list of nothing": ([USER, None], r"messages\[1\]: must be a dict"),
    "no role": ([{"content": "x"}], r"messages\[0\].role: None is unknown; known: .*user"),
    "an unknown role": ([{"role": "usr", "content": "x"}], r"\[0\].role: 'usr'.*mean 'user'"),
    "a role that is a number": ([{"role": 3, "content": "x"}], r"messages\[0\].role: 3"),
    "a role that is a list": ([{"role": ["user"], "content": "x"}], r"messages\[0\].role"),
    "no content": ([{"role": "user"}], r"messages\[0\].content: is missing"),
    "content that is nothing": (says(None), r"messages\[0\].content: is missing"),
    "content that is a number": (says(3), r"messages\[0\].content: must be a string"),
    "content that is a dict": (says({"type": "text"}), r"messages\[0\].content: must be"),
    "content that is bytes": (says(b"x"), r"messages\[0\].content: must be a string"),
    "no parts": (says([]), r"messages\[0\].content: is an empty list"),
    "a part that is a number": (says([3]), r"messages\[0\].content\[0\]: must be a dict"),
    "a part without a type": (says([{"text": "x"}]), r"messages\[0\].content\[0\]"),
    "a silent assistant": ([USER, {"role": "assistant"}], r"messages\[1\].content: is missing"),
    "a lone surrogate": (says("x\ud800"), r"messages\[0\].content: cannot be sent.*surrogate"),
    "a lone surrogate in plain text": ("x\udfff", r"messages\[0\].content: cannot be sent"),
    "a lone surrogate in a part": (
        says([{"type": "text", "text": "\ud83d"}]), r"messages\[0\].content: cannot be sent"),
    "a lone surrogate elsewhere": ([USER, *says("x", name="\ud800")], r"messages\[1\].name"),
    "NUL": (says("ab\x00c"), r"messages\[0\].content: has a NUL character at 2"),
    "NUL in plain text": ("\x00", r"messages\[0\].content: has a NUL"),
    "NUL in a part": (
        says([{"type": "text", "text": "x"}, {"type": "text", "text": "\x00"}]),
        r"messages\[0\].content\[1\].text: has a NUL"),
    "an object": (says([{"type": "text", "text": object()}]), r"messages\[0\].content: cannot"),
    "a number that is none": (
        says([{"type": "text", "text": "x", "x": NAN}]), r"messages\[0\].content: cannot"),
    "a part without text": (says([{"type": "text"}]), r"messages\[0\].content\[0\]"),
    "a text that is a number": (
        says([{"type": "text", "text": 3}]), r"messages\[0\].content\[0\]"),
    "a circle": (says([{"type": "text", "text": CYCLE}]), r"messages\[0\].content: cannot"),
    "a deep hole": (says([{"type": "text", "text": DEEP}]), r"messages\[0\].content: cannot"),
    "50 MB": (says("x" * 50_000_000), r"messages\[0\].content: .*50,000,0.* bytes.*shorten"),
    "50 MB in many turns": (
        [USER] + says("x" * 20_000_000) * 3, "bytes, more than the .* any vendor takes"),
    "tool calls that are a dict": (
        [USER, {"role": "assistant", "tool_calls": {"id": "1"}}], r"messages\[1\].tool_calls"),
}  # fmt: skip

OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "no tokens": ({"max_tokens": 0}, "max_tokens: must be 1 or more, got 0"),
    "negative tokens": ({"max_tokens": -1}, "max_tokens: must be 1 or more"),
    "half a token": ({"max_tokens": 1.5}, "max_tokens: must be a whole number"),
    "tokens in words": ({"max_tokens": "many"}, "max_tokens: must be a whole number"),
    "tokens that are true": ({"max_tokens": True}, "max_tokens: must be a whole number"),
    "temperature nan": ({"temperature": NAN}, "temperature: must be a number from 0 to 2"),
    "temperature inf": ({"temperature": INF}, "temperature: must be a number"),
    "temperature below zero": ({"temperature": -0.1}, "temperature: must be a number"),
    "temperature of the sun": ({"temperature": 5778}, "temperature: must be a number"),
    "temperature beyond floats": ({"temperature": HUGE}, "temperature: must be a number"),
    "temperature in words": ({"temperature": "hot"}, "temperature: must be a number"),
    "temperature that is true": ({"temperature": True}, "temperature: must be a number"),
    "top_p over one": ({"top_p": 1.1}, "top_p: must be a number from 0 to 1"),
    "penalty": ({"presence_penalty": 2.1}, "presence_penalty: must be a number from -2 to 2"),
    "other penalty": ({"frequency_penalty": NAN}, "frequency_penalty"),
    "no answers": ({"n": 0}, "n: must be 1 or more"),
    "half a seed": ({"seed": 0.5}, "seed: must be a whole number"),
    "probabilities in numbers": ({"logprobs": 1}, "logprobs: must be True or False"),
    "probabilities in words": ({"top_logprobs": "3"}, "top_logprobs: must be a whole number"),
    "negative probabilities": ({"logprobs": True, "top_logprobs": -1}, "top_logprobs"),
    "parallel in words": ({"parallel_tool_calls": "no"}, "parallel_tool_calls: must be True"),
    "a stop that is a number": ({"stop": 3}, "stop: must be a string or a list"),
    "stops that are numbers": ({"stop": [3]}, "stop: must be a string or a list"),
    "a stop with a surrogate": ({"stop": "\ud800"}, "stop: cannot be sent|stop: must"),
    "a user that is a number": ({"user": 3}, "user: must be a string"),
    "a user with a surrogate": ({"user": "\ud800"}, "user: cannot be sent|user: must"),
    "tools as text": ({"tools": "weather"}, "tools: must be a list"),
    "tools as a dict": ({"tools": {"type": "function"}}, "tools: must be a list"),
    "tools that are no JSON": ({"tools": [object()]}, r"tools.*cannot be sent|tools\[0\]"),
    "a tool in a circle": ({"tools": [{"type": "function", "function": CYCLE}]}, "tools"),
    "a choice that is no JSON": ({"tool_choice": object()}, "tool_choice"),
    "a format that is no JSON": ({"response_format": object()}, "response_format"),
    "a format that is a text": ({"response_format": "json"}, "response_format: must be"),
    "an unknown effort": ({"reasoning_effort": "extreme"}, "reasoning_effort: must be one of"),
    "an effort that is a number": ({"reasoning_effort": 3}, "reasoning_effort"),
    "an effort that is a list": ({"reasoning_effort": ["low"]}, "reasoning_effort"),
    "a bias that is nan": ({"logit_bias": {"1": NAN}}, "logit_bias: cannot be sent"),
    "a bias that is a list": ({"logit_bias": [1]}, "logit_bias: must be"),
    "metadata that is no JSON": ({"metadata": {"a": object()}}, "metadata: cannot be sent"),
    "metadata with a set": ({"metadata": {"a": {1}}}, "metadata: cannot be sent"),
    "metadata with nan": ({"metadata": {"a": NAN}}, "metadata: cannot be sent"),
    "metadata in a circle": ({"metadata": {"a": CYCLE}}, "metadata: cannot be sent"),
    "metadata as text": ({"metadata": "x"}, "metadata: must be a"),
    "a body that is no JSON": ({"extra_body": {"a": object()}}, "extra_body: cannot be sent"),
    "a body as text": ({"extra_body": "x"}, "extra_body: must be a"),
    "a body as a list": ({"extra_body": [1]}, "extra_body: must be a"),
    "a header in two lines": ({"extra_headers": {"X-A": "1\r\nX-Evil: 1"}}, "extra_headers"),
    "a header name in two lines": ({"extra_headers": {"X\r\nA": "1"}}, "extra_headers"),
    "a header name with a colon": ({"extra_headers": {"X-A:": "1"}}, "extra_headers"),
    "a header name with a blank": ({"extra_headers": {"X A": "1"}}, "extra_headers"),
    "a header without a name": ({"extra_headers": {"": "1"}}, "extra_headers"),
    "a header that is a number": ({"extra_headers": {"X-A": 1}}, "extra_headers"),
    "a header that is not ASCII": ({"extra_headers": {"X-A": "ü"}}, "extra_headers"),
    "headers as text": ({"extra_headers": "X-A: 1"}, "extra_headers: must be a"),
    "no time": ({"timeout": 0}, "timeout: must be more than 0 seconds, got 0"),
    "negative time": ({"timeout": -1}, "timeout: must be more than 0"),
    "time that is no number": ({"timeout": NAN}, "timeout: must be more than 0"),
    "time without end": ({"timeout": INF}, "timeout: must be more than 0"),
    "time beyond floats": ({"timeout": HUGE}, "timeout: must be"),
    "time in words": ({"timeout": "soon"}, "timeout: must be more than 0"),
    "time that is true": ({"timeout": True}, "timeout: must be more than 0"),
    "a negative wait": ({"max_wait": -1}, "max_wait: must be 0 or more"),
    "a wait that is no number": ({"max_wait": NAN}, "max_wait: must be 0 or more"),
    "a wait without end": ({"max_wait": INF}, "max_wait: must be 0 or more"),
    "an empty name": ({"request_id": ""}, "request_id: must be a non-empty string"),
    "a name that is a number": ({"request_id": 3}, "request_id: must be a non-empty string"),
    "a token that is none": ({"cancel": True}, "cancel: must be a CancelToken"),
    "a provider that is a number": ({"provider": 3}, "provider"),
    "a model that is a number": ({"model": 3}, "model must be|model: must be"),
    "a model that is bytes": ({"model": b"m"}, "model must be|model: must be"),
    "models that are numbers": ({"model": [3]}, "model must be|model: must be"),
    "a model with a surrogate": ({"model": "\ud800"}, "model"),
}  # fmt: skip


def refused(aio: AIO, sim: Simulator, words: str, stream: bool, *args: Any, **more: Any) -> None:
    """This call raises one of our errors with these words, sends nothing, holds nothing."""
    send = aio.chat_completion_stream if stream else aio.chat_completion
    with pytest.raises((AIOError, TypeError), match=words) as caught:
        send(*args, **more)

    assert isinstance(caught.value, ValueError | InvalidRequestError | TypeError)
    assert len(str(caught.value)) < 600
    assert sim.requests == []
    assert aio.cancel_all() == 0
    assert aio.get_key_stats()["total_usage"] == 0


@pytest.mark.parametrize("stream", [False, True], ids=["call", "stream"])
@pytest.mark.parametrize("case", MESSAGES)
def test_wrong_messages_are_refused(case: str, stream: bool, aio: AIO, sim: Simulator) -> None:
    messages, words = MESSAGES[case]

    refused(aio, sim, words, stream, messages)


@pytest.mark.parametrize("stream", [False, True], ids=["call", "stream"])
@pytest.mark.parametrize("case", OPTIONS)
def test_wrong_options_are_refused(case: str, stream: bool, aio: AIO, sim: Simulator) -> None:
    options, words = OPTIONS[case]

    refused(aio, sim, words, stream, "hello", **options)


@pytest.mark.parametrize("idle", [0, -1, NAN, INF, "soon", True])
def test_a_wrong_time_between_chunks_is_refused(idle: Any, aio: AIO, sim: Simulator) -> None:
    refused(aio, sim, "idle_timeout: must be more than 0", True, "hello", idle_timeout=idle)


@pytest.mark.parametrize("case", ["temperature of the sun", "an unknown effort"])
def test_without_validation_options_are_left_to_the_vendor(case: str, sim: Simulator) -> None:
    options, _ = OPTIONS[case]
    with AIO(**sim.config("groq"), enable_validation=False) as aio:
        aio.chat_completion("hello", **options)

    assert options.items() <= (sim.requests[0].body or {}).items()


GOOD: dict[str, dict[str, Any]] = {
    "zero": {"temperature": 0, "top_p": 0, "seed": 0, "presence_penalty": 0},
    "the edges": {"temperature": 2, "top_p": 1, "frequency_penalty": -2},
    "whole times": {"timeout": 5, "max_wait": 0},
    "an empty body": {"extra_body": {}, "extra_headers": {}, "metadata": {}},
    "no stops": {"stop": []},
    "a negative seed": {"seed": -1},
}


@pytest.mark.parametrize("case", GOOD)
def test_what_is_at_the_edge_of_the_allowed_is_allowed(case: str, sim: Simulator) -> None:
    with AIO(**sim.config("groq")) as aio:
        assert aio.chat_completion("hello", **GOOD[case]).content


def test_messages_may_come_from_a_generator(sim: Simulator) -> None:
    with AIO(**sim.config("groq")) as aio:
        answer = aio.chat_completion(turn for turn in (USER, USER))

    assert answer.content.endswith("hello")
    assert len((sim.requests[0].body or {})["messages"]) == 2


def test_the_messages_of_the_caller_are_not_changed(sim: Simulator) -> None:
    turns = [{"role": "system", "content": "x"}, USER, {"role": "assistant", "content": None,
             "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments":
             "{}"}}]}, {"role": "tool", "tool_call_id": "1", "content": "y"}]  # fmt: skip
    before = repr(turns)
    with AIO(**sim.config("google-ai", "groq")) as aio:
        sim.inject("503", vendor="google-ai")
        aio.chat_completion(turns)

    assert repr(turns) == before
    assert sim.count() >= 2
