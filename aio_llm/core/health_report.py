"""How each model of each provider is doing, for people: rows of `health()` and of
`get_circuit_breaker_state()`.

| state | when |
|---|---|
| down | its circuit is open, or no key is free before a call gives up waiting |
| degraded | its circuit is half-open; its last attempt failed; it is suspected of hanging |
| degraded | every key is busy or limited just now; less than half of its last attempts were good |
| unknown | nobody has asked it yet |
| healthy | always else |

The first row that fits counts. Call these functions under the keys' lock; nothing is changed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from aio_llm.config import Settings
from aio_llm.core.availability import Record
from aio_llm.core.figures import TargetFigures
from aio_llm.core.key_state import KeyState
from aio_llm.core.limits import ON_RELEASE
from aio_llm.core.pool import Rank
from aio_llm.core.routing import Lane
from aio_llm.core.scheduler import Scheduler

BARELY = 0.5
"""Share of good attempts below which a model is degraded."""

NOTHING = TargetFigures()
"""Of a model that was never tried."""


def circuit_row(scheduler: Scheduler, lane: Lane, settings: Settings, now: float) -> dict[str, Any]:
    """The breaker of one model; a rest of its whole provider is one of it as well. `now`: clock
    seconds.
    """
    record = _record(scheduler, lane)
    state = _circuit(record, now)
    row: dict[str, Any] = {
        "state": state,
        "reason": record.kind.value if record else "",
        "failures": record.strikes if record else 0,
        "successes": record.streak if record else 0,
        "opened": max(1, record.opened) if record and state != "closed" else 0,
        "next_probe_in": 0.0 if record is None or state == "closed" else _left(record.free_at, now),
    }
    return row | settings.circuit_breaker.model_dump()


def _record(scheduler: Scheduler, lane: Lane) -> Record | None:
    """What rests: the model or its provider, whichever is the worse."""
    records = scheduler.keys.availability.records
    found = [records[spot] for spot in scheduler.keys.lane_places(lane) if spot in records]
    return max(found, key=lambda r: (r.is_open, r.free_at), default=None)


def _circuit(record: Record | None, now: float) -> str:
    if record is None or not record.is_open:
        return "closed"
    return "open" if record.until > now else "half_open"


def _left(moment: float, now: float) -> float | None:
    """Seconds until then; None if nobody knows."""
    return None if moment >= ON_RELEASE else max(0.0, moment - now)


def health_row(
    scheduler: Scheduler, lane: Lane, figures: TargetFigures, settings: Settings, now: float
) -> dict[str, Any]:
    """One model of one provider. `now`: clock seconds."""
    health, record = scheduler.choose.health_of(lane), _record(scheduler, lane)
    ready = [scheduler.keys.ready_at(lane, key, now) for key in scheduler.keys.keys(lane.provider)]
    key_at = min(ready)
    lane_at = max(health.ready_at(now), record.free_at if record else -math.inf)
    row = {
        "state": "",
        "reason": "",
        "circuit": _circuit(record, now),
        "success_rate": figures.success_rate,
        "recent_success": figures.recent_success,
        "latency": {"ewma": figures.ewma_latency, "p50": figures.p50, "p95": figures.p95},
        "in_flight": health.in_flight,
        "suspected": health.is_suspect(now),
        "last_error": figures.last_error,
        "last_success": figures.last_success,
        "keys": {"usable": sum(at <= now for at in ready), "total": len(ready)},
        "free_in": _left(max(key_at, lane_at), now),
    }
    row["state"], row["reason"] = _state(row, record, key_at - now, settings.max_wait)
    if row["state"] == "healthy" and not figures.attempts:
        row["state"] = "unknown"
    return row


def _state(
    row: dict[str, Any], record: Record | None, keys_in: float, patience: float
) -> tuple[str, str]:
    """How it is, and why it is not well. `keys_in`: seconds until a key is free."""
    why = record.kind.value if record else ""
    if row["circuit"] == "open":
        return "down", f"circuit open: {why}"
    if patience < keys_in < ON_RELEASE / 2 or keys_in == math.inf:
        return "down", "no key can be used"
    if row["circuit"] == "half_open":
        return "degraded", f"circuit half-open: {why}"
    if row["suspected"]:
        return "degraded", "suspected of hanging"
    if record is not None and record.failures:
        return "degraded", f"the last attempt failed: {why}"
    if keys_in > 0:
        return "degraded", "every key is busy or limited"
    if row["recent_success"] is not None and row["recent_success"] < BARELY:
        return "degraded", "less than half of the last attempts were good"
    return "healthy", ""


def overall(states: Iterable[str]) -> str:
    """One word for all: down if all are, healthy if none is worse, unknown if all are."""
    found = set(states)
    if found <= {"unknown"} or found == {"down"}:
        return found.pop() if found else "unknown"
    return "healthy" if found <= {"healthy", "unknown"} else "degraded"


def probe_order(scheduler: Scheduler, lanes: list[Lane], label: str, now: float) -> list[KeyState]:
    """The enabled keys of a provider, best first: those that could be used now, by rank."""
    mine = [lane for lane in lanes if lane.provider == label]

    def rank(key: KeyState) -> tuple[bool, Rank]:
        rests = all(scheduler.keys.ready_at(lane, key, now) > now for lane in mine)
        return rests, key.rank

    return sorted((key for key in scheduler.keys.keys(label) if key.on), key=rank)
