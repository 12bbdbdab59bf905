"""`health_check()`: every provider is asked, no token is spent, and nothing is changed by it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from aio_llm import (
    AIO,
    CancelToken,
    ConfigError,
    FakeClock,
    InvalidRequestError,
    RequestCancelledError,
)
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO
from tests.contract.outages import ONCE, circuit, fail, open_circuit
from tests.contract.support import VENDORS

Overrides = dict[str, dict[str, Any]]

WRONG = "gsk_wrongwrongwrongwrongwrong"


def asked(sim: Simulator) -> list[tuple[str, str]]:
    """Who was asked, and how."""
    return [(request.vendor, request.method) for request in sim.requests]


def masked(key: str) -> str:
    """A key as people may see it."""
    return f"{key[:4]}…{key[-4:]}"


def oks(check: dict[str, Any]) -> dict[str, bool]:
    """Which providers are well."""
    return {name: row["ok"] for name, row in check["providers"].items()}


def test_every_provider_is_asked_once_without_a_chat(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio(*VENDORS, keys=2, models=2)

    check = aio.health_check()

    assert check["status"] == "healthy"
    assert oks(check) == dict.fromkeys(VENDORS, True)
    assert asked(sim) == [(vendor, "GET") for vendor in VENDORS]
    assert all(0 < row["latency"] < 10 for row in check["providers"].values())
    assert check["providers"]["groq"]["keys"][0]["key"] == masked(sim.keys("groq")[0])


def test_all_keys_are_asked_if_that_is_wanted(sim: Simulator, make_aio: MakeAIO) -> None:
    keys = [sim.keys("groq")[0], WRONG, sim.keys("groq")[1]]
    aio = make_aio("groq", "cerebras", overrides={"groq": {"api_keys": keys}})

    check = aio.health_check(all_keys=True)

    statuses = [key["status"] for key in check["providers"]["groq"]["keys"]]
    assert statuses == ["valid", "invalid", "valid"]
    assert (check["status"], oks(check)) == ("degraded", {"groq": True, "cerebras": True})
    assert sim.count("groq") == 3


def test_a_refused_key_and_a_dead_host_say_why(sim: Simulator, make_aio: MakeAIO) -> None:
    overrides: Overrides = {
        "groq": {"api_keys": [WRONG]},
        "cerebras": {"base_url": sim.refused_url},
    }
    aio = make_aio("groq", "cerebras", overrides=overrides)

    check = aio.health_check()

    reasons = [row["reason"].split(":")[0] for row in check["providers"].values()]
    assert (check["status"], oks(check)) == ("down", {"groq": False, "cerebras": False})
    assert reasons == ["bad_key", "network"]


def test_who_hangs_uses_up_its_own_share_of_the_time_only(
    sim: Simulator, make_aio: MakeAIO
) -> None:
    silent = {"groq": {"base_url": sim.silent_url}}
    aio = make_aio("groq", "cerebras", "openrouter", overrides=silent)
    aio.warmup()
    began = time.monotonic()

    check = aio.health_check(timeout=3.0)

    assert time.monotonic() - began < 3.0
    assert oks(check) == {"groq": False, "cerebras": True, "openrouter": True}
    assert check["providers"]["groq"]["reason"] == "no answer within 1 s"
    assert check["status"] == "degraded"


def test_a_good_answer_closes_no_circuit(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", clock=clock, **ONCE)
    open_circuit(aio, sim)
    clock.advance(60)
    before = (circuit(aio), aio.get_metrics(), aio.get_key_stats(), aio.health())

    check = aio.health_check()

    assert check["status"] == "healthy"
    assert (circuit(aio), aio.get_metrics(), aio.get_key_stats(), aio.health()) == before


def test_bad_answers_open_no_circuit_and_disable_no_key(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    overrides: Overrides = {
        "groq": {"api_keys": [WRONG]},
        "cerebras": {"base_url": sim.refused_url},
    }
    aio = make_aio("groq", "cerebras", overrides=overrides, clock=clock)
    before = (aio.get_circuit_breaker_state(), aio.get_metrics(), aio.get_key_stats())

    for _ in range(6):
        aio.health_check()

    after = (aio.get_circuit_breaker_state(), aio.get_metrics(), aio.get_key_stats())
    assert after == before


def test_the_key_a_call_would_use_is_asked(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    first, second = sim.keys("groq")
    aio = make_aio("groq", keys=2, clock=clock, **ONCE)
    sim.inject("429_retry_after", key=first, seconds=600)
    fail(aio)

    (limited,) = aio.health_check()["providers"]["groq"]["keys"]
    aio.disable_key("groq", second)
    (disabled,) = aio.health_check()["providers"]["groq"]["keys"]

    assert (limited["key"], disabled["key"]) == (masked(second), masked(first))


def test_without_an_enabled_key_nobody_is_asked(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    aio.disable_key("groq", "0")

    check = aio.health_check(all_keys=True)

    assert check == {
        "status": "down",
        "providers": {
            "groq": {"ok": False, "reason": "every key is disabled", "latency": None, "keys": []}
        },
    }
    assert sim.requests == []


def test_a_provider_that_is_off_is_asked_only_by_name(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", "google-ai", overrides={"google-ai": {"is_active": False}})

    every, named = aio.health_check(), aio.health_check(provider="gemini")

    assert list(every["providers"]) == ["groq"]
    assert list(named["providers"]) == ["google-ai"]
    with pytest.raises(ConfigError, match="grok"):
        aio.health_check(provider="grok")


def test_a_cancelled_check_asks_nobody(sim: Simulator, make_aio: MakeAIO) -> None:
    aio, token = make_aio("groq"), CancelToken()
    token.cancel()

    with pytest.raises(RequestCancelledError):
        aio.health_check(cancel=token)

    assert sim.requests == []


def test_a_check_that_hangs_can_be_cancelled(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", "cerebras", overrides={"groq": {"base_url": sim.silent_url}})
    token, began = CancelToken(), time.monotonic()
    token.cancel_after(0.1)

    with pytest.raises(RequestCancelledError):
        aio.health_check(timeout=600, cancel=token)

    assert time.monotonic() - began < 60
    assert sim.requests == []
    assert aio.chat_completion("hello", provider="cerebras").content


@pytest.mark.parametrize("timeout", [0, -1, "soon", float("nan")])
def test_it_takes_some_time(timeout: Any, make_aio: MakeAIO) -> None:
    with pytest.raises(InvalidRequestError, match="timeout"):
        make_aio("groq").health_check(timeout=timeout)


def test_what_it_says_is_plain_data_without_a_key(sim: Simulator) -> None:
    entries = [sim.provider(vendor, api_keys=[*sim.keys(vendor), WRONG]) for vendor in VENDORS]
    with AIO(entries) as aio:
        check = aio.health_check(all_keys=True)

    text = json.dumps(check, allow_nan=False)

    assert json.loads(text) == check
    assert not any(key in text for v in VENDORS for key in [*sim.keys(v), WRONG])
