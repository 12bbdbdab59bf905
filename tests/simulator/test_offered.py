"""The most that a quota lets through is what the greediest client gets."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_llm.simulator.offered import Span, offered, together, without
from aio_llm.simulator.quotas import Quota, make_counter

moments = st.floats(0, 400).map(lambda moment: round(moment, 1))
spans = st.lists(moments, min_size=2, max_size=8, unique=True).map(
    lambda found: [(a, b) for a, b in pairwise(sorted(found))][::2]
)
windows = st.one_of(
    st.just({"window": "sliding"}),
    st.builds(lambda phase: {"window": "fixed", "phase": phase}, st.floats(0, 59)),
    st.builds(lambda burst: {"window": "bucket", "burst": burst}, st.floats(0.1, 2.0)),
)


def greedy(quota: Quota, spans: list[Span]) -> int:
    """How many requests pass when one is sent at every moment that lets one through."""
    counter, count = make_counter(quota, "rpm"), 0
    for begin, end in spans:
        at = begin
        while at < end:
            wait = counter.wait(at, 1)
            if wait == 0:
                counter.add(at, 1)
                count += 1
            else:
                at += max(wait, 1e-6)
    return count


@given(limit=st.integers(1, 12), how=windows, spans=spans)
def test_the_greediest_client_gets_what_is_offered(
    limit: int, how: dict[str, Any], spans: list[Span]
) -> None:
    quota = Quota("v", rpm=limit, **how)
    got, most = greedy(quota, spans), offered(quota, "rpm", spans)

    parts = len(spans) if quota.window == "bucket" else 0  # of requests, at the end of each span
    assert most - parts - 1e-3 <= got <= most + 1e-3


@pytest.mark.parametrize(
    ("how", "most"),
    [
        ({"window": "bucket"}, 10 + 40),
        ({"window": "bucket", "burst": 0.5}, 5 + 40),
        ({"window": "fixed"}, 40),
        ({"window": "fixed", "phase": 17.0}, 50),
        ({"window": "sliding"}, 40),
    ],
)
def test_four_minutes_of_ten_a_minute(how: dict[str, Any], most: float) -> None:
    assert offered(Quota("v", rpm=10, **how), "rpm", [(600.0, 840.0)]) == pytest.approx(most)


def test_days_are_those_of_the_zone() -> None:
    quota = Quota("v", rpd=20, window="fixed", zone="America/Los_Angeles")
    midnight = 1_795_161_600.0  # 2026-11-20 08:00 UTC

    assert offered(quota, "rpd", [(midnight - 60, midnight + 60)]) == 40
    assert offered(quota, "rpd", [(midnight, midnight + 60)]) == 20


@given(span=st.tuples(moments, moments).map(lambda s: (min(s), max(s))), gaps=spans)
def test_what_is_left_and_the_gaps_make_up_the_whole(span: Span, gaps: list[Span]) -> None:
    left = without(span, gaps)
    inside = [(max(a, span[0]), min(b, span[1])) for a, b in gaps if a < span[1] and b > span[0]]

    assert sum(b - a for a, b in [*left, *inside]) == pytest.approx(span[1] - span[0])
    assert all(a < b for a, b in left)
    assert all(before[1] < after[0] for before, after in pairwise(left))


@given(first=spans, second=spans)
def test_spans_together_hold_each_moment_once(first: list[Span], second: list[Span]) -> None:
    both = together([*first, *second])

    def inside(moment: float, spans: list[Span]) -> bool:
        return any(begin <= moment < end for begin, end in spans)

    for moment in [edge for span in (*first, *second) for edge in span]:
        assert inside(moment, both) == (inside(moment, first) or inside(moment, second))
    assert all(before[1] < after[0] for before, after in pairwise(both))
