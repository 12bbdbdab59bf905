"""A program that opens a store, forks, and lets all its processes use up the same limits.

Reads what to do from standard input; writes what was granted as one JSON object. Run by
test_processes.py.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import sys
import threading
import time
from typing import Any

from aio_llm.state import Granted, Store, StoreDown
from tests.state.limits import WALL, claim, patient

RATE = 60.0
"""Seconds of the limits per second of real time."""

Work = dict[str, Any]


def fill_up(store: Store, work: Work) -> list[float]:
    """At one moment: reserve all that is granted, and give a part of it back. What is kept."""
    rule, limit, chance = work["rule"], work["limit"], random.Random()
    kept = []
    for _ in range(work["turns"]):
        wanted = [claim(rule, limit, 8.0), claim("pacific", 1e9, 1.0, "beside")]
        answer = store.reserve(wanted, WALL)
        if isinstance(answer, Granted):
            real = chance.choice((0.0, 2.0, 8.0))
            amounts = zip(wanted, answer.entries, (real, 1.0), strict=True)
            store.settle(list(amounts), WALL + 0.3, arrived=WALL + 0.3)
            kept.append(real)
    return kept


def run_on(store: Store, work: Work) -> list[float]:
    """In running time: the moments at which something arrives that was granted."""
    wanted = claim(work["rule"], work["limit"])
    moments = []
    while (now := wall(work)) < WALL + work["seconds"] * RATE:
        answer = store.reserve([wanted], now)
        if isinstance(answer, Granted):
            arrived = wall(work)
            moments.append(arrived)
            store.settle([(wanted, answer.entries[0], 1.0)], wall(work), arrived)
    return moments


def wall(work: Work) -> float:
    """The time of all the processes."""
    return WALL + (time.monotonic() - float(work["start"])) * RATE


def report(store: Store) -> None:
    """One line for each thing that was granted, until somebody kills this process."""
    wanted = claim("sliding", 1e9)
    while True:
        if isinstance(store.reserve([wanted], WALL), Granted):
            print("granted", flush=True)


def after_fork(work: Work) -> list[float]:
    """In a child: with the connection of its parent, remade."""
    assert opened is not None
    try:
        return {"fill_up": fill_up, "run_on": run_on}[work["what"]](opened, work)
    except StoreDown as error:
        print(error, file=sys.stderr)
        raise


opened: Store | None = None


def main() -> None:
    """Warm up; fork while a thread of the parent is using the store; work side by side."""
    global opened
    work = json.load(sys.stdin)
    opened = patient(work["url"])
    if work["what"] == "report":
        report(opened)
    opened.reserve([claim(work["rule"], work["limit"], 0.0)], WALL)
    enough = threading.Event()
    busy = threading.Thread(target=keep_busy, args=(opened, enough))
    busy.start()
    work["start"] = time.monotonic()
    with multiprocessing.get_context("fork").Pool(work["processes"]) as pool:
        enough.set()
        results = pool.map(after_fork, [work] * work["processes"], chunksize=1)
    busy.join()
    print(json.dumps(results))


def keep_busy(store: Store, enough: threading.Event) -> None:
    """Whatever lock there is, it is probably held when the process forks."""
    while not enough.is_set():
        store.reserve([claim("sliding", 1e9, 1.0, "busy")], WALL)


if __name__ == "__main__":
    main()
