"""How long who is left alone: as long as the vendor says, to the moment."""

from __future__ import annotations

import math
import time
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from aio_llm import FakeClock
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO
from tests.faults.conftest import Stage
from tests.faults.scene import Scene, ask

STATED: list[tuple[str, dict[str, Any], float]] = [
    ("429_retry_after", {"seconds": 30}, 30.0),
    ("429_retry_after", {"seconds": 0.25}, 0.25),
    ("429_vendor_reset", {"seconds": 432.5}, 432.5),
    ("429_vendor_reset", {"seconds": 4325.25}, 4325.25),
]
PACIFIC = ZoneInfo("America/Los_Angeles")
GOOGLE_DAYS = {
    "a usual day": (datetime(2026, 7, 15, 12, 0, tzinfo=PACIFIC), 12.0),
    "the day of 23 hours": (datetime(2026, 3, 8, 1, 0, tzinfo=PACIFIC), 22.0),
    "the day of 25 hours": (datetime(2026, 11, 1, 0, 30, tzinfo=PACIFIC), 24.5),
}
HOUR = 3600.0
DAY = 24 * HOUR


def check_it_rests_for(scene: Scene, clock: FakeClock, seconds: float) -> None:
    """A moment before, only the second vendor is asked; a moment after, the first again."""
    before = scene.arrived[0]
    clock.advance(seconds - 0.001)
    still = scene.ask("too early")
    clock.advance(0.002)
    back = scene.ask("in time")

    assert [still.provider, back.provider] == [scene.second, scene.first]
    assert scene.arrived[0] == before + 1


@pytest.mark.parametrize(("fault", "params", "seconds"), STATED)
def test_a_limited_key_rests_exactly_as_long_as_the_vendor_says(
    fault: str, params: dict[str, Any], seconds: float, stage: Stage, clock: FakeClock
) -> None:
    scene = stage(clock=clock)
    scene.fail(fault, times=1, **params)

    limited = scene.ask().attempts[0]
    cooling = scene.keys[0]["cooling_for"]

    assert scene.keys[0]["state"] == "cooling"
    assert cooling == pytest.approx(seconds, abs=0.2)
    assert limited.retry_after == pytest.approx(seconds, abs=0.2)
    check_it_rests_for(scene, clock, cooling)


def test_a_limited_key_is_no_bad_key(stage: Stage, clock: FakeClock) -> None:
    scene = stage(clock=clock)
    scene.fail("429_retry_after", seconds=1)

    for _ in range(5):
        scene.ask()
        clock.advance(1.5)

    assert scene.arrived == (5, 5)
    assert scene.keys[0]["errors_in_row"] == 0
    assert scene.keys[0]["state"] != "disabled"


@pytest.mark.parametrize("vendor", ["google-ai"])
@pytest.mark.parametrize("day", GOOGLE_DAYS)
def test_googles_day_ends_at_midnight_pacific(day: str, stage: Stage) -> None:
    moment, hours = GOOGLE_DAYS[day]
    clock = FakeClock(wall_start=moment.timestamp())
    scene = stage(clock=clock)
    scene.fail("429_day", times=1)

    scene.ask()
    cooling = scene.keys[0]["cooling_for"]

    assert cooling == pytest.approx(hours * HOUR, abs=1.0)
    check_it_rests_for(scene, clock, cooling)


@pytest.mark.parametrize("vendor", ["openrouter"])
def test_openrouters_day_ends_at_midnight_utc(stage: Stage) -> None:
    clock = FakeClock(wall_start=time.time())
    scene = stage(clock=clock)
    scene.fail("429_day", times=1)

    scene.ask()
    cooling = scene.keys[0]["cooling_for"]

    assert math.remainder(clock.wall() + cooling, DAY) == pytest.approx(0.0, abs=2.0)
    check_it_rests_for(scene, clock, cooling)


@pytest.mark.parametrize(("vendor", "seconds"), [("groq", 86.4), ("cerebras", 33011.382867)])
def test_a_day_that_rolls_ends_when_the_vendor_says(
    seconds: float, stage: Stage, clock: FakeClock
) -> None:
    scene = stage(clock=clock)
    scene.fail("429_day", times=1)

    scene.ask()
    cooling = scene.keys[0]["cooling_for"]

    assert cooling == pytest.approx(seconds, abs=0.01)
    check_it_rests_for(scene, clock, cooling)


@pytest.mark.parametrize("fault", ["402", "insufficient_quota"])
def test_a_key_without_credit_rests_long(fault: str, stage: Stage, clock: FakeClock) -> None:
    scene = stage(clock=clock)
    scene.fail(fault)

    scene.ask()
    clock.advance(1800)
    scene.ask()

    assert scene.arrived == (1, 2)
    assert scene.keys[0]["cooling_for"] > 0


@pytest.mark.parametrize("fault", ["401", "402", "429_day", "429_retry_after"])
def test_the_next_key_of_the_same_vendor_comes_first(
    fault: str, sim: Simulator, stage: Stage, vendor: str
) -> None:
    scene = stage(keys=2)
    scene.fail(fault, key=sim.keys(vendor)[0])

    answers = [scene.ask("one"), scene.ask("two")]

    assert [answer.provider for answer in answers] == [vendor, vendor]
    assert [sim.count(vendor, key=key) for key in sim.keys(vendor)] == [1, 2]
    assert scene.arrived[1] == 0


def test_a_wrong_key_is_disabled_the_third_time(stage: Stage, clock: FakeClock) -> None:
    scene = stage(clock=clock)
    scene.fail("401")

    for _ in range(6):
        scene.ask()
        clock.advance(2 * HOUR)

    assert scene.arrived == (3, 6)
    assert scene.keys[0]["state"] == "disabled"
    assert scene.aio.get_key_stats()["disabled"] == 1


@pytest.mark.parametrize("fault", ["500", "reset", "html_200", "error_in_200"])
def test_an_outage_disables_no_key(fault: str, stage: Stage, clock: FakeClock) -> None:
    scene = stage(clock=clock)
    scene.fail(fault)

    for _ in range(8):
        scene.ask()
        clock.advance(120)

    assert scene.arrived[0] >= 5
    assert scene.keys[0]["state"] != "disabled"
    assert scene.keys[0]["errors_in_row"] == 0


def test_a_forbidden_model_does_not_stop_the_others_of_the_key(
    sim: Simulator, make_aio: MakeAIO, vendor: str, mode: str
) -> None:
    big, small = sim.models(vendor)
    aio = make_aio(vendor, models=2)
    sim.inject("403", vendor=vendor, model=big)

    refused = ask(aio, mode, model=[big, small])
    again = ask(aio, mode, model=[big, small])

    assert [refused.model, again.model] == [small, small]
    assert [sim.count(model=big), sim.count(model=small)] == [1, 2]
