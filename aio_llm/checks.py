"""Does a vendor accept this key? Asked without spending a token."""

from __future__ import annotations

from aio_llm.cancel import CallAborted, CancelScope
from aio_llm.clock import Clock
from aio_llm.faults import Category, Fault, Kind, mask, without_secret
from aio_llm.providers.base import BaseProvider, Call, KeyCheck, Target


def check_key(adapter: BaseProvider, key: str, clock: Clock, timeout: float) -> KeyCheck:
    """Ask the vendor; anything but a clear yes or no is "unknown". `timeout`: seconds."""
    started = clock.now()
    scope = CancelScope(clock.now, started + timeout)
    target = Target(adapter.config.label, "", mask(key), key)
    fault: Fault | None = None
    reason = ""
    try:
        with scope:
            adapter.check_key(Call(target, scope))
    except CallAborted:
        reason = f"no answer within {timeout:g} s"
    except Exception as error:  # whatever an SDK raises is read, never passed on
        fault = without_secret(adapter.classify(error), key)
        reason = f"{fault.kind.value}: {fault.message}"[:300]
    status = "valid" if not reason else "unknown"
    if fault is not None and fault.category is Category.AUTH and fault.kind is not Kind.FORBIDDEN:
        status = "invalid"
    return KeyCheck(
        status,  # type: ignore[arg-type]
        adapter.config.label,
        mask(key),
        reason,
        clock.now() - started,
    )
