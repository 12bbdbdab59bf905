"""The error a call ends with: its class, its words, when to try again. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aio_llm.core.skips import Skip
from aio_llm.errors import AIOError, AllAttemptsFailedError, error_class
from aio_llm.faults import Category, ErrorInfo, Fault, Kind, Scope

if TYPE_CHECKING:
    from aio_llm.types import Attempt


def failure(
    attempts: Sequence[Attempt],
    skipped: Sequence[Skip],
    *,
    now: float,
    wall: float,
    request_id: str,
    last: Fault | None = None,
    until: float = math.inf,
    stopped: bool = False,
) -> AIOError:
    """What every attempt (or, if none was made, every reason for making none) adds up to.

    `until`: when something is free again, clock seconds; `now`, `wall`: this moment on the
    clock and in epoch seconds. `stopped`: the last fault ended the call, whatever came before.
    """
    failed = [attempt for attempt in attempts if attempt.kind is not None]
    if failed:
        kinds = [attempt.kind or Kind.UNKNOWN for attempt in failed]
        categories = [attempt.category or Category.UNKNOWN for attempt in failed]
        if stopped:
            kinds, categories = kinds[-1:], categories[-1:]
    else:
        faults = [Fault(skip.kind, Scope.KEY) for skip in skipped]
        kinds = [fault.kind for fault in faults]
        categories = [fault.category for fault in faults]
    cls = error_class(kinds, categories) if kinds else AllAttemptsFailedError
    until = min([until, *(skip.until for skip in skipped if skip.kind is not Kind.BAD_KEY)])
    wait = None if until == math.inf else max(0.0, until - now)
    return cls(
        _words(failed, [] if stopped else skipped, wait, stopped=stopped),
        attempts=attempts,
        retry_after=wait,
        available_at=None if wait is None else datetime.fromtimestamp(wall + wait, UTC),
        info=ErrorInfo.of(last) if last else None,
        request_id=request_id,
    )


def _words(
    failed: Sequence[Attempt], skipped: Sequence[Skip], wait: float | None, *, stopped: bool
) -> str:
    if stopped:
        return "\n".join([str(failed[-1]), *(f"  before that {step}" for step in failed[:-1])])
    if len(failed) == 1 and not skipped:
        return str(failed[0])
    lines = [f"no target gave an answer ({len(failed)} tried, {len(skipped)} not)"]
    lines += [f"  tried   {attempt}" for attempt in failed[:20]]
    lines += [f"  skipped {s.lane.name} {s.key}: {s.reason}" for s in skipped[:20]]
    hidden = max(0, len(failed) - 20) + max(0, len(skipped) - 20)
    lines += [f"  … {hidden} more"] if hidden else []
    if wait is not None:
        lines.append(f"  the first is free again in {wait:.1f} s")
    return "\n".join(lines)
