"""Circuit breakers: when they open, when they let a probe through, when they close."""

from __future__ import annotations

from typing import Any

import pytest

from aio_llm import AIO, ConfigError, FakeClock, ModelNotFoundError
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO
from tests.contract.outages import ONCE, SLOW, circuit, fail, hanging, open_circuit, row


def test_a_circuit_nobody_has_used_is_closed(make_aio: MakeAIO) -> None:
    state = circuit(make_aio("groq"))

    assert state == {
        "state": "closed", "reason": "", "failures": 0, "successes": 0, "opened": 0,
        "next_probe_in": 0.0, "failure_threshold": 5, "success_threshold": 2, "timeout": 60.0,
    }  # fmt: skip


@pytest.mark.parametrize("threshold", [None, 1, 3])
def test_a_circuit_opens_after_so_many_failures_in_a_row(
    threshold: int | None, sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    how: dict[str, Any] = {"circuit_breaker": {"failure_threshold": threshold}} if threshold else {}
    aio = make_aio("groq", clock=clock, **ONCE, **how)
    sim.inject("503")
    seen = []

    for _ in range(threshold or 5):
        fail(aio)
        seen.append((circuit(aio)["state"], circuit(aio)["failures"]))

    many = len(seen)
    assert seen == [("closed", n) for n in range(1, many)] + [("open", many)]
    assert (circuit(aio)["opened"], circuit(aio)["reason"]) == (1, "server")
    assert sim.count() == many


def test_an_answer_between_them_begins_the_row_anew(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", clock=clock, **ONCE)
    open_circuit(aio, sim, failures=4)
    fail(aio)

    open_circuit(aio, sim, failures=4)

    assert (circuit(aio)["state"], circuit(aio)["failures"]) == ("closed", 4)


def test_nobody_is_sent_through_an_open_circuit(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", clock=clock, circuit_breaker=SLOW, **ONCE)
    open_circuit(aio, sim)

    fail(aio, 3, timeout=5)

    assert sim.count() == 5


@pytest.mark.parametrize("seconds", [60.0, 6.0])
def test_a_circuit_is_half_open_after_at_most_the_timeout(
    seconds: float, sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", clock=clock, circuit_breaker={"timeout": seconds}, **ONCE)
    sim.inject("503")
    fail(aio, 5)
    waits = []

    for _ in range(8):
        waits.append(circuit(aio)["next_probe_in"])
        clock.advance(waits[-1] - 0.001)
        before = circuit(aio)["state"]
        clock.advance(0.002)
        after = circuit(aio)["state"]
        fail(aio)
        assert (before, after) == ("open", "half_open")

    assert sim.count() == 5 + 8
    assert 0 < waits[0] < waits[-1] <= max(waits) <= seconds
    assert circuit(aio)["opened"] == 9


@pytest.mark.parametrize("threshold", [None, 1, 3])
def test_a_circuit_closes_after_so_many_answers(
    threshold: int | None, sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    how: dict[str, Any] = {"circuit_breaker": {"success_threshold": threshold}} if threshold else {}
    aio = make_aio("groq", clock=clock, **ONCE, **how)
    open_circuit(aio, sim)
    clock.advance(60)
    seen = []

    for _ in range(threshold or 2):
        aio.chat_completion("hello")
        seen.append((circuit(aio)["state"], circuit(aio)["successes"]))

    many = len(seen)
    assert seen == [("half_open", n) for n in range(1, many)] + [("closed", 0)]


def test_a_failed_probe_opens_it_again(sim: Simulator, make_aio: MakeAIO, clock: FakeClock) -> None:
    aio = make_aio("groq", clock=clock, **ONCE)
    open_circuit(aio, sim)
    clock.advance(60)
    aio.chat_completion("hello")

    open_circuit(aio, sim, failures=1)

    state = circuit(aio)
    assert (state["state"], state["opened"], state["successes"]) == ("open", 2, 0)
    assert state["next_probe_in"] > 0


def test_only_one_probe_goes_at_a_time(sim: Simulator, make_aio: MakeAIO, clock: FakeClock) -> None:
    aio = make_aio("groq", clock=clock, circuit_breaker=SLOW, **ONCE)
    open_circuit(aio, sim)
    clock.advance(600)

    with hanging(aio, sim):
        fail(aio, 3, timeout=5)
        state, arrived = circuit(aio), sim.count()

    assert arrived == 5 + 1
    assert state["state"] == "half_open"
    assert 0 < state["next_probe_in"] <= 600


def test_a_host_that_cannot_be_reached_is_out_with_all_its_models(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    dead = {"groq": {"base_url": sim.refused_url}}
    aio = make_aio("groq", "cerebras", models=2, overrides=dead, clock=clock, **ONCE)

    fail(aio, 5, provider="groq")

    states = {name: state["state"] for name, state in aio.get_circuit_breaker_state().items()}
    assert list(states.values()) == ["open", "open", "closed", "closed"]
    assert set(aio.get_circuit_breaker_state("groq")) == {n for n in states if "groq" in n}


def test_a_model_that_is_gone_is_open_for_good(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", clock=clock, **ONCE)
    sim.inject("decommissioned", vendor="groq")
    fail(aio)
    clock.advance(1e6)

    state = circuit(aio)

    assert (state["state"], state["next_probe_in"]) == ("open", None)
    assert state["reason"] == "model_not_found"
    assert (row(aio)["state"], row(aio)["free_in"]) == ("down", None)


def test_what_is_not_configured_has_no_circuit(make_aio: MakeAIO) -> None:
    aio = make_aio("groq")

    with pytest.raises(ConfigError, match="grok"):
        aio.get_circuit_breaker_state("grok")
    with pytest.raises(ModelNotFoundError, match="lama"):
        aio.get_circuit_breaker_state("groq", "lama")
    with pytest.raises(ConfigError, match="grok"):
        aio.health("grok")


WRONG: list[dict[str, Any]] = [
    {"failure_threshold": 0}, {"success_threshold": -1}, {"timeout": 0}, {"timeout": float("inf")},
    {"failure_threshold": "many"}, {"treshold": 3},
]  # fmt: skip


@pytest.mark.parametrize("thresholds", WRONG, ids=str)
def test_senseless_thresholds_are_a_configuration_error(
    thresholds: dict[str, Any], make_aio: MakeAIO
) -> None:
    with pytest.raises(ConfigError, match=r"circuit_breaker\..*(threshold|timeout)"):
        make_aio("groq", circuit_breaker=thresholds)


# Who is told


def listen(aio: AIO) -> list[Any]:
    """What is told of circuits from now on."""
    told: list[Any] = []
    aio.on("circuit_opened", told.append)
    aio.on("circuit_closed", told.append)
    return told


def test_a_vendor_that_refuses_is_no_longer_down_and_that_is_told(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", clock=clock, circuit_breaker={"success_threshold": 1}, **ONCE)
    told = listen(aio)
    open_circuit(aio, sim)
    clock.advance(60)
    sim.inject("429_retry_after", seconds=30, times=1)

    fail(aio)

    assert [event.name for event in told] == ["circuit_opened", "circuit_closed"]
    assert circuit(aio)["state"] == "closed"


def test_a_circuit_that_opens_again_is_told_once(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", clock=clock, **ONCE)
    told = listen(aio)
    sim.inject("503")

    for _ in range(10):
        fail(aio)
        clock.advance(60)

    assert [(event.name, event.failures) for event in told] == [("circuit_opened", 5)]
    assert circuit(aio)["opened"] == 6


def test_a_host_that_cannot_be_reached_is_told_as_a_provider(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock, log: list[str]
) -> None:
    aio = make_aio("groq", overrides={"groq": {"base_url": sim.refused_url}}, clock=clock, **ONCE)
    told = listen(aio)

    fail(aio, 5)

    (event,) = told
    assert (event.provider, event.model, event.failures) == ("groq", None, 5)
    assert event.open_for == pytest.approx(circuit(aio)["next_probe_in"])
    assert [line for line in log if line.startswith("WARNING circuit of groq opened: 5 failures")]
