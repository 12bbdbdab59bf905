"""`health()`: how everything does, as calls have found it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aio_llm import AIO, ChatStream, FakeClock
from aio_llm.core.health_report import overall
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO
from tests.contract.outages import HERE, ONCE, circuit, fail, hanging, open_circuit, row
from tests.contract.support import VENDORS

ROW = {
    "state", "reason", "circuit", "success_rate", "recent_success", "latency", "in_flight",
    "suspected", "last_error", "last_success", "keys", "free_in",
}  # fmt: skip
CIRCUIT = {
    "state", "reason", "failures", "successes", "opened", "next_probe_in",
    "failure_threshold", "success_threshold", "timeout",
}  # fmt: skip


def test_nobody_has_asked_a_fresh_one(make_aio: MakeAIO) -> None:
    health = make_aio("groq", keys=2, models=2).health()

    assert health["status"] == "unknown"
    assert [set(one) for one in health["models"].values()] == [ROW, ROW]
    assert health["models"][HERE] == {
        "state": "unknown", "reason": "", "circuit": "closed", "success_rate": None,
        "recent_success": None, "latency": {"ewma": None, "p50": None, "p95": None},
        "in_flight": 0, "suspected": False, "last_error": None, "last_success": None,
        "keys": {"usable": 2, "total": 2}, "free_in": 0.0,
    }  # fmt: skip


def test_who_answers_is_healthy(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", "cerebras")
    sim.inject("slow", seconds=0.05)
    answers = [aio.chat_completion("hello") for _ in range(3)]

    health, mine = aio.health(), row(aio)

    assert (health["status"], mine["state"], mine["reason"]) == ("healthy", "healthy", "")
    assert (mine["success_rate"], mine["recent_success"], mine["last_error"]) == (1.0, 1.0, None)
    slowest = max(answer.latency for answer in answers)
    assert 0.05 <= mine["latency"]["ewma"] <= slowest
    assert mine["latency"]["p95"] == pytest.approx(slowest, rel=0.06)
    assert [one["state"] for one in health["models"].values()] == ["healthy", "unknown"]


def test_the_last_answer_and_the_last_error_are_kept(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", clock=clock, **ONCE)
    aio.chat_completion("hello")
    answered = clock.wall()
    clock.advance(10)
    sim.inject("500", times=1)
    fail(aio)

    mine = row(aio)

    assert (mine["last_success"], mine["last_error"]) == (answered, "server")
    assert (mine["success_rate"], mine["state"]) == (0.5, "degraded")


def test_a_failure_is_forgiven_at_the_next_answer(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", clock=clock, **ONCE)
    aio.chat_completion("hello")
    sim.inject("500", times=1)
    fail(aio)
    before = row(aio)
    clock.advance(10)

    aio.chat_completion("hello")

    assert (before["state"], row(aio)["state"]) == ("degraded", "healthy")
    assert 0 < before["free_in"] < 10


def test_who_mostly_fails_is_degraded_even_between_failures(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", clock=clock, circuit_breaker={"failure_threshold": 100}, **ONCE)
    aio.chat_completion("hello")
    open_circuit(aio, sim, failures=9)

    aio.chat_completion("hello")

    assert (row(aio)["state"], row(aio)["circuit"]) == ("degraded", "closed")
    assert "less than half" in row(aio)["reason"]


@pytest.mark.parametrize("fault", ["429_retry_after", "400"])
def test_limits_and_bad_requests_are_no_illness(
    fault: str, sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", clock=clock, **ONCE)
    sim.inject(fault, times=8)
    for _ in range(8):
        fail(aio)
        clock.advance(61)
    aio.chat_completion("hello")

    assert (row(aio)["state"], row(aio)["recent_success"]) == ("healthy", 1.0)
    assert row(aio)["success_rate"] == 1 / 9


def test_explain_and_health_agree_about_a_circuit(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", "cerebras", clock=clock, **ONCE)
    closed = [entry["usable"] for entry in aio.explain(provider="groq")]
    open_circuit(aio, sim)

    (explained,), mine, health = aio.explain(provider="groq"), row(aio), aio.health()
    clock.advance(60)
    half_open = [entry["usable"] for entry in aio.explain(provider="groq")]

    assert (closed, explained["usable"], half_open) == ([True], False, [True])
    assert explained["available_in"] == pytest.approx(mine["free_in"])
    assert (mine["state"], mine["circuit"]) == ("down", "open")
    assert mine["reason"] == "circuit open: server"
    assert health["status"] == "degraded"
    assert (row(aio)["state"], row(aio)["circuit"]) == ("degraded", "half_open")


def test_who_hangs_is_suspected_after_five_seconds(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", "cerebras", clock=clock, timeout=1000)

    with hanging(aio, sim):
        clock.advance(4.9)
        early = row(aio)
        clock.advance(0.2)
        late, explained = row(aio), aio.explain()[-1]
        elsewhere = aio.chat_completion("hello").provider
    after = row(aio)

    assert (early["suspected"], early["in_flight"]) == (False, 1)
    assert (late["suspected"], late["state"], late["reason"]) == (
        True, "degraded", "suspected of hanging",
    )  # fmt: skip
    assert late["free_in"] > 0
    assert (explained["provider"], explained["usable"]) == ("groq", False)
    assert "suspected of hanging" in explained["reason"]
    assert explained["available_in"] == pytest.approx(late["free_in"])
    assert elsewhere == "cerebras"
    assert (after["suspected"], after["in_flight"]) == (False, 0)


def test_a_stream_that_is_being_read_does_not_hang(make_aio: MakeAIO, clock: FakeClock) -> None:
    aio = make_aio("groq", "cerebras", clock=clock)

    with aio.chat_completion_stream("hello") as stream:
        next(stream)
        clock.advance(20)
        during = row(aio)
        neighbour = aio.chat_completion("hello").provider
        rest = [chunk.done for chunk in stream]
    after = row(aio)

    assert (during["suspected"], during["in_flight"]) == (False, 1)
    assert neighbour == "groq"
    assert rest[-1]
    assert (after["in_flight"], after["state"]) == (0, "healthy")


LEAVE: dict[str, Any] = {
    "read to its end": lambda stream: list(stream),
    "closed": ChatStream.close,
    "cancelled": ChatStream.cancel,
}


@pytest.mark.parametrize("way", LEAVE)
def test_what_is_over_is_no_longer_in_flight(way: str, make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    stream = aio.chat_completion_stream("hello")
    next(stream)
    during = row(aio)["in_flight"]

    LEAVE[way](stream)

    assert (during, row(aio)["in_flight"]) == (1, 0)


# Keys


def test_keys_are_counted_by_what_they_could_do_now(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    keys = [*sim.keys("groq"), "gsk_of_another_account_0001"]
    aio = make_aio("groq", overrides={"groq": {"api_keys": keys}}, clock=clock, max_wait=0)
    aio.disable_key("groq", "2")
    sim.inject("429_retry_after", key=keys[0], seconds=20)
    aio.chat_completion("hello")

    mine = row(aio)

    assert mine["keys"] == {"usable": 1, "total": 3}
    assert (mine["state"], mine["free_in"]) == ("healthy", 0.0)


def test_a_limit_that_calls_would_wait_for_is_no_outage(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", clock=clock)
    sim.inject("429_retry_after", seconds=20)
    fail(aio, max_wait=0)

    mine = row(aio)
    clock.advance(20)

    assert (mine["state"], mine["reason"]) == ("degraded", "every key is busy or limited")
    assert mine["free_in"] == pytest.approx(20, abs=1)
    assert row(aio)["free_in"] == 0.0


def spent(aio: AIO, sim: Simulator) -> None:
    """A limit of hours."""
    sim.inject("429_retry_after", seconds=7200)
    fail(aio)


def revoked(aio: AIO, sim: Simulator) -> None:
    """A key the vendor does not know."""
    sim.inject("401")
    fail(aio)


def disabled(aio: AIO, sim: Simulator) -> None:
    """A key nobody is to use."""
    aio.disable_key("groq", "0")


OUT: dict[Any, float | None] = {spent: 7200, revoked: 3600, disabled: None}


@pytest.mark.parametrize("cause", OUT, ids=lambda cause: cause.__name__)
def test_without_a_key_for_longer_than_a_call_waits_it_is_down(
    cause: Any, sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", clock=clock)
    cause(aio, sim)

    health, mine = aio.health(), row(aio)

    assert (health["status"], mine["state"], mine["reason"]) == (
        "down", "down", "no key can be used",
    )  # fmt: skip
    assert mine["free_in"] == (None if OUT[cause] is None else pytest.approx(OUT[cause], abs=1))
    assert mine["keys"] == {"usable": 0, "total": 1}


# All together


STATUS = {
    (): "unknown",
    ("unknown", "unknown"): "unknown",
    ("healthy", "unknown"): "healthy",
    ("healthy", "down"): "degraded",
    ("healthy", "degraded"): "degraded",
    ("down", "down"): "down",
    ("down", "unknown"): "degraded",
    ("degraded", "down"): "degraded",
}


@pytest.mark.parametrize("states", STATUS, ids=str)
def test_one_word_says_how_all_are(states: tuple[str, ...]) -> None:
    assert overall(states) == STATUS[states]


def test_one_provider_is_told_by_any_of_its_names(make_aio: MakeAIO) -> None:
    aio = make_aio("groq", "google-ai")

    assert list(aio.health("gemini")["models"]) == ["google-ai/gemini-2.5-flash"]
    assert set(aio.health()["models"]) == {HERE, "google-ai/gemini-2.5-flash"}


def test_health_is_plain_data_without_a_key_and_sends_nothing(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", "cerebras", keys=2, models=2, clock=clock, **ONCE)
    open_circuit(aio, sim)
    aio.disable_key("cerebras", "0")
    arrived = sim.count()

    told = [aio.health(), aio.get_circuit_breaker_state()]
    text = json.dumps(told, allow_nan=False)

    assert json.loads(text) == told
    assert all(set(one) == CIRCUIT for one in told[1].values())
    assert not any(key in text for vendor in VENDORS for key in sim.keys(vendor))
    assert sim.count() == arrived


def test_a_reset_forgets_figures_and_no_circuit(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", clock=clock, **ONCE)
    open_circuit(aio, sim)

    aio.reset_metrics()

    assert (row(aio)["last_error"], row(aio)["success_rate"]) == (None, None)
    assert (row(aio)["state"], circuit(aio)["state"]) == ("down", "open")
