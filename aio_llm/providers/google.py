"""Google AI (Gemini API) on the official `google-genai` SDK.

The SDK builds, signs and sends the request and raises its errors; the body travels through
its public `extra_body` and the answer is read from the HTTP client that was handed to it.
Its typed way in and out costs 14 times a plain call at 50 messages, and its stream reader
takes a cut stream for a whole one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from aio_llm.config import ProviderConfig
from aio_llm.providers.base import BaseProvider, Call
from aio_llm.providers.google_shape import build_body, read_chunks, read_completion
from aio_llm.providers.presets import Preset
from aio_llm.transport import ConnectionPool, lean_client, shared_ssl_context
from aio_llm.types import ChatCompletion, ChatRequest, StreamChunk

API_VERSION = "v1beta"
"""The SDK's default, v1, lacks thinking, JSON schemas and most preview models."""


_KEY_HEADER = "x-goog-api-key"


class Google(BaseProvider):
    """`base_url` is the host; the SDK adds the version and the model's path."""

    def __init__(self, config: ProviderConfig, preset: Preset) -> None:
        super().__init__(config)
        self.preset = preset
        self.base_url = config.base_url or preset.base_url
        self.pool = ConnectionPool()
        self._sdk: Any = None

    def chat(self, request: ChatRequest, call: Call) -> ChatCompletion:
        """One answer, parsed from the raw body."""
        models, arguments = self._prepare(request, call)
        models.generate_content(**arguments)
        return read_completion(call.scope.answer.content, call.target)

    def stream(self, request: ChatRequest, call: Call) -> Iterator[StreamChunk]:
        """Chunks as they arrive; the connection goes back when the last one is read."""
        models, arguments = self._prepare(request, call)
        arguments["config"].should_return_http_response = None
        call.scope.detach_body = True
        try:
            for _ in models.generate_content_stream(**arguments):
                pass  # the body is detached: the SDK sees an empty stream, errors it raises
        finally:
            call.scope.detach_body = False
        body = call.scope.answer.stream
        try:
            yield from read_chunks(body, call.target)
            body.drain()
        finally:
            body.close()

    def check_key(self, call: Call) -> None:
        """List one model."""
        options = {"headers": {_KEY_HEADER: call.target.secret}}
        self._client().models.list(config={"page_size": 1, "http_options": options})

    def unsupported(self, request: ChatRequest) -> str | None:
        """Fields Google has no place for."""
        for name in self.preset.lacks:
            if request.options.get(name) not in (None, True):
                return name
        return None

    def _prepare(self, request: ChatRequest, call: Call) -> tuple[Any, dict[str, Any]]:
        call.scope.headers = {**self.config.headers, **request.extra_headers}
        models = self._client().models
        body = build_body(request, call.target.model)
        return models, {
            "model": call.target.model,
            **_shell().around(body, call.target.secret),
        }

    def _client(self) -> Any:
        """The SDK's one client; each request is signed with its own key."""
        if self._sdk is None:
            from google import genai

            self._sdk = genai.Client(
                api_key="signed-per-request", vertexai=False, http_options=self._options(genai)
            )
        return self._sdk

    def _options(self, genai: Any) -> Any:
        """Both HTTP clients are given: for one it lacks the SDK would load the CA store."""
        import httpx2

        context = shared_ssl_context()
        return genai.types.HttpOptions(
            base_url=self.base_url,
            api_version=API_VERSION,
            httpx_client=lean_client(httpx2, self.pool),
            httpx_async_client=httpx2.AsyncClient(verify=context),
            async_client_args={"ssl": context, "verify": context},
        )

    def warm_up(self) -> None:
        """Import the SDK and make a client."""
        self._client()

    def reset(self) -> None:
        """Close what is idle; connections in use were closed by the interrupt itself."""
        self.pool.close()

    def close(self) -> None:
        """Close idle connections."""
        self.pool.close()


class _Shell:
    """Typed arguments around an untyped body, made once and copied per call.

    The SDK asks `field in config` about 60 times per call. On a pydantic model that walks all
    fields and is always False, because iterating one yields pairs; saying so at once, and
    not validating the same settings again, halves the CPU of a call.
    """

    def __init__(self, types: Any) -> None:
        class Config(types.GenerateContentConfig):  # type: ignore[misc]
            def __contains__(self, field: object) -> bool:
                return False

        class Nothing(types.Content):  # type: ignore[misc]
            def __contains__(self, field: object) -> bool:
                return False

        self._options = types.HttpOptions
        self._nothing = Nothing(role="user", parts=[])
        self._config = Config(
            automatic_function_calling={"disable": True},
            automatic_continuation=False,
            should_return_http_response=True,
        )

    def around(self, body: dict[str, Any], secret: str) -> dict[str, Any]:
        """`contents` and `config` that send `body` instead, signed with `secret`."""
        options = self._options.model_construct(extra_body=body, headers={_KEY_HEADER: secret})
        config = self._config.model_copy(update={"http_options": options})
        return {"contents": self._nothing, "config": config}


@cache
def _shell() -> _Shell:
    """One for the whole process: its two classes take 50 ms to make."""
    from google.genai import types

    return _Shell(types)


provider_class = Google
