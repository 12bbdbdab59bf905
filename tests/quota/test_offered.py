"""The ceiling is what a greedy client that is never late gets from the simulator's own counters."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_llm.simulator.quotas import Quota, make_counter
from tests.quota.offered import Span, most, without

PERIOD = 60.0
LIMITS = st.integers(1, 40)
STEPS = st.lists(st.integers(1, 150), min_size=1, max_size=7)
NOISE = 1e-6
"""Seconds that do not count: the counters add fractions up."""

BURSTS = st.sampled_from([1.0, 0.5, 1 / 3, 0.1])


def spans_of(steps: list[int]) -> list[Span]:
    """Whole seconds in turn in service and out of it."""
    moments = [0.0]
    for step in steps:
        moments.append(moments[-1] + step)
    return list(zip(moments[::2], moments[1::2], strict=False))


def greedy(quota: Quota, spans: list[Span]) -> int:
    """Requests that get through if one is sent whenever one fits."""
    counter, count = make_counter(quota, "rpm"), 0
    for begin, end in spans:
        now = begin
        while now < end - NOISE:
            now += counter.wait(now, 1)
            if now < end - NOISE and counter.wait(now, 1) == 0:
                counter.add(now, 1)
                count += 1
    return count


@given(LIMITS, STEPS, st.sampled_from(["fixed", "sliding"]), st.integers(0, 59))
def test_the_ceiling_of_a_window_is_reached(
    limit: int, steps: list[int], window: str, phase: int
) -> None:
    spans = spans_of(steps)
    quota = Quota("x", rpm=limit, window=window, phase=float(phase))

    ceiling = most(window, limit, PERIOD, spans, phase=float(phase))

    assert greedy(quota, spans) == ceiling


@given(LIMITS, STEPS, BURSTS)
def test_the_ceiling_of_a_bucket_is_reached(limit: int, steps: list[int], burst: float) -> None:
    spans = spans_of(steps)
    quota = Quota("x", rpm=limit, window="bucket", burst=burst)

    ceiling = most("bucket", limit, PERIOD, spans, burst=burst, whole=True)

    assert greedy(quota, spans) == ceiling


@pytest.mark.parametrize(
    ("gaps", "left"),
    [
        ([], [(0.0, 100.0)]),
        ([(20.0, 30.0)], [(0.0, 20.0), (30.0, 100.0)]),
        ([(90.0, math.inf)], [(0.0, 90.0)]),
        ([(0.0, 10.0)], [(10.0, 100.0)]),
        ([(40.0, 60.0), (10.0, 50.0)], [(0.0, 10.0), (60.0, 100.0)]),
        ([(0.0, math.inf)], []),
        ([(150.0, 160.0)], [(0.0, 100.0)]),
    ],
)
def test_gaps_are_cut_out(gaps: list[Span], left: list[Span]) -> None:
    found = without((0.0, 100.0), gaps)

    assert found == left
