"""What an `AIO` says about itself: exact numbers, every field, never a key."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest

from aio_llm import AIOError, ConfigError, FakeClock
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO

TOTALS = {"total", "active", "disabled", "total_usage", "total_errors", "keys"}
ROW = {
    "provider", "key", "state", "reason", "priority", "group", "used_today", "limit", "remaining",
    "total_usage", "total_errors", "errors_in_row", "in_flight", "last_error", "last_used",
    "cooling_for", "resets_at",
}  # fmt: skip
SUMMARY = {
    "providers", "total_providers", "total_keys", "total_models", "auto_mode", "max_retries",
    "retry_delay", "max_delay", "backoff_multiplier", "timeout", "idle_timeout", "max_wait",
    "enable_logging", "enable_validation",
}  # fmt: skip


def test_statistics_have_all_fields(make_aio: MakeAIO) -> None:
    stats = make_aio("groq", "google-ai", keys=2).get_key_stats()

    assert set(stats) >= TOTALS
    assert len(stats["keys"]) == 4
    assert all(set(row) >= ROW for row in stats["keys"])


def test_a_fresh_key_has_done_nothing(make_aio: MakeAIO) -> None:
    row = make_aio("groq").get_key_stats()["keys"][0]

    assert (row["state"], row["reason"], row["last_error"], row["last_used"]) == (
        "active", "", None, None,
    )  # fmt: skip
    assert (row["used_today"], row["total_usage"], row["total_errors"], row["in_flight"]) == (
        0, 0, 0, 0,
    )  # fmt: skip
    assert (row["limit"], row["remaining"], row["cooling_for"]) == (None, None, 0.0)


def test_totals_add_up_to_what_the_vendors_saw(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", "cerebras", keys=2)
    sim.inject("500", vendor="groq", times=3)
    sim.inject("401", vendor="cerebras", key=sim.keys("cerebras")[0])

    for _ in range(7):
        with suppress(AIOError):
            aio.chat_completion("hello")

    stats = aio.get_key_stats()
    failed = [r for r in sim.requests if r.status != 200]
    assert stats["total_usage"] == sim.count() == sum(r["used_today"] for r in stats["keys"])
    assert stats["total_errors"] == len(failed) > 0
    assert stats["total"] == stats["active"] + stats["disabled"] == 4
    assert all(row["in_flight"] == 0 for row in stats["keys"])


def test_one_provider_is_told_apart_by_any_of_its_names(
    make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", "google-ai", keys=2, clock=clock)

    assert aio.get_key_stats("gemini") == aio.get_key_stats("google-ai")
    assert {row["provider"] for row in aio.get_key_stats("google")["keys"]} == {"google-ai"}
    with pytest.raises(ConfigError, match="provider 'grok'"):
        aio.get_key_stats("grok")


def test_a_resting_key_says_why_and_for_how_long(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", "cerebras", clock=clock)
    sim.inject("429_retry_after", vendor="groq", seconds=90)
    aio.chat_completion("hello")
    clock.advance(30)

    row = aio.get_key_stats("groq")["keys"][0]

    assert (row["state"], row["reason"], row["last_error"]) == (
        "cooling", "minute_limit", "minute_limit",
    )  # fmt: skip
    assert row["cooling_for"] == pytest.approx(60, abs=1)


def test_a_call_in_progress_is_in_flight(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq")

    with aio.chat_completion_stream("hello") as stream:
        during = aio.get_key_stats()["keys"][0]["in_flight"]
    after = aio.get_key_stats()["keys"][0]["in_flight"]

    assert stream.attempts
    assert (during, after) == (1, 0)


def test_the_summary_counts_and_hides(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", "google-ai", keys=2, models=2, max_retries=1, timeout=7.0)

    summary = aio.get_config_summary()

    assert set(summary) >= SUMMARY
    assert (summary["total_providers"], summary["total_keys"], summary["total_models"]) == (2, 4, 4)
    assert (summary["max_retries"], summary["timeout"], summary["auto_mode"]) == (1, 7.0, True)
    text = json.dumps(summary)
    assert not any(key in text for key in [*sim.keys("groq"), *sim.keys("google-ai")])


def test_statistics_and_explanations_can_be_written_down_as_json(
    sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio("groq", "cerebras", models=2)
    sim.inject("429_retry_after", vendor="groq", seconds=90)
    aio.chat_completion("hello")

    for said in (aio.get_key_stats(), aio.get_config_summary(), aio.explain()):
        assert json.loads(json.dumps(said, allow_nan=False)) == said


def test_an_answer_says_who_gave_it(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", "cerebras")
    sim.inject("503", vendor="groq")

    answer = aio.chat_completion("hello", request_id="mine")

    key = sim.keys("cerebras")[0]
    assert (answer.provider, answer.model, answer.request_id) == (
        "cerebras",
        "gpt-oss-120b",
        "mine",
    )
    assert answer.key == f"{key[:4]}…{key[-4:]}"
    assert [(a.provider, a.outcome, a.status) for a in answer.attempts] == [
        ("groq", "server", 503), ("cerebras", "ok", None),
    ]  # fmt: skip
    assert answer.latency >= sum(attempt.latency for attempt in answer.attempts) > 0


def test_the_price_is_what_the_vendor_states(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("openrouter", "groq")

    free = aio.chat_completion("hello", provider="openrouter")
    silent = aio.chat_completion("hello", provider="groq")

    assert free.cost == 0.0
    assert silent.cost is None
