"""What the adapter tests share: one call at one vendor, and what arrived there."""

from __future__ import annotations

from typing import Any

from aio_llm import AIO, ChatCompletion
from aio_llm.simulator import RecordedRequest, Simulator

OPENAI_LIKE = ("groq", "cerebras", "openrouter")
VENDORS = (*OPENAI_LIKE, "google-ai")
USER: dict[str, Any] = {"role": "user", "content": "hello"}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place.",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
    },
}


def ask(
    sim: Simulator, vendor: str, messages: Any = "hello", *, stream: bool = False, **options: Any
) -> ChatCompletion:
    """One call at one vendor with its first key and model; `provider` are configuration fields."""
    fields = options.pop("provider", {})
    entry = sim.provider(vendor, api_keys=sim.keys(vendor)[:1], models=sim.models(vendor)[:1])
    with AIO([entry | fields], auto_mode=True, max_retries=0, max_wait=0) as aio:
        if stream:
            return aio.chat_completion_stream(messages, **options).response
        return aio.chat_completion(messages, **options)


def arrived(sim: Simulator) -> RecordedRequest:
    """The one request that arrived."""
    (request,) = sim.requests
    return request


def body(sim: Simulator) -> dict[str, Any]:
    """The body of the one request that arrived."""
    return arrived(sim).body or {}
