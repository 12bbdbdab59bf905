"""What the engine tells the world: structured, redacted log records by loguru.

Off by default, as a library should be (`logger.enable("aio_llm")` turns it on), no handlers,
no tracebacks: loguru's `diagnose=True` prints variables, and a frame of an SDK holds the key.
"""

from __future__ import annotations

from typing import Any

from loguru import logger

from aio_llm.faults import redact

logger.disable("aio_llm")


def enable() -> None:
    """Let this library's records through to the application's handlers."""
    logger.enable("aio_llm")


def tell(level: str, message: str, **fields: Any) -> None:
    """One record; `fields` (provider, model, key_id, category, latency, attempt …) are bound."""
    safe = {k: redact(v, limit=500) if isinstance(v, str) else v for k, v in fields.items()}
    logger.bind(**safe).log(level, "{}", redact(message))
