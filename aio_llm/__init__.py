"""One dependable chat endpoint out of a pile of LLM API keys, for synchronous Python.

Not an async library, not an agent framework, not a prompt library. Importing this package
loads no vendor SDK, opens no connection and starts no thread; names load when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from aio_llm.quiet import disable_by_default

if TYPE_CHECKING:
    from aio_llm.cancel import CancelToken
    from aio_llm.client import AIO
    from aio_llm.clock import Clock, FakeClock, SystemClock
    from aio_llm.config import ApiKey, ModelConfig, ProviderConfig
    from aio_llm.errors import (
        AIOError,
        AllAttemptsFailedError,
        AuthenticationError,
        ConfigError,
        ContentFilterError,
        ContextLengthError,
        InvalidRequestError,
        ModelNotFoundError,
        NetworkError,
        RateLimitError,
        RequestCancelledError,
        RequestTimeoutError,
        ServerError,
        StreamInterruptedError,
        UnsupportedFeatureError,
    )
    from aio_llm.event_records import (
        Alert,
        AttemptFailed,
        CircuitClosed,
        CircuitOpened,
        EventRecord,
        KeyDisabled,
        RequestCompleted,
        RequestFailed,
    )
    from aio_llm.faults import ErrorInfo
    from aio_llm.providers.base import BaseProvider, Call, KeyCheck, Target
    from aio_llm.providers.registry import register_provider
    from aio_llm.stream import ChatStream
    from aio_llm.types import (
        Attempt,
        ChatCompletion,
        ChatMessage,
        ChatRequest,
        Choice,
        StreamChunk,
        ToolCall,
        Usage,
    )

disable_by_default()

__version__ = "0.1.0"

_HOMES = {
    "cancel": ("CancelToken",),
    "client": ("AIO",),
    "clock": ("Clock", "FakeClock", "SystemClock"),
    "config": ("ApiKey", "ModelConfig", "ProviderConfig"),
    "errors": (
        "AIOError", "AllAttemptsFailedError", "AuthenticationError", "ConfigError",
        "ContentFilterError", "ContextLengthError", "InvalidRequestError", "ModelNotFoundError",
        "NetworkError", "RateLimitError", "RequestCancelledError", "RequestTimeoutError",
        "ServerError", "StreamInterruptedError", "UnsupportedFeatureError",
    ),
    "event_records": (
        "Alert", "AttemptFailed", "CircuitClosed", "CircuitOpened", "EventRecord", "KeyDisabled",
        "RequestCompleted", "RequestFailed",
    ),
    "faults": ("ErrorInfo",),
    "providers.base": ("BaseProvider", "Call", "KeyCheck", "Target"),
    "providers.registry": ("register_provider",),
    "stream": ("ChatStream",),
    "types": (
        "Attempt", "ChatCompletion", "ChatMessage", "ChatRequest", "Choice", "StreamChunk",
        "ToolCall", "Usage",
    ),
}  # fmt: skip
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AIO", "AIOError", "Alert", "AllAttemptsFailedError", "ApiKey", "Attempt", "AttemptFailed",
    "AuthenticationError", "BaseProvider", "Call", "CancelToken", "ChatCompletion", "ChatMessage",
    "ChatRequest", "ChatStream", "Choice", "CircuitClosed", "CircuitOpened", "Clock", "ConfigError",
    "ContentFilterError", "ContextLengthError", "ErrorInfo", "EventRecord", "FakeClock",
    "InvalidRequestError", "KeyCheck", "KeyDisabled", "ModelConfig", "ModelNotFoundError",
    "NetworkError", "ProviderConfig", "RateLimitError", "RequestCancelledError", "RequestCompleted",
    "RequestFailed", "RequestTimeoutError", "ServerError", "StreamChunk", "StreamInterruptedError",
    "SystemClock", "Target", "ToolCall", "UnsupportedFeatureError", "Usage", "register_provider",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'aio_llm' has no attribute {name!r}")
    value = getattr(import_module(f"aio_llm.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
