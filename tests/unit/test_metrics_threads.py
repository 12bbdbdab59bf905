"""Metrics under 64 threads, without end, in the middle of each other, and across a fork."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aio_llm.core.metrics import MOST_ROWS, Metrics
from tests.unit.records import (
    FAULTS,
    add_up,
    answer,
    attempt,
    begun,
    cpu_each,
    failure,
    interrupting,
)

THREADS = 64


@pytest.fixture
def _eager_switching() -> Iterator[None]:
    """Threads take turns as often as they can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def one_round(metrics: Metrics, number: int) -> None:
    """A failed attempt, a good one, and how the call ended, at places made of a number."""
    here: dict[str, Any] = {"provider": f"p{number % 3}", "model": f"m{number % 5}"}
    here["key"] = f"k{number % 7}"
    attempt(metrics, FAULTS[number % len(FAULTS)], **here)
    attempt(metrics, **here, latency=number % 11 + 0.1)
    answer(metrics, **here, attempts=2, first_token=0.1, waited=1.0, cost=0.5, fallback=True)
    failure(metrics, cancelled=bool(number % 2), waited=0.5)


@pytest.mark.usefixtures("_eager_switching")
def test_64_threads_lose_nothing_and_every_reading_adds_up() -> None:
    metrics, rounds = begun(), 60
    readings: list[dict[str, Any]] = []
    ready = threading.Barrier(THREADS)

    def work(number: int) -> None:
        ready.wait()
        for step in range(rounds):
            one_round(metrics, number * rounds + step)
            if step in (20, 40):
                readings.append(metrics.snapshot())

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    figures, total = metrics.snapshot(), THREADS * rounds

    assert (figures["attempts"], figures["requests"]) == (2 * total, 2 * total)
    assert (figures["successes"], figures["failures"], figures["cancelled"]) == (
        total, total / 2, total / 2,
    )  # fmt: skip
    assert (figures["retries"], figures["fallbacks"], figures["cost"]) == (total, total, total / 2)
    assert figures["tokens"] == {"prompt": 7 * total, "completion": 3 * total, "total": 10 * total}
    assert figures["waits"]["seconds"] == 1.5 * total
    assert figures["first_token"]["count"] == figures["latency"]["count"] == total
    assert len(figures["keys"]) == 21
    assert all(map(add_up, [*readings, figures]))
    assert len({reading["requests"] for reading in readings}) > THREADS / 2


def test_what_is_beyond_the_most_rows_shares_one() -> None:
    metrics, extra = begun(), 50
    for number in range(MOST_ROWS + extra):
        attempt(metrics, model=f"m{number}", key=f"k{number}")
        attempt(metrics, FAULTS[0], model=f"m{number}", key=f"k{number}")

    figures = metrics.snapshot()

    for part in ("models", "keys"):
        assert len(figures[part]) == MOST_ROWS + 1
        assert figures[part]["other"]["requests"] == 2 * extra
    assert figures["providers"]["other"]["rate_limited"] == extra
    assert add_up(figures)
    assert metrics.target("groq", f"m{MOST_ROWS}") is None


def test_memory_stops_growing_when_the_rows_are_full() -> None:
    metrics = begun()

    def work(first: int) -> None:
        for number in range(first, first + MOST_ROWS):
            one_round(metrics, 0)
            here: dict[str, Any] = {"model": f"m{number}", "key": f"k{number}"}
            attempt(metrics, latency=number / 7, **here)
            answer(metrics, latency=number / 7, first_token=number / 9, **here)

    tracemalloc.start()
    try:
        work(0)
        full = tracemalloc.get_traced_memory()[0]
        work(MOST_ROWS)
        work(2 * MOST_ROWS)
        grown = tracemalloc.get_traced_memory()[0] - full
    finally:
        tracemalloc.stop()

    assert full < 14_000 * MOST_ROWS
    assert grown < 20_000


def test_a_record_in_the_middle_of_a_record_is_neither_lost_nor_a_deadlock() -> None:
    metrics = begun()
    name = interrupting(lambda: failure(metrics, cancelled=True))
    thread = threading.Thread(target=lambda: answer(metrics, provider=name), daemon=True)

    thread.start()
    thread.join(5)

    assert not thread.is_alive()
    figures = metrics.snapshot()
    assert figures["successes"] == 1
    assert figures["cancelled"] >= 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_forked_in_the_middle_of_a_record_counts_from_zero() -> None:
    metrics = begun()
    in_the_middle, go_on = threading.Event(), threading.Event()

    def halt() -> None:
        in_the_middle.set()
        go_on.wait(10)

    recorder = threading.Thread(
        target=lambda: attempt(metrics, provider=interrupting(halt)), daemon=True
    )
    recorder.start()
    assert in_the_middle.wait(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from 3.12 on: forking beside threads is what is tested
        child = os.fork()
    if child == 0:
        code = 9
        try:
            signal.alarm(10)
            failure(metrics)
            figures = metrics.snapshot()
            code = 0 if (figures["requests"], figures["attempts"]) == (1, 0) else 1
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    go_on.set()
    recorder.join()

    assert code == 0
    assert metrics.snapshot()["attempts"] == 1


@pytest.mark.parametrize("record", [attempt, answer, failure])
def test_a_record_costs_no_more_than_a_few_dictionary_writes(
    record: Callable[[Metrics], None],
) -> None:
    metrics, lock, there = begun(), threading.Lock(), {"a": 0.0}

    def write() -> None:
        with lock:
            there["a"] = time.monotonic()

    assert cpu_each(lambda: record(metrics)) < 16 * cpu_each(write)
