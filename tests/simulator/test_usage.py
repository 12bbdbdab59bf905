"""The figures of a run: counted by hand, and the same over the wire."""

from __future__ import annotations

import contextlib
import dataclasses

import httpx
import pytest

from aio_llm.simulator import Quota, Simulator, Usage
from aio_llm.simulator.usage import Lane
from tests.simulator.callers import REFUSED, Caller, spend
from tests.simulator.clocks import Clock

START = 1_200_000.0
PER_MINUTE = Quota("groq", rpm=2, window="fixed")


class Scene:
    """One minute or more of Groq with two keys, on a clock that goes when told to."""

    def __init__(self, *quotas: Quota) -> None:
        self.clock = Clock(START)
        self.sim = Simulator(quotas=quotas or [PER_MINUTE], clock=self.clock)
        self.first, self.second = self.sim.keys("groq")
        self.large, self.small = self.sim.models("groq")
        self.caller = Caller(self.sim, "groq")

    def lanes(self) -> dict[Lane, int]:
        """The first key before the second one, on the large model."""
        return {("groq", self.first, self.large): 0, ("groq", self.second, self.large): 1}

    def spend(self, key: str, count: int = 1) -> list[bool]:
        """Calls with a key, and whether each passed."""
        return spend(self.caller, count, key=key)

    def try_once(self, key: str) -> None:
        """A call with a key, whatever comes of it."""
        with contextlib.suppress(*REFUSED):
            self.caller.call(key=key)

    def usage(self, seconds: float = 60.0) -> Usage:
        """From the start on, for so long."""
        return self.sim.usage(START, START + seconds, self.lanes())


def test_goodput_is_what_was_served_of_what_was_offered() -> None:
    scene = Scene()
    with scene.sim:
        scene.spend(scene.first, 3)
        scene.spend(scene.second, 1)
        usage = scene.usage()

    assert (usage.calls, usage.served, usage.refused) == (4, 3, 1)
    assert usage.goodput == 0.75
    assert [(lane.use, lane.offered, lane.refused) for lane in usage.lanes] == [
        (1.0, 2.0, 1),
        (0.5, 2.0, 0),
    ]


def test_what_a_fault_has_spent_is_no_goodput() -> None:
    scene = Scene()
    with scene.sim:
        scene.sim.inject("500", key=scene.first, spends=True, probability=0.999)
        scene.try_once(scene.first)
        scene.spend(scene.second)
        usage = scene.usage()

    assert (usage.goodput, usage.spent, usage.served) == (0.25, 0.5, 1)


def test_the_binding_limit_counts() -> None:
    scene = Scene(Quota("groq", rpm=100, tpm=200, window="fixed"))
    with scene.sim:
        for _ in range(2):
            scene.caller.call("[answer 47]", key=scene.first)  # 50 tokens with the prompt
        usage = scene.usage()

    assert usage.lanes[0].use == 0.5
    assert usage.lanes[0].offered == 4.0


def test_only_what_falls_into_the_time_is_measured() -> None:
    scene = Scene()
    with scene.sim:
        scene.spend(scene.first, 2)
        scene.clock.now += 60
        scene.spend(scene.first, 2)
        usage = scene.usage()

    assert (usage.calls, usage.goodput) == (2, 0.5)


def test_an_outage_reduces_what_is_offered_and_says_when_the_vendor_was_back() -> None:
    scene = Scene()
    with scene.sim:
        scene.sim.inject("503", vendor="groq", key=scene.first, start=START + 60, end=START + 120)
        for moment in (0, 60, 127):
            scene.clock.now = START + moment
            for key in (scene.first, scene.second):
                scene.try_once(key)
        usage = scene.usage(180.0)

    assert [lane.offered for lane in usage.lanes] == [4.0, 6.0]
    assert (usage.faulted, usage.back) == (1, 7.0)


def test_a_refusal_that_counts_is_played_again() -> None:
    scene = Scene(Quota("groq", rpm=1, count_refused=True))
    with scene.sim:
        for moment in (0.0, 40.0, 80.0):
            scene.clock.now = START + moment
            scene.spend(scene.first)
        scene.clock.now = START + 90.0
        scene.spend(scene.second)
        usage = scene.usage(120.0)

    assert (usage.refused, usage.inversions) == (2, 0)


@pytest.mark.parametrize(
    ("later", "inversions"),
    [(0.5, 0), (1.0, 1), (30.0, 1)],
)
def test_passing_by_a_better_lane_is_an_inversion(later: float, inversions: int) -> None:
    scene = Scene()
    with scene.sim:
        scene.spend(scene.first, 2)  # spent until the next minute
        scene.clock.now += 60 + later
        scene.spend(scene.second)
        usage = scene.usage(180.0)

    assert usage.inversions == inversions


def test_a_better_lane_that_is_out_is_not_passed_by() -> None:
    scene = Scene()
    with scene.sim:
        scene.sim.inject("401", key=scene.first)
        scene.clock.now += 10
        scene.spend(scene.second)

        assert scene.usage().inversions == 0


def test_lanes_that_share_a_limit_share_what_is_offered() -> None:
    scene = Scene(Quota("groq", model="*", rpm=4, window="fixed"))
    with scene.sim:
        for model in (scene.large, scene.small):
            scene.caller.call(key=scene.first, model=model)
        lanes = {("groq", scene.first, model): 0 for model in (scene.large, scene.small)}
        usage = scene.sim.usage(START, START + 60, lanes)

    assert [(lane.offered, lane.use) for lane in usage.lanes] == [(2.0, 0.5)] * 2
    assert usage.goodput == 0.5


def test_a_group_shares_its_limit() -> None:
    scene = Scene()
    with scene.sim:
        scene.sim.group("groq", [scene.first, scene.second])
        scene.spend(scene.first)
        usage = scene.usage()

    assert [(lane.offered, lane.use) for lane in usage.lanes] == [(1.0, 0.5)] * 2


def test_a_run_without_requests_has_used_nothing() -> None:
    scene = Scene()
    with scene.sim:
        usage = scene.usage()

    assert (usage.goodput, usage.calls, usage.back) == (0.0, 0, None)


def test_all_lanes_with_a_quota_count_unless_told_otherwise() -> None:
    scene = Scene()
    with scene.sim:
        scene.spend(scene.second)
        lanes = scene.sim.usage().lanes

    assert {(lane.key, lane.model) for lane in lanes} == {
        (key, model) for key in (scene.first, scene.second) for model in (scene.large, scene.small)
    }


def test_a_simulator_of_its_own_tells_the_same() -> None:
    scene = Scene()
    with scene.sim as sim:
        scene.spend(scene.first, 3)
        ranks = [[*lane, rank] for lane, rank in scene.lanes().items()]
        asked = {"start": START, "end": START + 60, "ranks": ranks}
        told = httpx.post(f"{sim.origin}/_sim/usage", json=asked).json()
        mine = dataclasses.asdict(scene.usage())

    assert told == mine | {"lanes": list(mine["lanes"])}
