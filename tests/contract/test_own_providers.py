"""A vendor of one's own is one class and one line."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from aio_llm import (
    AIO,
    BaseProvider,
    Call,
    ChatCompletion,
    ChatMessage,
    ChatRequest,
    Choice,
    ConfigError,
    NetworkError,
    StreamChunk,
    UnsupportedFeatureError,
    register_provider,
)
from aio_llm.simulator import Simulator

NUMBERS = itertools.count(1)


class Parrot(BaseProvider):
    """Repeats the last message; falls silent when it is told to."""

    def chat(self, request: ChatRequest, call: Call) -> ChatCompletion:
        """The whole answer."""
        text = str(request.messages[-1]["content"])
        if text == "fly":
            raise ConnectionResetError("it is gone")
        message = ChatMessage(content=f"{call.target.model}: {text}")
        return ChatCompletion(choices=[Choice(message=message, finish_reason="stop")])

    def stream(self, request: ChatRequest, call: Call) -> Iterator[StreamChunk]:
        """The answer letter by letter."""
        for letter in self.chat(request, call).content:
            yield StreamChunk(letter)
        last = StreamChunk(finish_reason="stop")
        last.done = True
        yield last

    def check_key(self, call: Call) -> None:
        """Every key is good but one."""
        if call.target.secret == "stolen":
            raise PermissionError("401")

    def unsupported(self, request: ChatRequest) -> str | None:
        """Parrots use no tools."""
        return "tools" if request.options.get("tools") else None


@pytest.fixture
def parrot() -> str:
    """The name of a freshly registered vendor."""
    name = f"parrot-{next(NUMBERS)}"
    register_provider(name, Parrot)
    return name


def entry(name: str, priority: int = 100) -> dict[str, object]:
    """A configuration of it."""
    return {"provider": name, "api_keys": ["seed"], "models": ["grey"], "priority": priority}


def test_it_is_called_like_any_other(parrot: str) -> None:
    with AIO([entry(parrot)]) as aio:
        answer = aio.chat_completion("hello", model=f"{parrot}/grey")
        stream = aio.chat_completion_stream("hello", provider=parrot)

        assert answer.content == "grey: hello"
        assert stream.response.content == "grey: hello"
        assert stream.finish_reason == "stop"
        assert aio.validate_api_key(parrot, "seed")


def test_it_falls_over_and_is_fallen_over_to(parrot: str, sim: Simulator) -> None:
    with AIO([entry(parrot), sim.provider("groq", priority=1)], auto_mode=True) as aio:
        answer = aio.chat_completion("fly")

        assert answer.provider == "groq"
        assert [a.outcome for a in answer.attempts] == ["network", "ok"]

    sim.inject("503")
    with AIO([sim.provider("groq"), entry(parrot, priority=1)], auto_mode=True) as aio:
        assert aio.chat_completion("hello").content == "grey: hello"


def test_its_errors_are_read_like_any_others(parrot: str) -> None:
    with (
        AIO([entry(parrot)], auto_mode=True, max_retries=0) as aio,
        pytest.raises(NetworkError, match="it is gone"),
    ):
        aio.chat_completion("fly")


def test_what_it_lacks_is_refused(parrot: str) -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    with (
        AIO([entry(parrot)], auto_mode=True) as aio,
        pytest.raises(UnsupportedFeatureError, match="tools"),
    ):
        aio.chat_completion("hello", tools=[tool])


@pytest.mark.parametrize("name", ["groq", "google", "Gemini", "custom", "google_ai", "openrouter"])
def test_a_built_in_name_cannot_be_taken(name: str) -> None:
    with pytest.raises(ConfigError, match="built in"):
        register_provider(name, Parrot)


def test_a_misspelt_name_finds_the_registered_one(parrot: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean '{parrot}'"):
        AIO([entry(parrot.replace("rr", "r"))])
