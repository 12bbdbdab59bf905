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

from aio_llm.providers.base import Call
from aio_llm.providers.google_shape import build_body, read_chunks, read_completion
from aio_llm.providers.sdk import SdkProvider
from aio_llm.transport import lean_client, shared_ssl_context
from aio_llm.types import ChatCompletion, ChatRequest, StreamChunk

API_VERSION = "v1beta"
"""The SDK's default, v1, lacks thinking, JSON schemas and most preview models."""


class Google(SdkProvider):
    """`base_url` is the host; the SDK adds the version and the model's path."""

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
        self.sign(call)
        self.client().models.list(config={"page_size": 1})

    def _prepare(self, request: ChatRequest, call: Call) -> tuple[Any, dict[str, Any]]:
        self.sign(call, request.extra_headers)
        models = self.client().models
        body = build_body(request, call.target.model)
        return models, {"model": call.target.model, **_shell().around(body)}

    def key_header(self, secret: str) -> dict[str, str]:
        """Google's own header."""
        return {"x-goog-api-key": secret}

    def make_client(self) -> Any:
        """The SDK's client on our transport."""
        from google import genai

        return genai.Client(
            api_key="signed-by-the-transport", vertexai=False, http_options=self._options(genai)
        )

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

    def around(self, body: dict[str, Any]) -> dict[str, Any]:
        """`contents` and `config` that send `body` instead of themselves."""
        options = self._options.model_construct(extra_body=body)
        config = self._config.model_copy(update={"http_options": options})
        return {"contents": self._nothing, "config": config}


@cache
def _shell() -> _Shell:
    """One for the whole process: its two classes take 50 ms to make."""
    from google.genai import types

    return _Shell(types)


provider_class = Google
