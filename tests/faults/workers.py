"""What a worker process does with an `AIO` that was handed to it."""

from __future__ import annotations

from aio_llm import AIO


def answer(aio: AIO, vendor: str, question: str) -> str:
    """The text of one answer, asked for in this process."""
    with aio:
        return aio.chat_completion(question, provider=vendor).content or ""
