"""What one key has done, and what is handed out of it. Changed only under the manager's lock."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from aio_llm.config import ApiKey, ProviderConfig
from aio_llm.core.availability import Place
from aio_llm.core.limits import Hold, Quota
from aio_llm.core.pool import KeyPool, Rank
from aio_llm.core.routing import Lane
from aio_llm.quota.windows import MARGIN
from aio_llm.state.base import Claim


class KeyState:
    """One key of one provider and what it has done; changed only under the manager's lock."""

    __slots__ = (
        "before", "configured", "disabled", "errors", "failures", "group", "in_flight", "index",
        "last_error", "last_used", "limit", "masked", "on", "places", "priority", "provider",
        "quotas", "requests", "secret", "strikes", "total",
    )  # fmt: skip

    def __init__(self, provider: str, index: int, key: ApiKey) -> None:
        self.provider = provider
        self.index = index
        self.secret = key.key.get_secret_value()
        self.masked = key.masked
        self.priority = key.priority
        self.limit = min(key.daily_limit or math.inf, key.rpd or math.inf)
        self.requests = self.before = key.requests_today
        self.group = key.group if key.group is not None else f"#{index}"
        self.on = self.configured = key.is_active
        self.disabled = "" if key.is_active else "is_active is False in the configuration"
        self.strikes = self.failures = self.errors = self.total = self.in_flight = 0
        self.places: dict[Lane, tuple[Place, ...]] = {}
        self.quotas: dict[Lane, tuple[Quota, ...]] = {}
        self.last_error: str | None = None
        self.last_used: float | None = None

    def move_to(self, group: str) -> None:
        """Share the quota of `group` from now on."""
        self.group = group
        self.places = {}
        self.quotas = {}

    @property
    def is_struck(self) -> bool:
        """It was put out of use since it was configured."""
        return self.configured and not self.on

    @property
    def rank(self) -> Rank:
        """Best first: priority, then least used today, then fewest recent errors."""
        return (-self.priority, self.requests, self.failures, self.index)


@dataclass(slots=True, eq=False)
class Lease:
    """A key handed out for one attempt; goes back exactly once.

    `turn`: in which order. `at`: when (clock seconds). `holds`: what it reserves of quotas;
    `estimate`: tokens its prompt was taken for. `sent_at`: when the request really left.
    `resent`: how often it was sent once more. `shared`: what it has reserved in a shared store:
    claims, entries, and what was counted then. `session`: the caller's name for the conversation
    it belongs to.
    """

    lane: Lane
    key: KeyState
    turn: int
    at: float
    probes: tuple[Place, ...] = ()
    holds: tuple[Hold, ...] = ()
    estimate: int = 0
    sent_at: float | None = None
    resent: int = 0
    shared: tuple[tuple[Claim, Any, float], ...] = ()
    session: str | None = None
    settled: bool = False

    def arrived(self, now: float) -> float:
        """The latest moment at which the request can have arrived, as far as is known `now`."""
        return now if self.sent_at is None else min(now, self.sent_at + MARGIN)


@dataclass(slots=True)
class ProviderState:
    """The keys of one provider, a pool of them per model, and when its day ends."""

    config: ProviderConfig
    zone: str
    keys: list[KeyState]
    day_ends: float = 0.0
    pools: dict[str, KeyPool[KeyState]] = field(default_factory=dict)
    lanes: dict[str, Lane] = field(default_factory=dict)
    groups: dict[str, list[KeyState]] = field(default_factory=dict)
    in_use: int | None = None
