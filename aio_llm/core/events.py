"""What the engine tells the world: structured, redacted log records by loguru.

Off by default (quiet.py), no handlers, no tracebacks: loguru's `diagnose=True` prints
variables, and a frame of an SDK holds the key.
"""

from __future__ import annotations

import sys
from typing import Any

from aio_llm.faults import redact
from aio_llm.quiet import NAME


def enable() -> None:
    """Let this library's records through to the application's handlers."""
    from loguru import logger

    logger.enable(NAME)


def tell(level: str, message: str, **fields: Any) -> None:
    """One record; `fields` (provider, model, key_id, category, latency, attempt …) are bound."""
    if "loguru" not in sys.modules:
        return  # nobody has made a handler
    from loguru import logger

    safe = {k: redact(v, limit=500) if isinstance(v, str) else v for k, v in fields.items()}
    logger.bind(**safe).opt(depth=1).log(level, "{}", redact(message))
