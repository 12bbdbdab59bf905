"""When an injected fault hits: times, chance, and what it does to the quota."""

from __future__ import annotations

import pytest

from aio_llm.simulator import Quota, Simulator
from tests.simulator.callers import REFUSED, VENDORS, Caller, status_of
from tests.simulator.clocks import Clock


def statuses(caller: Caller, count: int) -> list[int]:
    """How each of so many calls ended."""
    found = []
    for _ in range(count):
        try:
            caller.call()
        except REFUSED as error:
            found.append(status_of(error))
        else:
            found.append(200)
    return found


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_fault_has_a_beginning_and_an_end(vendor: str) -> None:
    clock = Clock(1_000.0)
    with Simulator(clock=clock) as sim:
        sim.inject("503", vendor=vendor, start=1_045.0, end=1_135.0)
        caller, found = Caller(sim, vendor), []
        for moment in (1_000.0, 1_045.0, 1_134.9, 1_135.0):
            clock.now = moment
            found += statuses(caller, 1)

    assert found == [200, 503, 503, 200]


def hits(seed: int) -> list[int]:
    with Simulator() as sim:
        sim.inject("500", probability=0.3, seed=seed)
        return statuses(Caller(sim, "groq"), 40)


def test_chance_hits_about_as_often_as_it_says_and_the_same_ones_for_a_seed() -> None:
    found = hits(5)

    assert 4 <= found.count(500) <= 20
    assert found == hits(5)
    assert found != hits(6)


def test_a_fault_may_spend_quota_or_be_refused_by_it() -> None:
    with Simulator(quotas=[Quota("groq", rpm=2)], clock=Clock()) as sim:
        sim.inject("500", spends=True, times=2)

        assert statuses(Caller(sim, "groq"), 3) == [500, 500, 429]
        assert [request.counted for request in sim.requests] == [True, True, False]


def test_a_fault_spends_nothing_by_itself() -> None:
    with Simulator(quotas=[Quota("groq", rpm=1)], clock=Clock()) as sim:
        sim.inject("500", times=3)

        assert statuses(Caller(sim, "groq"), 4) == [500, 500, 500, 200]


def test_a_slow_answer_spends_once() -> None:
    with Simulator(quotas=[Quota("groq", rpm=2)], clock=Clock()) as sim:
        sim.inject("slow", spends=True, seconds=0.0)

        assert statuses(Caller(sim, "groq"), 3) == [200, 200, 429]
