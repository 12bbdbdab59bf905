"""64 threads on one object in bad weather: own answers, exact counts, nothing left behind."""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from aio_llm import AIO, AIOError, CancelToken, RequestCancelledError, StreamInterruptedError
from aio_llm.simulator import Simulator
from tests.faults.scene import VENDORS, ask

THREADS = 64
CALLS = 5
WEATHER = ["fine"] * 8 + ["limited", "down", "cut", "reset", "cancelled", "cancelled"]
SEEDS = [1, 2]
SETTINGS: dict[str, Any] = {"timeout": 5.0, "max_wait": 4.0, "retry_delay": 0.01, "max_delay": 0.05}


@dataclass
class Outcome:
    """What became of one call: its question, and its answer or error."""

    question: str
    answer: str = ""
    error: BaseException | None = None


@dataclass
class Storm:
    """Everything that is known after all threads are done."""

    outcomes: list[Outcome] = field(default_factory=list)
    counted: dict[tuple[str, int], int] = field(default_factory=dict)
    seen: dict[tuple[str, int], int] = field(default_factory=dict)
    in_flight: int = 0
    threads: set[threading.Thread] = field(default_factory=set)
    open_connections: int = 0


def let_it_rain(sim: Simulator) -> None:
    """Faults by the words of the question; some hit everyone, most only a few times."""
    sim.inject("429_retry_after", text="limited", seconds=0.05, times=30)
    sim.inject("500", text="down", vendor="groq", times=6)
    sim.inject("503", text="down", vendor="openrouter", times=6)
    sim.inject("cut", text="cut", times=16)
    sim.inject("reset", text="reset", vendor="cerebras", times=6)
    sim.inject("reset", text="reset", vendor="google-ai", times=6)
    sim.inject("hang", text="cancelled")


def one_call(aio: AIO, chance: random.Random, number: int) -> Outcome:
    """A call or a stream with its own number, cancelled after a moment if it is to be."""
    weather, mode = chance.choice(WEATHER), chance.choice(["call", "stream"])
    outcome = Outcome(f"{weather} question {number:05d}")
    token = CancelToken()
    if weather == "cancelled":
        token.cancel_after(chance.uniform(0.001, 0.05))
    provider = chance.choice([None, None, None, *VENDORS])
    try:
        outcome.answer = (
            ask(aio, mode, outcome.question, provider=provider, cancel=token).content or ""
        )
    except BaseException as error:
        outcome.error = error
    return outcome


def run_threads(aio: AIO, seed: int) -> list[Outcome]:
    """So many threads that start at once and make so many calls each."""
    outcomes: list[Outcome] = []
    gate = threading.Barrier(THREADS)

    def work(number: int) -> None:
        chance = random.Random(seed * 1000 + number)
        gate.wait()
        outcomes.extend(one_call(aio, chance, number * CALLS + call) for call in range(CALLS))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    return outcomes


def counters(aio: AIO, sim: Simulator) -> tuple[dict[tuple[str, int], int], ...]:
    """Requests per vendor and number of the key: as we count them, as the vendors do."""
    ours, theirs = {}, {}
    for vendor in VENDORS:
        rows = aio.get_key_stats(vendor)["keys"]
        for number, (row, key) in enumerate(zip(rows, sim.keys(vendor), strict=True)):
            ours[vendor, number] = row["total_usage"]
            theirs[vendor, number] = sim.count(vendor, key=key)
    return ours, theirs


@pytest.fixture(scope="module", params=SEEDS)
def storm(request: pytest.FixtureRequest) -> Storm:
    with Simulator(keys=3) as sim:
        let_it_rain(sim)
        before = set(threading.enumerate())
        aio = AIO(**sim.config(*VENDORS), **SETTINGS)
        storm = Storm(run_threads(aio, request.param))
        sim.wait_for(lambda: sim.active == 0)
        storm.counted, storm.seen = counters(aio, sim)
        storm.in_flight = sum(row["in_flight"] for row in aio.get_key_stats()["keys"])
        aio.close()
        sim.wait_for(lambda: sim.open_connections == 0)
        storm.open_connections = sim.open_connections
        storm.threads = set(threading.enumerate()) - before
    for thread in storm.threads:
        thread.join(5)
    return storm


def test_every_call_ends_with_its_own_answer_or_a_typed_error(storm: Storm) -> None:
    ends = Counter(type(outcome.error).__name__ for outcome in storm.outcomes)

    assert len(storm.outcomes) == THREADS * CALLS
    for outcome in storm.outcomes:
        if outcome.error is None:
            assert outcome.answer.endswith(f"says: {outcome.question}")
        else:
            assert isinstance(outcome.error, AIOError), repr(outcome.error)
    assert ends["NoneType"] >= len(storm.outcomes) // 2, ends


def test_only_who_was_cancelled_is_told_so(storm: Storm) -> None:
    told = [one for one in storm.outcomes if isinstance(one.error, RequestCancelledError)]
    stuck = [one for one in storm.outcomes if one.question.startswith("cancelled")]

    assert all(outcome.question.startswith("cancelled") for outcome in told)
    assert not any(outcome.answer for outcome in stuck)
    assert len(told) >= len(stuck) // 2


def test_only_streams_that_were_cut_are_interrupted_and_with_their_own_text(
    storm: Storm,
) -> None:
    broken = [one for one in storm.outcomes if isinstance(one.error, StreamInterruptedError)]

    assert broken
    for outcome in broken:
        assert isinstance(outcome.error, StreamInterruptedError)
        shown = outcome.error.partial.partition(" says: ")[2]
        assert outcome.question.startswith("cut")
        assert outcome.question.startswith(shown)


def test_the_counters_are_what_the_vendors_saw(storm: Storm) -> None:
    assert storm.counted == storm.seen
    assert sum(storm.seen.values()) >= THREADS * CALLS // 2
    assert storm.in_flight == 0


def test_no_thread_and_no_connection_is_left(storm: Storm) -> None:
    assert not any(thread.is_alive() for thread in storm.threads)
    assert storm.open_connections == 0
