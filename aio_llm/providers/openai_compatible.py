"""Every endpoint that speaks OpenAI's chat completions, on the official `openai` SDK.

The SDK's low-level door (`client.post(path, cast_to=<raw response>)`) builds, signs and sends
the request and raises its errors; the bytes of the answer are read into our own models. Its
typed door walks every message through every union member: 7 times the CPU at 50 messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aio_llm.config import ProviderConfig
from aio_llm.providers.base import BaseProvider, Call
from aio_llm.providers.openai_shape import encode_body, read_chunks, read_completion
from aio_llm.providers.presets import Preset
from aio_llm.transport import ConnectionPool, lean_client
from aio_llm.types import ChatCompletion, ChatRequest, StreamChunk


class OpenAIShaped(BaseProvider):
    """What the `openai` and the `groq` SDK share: they come from one generator."""

    def __init__(self, config: ProviderConfig, preset: Preset) -> None:
        super().__init__(config)
        self.preset = preset
        self.base_url = config.base_url or preset.base_url
        self.pool = ConnectionPool()
        self._rename = dict(preset.rename)
        self._sdk: Any = None
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
        client = self._client()
        client.get(self.preset.key_path, cast_to=self._raw, options=_signed(call.target.secret))

    def unsupported(self, request: ChatRequest) -> str | None:
        """Fields the preset's row says this vendor refuses."""
        for name in self.preset.lacks:
            value = request.options.get(name)
            if value is not None and value is not False and not (name == "n" and value == 1):
                return name
        return None

    def _post(self, request: ChatRequest, call: Call, *, stream: bool) -> Any:
        body = encode_body(request, call.target.model, self._fields(request, stream=stream))
        client = self._client()
        call.scope.headers = {**self.config.headers, **request.extra_headers}
        return client.post(
            self.preset.chat_path,
            cast_to=self._raw,
            content=body,
            options=_signed(call.target.secret),
            stream=stream,
        )

    def _fields(self, request: ChatRequest, *, stream: bool) -> dict[str, Any]:
        fields = {self._rename.get(k, k): v for k, v in request.options.items()}
        if stream:
            fields["stream"] = True
            if self.preset.asks_usage:
                fields["stream_options"] = {"include_usage": True}
        return fields

    def _client(self) -> Any:
        """The SDK's one client; each request is signed with its own key, see `_signed`."""
        if self._sdk is None:
            http, make = self.load()
            self._raw = http.Response
            self._sdk = make(
                api_key="signed-per-request",
                base_url=self.base_url,
                http_client=lean_client(http, self.pool),
                max_retries=0,
            )
        return self._sdk

    def warm_up(self) -> None:
        """Import the SDK and make a client."""
        self._client()

    def reset(self) -> None:
        """Close what is idle; connections in use were closed by the interrupt itself."""
        self.pool.close()

    def close(self) -> None:
        """Close idle connections."""
        self.pool.close()


def _signed(secret: str) -> dict[str, Any]:
    """The key as a header of this very request: one client serves all keys (a client each
    costs 2.5 to 11 kB), and the environment cannot replace it.
    """
    return {"headers": {"Authorization": f"Bearer {secret}"}}


class OpenAICompatible(OpenAIShaped):
    """OpenRouter, Cerebras and any other endpoint of that shape."""

    def load(self) -> tuple[Any, Any]:
        """The `openai` SDK and httpx2."""
        import httpx2
        from openai import OpenAI

        return httpx2, OpenAI


provider_class = OpenAICompatible
