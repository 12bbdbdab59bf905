"""What calls and attempts came to: exact counts and percentiles, in bounded memory.

A call is what the user made, an attempt what one target saw of it. Figures of the whole are
about calls; figures of a provider, a model or a key are about the attempts there and about
the answers it gave. So in every one of them

    requests == successes + failures + cancelled

and the attempts, answers, tokens and 429s of all models, like those of all keys, add up to
those of the whole.

Not here: who is told about it (core/alerts.py), and any history; reading at intervals is the
reader's business.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from aio_llm.core.figures import Calls, Row, Target, TargetFigures
from aio_llm.core.histogram import bucket_of
from aio_llm.fork import renew_after_fork

MOST_ROWS = 1000
"""Models, and keys, with figures of their own; all further ones share the row "other"."""

OTHER = "other"

EWMA_WEIGHT = 0.125
"""Weight of the latest attempt in the moving averages (as for the round-trip time: RFC 6298)."""

_OK, _CANCELLED, _BILLING, _RATE_LIMIT = "ok", "cancelled", "billing", "rate_limit"

_NOT_ITS_FAULT = ("rate_limit", "auth", "invalid_request")
"""Categories of failures that say nothing of how well a model works."""

Label = tuple[str, str]
"""A provider, and one of its models or (masked) keys."""


class Metrics:
    """The figures of one `AIO`. Thread-safe; a record costs one to two microseconds.

    `clock_wall` gives epoch seconds. A forked child counts from zero: the calls so far are its
    parent's. All seconds; tokens as the vendors count them; USD.
    """

    def __init__(self, clock_wall: Callable[[], float]) -> None:
        self._wall = clock_wall
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """A fresh lock; what a thread of the parent was writing may be half written."""
        # Re-entrant: a stream that is garbage-collected while this thread holds it records too.
        # For the same reason nothing below is read, then written after a call in between.
        self._lock = threading.RLock()
        self._forget()

    def _forget(self) -> None:
        self._calls = Calls()
        self._targets: dict[Label, Target] = {}
        self._keys: dict[Label, Row] = {}
        self._since = self._wall()

    def attempt(
        self,
        provider: str,
        model: str,
        key: str,
        *,
        outcome: str,
        category: str | None,
        latency: float,
    ) -> None:
        """One attempt is over. `outcome`: "ok" or the kind of fault; `key` is masked."""
        if outcome == _OK:
            self._succeeded((provider, model), (provider, key), latency)
            return
        with self._lock:
            target = self._targets.get((provider, model)) or self._target((provider, model))
            row = self._keys.get((provider, key)) or self._key((provider, key))
            if outcome == _CANCELLED:
                target.cancelled += 1
                row.cancelled += 1
                return
            _count(target.failures, category)
            _count(row.failures, category)
            if category == _RATE_LIMIT and outcome != _BILLING:
                target.rate_limited += 1
                row.rate_limited += 1
            target.last_error = outcome
            if category in _NOT_ITS_FAULT:
                return
            if target.recent_success is None:
                target.recent_success = 0.0
            target.recent_success -= EWMA_WEIGHT * target.recent_success

    def _succeeded(self, model: Label, key: Label, latency: float) -> None:
        bucket = bucket_of(latency)
        wall = self._wall()
        with self._lock:
            target = self._targets.get(model) or self._target(model)
            row = self._keys.get(key) or self._key(key)
            target.successes += 1
            row.successes += 1
            target.latency.counts[bucket] += 1
            row.latency.counts[bucket] += 1
            target.last_success = wall
            if target.recent_success is None:
                target.recent_success = 1.0
            target.recent_success += EWMA_WEIGHT * (1.0 - target.recent_success)
            if target.recent_latency is None:
                target.recent_latency = latency
            target.recent_latency += EWMA_WEIGHT * (latency - target.recent_latency)

    def answer(
        self,
        provider: str,
        model: str,
        key: str,
        *,
        latency: float,
        first_token: float | None,
        prompt_tokens: int,
        completion_tokens: int,
        cost: float | None,
        attempts: int,
        waited: float,
        fallback: bool,
    ) -> None:
        """One call has its answer. `latency`: of the whole call; `fallback`: its first target
        did not give it; `first_token`: None if it was no stream.
        """
        whole = bucket_of(latency)
        first = None if first_token is None else bucket_of(first_token)
        wait = bucket_of(waited) if waited > 0 else None
        with self._lock:
            target = self._targets.get((provider, model)) or self._target((provider, model))
            for row in (target, self._keys.get((provider, key)) or self._key((provider, key))):
                row.answers += 1
                row.fallbacks += fallback
                row.prompt_tokens += prompt_tokens
                row.completion_tokens += completion_tokens
                if first is not None:
                    row.first_token.counts[first] += 1
                if wait is not None:
                    row.waits.counts[wait] += 1
                    row.waited += waited
                if cost is not None:
                    row.cost = cost if row.cost is None else row.cost + cost
            self._calls.latency.counts[whole] += 1
            self._calls.retries += attempts - 1

    def failure(
        self,
        category: str,
        *,
        attempts: int,
        waited: float,
        latency: float,
        cancelled: bool = False,
    ) -> None:
        """One call has ended in an error, or was cancelled. `attempts`: 0 if nobody was asked."""
        bucket = bucket_of(latency)
        wait = bucket_of(waited) if waited > 0 else None
        retries = attempts - 1 if attempts else 0
        with self._lock:
            calls = self._calls
            if cancelled:
                calls.cancelled += 1
            else:
                _count(calls.failures, category)
                calls.time_to_failure.counts[bucket] += 1
            calls.retries += retries
            if wait is not None:
                calls.waits.counts[wait] += 1
                calls.waited += waited

    def snapshot(self) -> dict[str, Any]:
        """Everything as plain data, of one moment. `since`: epoch seconds."""
        with self._lock:
            calls = self._calls.copy()
            targets = {label: row.copy() for label, row in self._targets.items()}
            keys = {label: row.copy() for label, row in self._keys.items()}
            since = self._since
        providers: dict[str, list[Row]] = {}
        for (provider, _), row in targets.items():
            providers.setdefault(provider, []).append(row)
        merged = {provider: Row.merged(rows) for provider, rows in providers.items()}
        return {
            "since": since,
            **calls.figures(Row.merged(merged.values())),
            "providers": {provider: row.figures() for provider, row in merged.items()},
            "models": _named(targets),
            "keys": _named(keys),
        }

    def reset(self) -> None:
        """Begin to count from zero."""
        with self._lock:
            self._forget()

    def target(self, provider: str, model: str) -> TargetFigures | None:
        """How a model of a provider does; None if it was never tried, or shares a row."""
        with self._lock:
            row = self._targets.get((provider, model))
            return TargetFigures(row) if row else None

    def _target(self, label: Label) -> Target:
        return self._targets.setdefault(_within(self._targets, label), Target())

    def _key(self, label: Label) -> Row:
        return self._keys.setdefault(_within(self._keys, label), Row())


def _within(rows: Mapping[Label, Row], label: Label) -> Label:
    return label if len(rows) < MOST_ROWS else (OTHER, "")


def _count(counts: dict[str, int], category: str | None) -> None:
    name = category or "unknown"
    if name not in counts:
        counts[name] = 0
    counts[name] += 1


def _named(rows: Mapping[Label, Row]) -> dict[str, Any]:
    return {f"{a}/{b}" if b else a: row.figures() for (a, b), row in rows.items()}
