"""Processor time of one piece of a stream that arrives in a burst, and connections used."""

from __future__ import annotations

from collections.abc import Callable

from .callers import history, ours, raw
from .measure import Measured, Setup, cpu_of, micro, stats, take_turns


def per_chunk(setup: Setup, sdk: str) -> list[Measured]:
    """A whole stream, opening included, by its pieces."""
    base, mine = (make(sdk, setup.origin, history(1)).stream for make in (raw, ours))
    rounds = setup.rounds(21, 5)
    took = take_turns(_by_chunk(base, 2), _by_chunk(mine, 20), rounds)
    note = f"{micro(took.ours)} : {micro(took.base)}, {mine():,} chunks"
    return [Measured("chunk", took.ratios, note, sdk)]


def _by_chunk(stream: Callable[[], int], times: int) -> Callable[[], float]:
    chunks = stream()
    return lambda: cpu_of(stream, times) / chunks


def connections(setup: Setup, sdk: str) -> list[Measured]:
    """Ten streams in a row."""
    theirs, mine = (
        _opened(make(sdk, setup.origin, history(1)).stream, setup) for make in (raw, ours)
    )
    return [Measured("connections", [float(mine)], f"the raw SDK: {theirs}", sdk)]


def _opened(stream: Callable[[], int], setup: Setup) -> int:
    before = stats(setup.origin)["connections"]
    for _ in range(10):
        stream()
    opened: int = stats(setup.origin)["connections"] - before - 1  # one is the question itself
    return opened
