"""What a key says of itself to people: one row of `get_key_stats()`."""

from __future__ import annotations

import math
from typing import Any

from aio_llm.core.key_state import KeyState
from aio_llm.core.keys import KeyManager


def key_row(keys: KeyManager, key: KeyState, now: float, wall: float) -> dict[str, Any]:
    """State, counters and meters of `key`; call it under the lock. `now`: clock seconds, `wall`:
    epoch seconds.
    """
    until, reason = _rests(keys, key, now)
    state = "disabled" if not key.on else "cooling" if until > now else "active"
    limit = None if key.limit == math.inf else int(key.limit)
    return {
        "provider": key.provider,
        "key": key.masked,
        "state": state,
        "reason": key.disabled or reason,
        "priority": key.priority,
        "group": key.group,
        "used_today": key.requests,
        "limit": limit,
        "remaining": None if limit is None else max(0, limit - key.requests),
        "total_usage": key.total,
        "total_errors": key.errors,
        "errors_in_row": key.strikes,
        "in_flight": key.in_flight,
        "last_error": key.last_error,
        "last_used": None if key.last_used is None else wall - now + key.last_used,
        "cooling_for": 0.0 if until <= now else until - now,
        "resets_at": wall + keys.day_rest(key.provider) - now,
        "quotas": _quotas(key, now),
    }


def _rests(keys: KeyManager, key: KeyState, now: float) -> tuple[float, str]:
    """Until when, and why, a key rests on at least one model."""
    until, reason = -math.inf, ""
    places = {spot for lane in keys.lanes(key.provider) for spot in keys.key_places(lane, key)}
    for _, record in keys.availability.blocking(places, now):
        if record.free_at > until:
            until, reason = record.free_at, record.kind.value
    if key.requests >= key.limit:
        return max(until, keys.day_rest(key.provider)), "daily_limit"
    return until, reason


def _quotas(key: KeyState, now: float) -> list[dict[str, Any]]:
    """The meters a key has used so far, each with the model it belongs to ("" for all)."""
    quotas = {quota.name: quota for found in key.quotas.values() for quota in found}
    return [
        {"model": name[3] if len(name) > 3 else "", **row}
        for name, quota in quotas.items()
        for row in quota.rows(now)
    ]
