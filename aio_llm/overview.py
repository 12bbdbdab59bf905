"""What an `AIO` says about itself: key statistics, summary, and what it would do now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aio_llm.clock import Clock
from aio_llm.config import Routing, Settings
from aio_llm.core.expected import expected
from aio_llm.core.health_report import NOTHING, circuit_row, health_row, overall
from aio_llm.core.key_report import key_row
from aio_llm.core.key_state import KeyState
from aio_llm.core.report import Report
from aio_llm.core.routing import Lane, Route, Router
from aio_llm.core.scheduler import Scheduler
from aio_llm.core.sessions import check_session
from aio_llm.core.skips import skipped
from aio_llm.core.trail import Trail
from aio_llm.errors import ConfigError, bare_errors
from aio_llm.hooks import Handler


class Overview:
    """The part of `AIO` that tells and switches, and sends nothing. Thread-safe."""

    settings: Settings
    _clock: Clock
    _router: Router
    _scheduler: Scheduler
    _report: Report

    def get_key_stats(self, provider: str | None = None) -> dict[str, Any]:
        """Totals, and one row per key: state, reason, used today, limit, cooling for (seconds),
        resets at (epoch seconds). Keys are masked.
        """
        label = self._label(provider)
        self._scheduler.refresh()
        keys = self._scheduler.keys
        with keys.lock:
            keys.turn_days()
            now, wall = self._clock.now(), self._clock.wall()
            rows = [key_row(keys, key, now, wall) for key in keys.keys(label)]
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
        return self._scheduler.reset_daily(self._label(provider))

    @bare_errors
    def enable_key(self, provider: str, key: str) -> None:
        """Put a key (its text, masked form or number) in use again, its errors forgotten."""
        self._scheduler.switch(self._key(provider, key), on=True)

    @bare_errors
    def disable_key(self, provider: str, key: str, reason: str = "disabled by hand") -> None:
        """Put a key (its text, masked form or number) out of use until `enable_key`."""
        self._scheduler.switch(self._key(provider, key), on=False, reason=reason)

    def on(self, event: str, handler: Handler) -> Callable[[], None]:
        """Call `handler(record)` at every `event` from now on; returns what ends that.

        `event`: one of `aio_llm.hooks.EVENTS`; the records are in `aio_llm.event_records`. A
        handler runs at once, in the thread of the call, which waits for it; what it raises is
        logged once and changes nothing. Raises `ConfigError` for an unknown event.
        """
        return self._report.hooks.on(event, handler)

    def get_metrics(self) -> dict[str, Any]:
        """What the calls since the start (or the last reset) came to, as plain data of one moment.

        Totals are about calls; rows of `providers`, `models` ("provider/model") and `keys`
        ("provider/masked key") about attempts there. Seconds, tokens, USD; percentiles are at
        most 5 % off; None where there is nothing to tell. `since`: epoch seconds.
        """
        return self._report.metrics.snapshot()

    def reset_metrics(self) -> None:
        """Count from zero; counters of keys, meters and breakers stay as they are."""
        self._report.metrics.reset()

    @bare_errors
    def health(self, provider: str | None = None) -> dict[str, Any]:
        """How everything does: one word in `status`, and one row per "provider/model" in `models`.

        `state`: healthy, degraded, down or unknown (`status` too), and the `reason` of it;
        `circuit`: closed, open or half_open; rates as shares of 1, latencies in seconds and
        `last_success` (epoch seconds) since the start or `reset_metrics()`; `suspected` of
        hanging; `free_in`: seconds until a call may go there, None if nobody knows. Sends nothing.
        """
        label, rows = self._label(provider), {}
        for lane in self._router.lanes:
            if label in (None, lane.provider):
                figures = self._report.metrics.target(lane.provider, lane.model) or NOTHING
                with self._scheduler.keys.lock:
                    self._scheduler.keys.turn_days()
                    now = self._clock.now()
                    row = health_row(self._scheduler, lane, figures, self.settings, now)
                rows[lane.name] = row
        return {"status": overall(row["state"] for row in rows.values()), "models": rows}

    @bare_errors
    def get_circuit_breaker_state(
        self, provider: str | None = None, model: str | None = None
    ) -> dict[str, Any]:
        """The circuit breakers by "provider/model"; with both named, that one alone.

        `state`: closed, open or half_open, and the `reason` of it; `failures` in a row;
        `successes` of probes since; `opened`: how often in a row; `next_probe_in` seconds, None
        for never; then the thresholds. A provider that fails as a whole (network) counts for each
        of its models. Raises `ConfigError` or `ModelNotFoundError` for a name that is not
        configured.
        """
        route = self._router.route(provider, model, auto=True, fallback=False)
        with self._scheduler.keys.lock:
            now = self._clock.now()
            rows = {
                lane.name: circuit_row(self._scheduler, lane, self.settings, now)
                for lane in route.lanes
            }
        one_is_named = provider is not None and model is not None
        return rows.popitem()[1] if one_is_named else rows

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
        routing: Routing | None = None,
        session: str | None = None,
    ) -> list[dict[str, Any]]:
        """The targets in the order they would be tried now, then those that would be skipped.

        Rows: provider, model, key (masked), usable, reason, available_in (seconds); with routing
        "cheapest" also price (USD per million tokens, three read for one written; None if
        unknown). Sends nothing. Raises as the call itself would.
        """
        asked = {"provider": provider, "model": model, "fallback": fallback}
        route = self.route(asked | {"auto_mode": auto_mode, "routing": routing})
        scheduler = self._scheduler
        with scheduler.keys.lock:
            now = self._clock.now()
            trail = Trail(now, session=check_session(session))
            skips = skipped(scheduler, route, trail, now, limit=10_000)
            out = {(skip.lane, skip.index) for skip in skips}
            order = expected(scheduler.choose, route, trail, now, out)
            usable = [_row(route, lane, key.masked, True, "", 0.0) for lane, key in order]
        return usable + [
            _row(route, skip.lane, skip.key, False, skip.reason, skip.until - now) for skip in skips
        ]

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
            routing=given.get("routing"),
        )

    def _label(self, provider: str | None) -> str | None:
        return None if provider is None else self._router.label(provider)

    def _key(self, provider: str, key: str) -> KeyState:
        found = self._scheduler.keys.find(self._router.label(provider), key)
        if found is None:
            raise ConfigError(f"key: no such key for provider {provider!r}")
        return found


def _row(
    route: Route, lane: Lane, key: str, usable: bool, reason: str, available_in: float
) -> dict[str, Any]:
    """One target as `explain()` shows it."""
    row = {
        "provider": lane.provider,
        "model": lane.model,
        "key": key,
        "usable": usable,
        "reason": reason,
        "available_in": available_in,
    }
    if route.rule == "cheapest":
        price = route.prices.get(lane)
        row["price"] = None if price is None else price.per_million(0, None)
    return row
