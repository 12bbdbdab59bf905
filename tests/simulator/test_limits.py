"""What a quota may count: kinds of tokens, spans of time, requests at once; and by which clock."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import APIStatusError

from aio_llm.simulator import Quota, Simulator
from aio_llm.simulator.quotas import AXES, Ledger
from aio_llm.simulator.records import Size
from aio_llm.simulator.windows import Fixed
from tests.simulator.callers import REFUSED, VENDORS, Caller, spend
from tests.simulator.clocks import Clock


@pytest.mark.parametrize(
    ("tokens", "passed"),
    [("total", [True, True, True, False]), ("input", [True] * 4), ("reserved", [True, False])],
)
def test_a_quota_counts_the_tokens_it_says(tokens: str, passed: list[bool]) -> None:
    quota = Quota("cerebras", tpm=130, tokens=tokens)
    with Simulator(quotas=[quota], clock=Clock()) as sim:
        caller = Caller(sim, "cerebras")
        text = "[answer 30] tokens, please"  # a prompt of 7 tokens

        assert spend(caller, len(passed), text=text, max_completion_tokens=90) == passed


def test_reserved_tokens_without_a_limit_are_those_of_the_answer() -> None:
    with Simulator(quotas=[Quota("groq", tpm=80, tokens="reserved")], clock=Clock()) as sim:
        passed = spend(Caller(sim, "groq"), 3, text="[answer 30] tokens, please")

    assert passed == [True, True, False]


def test_usage_is_what_the_quota_has_counted() -> None:
    with Simulator(quotas=[Quota("groq", tpm=1_000)], clock=Clock()) as sim:
        caller = Caller(sim, "groq")
        usage = caller.call("[answer 123] tokens, please").usage
        headers = (
            caller.client()
            .chat.completions.with_raw_response.create(
                model=sim.models("groq")[0], messages=[{"role": "user", "content": "[answer 10]"}]
            )
            .headers
        )

    assert (usage.prompt_tokens, usage.completion_tokens) == (7, 123)
    assert int(headers["x-ratelimit-remaining-tokens"]) == 1_000 - 130 - 13


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("axis", AXES)
def test_every_vendor_has_words_for_every_limit(vendor: str, axis: str) -> None:
    clock, limit = Clock(), 1 if axis.startswith("r") else 30
    how: dict[str, Any] = {axis: limit}
    with Simulator(quotas=[Quota(vendor, **how)], clock=clock) as sim:
        caller = Caller(sim, vendor)

        assert spend(caller, 2, text="[answer 20]") == [True, False]
        clock.now += AXES[axis]
        assert spend(caller, 1, text="[answer 20]") == [True]


@pytest.mark.parametrize("vendor", VENDORS)
def test_only_so_many_requests_are_answered_at_once(vendor: str) -> None:
    with Simulator(quotas=[Quota(vendor, concurrent=1)], chunk_delay=60.0) as sim:
        caller = Caller(sim, vendor)
        stream = caller.stream()
        next(stream)

        assert spend(caller, 2) == [False, False]
        caller.close()
        assert sim.wait_for(lambda: sim.active == 0)
        assert spend(Caller(sim, vendor), 1) == [True]


def test_a_refusal_for_too_many_at_once_gives_no_hint() -> None:
    with Simulator(quotas=[Quota("groq", concurrent=1)], chunk_delay=60.0) as sim:
        caller = Caller(sim, "groq")
        next(caller.stream())
        with pytest.raises(REFUSED, match="concurrent requests") as caught:
            caller.call()
        headers = getattr(caught.value, "response").headers  # noqa: B009  # one of three SDKs

    assert "retry-after" not in headers
    assert "try again" not in str(caught.value)


def test_an_answered_request_makes_room_for_the_next_one() -> None:
    with Simulator(quotas=[Quota("google-ai", concurrent=1)]) as sim:
        passed = spend(Caller(sim, "google-ai"), 5)

    assert passed == [True] * 5


def test_a_fixed_window_can_begin_late() -> None:
    window = Fixed(1, 60.0, phase=17.0)
    window.add(76.0, 1)

    assert window.wait(76.0, 1) == 1.0
    assert window.wait(77.0, 1) == 0.0
    assert window.window(77.0) == (77.0, 137.0)


@given(phase=st.floats(0, 60), now=st.floats(0, 2e9), steps=st.integers(1, 5))
def test_every_moment_is_in_its_window_and_windows_follow_each_other(
    phase: float, now: float, steps: int
) -> None:
    window = Fixed(1, 60.0, phase=phase)
    begin, end = window.window(now)
    for _ in range(steps):
        assert begin <= now < end
        now = end
        begin, end = window.window(now)

    assert begin == pytest.approx(now)


DAYS = [("2026-03-08T12:00", 23), ("2026-11-01T12:00", 25), ("2026-11-20T12:00", 24)]


@pytest.mark.parametrize(("noon", "hours"), DAYS)
def test_a_day_begins_and_ends_at_midnight_of_its_zone(noon: str, hours: int) -> None:
    moment = datetime.fromisoformat(noon).replace(tzinfo=UTC).timestamp()
    begin, end = Fixed(1, 86_400.0, zone="America/Los_Angeles").window(moment)

    assert end - begin == hours * 3_600
    assert datetime.fromtimestamp(begin, UTC).hour in (7, 8)
    assert begin <= moment < end


def test_a_days_quota_comes_back_at_midnight_of_the_vendor() -> None:
    midnight = datetime(2026, 11, 20, 8, tzinfo=UTC).timestamp()
    quota = Quota("google-ai", rpd=1, window="fixed", zone="America/Los_Angeles")
    clock = Clock(midnight - 600)
    with Simulator(quotas=[quota], clock=clock) as sim:
        caller = Caller(sim, "google-ai")

        assert spend(caller, 2) == [True, False]
        clock.now = midnight
        assert spend(caller, 2) == [True, False]


def test_what_quotas_do_not_know_is_refused() -> None:
    with pytest.raises(ValueError, match="total, input, reserved"):
        Quota("groq", tokens="output")


def test_peeking_counts_nothing() -> None:
    ledger = Ledger([Quota("groq", rpm=1, tpm=100)], Clock())
    size = Size(10, 50, 90)

    assert [ledger.wait("groq", "g", "m", size) for _ in range(3)] == [0.0] * 3
    assert ledger.admit("groq", "g", "m", size) is None
    assert ledger.wait("groq", "g", "m", size) == 60.0


def test_refusals_and_dates_go_by_the_simulators_clock() -> None:
    clock = Clock(1_800_000_000.0)
    with Simulator(quotas=[Quota("openrouter", rpm=1)], clock=clock) as sim:
        caller = Caller(sim, "openrouter")
        caller.call()
        clock.now += 20
        with pytest.raises(APIStatusError) as caught:
            caller.call()

    body: Any = caught.value.body
    date = parsedate_to_datetime(caught.value.response.headers["date"])
    assert body["metadata"]["headers"]["X-RateLimit-Reset"] == str(1_800_000_060_000)
    assert date.timestamp() == 1_800_000_020


def test_time_can_run_faster() -> None:
    clock = Clock()
    with Simulator(latency=600.0, clock=clock, rate=60_000.0) as sim:
        assert Caller(sim, "groq", timeout=5.0).text("ten minutes") != ""


def test_the_pace_is_the_clocks_own() -> None:
    class Fast(Clock):
        rate = 60_000.0

    with Simulator(clock=Fast()) as sim:
        sim.inject("slow", seconds=600.0)

        assert Caller(sim, "cerebras", timeout=5.0).text("ten minutes") != ""


def test_a_silent_answer_stays_silent_however_fast_time_runs() -> None:
    with Simulator(rate=1e6) as sim:
        sim.inject("hang")
        url = f"{sim.base_url('cerebras')}/chat/completions"
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url, json={"model": "m", "messages": []}, timeout=0.2)
