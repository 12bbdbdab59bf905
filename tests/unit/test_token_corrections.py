"""A model's own way of counting is learned from its answers, and erred on the high side."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_llm.tokens import Correction

SIZES = st.integers(1, 200_000)
RATIOS = st.floats(0.35, 3.8)


def taught(*answers: tuple[int, int, int], times: int = 30) -> Correction:
    """A correction that has seen these (estimate, prompt, completion), over and over."""
    correction = Correction()
    for number in range(times):
        correction.learn(*answers[number % len(answers)])
    return correction


def test_before_the_first_answer_a_little_is_added() -> None:
    prompt, output = Correction().predict(1000, None)

    assert 1150 <= prompt <= 1160
    assert output == 600


@given(st.integers(1, 10**7))
def test_a_cap_on_the_output_is_what_may_be_reserved(most: int) -> None:
    correction = taught((100, 120, 77))

    assert correction.predict(100, most)[1] == most


@given(SIZES, RATIOS)
def test_a_constant_ratio_is_learned_within_a_tenth(size: int, ratio: float) -> None:
    truth = max(round(size * ratio), 1)

    predicted, _ = taught((size, truth, 10)).predict(size, None)

    assert truth <= predicted <= truth * 1.1 + 2


@given(st.lists(st.integers(400, 20_000), min_size=2, max_size=5), RATIOS)
def test_a_constant_ratio_is_learned_over_prompts_of_many_sizes(
    sizes: list[int], ratio: float
) -> None:
    correction = taught(*[(size, math.ceil(size * ratio), 10) for size in sizes], times=60)

    for size in sizes:
        assert size * ratio * 0.99 <= correction.predict(size, None)[0] <= size * ratio * 1.25


@given(st.integers(1, 100_000))
def test_a_constant_length_of_answers_is_learned(length: int) -> None:
    _, predicted = taught((100, 100, length), times=60).predict(100, None)

    assert length <= predicted <= length * 1.1 + 2


def test_after_one_answer_no_less_is_reserved_than_it_cost() -> None:
    prompt, output = taught((100, 390, 5000), times=1).predict(100, None)

    assert prompt >= 390
    assert output >= 4000


def test_scattered_answers_are_met_by_a_reserve() -> None:
    correction = taught((1000, 1000, 100), (1000, 1300, 500), times=40)

    prompt, output = correction.predict(1000, None)

    assert 1300 <= prompt <= 1600
    assert 500 <= output <= 900


def test_the_template_of_short_prompts_does_not_blow_up_long_ones() -> None:
    correction = taught((8, 43, 10))  # "Hello!", and what a chat template puts around it

    prompt, _ = correction.predict(3000, 100)

    assert correction.predict(8, None)[0] >= 43
    assert prompt <= 3000 * 1.8


def test_a_change_of_the_tokenizer_is_followed() -> None:
    correction = taught((1000, 900, 10))
    for _ in range(30):
        correction.learn(1000, 1800, 10)

    prompt, _ = correction.predict(1000, None)

    assert 1750 <= prompt <= 2000


SENSELESS: list[tuple[Any, Any, Any]] = [
    (0, 100, 0), (100, 0, 0), (-5, 100, 0), (100, -5, -5), (10**9, 10, 0), (100, 10**30, 10**30),
    (math.nan, 100, math.nan), (math.inf, math.inf, math.inf), (100, math.nan, -math.inf),
]  # fmt: skip


@pytest.mark.parametrize("answer", SENSELESS)
def test_senseless_counts_teach_nothing(answer: tuple[Any, Any, Any]) -> None:
    correction = Correction()

    correction.learn(*answer)

    assert correction.state() == Correction().state()


NUMBERS = st.integers() | st.floats() | st.booleans()


@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS)), NUMBERS, st.none() | NUMBERS)
def test_nonsense_never_raises_and_never_predicts_less_than_nothing(
    answers: list[tuple[Any, Any, Any]], size: Any, most: Any
) -> None:
    correction = Correction()
    for answer in answers:
        correction.learn(*answer)

    prompt, output = correction.predict(size, most)

    assert 0 <= prompt <= 4 * 10**8 + 200
    assert output >= 0
    assert isinstance(prompt, int)
    assert isinstance(output, int)


@given(st.lists(st.tuples(SIZES, SIZES, SIZES), max_size=20))
def test_what_was_learned_survives_being_kept(answers: list[tuple[int, int, int]]) -> None:
    correction = Correction()
    for answer in answers:
        correction.learn(*answer)

    kept = Correction.of(json.loads(json.dumps(correction.state())))

    assert kept.state() == correction.state()
    assert kept.predict(1234, None) == correction.predict(1234, None)


DAMAGED: list[Any] = [[], [1.0], [1.0] * 7, [math.nan] * 6, ["1"] * 6, [None] * 6, [-1.0] * 6,
                      [math.inf] * 6, [99.0, 0, 0, 1, 1, 1], "123456", None, {"a": 1},
                      7]  # fmt: skip


@pytest.mark.parametrize("state", DAMAGED, ids=[str(state)[:20] for state in DAMAGED])
def test_a_damaged_state_is_started_anew(state: Any) -> None:
    assert Correction.of(state).state() == Correction().state()
