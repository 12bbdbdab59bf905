"""Quotas: counted per key group and model, refused the vendor's way."""

from __future__ import annotations

from typing import Any

import groq
import httpx
import pytest
from google.genai.errors import ClientError

from aio_llm.simulator import Quota, Simulator
from aio_llm.simulator.quotas import Ledger
from aio_llm.simulator.windows import Bucket, Fixed, Sliding
from tests.simulator.callers import VENDORS, Caller, spend
from tests.simulator.clocks import Clock


@pytest.mark.parametrize("axis", ["rpm", "rpd"])
@pytest.mark.parametrize("vendor", VENDORS)
def test_requests_over_the_limit_are_refused(vendor: str, axis: str) -> None:
    clock = Clock()
    limit: dict[str, Any] = {axis: 2}
    with Simulator(quotas=[Quota(vendor, **limit)], clock=clock) as sim:
        caller = Caller(sim, vendor)

        assert spend(caller, 3) == [True, True, False]
        assert [request.status for request in sim.requests] == [200, 200, 429]
        assert [request.fault for request in sim.requests] == [None, None, None]
        clock.now += 60 if axis == "rpm" else 86_400
        assert spend(caller, 3) == [True, True, False]


@pytest.mark.parametrize("vendor", VENDORS)
def test_tokens_over_the_limit_are_refused(vendor: str) -> None:
    with Simulator(quotas=[Quota(vendor, tpm=60)], clock=Clock()) as sim:
        passed = spend(Caller(sim, vendor), 6)

    assert passed[0]
    assert not passed[-1]


def test_each_key_and_each_model_has_its_own_counter() -> None:
    with Simulator(quotas=[Quota("groq", rpm=1)], clock=Clock()) as sim:
        caller, (first, second) = Caller(sim, "groq"), sim.keys("groq")
        large, small = sim.models("groq")

        assert spend(caller, 2, key=first, model=large) == [True, False]
        assert spend(caller, 2, key=second, model=large) == [True, False]
        assert spend(caller, 2, key=first, model=small) == [True, False]


def test_a_group_of_keys_shares_its_counters() -> None:
    with Simulator(quotas=[Quota("groq", rpm=1)], clock=Clock()) as sim:
        first, second = sim.keys("groq")
        sim.group("groq", [first, second])

        assert spend(Caller(sim, "groq"), 1, key=first) == [True]
        assert spend(Caller(sim, "groq"), 1, key=second) == [False]


def test_a_quota_for_one_group_leaves_the_others_alone() -> None:
    with Simulator(quotas=[Quota("groq", rpm=1, group="team")], clock=Clock()) as sim:
        first, second = sim.keys("groq")
        assert sim.group("groq", [first], "team") == "team"

        assert spend(Caller(sim, "groq"), 2, key=first) == [True, False]
        assert spend(Caller(sim, "groq"), 2, key=second) == [True, True]


def test_models_can_share_one_counter() -> None:
    with Simulator(quotas=[Quota("openrouter", rpd=1, model="*")], clock=Clock()) as sim:
        large, small = sim.models("openrouter")
        caller = Caller(sim, "openrouter")

        assert spend(caller, 1, model=large) == [True]
        assert spend(caller, 1, model=small) == [False]


def test_groq_tells_what_is_left() -> None:
    quota = Quota("groq", rpd=10, tpm=1000)
    with Simulator(quotas=[quota], clock=Clock()) as sim:
        caller = Caller(sim, "groq")
        raw = caller.client().chat.completions.with_raw_response
        messages = [{"role": "user", "content": "hello"}]
        headers = raw.create(model=sim.models("groq")[0], messages=messages).headers

    assert headers["x-ratelimit-limit-requests"] == "10"
    assert headers["x-ratelimit-remaining-requests"] == "9"
    assert headers["x-ratelimit-limit-tokens"] == "1000"
    assert int(headers["x-ratelimit-remaining-tokens"]) < 1000


def test_groq_tells_how_long_to_wait() -> None:
    clock = Clock()
    with Simulator(quotas=[Quota("groq", rpm=1)], clock=clock) as sim:
        caller = Caller(sim, "groq")
        caller.call()
        clock.now += 17.5
        with pytest.raises(groq.RateLimitError, match=r"\(RPM\): Limit 1, Used 1") as caught:
            caller.call()

    assert "Please try again in 42.5s." in str(caught.value)
    assert caught.value.response.headers["retry-after"] == "43"


def test_a_refusal_carries_the_true_limits() -> None:
    with Simulator(quotas=[Quota("groq", rpd=1, tpm=500)], clock=Clock()) as sim:
        caller = Caller(sim, "groq")
        caller.call()
        with pytest.raises(groq.RateLimitError, match=r"\(RPD\)") as caught:
            caller.call()

    headers = caught.value.response.headers
    assert headers["x-ratelimit-limit-requests"] == "1"
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert headers["x-ratelimit-reset-requests"] == "24h0m0s"
    assert headers["x-ratelimit-limit-tokens"] == "500"


def test_google_says_seconds_when_the_day_is_spent() -> None:
    with Simulator(quotas=[Quota("google-ai", rpd=1)], clock=Clock()) as sim:
        caller = Caller(sim, "google-ai")
        caller.call()
        with pytest.raises(ClientError, match="PerDay") as caught:
            caller.call()

    assert "Please retry in 20s" in str(caught.value)
    assert "retry-after" not in caught.value.response.headers


def test_a_request_larger_than_groqs_limit_is_a_413() -> None:
    large = pytest.raises(groq.APIStatusError, match="Request too large")
    with Simulator(quotas=[Quota("groq", tpm=5)], clock=Clock()) as sim, large as caught:
        Caller(sim, "groq").call()

    assert caught.value.status_code == 413


def test_an_injected_429_does_not_spend_the_quota() -> None:
    with Simulator(quotas=[Quota("groq", rpm=1)], clock=Clock()) as sim:
        sim.inject("429", times=1)

        assert spend(Caller(sim, "groq"), 3) == [False, True, False]


def test_clear_resets_the_quotas() -> None:
    with Simulator(quotas=[Quota("groq", rpm=1)], clock=Clock()) as sim:
        spend(Caller(sim, "groq"), 2)
        sim.clear()

        assert spend(Caller(sim, "groq"), 1) == [True]


def test_a_sliding_window_frees_what_is_old_enough() -> None:
    window = Sliding(2, 60)
    window.add(0, 1)
    window.add(30, 1)

    assert window.wait(40, 1) == 20
    assert window.wait(60, 1) == 0
    assert window.wait(60, 2) == 30
    assert window.wait(60, 3) == float("inf")
    assert window.reset(60) == 30


def test_a_fixed_window_ends_with_the_minute() -> None:
    window = Fixed(1, 60)
    window.add(59, 1)

    assert window.wait(59, 1) == 1
    assert window.wait(60, 1) == 0


def test_a_bucket_refills_continuously() -> None:
    bucket = Bucket(60, 60, 0.5)

    assert bucket.wait(0, 30) == 0
    bucket.add(0, 30)
    assert bucket.wait(0, 1) == 1
    assert bucket.wait(10, 10) == 0
    assert bucket.wait(10, 31) == float("inf")
    assert bucket.reset(10) == 20


def test_refusals_count_when_told_to() -> None:
    clock = Clock()
    ledger = Ledger([Quota("groq", rpm=1, count_refused=True)], clock)

    assert ledger.admit("groq", "g", "m", 1) is None
    clock.now += 40
    assert ledger.admit("groq", "g", "m", 1) is not None
    clock.now += 40
    refusal = ledger.admit("groq", "g", "m", 1)

    assert refusal is not None
    assert refusal.wait > 0


def test_a_refusal_by_one_limit_spends_no_other() -> None:
    ledger = Ledger([Quota("groq", rpm=1, rpd=5)], Clock())
    for _ in range(3):
        ledger.admit("groq", "g", "m", 1)

    assert ledger.meters("groq", "g", "m")["rpd"].remaining == 4


def test_an_unknown_window_is_refused() -> None:
    with pytest.raises(ValueError, match="sliding, fixed, bucket"):
        Quota("groq", window="rolling")


def test_no_more_pass_at_once_than_the_limit_allows() -> None:
    with Simulator(quotas=[Quota("cerebras", rpm=3)], clock=Clock()) as sim:
        url = f"{sim.base_url('cerebras')}/chat/completions"
        headers = {"authorization": f"Bearer {sim.keys('cerebras')[0]}"}
        body = {"model": "llama3.1-8b", "messages": [{"role": "user", "content": "x"}]}
        with httpx.Client(headers=headers) as client:
            statuses = [client.post(url, json=body).status_code for _ in range(8)]

    assert statuses == [200] * 3 + [429] * 5
