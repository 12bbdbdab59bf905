"""One raw SDK per vendor behind the same few functions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import groq
import openai
from google import genai
from google.genai import errors, types

from aio_llm.simulator import Simulator

REFUSED = (openai.APIStatusError, groq.APIStatusError, errors.APIError)
VENDORS = ("groq", "cerebras", "google-ai", "openrouter")
Texts = list[str]


@dataclass
class Caller:
    """A vendor's own SDK without retries; timeouts in seconds."""

    sim: Simulator
    vendor: str
    timeout: float = 5.0
    clients: dict[str, Any] = field(default_factory=dict)

    def client(self, key: str | None = None) -> Any:
        """The SDK's client for a key, always the same one."""
        key = key or self.sim.keys(self.vendor)[0]
        if key not in self.clients:
            self.clients[key] = self.build(key, self.sim.base_url(self.vendor))
        return self.clients[key]

    def close(self) -> None:
        """Close the clients: a socket left to the garbage collector warns in a later test."""
        for client in self.clients.values():
            client.close()

    def __del__(self) -> None:
        self.close()

    def build(self, key: str, url: str) -> Any:
        """A new client."""
        if self.vendor == "google-ai":
            milliseconds = int(self.timeout * 1000)
            options = types.HttpOptions(base_url=url, timeout=milliseconds)
            return genai.Client(api_key=key, http_options=options)
        build = groq.Groq if self.vendor == "groq" else openai.OpenAI
        return build(api_key=key, base_url=url, timeout=self.timeout, max_retries=0)

    def call(self, text: str = "hello", key: str | None = None, model: str | None = None,
             **options: Any) -> Any:  # fmt: skip
        """A plain call; the SDK's own answer."""
        client, model = self.client(key), model or self.sim.models(self.vendor)[0]
        if self.vendor == "google-ai":
            return client.models.generate_content(model=model, contents=text, config=options)
        return client.chat.completions.create(model=model, messages=_user(text), **options)

    def stream(self, text: str = "hello", **options: Any) -> Iterator[Any]:
        """The SDK's own chunks."""
        client, model = self.client(), self.sim.models(self.vendor)[0]
        if self.vendor == "google-ai":
            models = client.models
            return iter(models.generate_content_stream(model=model, contents=text, config=options))
        create = client.chat.completions.create
        return iter(create(model=model, messages=_user(text), stream=True, **options))

    def text(self, text: str = "hello", **options: Any) -> str:
        """The text of a plain call."""
        answer = self.call(text, **options)
        is_google = self.vendor == "google-ai"
        return str(answer.text if is_google else answer.choices[0].message.content)

    def texts(self, text: str = "hello") -> Texts:
        """The texts of a stream."""
        return [found for found in map(self.text_of, self.stream(text)) if found]

    def text_of(self, chunk: Any) -> str:
        """The text of one chunk."""
        if self.vendor == "google-ai":
            return chunk.text or ""
        return (chunk.choices[0].delta.content or "") if chunk.choices else ""


def status_of(error: Any) -> int:
    """The HTTP status, whatever the SDK calls it."""
    return int(getattr(error, "status_code", None) or error.code)


def spend(caller: Caller, count: int, **options: Any) -> list[bool]:
    """Whether each of so many calls passed."""
    passed = []
    for _ in range(count):
        try:
            caller.call(**options)
        except REFUSED as error:
            passed.append(status_of(error) != 429)
        else:
            passed.append(True)
    return passed


def _user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]
