"""Does a vendor answer, and accept this key? Asked without spending a token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aio_llm.cancel import CallAborted, CancelScope, CancelToken
from aio_llm.clock import Clock
from aio_llm.config import ApiKey, ProviderConfig, Settings
from aio_llm.core.health_report import overall, probe_order
from aio_llm.core.routing import Router
from aio_llm.core.scheduler import Scheduler
from aio_llm.errors import ConfigError, RequestCancelledError, bare_errors
from aio_llm.faults import Category, Fault, Kind, mask, without_secret
from aio_llm.options import seconds
from aio_llm.providers.base import BaseProvider, Call, KeyCheck, Target
from aio_llm.providers.registry import make_provider


class Checks:
    """The part of `AIO` that asks vendors whether they answer. Thread-safe."""

    settings: Settings
    _clock: Clock
    _router: Router
    _scheduler: Scheduler
    _adapters: Mapping[str, BaseProvider]

    @bare_errors
    def validate_api_key(self, provider: str, key: str, *, timeout: float = 30.0) -> KeyCheck:
        """Whether the vendor accepts `key`; spends no tokens. `timeout`: seconds.

        `provider`: a configured one, or any vendor's name. Raises `ConfigError` if unknown.
        """
        if not isinstance(key, str):
            raise ConfigError(f"key: must be a string, not {type(key).__name__}")
        key = ApiKey(key).key.get_secret_value()
        adapter = self._adapter_for(provider, key)
        return check_key(adapter, key, self._clock, seconds("timeout", timeout, timeout))

    def _adapter_for(self, provider: str, key: str) -> BaseProvider:
        if self._router.knows(provider):
            return self._adapters[self._router.label(provider)]
        made: dict[str, Any] = {"provider": provider, "api_keys": [key], "models": ["any"]}
        return make_provider(ProviderConfig(**made))

    @bare_errors
    def validate_config(self, *, timeout: float = 30.0) -> list[KeyCheck]:
        """`validate_api_key` for every configured key, in order; spends no tokens."""
        return [
            self.validate_api_key(config.label, key.key.get_secret_value(), timeout=timeout)
            for config in self.settings.providers
            for key in config.api_keys
        ]

    @bare_errors
    def health_check(
        self,
        timeout: float = 10.0,
        provider: str | None = None,
        *,
        all_keys: bool = False,
        cancel: CancelToken | None = None,
    ) -> dict[str, Any]:
        """Ask every active provider whether it answers and takes a key; spends no tokens.

        One key of each, the one a call would use first; `all_keys`: every enabled one. `timeout`:
        seconds for everything. One row per provider: `ok`, `reason`, `latency` (seconds), `keys`;
        `status`: healthy, degraded or down. It only looks: a good answer closes no circuit, a bad
        one opens none and disables no key. Raises `RequestCancelledError` once `cancel` is.
        """
        time = seconds("timeout", timeout, timeout)
        labels = [p.label for p in self.settings.providers if p.is_active]
        if provider is not None:
            labels = [self._router.label(provider)]
        probes = []
        for label in labels:
            with self._scheduler.keys.lock:
                keys = probe_order(self._scheduler, self._router.lanes, label, self._clock.now())
            secrets = [key.secret for key in keys]
            probes.append((self._adapters[label], secrets if all_keys else secrets[:1]))
        return check_all(probes, self._clock, time, cancel)


def check_key(
    adapter: BaseProvider,
    key: str,
    clock: Clock,
    timeout: float,
    cancel: CancelToken | None = None,
) -> KeyCheck:
    """Ask the vendor; anything but a clear yes or no is "unknown". `timeout`: seconds. Raises
    `RequestCancelledError` once `cancel` is cancelled.
    """
    started = clock.now()
    scope = CancelScope(clock.now, started + timeout)
    if cancel is not None:
        scope.watch(cancel)
    try:
        return _ask(adapter, key, clock, timeout, scope)
    finally:
        scope.close()


def _ask(
    adapter: BaseProvider, key: str, clock: Clock, timeout: float, scope: CancelScope
) -> KeyCheck:
    started = clock.now()
    target = Target(adapter.config.label, "", mask(key), key)
    fault: Fault | None = None
    reason = ""
    try:
        with scope:
            scope.check()
            adapter.check_key(Call(target, scope))
    except CallAborted:
        reason = f"no answer within {timeout:.3g} s"
    except Exception as error:  # whatever an SDK raises is read, never passed on
        fault = without_secret(adapter.classify(error), key)
        reason = f"{fault.kind.value}: {fault.message}"[:300]
    except BaseException:
        adapter.reset()  # as in the engine: its connections may be in any state
        raise
    if scope.cancelled:
        raise RequestCancelledError(f"the check of {adapter.config.label} was cancelled")
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


def check_all(
    probes: Sequence[tuple[BaseProvider, Sequence[str]]],
    clock: Clock,
    timeout: float,
    cancel: CancelToken | None = None,
) -> dict[str, Any]:
    """`check_key` for some keys of each provider, one after the other, in `timeout` seconds
    altogether: who hangs may use up its own share of them only.
    """
    ends, left = clock.now() + timeout, sum(len(keys) for _, keys in probes)
    providers: dict[str, Any] = {}
    for adapter, keys in probes:
        checks = []
        for key in keys:
            share = (ends - clock.now()) / left
            checks.append(check_key(adapter, key, clock, max(share, 0.0), cancel))
            left -= 1
        providers[adapter.config.label] = _provider_row(checks)
    return {"status": overall(_state(row) for row in providers.values()), "providers": providers}


def _provider_row(checks: Sequence[KeyCheck]) -> dict[str, Any]:
    """What the checks of one provider come to: its best one says how it is."""
    if not checks:
        return {"ok": False, "reason": "every key is disabled", "latency": None, "keys": []}
    best = next((check for check in checks if check), checks[0])
    rows = [
        {"key": c.key, "status": c.status, "reason": c.reason, "latency": c.latency} for c in checks
    ]
    return {"ok": bool(best), "reason": best.reason, "latency": best.latency, "keys": rows}


def _state(row: dict[str, Any]) -> str:
    if not row["ok"]:
        return "down"
    return "healthy" if all(key["status"] == "valid" for key in row["keys"]) else "degraded"
