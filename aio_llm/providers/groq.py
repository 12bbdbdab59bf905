"""Groq on its official SDK, which speaks OpenAI's shape over httpx."""

from __future__ import annotations

from typing import Any

from aio_llm.providers.openai_compatible import OpenAIShaped


class Groq(OpenAIShaped):
    """`base_url` is the host; the SDK adds `/openai/v1`."""

    def load(self) -> tuple[Any, Any]:
        """The `groq` SDK and httpx."""
        import groq
        import httpx

        return httpx, groq.Groq


provider_class = Groq
