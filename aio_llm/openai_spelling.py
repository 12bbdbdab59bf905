"""OpenAI's spelling of a call: code written for its client ports by changing the constructor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aio_llm.client import AIO
    from aio_llm.stream import ChatStream
    from aio_llm.types import ChatCompletion


class Chat:
    """`aio.chat`: OpenAI's spelling."""

    def __init__(self, aio: AIO) -> None:
        self.completions = Completions(aio)


class Completions:
    """`aio.chat.completions`: OpenAI's spelling."""

    def __init__(self, aio: AIO) -> None:
        self._aio = aio

    def create(
        self,
        *,
        messages: str | Iterable[Any],
        model: str | Sequence[str] | None = None,
        stream: bool = False,
        max_completion_tokens: int | None = None,
        stream_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> ChatCompletion | ChatStream:
        """`chat_completion` with OpenAI's signature; usage is always in the stream."""
        if max_completion_tokens is not None:
            options.setdefault("max_tokens", max_completion_tokens)
        if model == "auto":
            model = None
        if stream:
            return self._aio.chat_completion_stream(messages, model=model, **options)
        return self._aio.chat_completion(messages, model=model, **options)
