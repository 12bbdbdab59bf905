"""The benchmark's own parts: time that runs faster, the same for everybody; stores that break."""

from __future__ import annotations

import sqlite3
import threading
import time

import pytest

from aio_llm import AIO, RequestTimeoutError
from aio_llm.simulator import Quota, Simulator
from tests.benchmarks.quota_clock import ScaledClock, Timeline
from tests.benchmarks.quota_stores import KINDS, is_there, store

RATE = 200.0


class Sleeper:
    """Notes what it is asked to wait, and does not."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return False


def test_a_sleep_takes_a_fraction_of_its_seconds() -> None:
    sleeper = Sleeper()
    ScaledClock(RATE).sleep(60.0, sleeper)

    assert sleeper.waits == [0.3]


def test_everybody_who_is_told_the_same_numbers_has_the_same_time() -> None:
    line = Timeline.now(RATE)
    here, there = line.clock(), ScaledClock(line.rate, line.offset)
    before, between, after = here.wall(), there.wall(), here.wall()

    assert before <= between <= after


def test_a_run_begins_with_a_whole_minute_that_is_far_enough_away() -> None:
    line = Timeline.now(RATE)
    now = line.clock().wall()

    assert line.next_minute() % 60 == 0
    assert 0 <= line.next_minute() - now < 120
    assert 400 <= line.next_minute(real=2.0) - now < 520
    assert 600 <= line.next_minute(seconds=600.0) - now < 720


def test_the_wall_is_right_when_nobody_says_otherwise() -> None:
    assert ScaledClock(1.0).wall() == pytest.approx(time.time(), abs=5.0)


def test_waiting_for_a_quota_passes_as_fast_as_the_clock_runs() -> None:
    clock = Timeline.now(RATE).clock()
    quotas = [Quota("groq", rpm=1, window="bucket")]
    with Simulator(keys=1, quotas=quotas, clock=clock.wall, rate=clock.rate) as sim:
        model = {"model_id": sim.models("groq")[0], "rpm": 1}
        with AIO([sim.provider("groq", models=[model])], auto_mode=True, clock=clock) as aio:
            began = clock.now()
            for _ in range(2):
                aio.chat_completion("hello", max_wait=600.0, timeout=600.0)
            took = clock.now() - began

    assert took >= 60.0
    assert sim.requests[0].status == sim.requests[-1].status == 200


def test_a_silent_vendor_is_given_up_as_fast_as_the_clock_runs() -> None:
    clock = Timeline.now(RATE).clock()
    with Simulator(clock=clock.wall, rate=clock.rate) as sim:
        sim.inject("hang")
        began = time.monotonic()
        with (
            AIO([sim.provider("cerebras")], auto_mode=True, clock=clock) as aio,
            pytest.raises(RequestTimeoutError),
        ):
            aio.chat_completion("hello", timeout=100.0)

    assert time.monotonic() - began < 20.0


def test_a_killed_sqlite_store_is_locked_for_everybody() -> None:
    with store("sqlite") as kept:
        assert kept is not None
        path = kept.url.removeprefix("sqlite:///")
        other = sqlite3.connect(path, timeout=0.0)
        other.execute("CREATE TABLE t (n)")
        kept.kill()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("SELECT * FROM t").fetchall()
        other.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_is_gone_afterwards(kind: str) -> None:
    if not is_there(kind):
        pytest.skip(f"{kind} is not installed")
    threads = threading.active_count()
    with store(kind) as first, store(kind) as second:
        assert first is not None
        assert second is not None
        assert first.url != second.url
        first.kill()

    assert threading.active_count() == threads
