"""What an `AIO` says about itself: key statistics, summary, and what it would do now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from heapq import heapify, heappop, heapreplace
from typing import Any

from aio_llm.clock import Clock
from aio_llm.config import Settings
from aio_llm.core.keys import KeyManager, KeyState
from aio_llm.core.pool import Rank
from aio_llm.core.routing import Lane, Route, Router
from aio_llm.core.scheduler import Scheduler
from aio_llm.core.trail import Trail
from aio_llm.errors import ConfigError, bare_errors


class Overview:
    """The part of `AIO` that tells and switches, and sends nothing. Thread-safe."""

    settings: Settings
    _clock: Clock
    _router: Router
    _scheduler: Scheduler

    def get_key_stats(self, provider: str | None = None) -> dict[str, Any]:
        """Totals, and one row per key: state, reason, used today, limit, cooling for (seconds),
        resets at (epoch seconds). Keys are masked.
        """
        label = self._label(provider)
        keys = self._scheduler.keys
        with keys.lock:
            keys.turn_days()
            rows = [keys.row(key) for key in keys.keys(label)]
        return {
            "total": len(rows),
            "active": sum(row["state"] != "disabled" for row in rows),
            "disabled": sum(row["state"] == "disabled" for row in rows),
            "total_usage": sum(row["total_usage"] for row in rows),
            "total_errors": sum(row["total_errors"] for row in rows),
            "keys": rows,
        }

    def reset_daily_counters(self, provider: str | None = None) -> int:
        """Zero "used today" and lift what a daily limit stopped; returns how many keys."""
        count = self._scheduler.keys.reset_daily(self._label(provider))
        self._scheduler.wake()
        return count

    @bare_errors
    def enable_key(self, provider: str, key: str) -> None:
        """Put a key (its text, masked form or number) in use again, its errors forgotten."""
        self._scheduler.keys.switch(self._key(provider, key), on=True)
        self._scheduler.wake()

    @bare_errors
    def disable_key(self, provider: str, key: str, reason: str = "disabled by hand") -> None:
        """Put a key (its text, masked form or number) out of use until `enable_key`."""
        self._scheduler.keys.switch(self._key(provider, key), on=False, reason=reason)

    def get_config_summary(self) -> dict[str, Any]:
        """What is configured, without any secret; safe to paste into an issue."""
        settings = self.settings
        return {
            "providers": [
                {
                    "name": p.label,
                    "provider": p.provider,
                    "priority": p.priority,
                    "is_active": p.is_active,
                    "base_url": p.base_url,
                    "keys": [key.masked for key in p.api_keys],
                    "models": [model.model_id for model in p.models],
                }
                for p in settings.providers
            ],
            "total_providers": len(settings.providers),
            "total_keys": sum(len(p.api_keys) for p in settings.providers),
            "total_models": sum(len(p.models) for p in settings.providers),
            **settings.model_dump(exclude={"providers"}),
        }

    def explain(
        self,
        messages: Any = None,
        *,
        model: str | Sequence[str] | None = None,
        provider: str | None = None,
        fallback: bool = False,
        auto_mode: bool | None = None,
    ) -> list[dict[str, Any]]:
        """The targets in the order they would be tried now, then those that would be skipped.

        Rows: provider, model, key (masked), usable, reason, available_in (seconds). Sends
        nothing. Raises as the call itself would for an unknown model or provider.
        """
        route = self.route(
            {"provider": provider, "model": model, "fallback": fallback, "auto_mode": auto_mode}
        )
        keys = self._scheduler.keys
        with keys.lock:
            now = self._clock.now()
            skipped = self._scheduler.skipped(route, Trail(now), limit=10_000)
            out = {(skip.lane, skip.index) for skip in skipped}
            order = _Order(keys)
            usable = [
                {"provider": lane.provider, "model": lane.model, "key": key.masked,
                 "usable": True, "reason": "", "available_in": 0.0}
                for tier in route.tiers
                for lane, key in order.of(tier)
                if (lane, key.index) not in out
            ]  # fmt: skip
        return usable + [
            {"provider": skip.lane.provider, "model": skip.lane.model, "key": skip.key,
             "usable": False, "reason": skip.reason, "available_in": skip.until - now}
            for skip in skipped
        ]  # fmt: skip

    def route(self, given: Mapping[str, Any]) -> Route:
        """Who may be asked by a call with these keywords; raises `ConfigError`."""
        auto, model = given.get("auto_mode"), given.get("model")
        for name in ("auto_mode", "fallback"):
            if not isinstance(given.get(name), bool | None):
                raise ConfigError(f"{name}: must be True or False, got {given[name]!r}")
        return self._router.route(
            given.get("provider"),
            model,
            auto=self.settings.auto_mode if auto is None else auto,
            fallback=bool(given.get("fallback")) or bool(auto and model),
        )

    def _label(self, provider: str | None) -> str | None:
        return None if provider is None else self._router.label(provider)

    def _key(self, provider: str, key: str) -> KeyState:
        found = self._scheduler.keys.find(self._router.label(provider), key)
        if found is None:
            raise ConfigError(f"key: no such key for provider {provider!r}")
        return found


class _Order:
    """The order in which a call would try targets if each of them failed it: the best key of
    each lane, among equal lanes the least used, the call's own tries counted.
    """

    def __init__(self, keys: KeyManager) -> None:
        self._keys = keys
        self._tries: dict[KeyState, int] = {}

    def _rank(self, key: KeyState) -> Rank:
        more = self._tries.get(key, 0)
        return (-key.priority, key.requests + more, key.failures + more, key.index)

    def of(self, tier: Sequence[Lane]) -> Iterator[tuple[Lane, KeyState]]:
        """The targets of one tier; ask the tiers in their order."""
        left = {lane: self._heap(lane) for lane in tier}
        while left:
            for heap in left.values():
                while heap[0][0] != (now := self._rank(heap[0][1])):
                    heapreplace(heap, (now, heap[0][1]))  # it was tried on another lane
            lane = min(left, key=lambda lane: left[lane][0][0][:3])
            _, key = heappop(left[lane])
            if not left[lane]:
                del left[lane]
            self._tries[key] = self._tries.get(key, 0) + 1
            yield lane, key

    def _heap(self, lane: Lane) -> list[tuple[Rank, KeyState]]:
        heap = [(self._rank(key), key) for key in self._keys.keys(lane.provider)]
        heapify(heap)
        return heap
