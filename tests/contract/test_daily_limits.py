"""Daily limits: exact, counted before sending, and reset at the vendor's own midnight."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aio_llm import AIO, FakeClock, RateLimitError
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO
from tests.contract.support import trail

HOUR = 3600.0


def at(text: str) -> FakeClock:
    """A clock that stands at this moment, UTC."""
    return FakeClock(wall_start=datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def limited(sim: Simulator, vendor: str, *limits: int) -> dict[str, Any]:
    """One key per limit, one model."""
    keys = [{"key": k, "daily_limit": n} for k, n in zip(sim.keys(vendor), limits, strict=False)]
    return {vendor: {"api_keys": keys}}


MIDNIGHTS = {
    "google in winter": ("google-ai", "2026-11-20T20:00", "2026-11-21T08:00"),
    "google in summer": ("google-ai", "2026-07-01T20:00", "2026-07-02T07:00"),
    "google, the short day": ("google-ai", "2026-03-08T08:00", "2026-03-09T07:00"),
    "google, before the jump": ("google-ai", "2026-03-08T07:59", "2026-03-08T08:00"),
    "google, the long day": ("google-ai", "2026-11-01T07:00", "2026-11-02T08:00"),
    "google, the hour that comes twice": ("google-ai", "2026-11-01T09:30", "2026-11-02T08:00"),
    "groq": ("groq", "2026-11-20T20:00", "2026-11-21T00:00"),
    "cerebras": ("cerebras", "2026-03-08T10:00", "2026-03-09T00:00"),
    "openrouter": ("openrouter", "2026-11-01T00:00", "2026-11-02T00:00"),
}


@pytest.mark.parametrize("case", MIDNIGHTS)
def test_a_daily_limit_holds_until_the_vendors_midnight(
    case: str, sim: Simulator, make_aio: MakeAIO
) -> None:
    vendor, now, midnight = MIDNIGHTS[case]
    clock = at(now)
    aio = make_aio(vendor, overrides=limited(sim, vendor, 2), clock=clock)
    left = (datetime.fromisoformat(midnight) - datetime.fromisoformat(now)).total_seconds()
    for _ in range(2):
        aio.chat_completion("hello")

    with pytest.raises(RateLimitError) as caught:
        aio.chat_completion("hello", max_wait=0)
    clock.advance(left - 1)
    with pytest.raises(RateLimitError):
        aio.chat_completion("hello", max_wait=0)
    clock.advance(1)
    aio.chat_completion("hello")

    assert sim.count() == 3
    assert caught.value.retry_after == pytest.approx(left)
    assert caught.value.available_at == datetime.fromisoformat(midnight).replace(tzinfo=UTC)


def test_a_call_waits_over_midnight_if_that_is_near(sim: Simulator, make_aio: MakeAIO) -> None:
    clock = at("2026-11-20T23:59:40")
    aio = make_aio("groq", overrides=limited(sim, "groq", 1), clock=clock, max_wait=60)
    aio.chat_completion("hello")

    answer = aio.chat_completion("hello")

    assert answer.content
    assert sum(clock.slept) == pytest.approx(20)


def test_a_spent_key_makes_way_for_the_next(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", "cerebras", overrides=limited(sim, "groq", 1, 2))

    for _ in range(4):
        aio.chat_completion("hello")

    assert [(vendor, key) for vendor, key, _ in trail(sim)] == [
        ("groq", 1), ("groq", 2), ("groq", 2), ("cerebras", 1),
    ]  # fmt: skip


def test_what_was_used_before_counts(sim: Simulator, make_aio: MakeAIO) -> None:
    key = {"key": sim.keys("groq")[0], "daily_limit": 5, "requests_today": 4}
    aio = make_aio("groq", overrides={"groq": {"api_keys": [key]}}, max_wait=0)
    aio.chat_completion("hello")

    with pytest.raises(RateLimitError):
        aio.chat_completion("hello")

    assert sim.count() == 1


def test_what_was_used_before_is_forgotten_on_the_next_day(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    key = {"key": sim.keys("groq")[0], "daily_limit": 5, "requests_today": 5}
    aio = make_aio("groq", overrides={"groq": {"api_keys": [key]}}, clock=clock, max_wait=0)
    clock.advance(24 * HOUR)

    for _ in range(5):
        aio.chat_completion("hello")

    with pytest.raises(RateLimitError):
        aio.chat_completion("hello")


def test_the_vendors_own_limit_per_day_counts_like_ours(sim: Simulator, make_aio: MakeAIO) -> None:
    key = {"key": sim.keys("groq")[0], "daily_limit": 9, "rpd": 2}
    aio = make_aio("groq", overrides={"groq": {"api_keys": [key]}}, max_wait=0)
    aio.chat_completion("hello")
    aio.chat_completion("hello")

    with pytest.raises(RateLimitError):
        aio.chat_completion("hello")

    assert sim.count() == 2


def test_a_refused_request_counts_too(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", overrides=limited(sim, "groq", 1), max_wait=0, max_retries=0)
    sim.inject("500", times=1)

    with pytest.raises(Exception, match="server"):
        aio.chat_completion("hello")
    with pytest.raises(RateLimitError):
        aio.chat_completion("hello")

    assert sim.count() == 1


def test_a_request_that_never_arrived_does_not_count(sim: Simulator, make_aio: MakeAIO) -> None:
    broken = limited(sim, "groq", 1)
    broken["groq"]["base_url"] = sim.refused_url
    aio = make_aio("groq", "cerebras", overrides=broken)

    aio.chat_completion("hello")

    assert aio.get_key_stats("groq")["keys"][0]["used_today"] == 0


def test_counters_are_reset_by_hand_for_one_provider_or_for_all(
    sim: Simulator, make_aio: MakeAIO
) -> None:
    limits = limited(sim, "groq", 1) | limited(sim, "cerebras", 1)
    aio = make_aio("groq", "cerebras", overrides=limits, max_wait=0)

    def used() -> list[int]:
        return [row["used_today"] for row in aio.get_key_stats()["keys"]]

    aio.chat_completion("hello")
    aio.chat_completion("hello")
    assert used() == [1, 1]
    assert aio.reset_daily_counters("groq") == 1
    assert used() == [0, 1]
    assert aio.reset_daily_counters() == 2
    assert used() == [0, 0]
    assert aio.chat_completion("hello").provider == "groq"


def test_a_reset_lifts_what_the_vendor_stopped_for_the_day(
    sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio("google-ai", max_wait=0)
    rule = sim.inject("429_day")
    with pytest.raises(RateLimitError):
        aio.chat_completion("hello")
    rule.remove()

    aio.reset_daily_counters()

    assert aio.chat_completion("hello").content
    assert sim.count() == 2


def test_a_day_stopped_by_google_lasts_until_midnight_pacific(
    sim: Simulator, make_aio: MakeAIO
) -> None:
    clock = at("2026-11-20T20:00")
    aio = make_aio("google-ai", clock=clock, max_wait=0)
    sim.inject("429_day", times=1)

    with pytest.raises(RateLimitError) as caught:
        aio.chat_completion("hello")

    assert caught.value.available_at == datetime(2026, 11, 21, 8, tzinfo=UTC)
    clock.advance(timedelta(hours=12).total_seconds())
    assert aio.chat_completion("hello").content


def test_the_end_of_the_day_is_in_the_statistics(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("google-ai", "groq", clock=at("2026-11-20T20:00"))

    ends = [row["resets_at"] for row in aio.get_key_stats()["keys"]]

    assert [datetime.fromtimestamp(end, UTC).hour for end in ends] == [8, 0]


def test_an_aio_that_sleeps_for_a_week_wakes_with_a_fresh_day(
    sim: Simulator, clock: FakeClock
) -> None:
    entry = sim.provider("groq", api_keys=[{"key": sim.keys("groq")[0], "daily_limit": 1}])
    with AIO([entry], auto_mode=True, clock=clock, max_wait=0) as aio:
        aio.chat_completion("hello")
        clock.advance(7 * 24 * HOUR)
        row = aio.get_key_stats()["keys"][0]

        assert (row["used_today"], row["remaining"]) == (0, 1)
        assert row["resets_at"] > clock.wall()
        assert all(row["usable"] for row in aio.explain())
        assert aio.chat_completion("hello").content
