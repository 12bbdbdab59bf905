"""What is counted: of one model, of one key, of whole calls. Records, merged and told as data.

Not here: who counts, and when (core/metrics.py, which holds the lock).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from aio_llm.core.histogram import Histogram


class TargetFigures:
    """How one model of one provider has done, over all its keys, since the start or a reset.

    `attempts` without the cancelled ones. `success_rate`: of all attempts; `recent_success`: a
    moving average of about the last 8, without those that a limit, a key or the request itself is
    to blame for; shares of 1. `ewma_latency` (the same average), `p50` and `p95`: seconds of
    successful attempts. `last_error`: a kind of fault. `last_success`: epoch
    seconds. None where there is nothing to tell yet.
    """

    # No dataclass: making one takes longer than importing the rest of this module.
    __slots__ = (
        "attempts", "ewma_latency", "last_error", "last_success", "p50", "p95", "recent_success",
        "success_rate", "successes",
    )  # fmt: skip

    def __init__(self, target: Target | None = None) -> None:
        target = target or Target()
        failed = sum(target.failures.values())
        self.attempts = target.successes + failed
        self.successes = target.successes
        self.success_rate = _share(target.successes, failed)
        self.recent_success = target.recent_success
        self.ewma_latency = target.recent_latency
        self.p50 = target.latency.percentile(0.50)
        self.p95 = target.latency.percentile(0.95)
        self.last_error = target.last_error
        self.last_success = target.last_success


class Row:
    """The figures of one model, or of one key."""

    __slots__ = (
        "answers", "cancelled", "completion_tokens", "cost", "failures", "fallbacks",
        "first_token", "latency", "prompt_tokens", "rate_limited", "successes", "waited", "waits",
    )  # fmt: skip

    def __init__(self) -> None:
        self.successes = self.cancelled = self.rate_limited = self.answers = self.fallbacks = 0
        self.prompt_tokens = self.completion_tokens = 0
        self.waited = 0.0
        self.cost: float | None = None
        self.failures: dict[str, int] = {}
        self.latency, self.first_token, self.waits = Histogram(), Histogram(), Histogram()

    @classmethod
    def merged(cls, rows: Iterable[Row]) -> Row:
        """The figures of several rows as one."""
        made = cls()
        rows = list(rows)
        for name in _COUNTS:
            setattr(made, name, sum(getattr(row, name) for row in rows))
        made.waited = math.fsum(row.waited for row in rows)
        costs = [row.cost for row in rows if row.cost is not None]
        made.cost = math.fsum(costs) if costs else None
        for row in rows:
            for category, times in row.failures.items():
                made.failures[category] = made.failures.get(category, 0) + times
        made.latency = Histogram.merged(row.latency for row in rows)
        made.first_token = Histogram.merged(row.first_token for row in rows)
        made.waits = Histogram.merged(row.waits for row in rows)
        return made

    def copy(self) -> Row:
        """The same figures, independent from now on."""
        made = Row()
        for name in _COUNTS:
            setattr(made, name, getattr(self, name))
        made.waited, made.cost, made.failures = self.waited, self.cost, dict(self.failures)
        made.latency, made.first_token = self.latency.copy(), self.first_token.copy()
        made.waits = self.waits.copy()
        return made

    def figures(self) -> dict[str, Any]:
        """As people and JSON see it."""
        return {
            **_outcomes(self.successes, self.failures, self.cancelled),
            "rate_limited": self.rate_limited,
            "answers": self.answers,
            "fallbacks": self.fallbacks,
            **self.spending(),
            "latency": self.latency.figures(),
            "first_token": self.first_token.figures(),
            "waits": _waits(self.waits, self.waited),
        }

    def spending(self) -> dict[str, Any]:
        """Tokens, and USD where a vendor states them."""
        return {
            "tokens": {
                "prompt": self.prompt_tokens,
                "completion": self.completion_tokens,
                "total": self.prompt_tokens + self.completion_tokens,
            },
            "cost": self.cost,
        }


_COUNTS = (
    "successes", "cancelled", "rate_limited", "answers", "fallbacks", "prompt_tokens",
    "completion_tokens",
)  # fmt: skip


class Target(Row):
    """The figures of one model, and how it does of late."""

    __slots__ = ("last_error", "last_success", "recent_latency", "recent_success")

    def __init__(self) -> None:
        super().__init__()
        self.recent_success: float | None = None
        self.recent_latency: float | None = None
        self.last_error: str | None = None
        self.last_success: float | None = None


class Calls:
    """What only a whole call has; `waited` and `waits` of those that failed."""

    __slots__ = (
        "cancelled", "failures", "latency", "retries", "time_to_failure", "waited", "waits",
    )  # fmt: skip

    def __init__(self) -> None:
        self.cancelled = self.retries = 0
        self.waited = 0.0
        self.failures: dict[str, int] = {}
        self.latency, self.time_to_failure, self.waits = Histogram(), Histogram(), Histogram()

    def copy(self) -> Calls:
        """The same figures, independent from now on."""
        made = Calls()
        made.cancelled, made.retries, made.waited = self.cancelled, self.retries, self.waited
        made.failures = dict(self.failures)
        made.latency, made.waits = self.latency.copy(), self.waits.copy()
        made.time_to_failure = self.time_to_failure.copy()
        return made

    def figures(self, targets: Row) -> dict[str, Any]:
        """As people and JSON see it; `targets`: the figures of all models as one."""
        return {
            **_outcomes(targets.answers, self.failures, self.cancelled),
            "attempts": targets.successes + sum(targets.failures.values()) + targets.cancelled,
            "retries": self.retries,
            "fallbacks": targets.fallbacks,
            "rate_limited": targets.rate_limited,
            **targets.spending(),
            "latency": self.latency.figures(),
            "first_token": targets.first_token.figures(),
            "time_to_failure": self.time_to_failure.figures(),
            "waits": _waits(
                Histogram.merged((targets.waits, self.waits)), targets.waited + self.waited
            ),
        }


def _outcomes(successes: int, failures: Mapping[str, int], cancelled: int) -> dict[str, Any]:
    failed = sum(failures.values())
    return {
        "requests": successes + failed + cancelled,
        "successes": successes,
        "failures": failed,
        "failures_by_category": {str(name): times for name, times in failures.items()},
        "cancelled": cancelled,
        "success_rate": _share(successes, failed),
    }


def _share(successes: int, failures: int) -> float | None:
    decided = successes + failures
    return successes / decided if decided else None


def _waits(waits: Histogram, seconds: float) -> dict[str, Any]:
    return {
        "count": waits.count,
        "seconds": seconds,
        "p50": waits.percentile(0.50),
        "p99": waits.percentile(0.99),
    }
