"""Percentiles: never further off than promised, whatever is put in, in a fixed place."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_llm.core.histogram import ACCURACY, HIGHEST, LOWEST, Histogram, bucket_of

SECONDS = st.floats(LOWEST * 1.001, HIGHEST)
SHARES = (0.0, 0.5, 0.95, 0.99, 1.0)


def filled(values: list[float]) -> Histogram:
    """A histogram of these."""
    made = Histogram()
    for value in values:
        made.counts[bucket_of(value)] += 1
    return made


def nearest_rank(values: list[float], share: float) -> float:
    """The percentile by its definition: the least value that so many are not above."""
    return sorted(values)[max(1, math.ceil(share * len(values))) - 1]


@given(st.lists(SECONDS, min_size=1, max_size=50), st.sampled_from(SHARES))
def test_a_percentile_is_within_the_promised_error(values: list[float], share: float) -> None:
    exact = nearest_rank(values, share)

    assert filled(values).percentile(share) == pytest.approx(exact, rel=ACCURACY + 1e-9)


@given(st.integers(1, 400), st.floats(0.0, 1.0))
def test_the_rank_is_exact_where_values_are_far_apart(count: int, share: float) -> None:
    values = [0.001 * 1.02**number for number in range(count)]
    exact = nearest_rank(values, share)

    assert filled(values).percentile(share) == pytest.approx(exact, rel=ACCURACY + 1e-9)


@given(st.lists(st.lists(SECONDS, max_size=10), max_size=5))
def test_merged_parts_are_as_if_all_had_been_recorded_in_one(parts: list[list[float]]) -> None:
    together = filled([value for part in parts for value in part])

    merged = Histogram.merged(filled(part) for part in parts)

    assert merged.figures() == together.figures()
    assert merged.count == sum(map(len, parts))


ODD = [
    (0.0, 0.0), (-0.0, 0.0), (-3.0, 0.0), (-math.inf, 0.0), (math.nan, 0.0), (LOWEST / 2, 0.0),
    (5e-324, 0.0), (math.inf, HIGHEST), (1e300, HIGHEST),
]  # fmt: skip


@pytest.mark.parametrize(("value", "told"), ODD)
def test_a_senseless_value_is_counted_at_the_edge(value: float, told: float) -> None:
    histogram = filled([value])

    assert histogram.count == 1
    assert histogram.percentile(0.5) == pytest.approx(told, rel=2 * ACCURACY)


def test_nothing_recorded_is_nothing_told() -> None:
    assert Histogram().figures() == {"count": 0, "p50": None, "p95": None, "p99": None}


def test_a_copy_goes_its_own_way() -> None:
    original = filled([1.0])
    copied = original.copy()

    original.counts[bucket_of(2.0)] += 1

    assert (original.count, copied.count) == (2, 1)


@pytest.mark.parametrize(("values", "most"), [(5, 500), (5_000, 20_000)])
def test_it_stays_small_whatever_is_in_it(values: int, most: int) -> None:
    histogram = filled([LOWEST * 1.01**number for number in range(values)])
    histogram.counts[7] += 2**40

    assert sys.getsizeof(histogram) + sys.getsizeof(histogram.counts) <= most
