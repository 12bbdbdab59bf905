"""Every endpoint that speaks OpenAI's chat completions, on the official `openai` SDK.

The SDK's low-level door (`client.post(path, cast_to=<raw response>)`) builds, signs and sends
the request and raises its errors; the bytes of the answer are read into our own models. Its
typed door walks every message through every union member: 7 times the CPU at 50 messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aio_llm.config import ProviderConfig
from aio_llm.providers.base import Call
from aio_llm.providers.openai_shape import (
    encode_body,
    plain_messages,
    read_chunks,
    read_completion,
)
from aio_llm.providers.presets import Preset
from aio_llm.providers.sdk import SdkProvider
from aio_llm.transport import lean_client
from aio_llm.types import ChatCompletion, ChatRequest, StreamChunk


class OpenAIShaped(SdkProvider):
    """What the `openai` and the `groq` SDK share: they come from one generator."""

    def __init__(self, config: ProviderConfig, preset: Preset) -> None:
        super().__init__(config, preset)
        self._rename = dict(preset.rename)
        self._raw: Any = None

    def load(self) -> tuple[Any, Any]:
        """Import the SDK: the module of its HTTP library, and its client class."""
        raise NotImplementedError

    def chat(self, request: ChatRequest, call: Call) -> ChatCompletion:
        """One answer, parsed from the raw body."""
        response = self._post(request, call, stream=False)
        return read_completion(response.content, call.target)

    def stream(self, request: ChatRequest, call: Call) -> Iterator[StreamChunk]:
        """Chunks as they arrive; the connection goes back when the last one is read."""
        response = self._post(request, call, stream=True)
        try:
            yield from read_chunks(response.stream, call.target)
            response.stream.drain()
        finally:
            response.stream.close()

    def check_key(self, call: Call) -> None:
        """List the models (OpenRouter: ask about the key, its list is public)."""
        self.sign(call)
        self.client().get(self.preset.key_path, cast_to=self._raw)

    def _post(self, request: ChatRequest, call: Call, *, stream: bool) -> Any:
        strict = self.preset.strict_history
        messages = plain_messages(request) if strict else request.messages_json
        fields = self._fields(request, stream=stream)
        body = encode_body(request, call.target.model, fields, messages)
        self.sign(call, request.extra_headers)
        client = self.client()
        return client.post(self.preset.chat_path, cast_to=self._raw, content=body, stream=stream)

    def _fields(self, request: ChatRequest, *, stream: bool) -> dict[str, Any]:
        fields = {self._rename.get(k, k): v for k, v in request.options.items()}
        if stream:
            fields["stream"] = True
            if self.preset.asks_usage:
                fields["stream_options"] = {"include_usage": True}
        return fields

    def key_header(self, secret: str) -> dict[str, str]:
        """A bearer token."""
        return {"authorization": f"Bearer {secret}"}

    def make_client(self) -> Any:
        """The SDK's client on our transport, without retries of its own."""
        http, make = self.load()
        self._raw = http.Response
        return make(
            api_key="signed-by-the-transport",
            base_url=self.base_url,
            http_client=lean_client(http, self.pool),
            max_retries=0,
        )


class OpenAICompatible(OpenAIShaped):
    """OpenRouter, Cerebras and any other endpoint of that shape."""

    def load(self) -> tuple[Any, Any]:
        """The `openai` SDK and httpx2."""
        import httpx2
        from openai import OpenAI

        return httpx2, OpenAI


provider_class = OpenAICompatible
