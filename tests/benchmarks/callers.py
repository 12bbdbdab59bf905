"""The contenders: a vendor's SDK as a careful user calls it, and an `AIO` with one provider."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from aio_llm.simulator import Simulator

SDKS = {"openai": "cerebras", "groq": "groq", "google": "google-ai"}
"""The simulated vendor that is asked with each SDK."""

_ROLES = {"user": "user", "assistant": "model"}

Messages = list[dict[str, str]]


@dataclass(frozen=True)
class Caller:
    """`chat` asks once and reads the text; `stream` reads all pieces and says how many."""

    chat: Callable[[], object]
    stream: Callable[[], int]


def history(count: int) -> Messages:
    """`count` turns of a conversation, the last one the user's."""
    turns = [
        {"role": ("assistant", "user")[at % 2], "content": f"This is turn {at}, as they are. " * 4}
        for at in range(count + 1)
    ]
    return turns[1:] if count % 2 else [{"role": "user", "content": "Begin."}, *turns[2:]]


def place(sdk: str, origin: str) -> dict[str, Any]:
    """Provider, base URL, key and model of the vendor behind `sdk` at `origin`."""
    sim, vendor = Simulator(), SDKS[sdk]
    base = {"openai": f"{origin}/cerebras/v1", "groq": f"{origin}/groq"}
    return {
        "provider": vendor,
        "base_url": base.get(sdk, f"{origin}/google-ai"),
        "api_keys": sim.keys(vendor)[:1],
        "models": sim.models(vendor)[:1],
    }


def ours(sdk: str, origin: str, messages: Messages) -> Caller:
    """An `AIO` at its defaults."""
    from aio_llm import AIO

    aio = AIO(providers=[place(sdk, origin)], auto_mode=True)

    def stream() -> int:
        with aio.chat_completion_stream(messages) as chunks:
            return _count(chunk.content for chunk in chunks)

    return Caller(lambda: aio.chat_completion(messages).content, stream)


def raw(sdk: str, origin: str, messages: Messages) -> Caller:
    """The SDK with its own HTTP client, kept between calls."""
    return {"openai": _openai, "groq": _groq, "google": _google}[sdk](place(sdk, origin), messages)


def _openai(at: dict[str, Any], messages: Messages) -> Caller:
    import openai

    return _typed(openai.OpenAI, at, messages)


def _groq(at: dict[str, Any], messages: Messages) -> Caller:
    import groq

    return _typed(groq.Groq, at, messages)


def _typed(make: Any, at: dict[str, Any], messages: Messages) -> Caller:
    client = make(api_key=at["api_keys"][0], base_url=at["base_url"], max_retries=0)
    create, model = client.chat.completions.create, at["models"][0]

    def stream() -> int:
        chunks = create(model=model, messages=messages, stream=True)
        return _count(chunk.choices[0].delta.content for chunk in chunks if chunk.choices)

    return Caller(lambda: create(model=model, messages=messages).choices[0].message.content, stream)


def _google(at: dict[str, Any], messages: Messages) -> Caller:
    from google import genai

    options = genai.types.HttpOptions(base_url=at["base_url"])
    client = genai.Client(api_key=at["api_keys"][0], http_options=options)
    contents: Any = [
        {"role": _ROLES[m["role"]], "parts": [{"text": m["content"]}]} for m in messages
    ]
    model = at["models"][0]

    def stream() -> int:
        chunks = client.models.generate_content_stream(model=model, contents=contents)
        return _count(chunk.text for chunk in chunks)

    def chat() -> object:
        # The client is named so that it lives: its models alone do not keep it open.
        return client.models.generate_content(model=model, contents=contents).text

    return Caller(chat, stream)


def _count(texts: Iterable[str | None]) -> int:
    return sum(1 for text in texts if text)
