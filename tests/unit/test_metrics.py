"""Figures that add up exactly, whatever is put in, in any order."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_llm import FakeClock
from aio_llm.core.metrics import EWMA_WEIGHT, Metrics
from aio_llm.faults import Fault, Kind, Scope
from tests.unit.records import FAULTS, add_up, answer, attempt, begun, failure


def test_nothing_done_is_zero_and_none() -> None:
    figures = begun().snapshot()

    assert (figures["requests"], figures["attempts"], figures["retries"]) == (0, 0, 0)
    assert (figures["success_rate"], figures["cost"]) == (None, None)
    assert figures["waits"] == {"count": 0, "seconds": 0, "p50": None, "p99": None}
    assert (figures["providers"], figures["models"], figures["keys"]) == ({}, {}, {})
    assert add_up(figures)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind.value)
def test_a_failed_attempt_counts_in_its_category(fault: Fault) -> None:
    metrics = begun()

    attempt(metrics, fault)

    (row,) = metrics.snapshot()["models"].values()
    assert (row["requests"], row["successes"], row["failures"]) == (1, 0, 1)
    assert row["failures_by_category"] == {fault.category.value: 1}
    assert row["latency"]["count"] == 0


LIMITS = {Kind.MINUTE_LIMIT, Kind.DAY_LIMIT, Kind.UPSTREAM_LIMIT}


def test_what_was_limited_counts_as_a_429_and_an_empty_purse_does_not() -> None:
    metrics = begun()

    for fault in FAULTS:
        attempt(metrics, fault, model=fault.kind.value)

    models = metrics.snapshot()["models"]
    assert {name for name, row in models.items() if row["rate_limited"]} == {
        f"groq/{kind.value}" for kind in LIMITS
    }


def test_a_cancelled_attempt_is_neither_good_nor_bad() -> None:
    metrics = begun()
    attempt(metrics)

    attempt(metrics, Fault(Kind.CANCELLED, Scope.REQUEST), latency=900.0)

    row = metrics.snapshot()["models"]["groq/llama"]
    assert (row["requests"], row["cancelled"], row["success_rate"]) == (2, 1, 1.0)
    assert row["failures_by_category"] == {}


def test_a_call_is_told_apart_from_its_attempts() -> None:
    metrics = begun()
    attempt(metrics, FAULTS[0])
    attempt(metrics, FAULTS[0], key="gsk_…3333")
    attempt(metrics, provider="cerebras", latency=0.2)
    answer(metrics, provider="cerebras", attempts=3, fallback=True, latency=9.0, waited=2.0)

    figures = metrics.snapshot()

    assert (figures["requests"], figures["attempts"], figures["retries"]) == (1, 3, 2)
    assert (figures["fallbacks"], figures["rate_limited"]) == (1, 2)
    assert figures["latency"]["p50"] == pytest.approx(9.0, rel=0.05)
    assert figures["models"]["cerebras/llama"]["latency"]["p50"] == pytest.approx(0.2, rel=0.05)
    assert figures["keys"]["groq/gsk_…3333"]["failures"] == 1
    assert add_up(figures)


def test_tokens_and_cost_go_to_who_answered() -> None:
    metrics = begun()
    answer(metrics, cost=0.25)
    answer(metrics, provider="openrouter", cost=0.5, prompt_tokens=70, completion_tokens=30)
    answer(metrics, provider="openrouter")

    figures = metrics.snapshot()

    assert figures["tokens"] == {"prompt": 84, "completion": 36, "total": 120}
    assert figures["cost"] == 0.75
    assert figures["providers"]["openrouter"]["cost"] == 0.5
    assert figures["providers"]["groq"]["tokens"]["total"] == 10


def test_waits_of_failed_calls_count_in_the_whole() -> None:
    metrics = begun()
    answer(metrics, waited=3.0)
    answer(metrics)
    failure(metrics, waited=1.5, attempts=0)

    figures = metrics.snapshot()

    assert figures["waits"] == {
        "count": 2, "seconds": 4.5, "p50": pytest.approx(1.5, rel=0.05),
        "p99": pytest.approx(3.0, rel=0.05),
    }  # fmt: skip
    assert figures["models"]["groq/llama"]["waits"]["seconds"] == 3.0
    assert (figures["retries"], figures["time_to_failure"]["count"]) == (0, 1)


def test_only_streams_have_a_first_token() -> None:
    metrics = begun()
    answer(metrics)
    answer(metrics, first_token=0.1)

    first = metrics.snapshot()["first_token"]

    assert (first["count"], first["p99"]) == (1, pytest.approx(0.1, rel=0.05))


def test_a_reset_begins_at_zero_and_says_when() -> None:
    clock = FakeClock()
    metrics = Metrics(clock.wall)
    attempt(metrics, FAULTS[0])
    failure(metrics)
    clock.advance(60)

    metrics.reset()

    assert metrics.snapshot() == begun().snapshot() | {"since": clock.wall()}
    assert metrics.target("groq", "llama") is None


PLACES = {
    "provider": st.sampled_from(["groq", "cerebras"]),
    "model": st.sampled_from(["big", "small"]),
    "key": st.sampled_from(["gsk_…1111", "gsk_…2222", "gsk_…3333"]),
}
SECONDS = st.floats(0.0, 100.0)
RECORDS = st.one_of(
    st.fixed_dictionaries(
        {**PLACES, "fault": st.none() | st.sampled_from(FAULTS), "latency": SECONDS}
    ),
    st.fixed_dictionaries(
        {
            **PLACES,
            "latency": SECONDS,
            "first_token": st.none() | SECONDS,
            "prompt_tokens": st.integers(0, 9999),
            "completion_tokens": st.integers(0, 9999),
            "cost": st.none() | st.floats(0, 1),
            "attempts": st.integers(1, 5),
            "waited": SECONDS,
            "fallback": st.booleans(),
        }
    ),
    st.fixed_dictionaries(
        {
            "category": st.sampled_from(["server", "network", "rate_limit"]),
            "attempts": st.integers(0, 5),
            "waited": SECONDS,
            "latency": SECONDS,
            "cancelled": st.booleans(),
        }
    ),
)


def put(metrics: Metrics, record: dict[str, Any]) -> None:
    """Record what a dictionary says, by the fields it has."""
    kind = attempt if "fault" in record else failure if "category" in record else answer
    kind(metrics, **record)


@given(st.lists(RECORDS, max_size=40))
def test_any_records_add_up_to_what_was_put_in(records: list[dict[str, Any]]) -> None:
    metrics = begun()
    for record in records:
        put(metrics, record)

    figures = metrics.snapshot()

    attempts = [r for r in records if "fault" in r]
    calls = [r for r in records if "fault" not in r]
    failed = [r["category"] for r in calls if "category" in r and not r["cancelled"]]
    asked = Counter(f"{r['provider']}/{r['key']}" for r in attempts)
    assert add_up(figures)
    assert (figures["attempts"], figures["requests"]) == (len(attempts), len(calls))
    assert figures["failures_by_category"] == Counter(failed)
    assert {n: r["requests"] for n, r in figures["keys"].items() if r["requests"]} == asked
    assert figures["tokens"]["prompt"] == sum(r.get("prompt_tokens", 0) for r in calls)
    assert figures["waits"]["seconds"] == pytest.approx(sum(r["waited"] for r in calls))
    assert figures["cost"] == pytest.approx(
        sum(costs) if (costs := [r["cost"] for r in calls if r.get("cost") is not None]) else None
    )
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_a_target_says_how_it_does_of_late() -> None:
    clock = FakeClock()
    metrics = Metrics(clock.wall)
    attempt(metrics, latency=1.0)
    attempt(metrics, latency=3.0)
    well = clock.wall()
    clock.advance(5)
    attempt(metrics, FAULTS[0])
    attempt(metrics, Fault(Kind.CANCELLED, Scope.REQUEST))

    target = metrics.target("groq", "llama")

    assert target is not None
    assert (target.attempts, target.successes, target.success_rate) == (3, 2, 2 / 3)
    assert target.recent_success == 1
    assert target.ewma_latency == 1.0 + EWMA_WEIGHT * 2.0
    assert target.p50 == pytest.approx(1.0, rel=0.05)
    assert target.p95 == pytest.approx(3.0, rel=0.05)
    assert (target.last_error, target.last_success) == (FAULTS[0].kind.value, well)


def test_the_recent_rate_forgets_what_the_whole_rate_keeps() -> None:
    metrics = begun()
    for _ in range(1000):
        attempt(metrics)
    for _ in range(30):
        attempt(metrics, Fault(Kind.SERVER, Scope.MODEL))

    target = metrics.target("groq", "llama")

    assert target is not None
    assert target.success_rate == pytest.approx(1000 / 1030)
    assert target.recent_success is not None
    assert target.recent_success < 0.02


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind.value)
def test_only_its_own_failures_lower_the_recent_rate(fault: Fault) -> None:
    metrics = begun()
    attempt(metrics)
    attempt(metrics, fault)

    target = metrics.target("groq", "llama")

    is_its_own = fault.category in ("server", "network", "unknown")
    assert target is not None
    assert target.recent_success == (1 - EWMA_WEIGHT if is_its_own else 1)


def test_a_target_nobody_tried_has_no_figures() -> None:
    metrics = begun()
    attempt(metrics)

    assert metrics.target("groq", "other") is None
    assert metrics.target("cerebras", "llama") is None
