"""Delays grow, stay below their cap, and are spread by chance."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from aio_llm.core.backoff import Backoff

BACKOFFS = st.builds(
    Backoff, st.floats(0, 100), st.floats(1, 10), st.floats(0.001, 1000, allow_nan=False)
)
CHANCE = st.floats(0, 1, exclude_max=True)
TIMES = st.integers(1, 10_000)


@given(BACKOFFS, TIMES, CHANCE)
def test_a_delay_is_anything_up_to_its_ceiling(backoff: Backoff, n: int, chance: float) -> None:
    delay = backoff.delay(n, lambda: chance)

    assert 0 <= delay <= backoff.ceiling(n) <= backoff.cap


@given(BACKOFFS, TIMES, CHANCE)
def test_a_rest_is_the_last_quarter_of_the_ceiling(backoff: Backoff, n: int, chance: float) -> None:
    rest = backoff.rest(n, lambda: chance)

    assert 0.75 * backoff.ceiling(n) <= rest <= backoff.ceiling(n)


@given(BACKOFFS, TIMES)
def test_ceilings_never_fall(backoff: Backoff, n: int) -> None:

    assert backoff.ceiling(n + 1) >= backoff.ceiling(n)


def test_ceilings_double_up_to_the_cap() -> None:
    backoff = Backoff(1.0, 2.0, 10.0)

    assert [backoff.ceiling(n) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]
