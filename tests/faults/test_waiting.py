"""Everyone is limited: wait if it is worth it, say when if not, and stand in line."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aio_llm import AIO, AIOError, FakeClock, RateLimitError
from aio_llm.simulator import Quota, RecordedRequest, Simulator
from tests.conftest import MakeAIO
from tests.faults.scene import VENDORS, ask, healthy_text
from tests.faults.stuck import TellingClock

CALLS = 5
EVERY = 0.3  # seconds
LATE = 0.2  # seconds


@pytest.mark.parametrize("keys", [1, 2])
def test_a_short_wait_is_waited_for(
    keys: int, sim: Simulator, make_aio: MakeAIO, vendor: str, mode: str, clock: FakeClock
) -> None:
    aio = make_aio(vendor, keys=keys, clock=clock)
    sim.inject("429_retry_after", seconds=2, times=keys)

    answer = ask(aio, mode)

    assert answer.content == healthy_text(sim, vendor)
    assert sum(clock.slept) == pytest.approx(2.0, abs=0.05)
    assert sim.count() == keys + 1


def test_the_wait_ends_when_the_first_of_all_is_free(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock, mode: str
) -> None:
    aio = make_aio(*VENDORS, clock=clock)
    for place, vendor in enumerate(VENDORS):
        sim.inject("429_retry_after", vendor=vendor, seconds=9 - place, times=1)

    answer = ask(aio, mode)

    assert answer.provider == VENDORS[-1]
    assert sum(clock.slept) == pytest.approx(6.0, abs=0.05)
    assert sim.count() == len(VENDORS) + 1


def test_a_long_wait_is_not_waited_for_but_dated(
    sim: Simulator, make_aio: MakeAIO, vendor: str, mode: str, clock: FakeClock
) -> None:
    aio = make_aio(vendor, keys=2, clock=clock)
    sim.inject("429_retry_after", seconds=7200)
    expected = datetime.fromtimestamp(clock.wall(), UTC) + timedelta(seconds=7200)

    for asked in (2, 2):
        with pytest.raises(RateLimitError) as caught:
            ask(aio, mode)

        assert caught.value.retry_after == pytest.approx(7200, abs=1)
        assert caught.value.available_at is not None
        assert caught.value.available_at.utcoffset() is not None
        assert abs(caught.value.available_at - expected) < timedelta(seconds=1)
        assert sim.count() == asked
    assert clock.slept == []


@pytest.mark.parametrize("limit", ["max_wait", "timeout"])
def test_a_wait_beyond_what_the_caller_allows_is_refused_at_once(
    limit: str, sim: Simulator, make_aio: MakeAIO, vendor: str, mode: str, clock: FakeClock
) -> None:
    aio = make_aio(vendor, clock=clock)
    sim.inject("429_retry_after", seconds=30)

    allowed: dict[str, Any] = {limit: 10}
    with pytest.raises(RateLimitError) as caught:
        ask(aio, mode, **allowed)

    assert caught.value.retry_after == pytest.approx(30, abs=0.5)
    assert clock.slept == []


def test_max_wait_zero_never_waits(
    sim: Simulator, make_aio: MakeAIO, vendor: str, mode: str, clock: FakeClock
) -> None:
    aio = make_aio(vendor, clock=clock, max_wait=0)
    sim.inject("429_retry_after", seconds=0.1)

    with pytest.raises(RateLimitError):
        ask(aio, mode)

    assert clock.slept == []


def test_max_wait_bounds_all_the_waits_of_a_call(
    sim: Simulator, make_aio: MakeAIO, vendor: str, mode: str, clock: FakeClock
) -> None:
    aio = make_aio(vendor, clock=clock, max_wait=10)
    sim.inject("429_retry_after", seconds=4)

    with pytest.raises(RateLimitError):
        ask(aio, mode)

    assert sum(clock.slept) <= 10.0
    assert sim.count() <= 4


@pytest.mark.parametrize("vendor", ["groq", "google-ai"])
def test_a_wait_in_real_time_ends_on_time(
    sim: Simulator, make_aio: MakeAIO, vendor: str, mode: str
) -> None:
    aio = make_aio(vendor, keys=2)
    sim.inject("429_retry_after", seconds=0.3, times=2)
    began = time.monotonic()

    answer = ask(aio, mode)

    assert answer.content == healthy_text(sim, vendor)
    assert 0.3 <= time.monotonic() - began < 0.3 + LATE


def start(aio: AIO, mode: str, answers: list[str], number: int) -> threading.Thread:
    """One more caller on a thread of its own; its answer goes into `answers`."""

    def call() -> None:
        try:
            answers.append(ask(aio, mode, f"call {number}").content or "")
        except AIOError as error:
            answers.append(repr(error))

    thread = threading.Thread(target=call)
    thread.start()
    return thread


def finish(threads: list[threading.Thread]) -> None:
    """Every caller must be done soon."""
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)


def queue_up(aio: AIO, mode: str, clock: TellingClock) -> tuple[list[threading.Thread], list[str]]:
    """So many callers, each asleep before the next one comes."""
    answers: list[str] = []
    threads = []
    for number in range(CALLS):
        threads.append(start(aio, mode, answers, number))
        assert clock.somebody_sleeps()
    return threads, answers


@pytest.mark.parametrize("vendor", ["groq", "google-ai"])
def test_who_waits_is_answered_when_capacity_is_back_without_a_herd(
    sim: Simulator, make_aio: MakeAIO, vendor: str, mode: str
) -> None:
    clock = TellingClock()
    aio = make_aio(vendor, clock=clock)
    sim.inject("429_retry_after", seconds=0.3, times=1)
    began = time.monotonic()

    threads, answers = queue_up(aio, mode, clock)
    finish(threads)
    took = time.monotonic() - began
    refused = [request for request in sim.requests if request.status == 429]

    assert len(answers) == CALLS
    assert sorted(answer[-1] for answer in answers) == [str(n) for n in range(CALLS)]
    assert len(refused) == 1
    assert sim.count() == CALLS + len(refused)
    assert 0.3 <= took < 0.3 + LATE


@pytest.fixture
def one_at_a_time() -> Iterator[Simulator]:
    """Groq lets one request pass every `EVERY` seconds."""
    quota = Quota("groq", rpm=round(60 / EVERY), window="bucket", burst=0.0)
    with Simulator(quotas=[quota], keys=1) as running:
        yield running


def test_who_waits_is_served_in_the_order_of_coming(one_at_a_time: Simulator, mode: str) -> None:
    clock = TellingClock()
    config = one_at_a_time.provider("groq", models=one_at_a_time.models("groq")[:1])
    with AIO([config], auto_mode=True, clock=clock) as aio:
        ask(aio, mode, "call first")
        began = time.monotonic()
        threads, answers = queue_up(aio, mode, clock)
        finish(threads)
        took = time.monotonic() - began
    served = [text_of(request) for request in one_at_a_time.requests if request.status == 200]
    refused = [request for request in one_at_a_time.requests if request.status == 429]

    assert [answer[-6:] for answer in answers] == [f"call {number}" for number in range(CALLS)]
    assert served == ["call first", *(f"call {number}" for number in range(CALLS))]
    assert took < (CALLS + 1) * EVERY + LATE
    assert len(refused) <= 2 * CALLS


def text_of(request: RecordedRequest) -> str:
    """What a request of OpenAI's shape asks."""
    assert request.body is not None
    return str(request.body["messages"][0]["content"])


def test_a_call_without_a_hint_waits_for_a_guess_and_then_answers(
    sim: Simulator, make_aio: MakeAIO, vendor: str, mode: str, clock: FakeClock
) -> None:
    aio = make_aio(vendor, clock=clock)
    sim.inject("429", times=2)

    answer = ask(aio, mode)

    assert answer.content == healthy_text(sim, vendor)
    assert 0 < sum(clock.slept) <= 60
    assert sim.count() == 3
