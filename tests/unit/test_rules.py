"""The rules of routing beside priority: for any lanes, whatever is known of them."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_llm.config import Routing
from aio_llm.core.routing import Lane
from aio_llm.core.rules import (
    REMEASURE,
    RULES,
    Rule,
    Tiers,
    cheapest,
    fastest,
    least_busy,
    round_robin,
    weighted,
)

FIGURE = st.sampled_from((0.0, 0.1, 0.5, 2.0, math.inf))
ORDINARY = REMEASURE + 0.01
"""A draw with which the rule `fastest` does not measure anybody again."""


@dataclass(frozen=True)
class Seen:
    """What is known of lanes, written down."""

    prices: Mapping[Lane, float] = field(default_factory=dict)
    latencies: Mapping[Lane, float] = field(default_factory=dict)
    loads: Mapping[Lane, float] = field(default_factory=dict)
    turns: Mapping[Lane, int] = field(default_factory=dict)
    draws: random.Random | float = ORDINARY

    def price(self, lane: Lane) -> float:
        return self.prices.get(lane, math.inf)

    def latency(self, lane: Lane) -> float:
        return self.latencies.get(lane, math.inf)

    def tried(self, lane: Lane) -> bool:
        return self.turn(lane) > 0

    def load(self, lane: Lane) -> float:
        return self.loads.get(lane, 0.0)

    def turn(self, lane: Lane) -> int:
        return self.turns.get(lane, 0)

    def random(self) -> float:
        return self.draws if isinstance(self.draws, float) else self.draws.random()


def lane(name: str, provider_priority: int = 0, priority: int = 0, weight: float = 1.0) -> Lane:
    """A lane of that name."""
    return Lane(name, "model", "model", provider_priority, priority, weight)


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Lane], Seen]:
    """Some lanes, and what is known of them."""
    priority, weight = st.integers(0, 2), st.floats(1e-6, 1e6)
    lanes = [
        lane(f"v{number}", draw(priority), draw(priority), draw(weight))
        for number in range(draw(st.integers(1, 6)))
    ]
    prices, latencies, loads = ({each: draw(FIGURE) for each in lanes} for _ in range(3))
    turns = dict(zip(lanes, draw(st.permutations(range(len(lanes)))), strict=True))
    chance = random.Random(draw(st.integers(0, 100)))
    return lanes, Seen(prices, latencies, loads, turns, chance)


def flat(tiers: Tiers) -> list[Lane]:
    """The lanes in their order."""
    return [each for tier in tiers for each in tier]


def first(tiers: Tiers) -> Lane:
    """The lane that comes first, if there is one."""
    assert len(tiers[0]) == 1
    return tiers[0][0]


def ranks(lanes: Sequence[Lane]) -> list[tuple[int, int]]:
    """Priorities, the higher ones smaller."""
    return [(-each.provider_priority, -each.model_priority) for each in lanes]


def test_there_is_a_rule_for_every_name_in_the_configuration_but_priority() -> None:

    assert set(RULES) == set(get_args(Routing)) - {"priority"}


@pytest.mark.parametrize("rule", RULES)
@given(situation=situations())
def test_every_rule_names_every_lane_once(rule: str, situation: tuple[list[Lane], Seen]) -> None:
    lanes, seen = situation

    tiers = RULES[rule](lanes, seen)

    assert all(tiers)
    assert sorted(flat(tiers), key=id) == sorted(lanes, key=id)


FIGURES: dict[Rule, Callable[[Seen, Lane], float]] = {cheapest: Seen.price, least_busy: Seen.load}


@pytest.mark.parametrize("rule", FIGURES)
@given(situation=situations())
def test_the_least_comes_first_then_the_highest_priority_and_equals_share_a_tier(
    rule: Rule, situation: tuple[list[Lane], Seen]
) -> None:
    lanes, seen = situation
    figure = FIGURES[rule]

    tiers = rule(lanes, seen)

    keys = [{(figure(seen, each), *ranks([each])[0]) for each in tier} for tier in tiers]
    assert all(len(key) == 1 for key in keys)
    assert [*keys] == [{key} for key in sorted(set.union(*keys))]


def test_who_has_no_price_is_asked_last_even_after_the_dearest() -> None:
    free, dear, unknown = lane("free"), lane("dear"), lane("unknown", 9)

    tiers = cheapest([unknown, dear, free], Seen(prices={free: 0.0, dear: 1e9}))

    assert flat(tiers) == [free, dear, unknown]


@given(situations())
def test_the_fastest_comes_first_after_all_that_were_never_tried(
    situation: tuple[list[Lane], Seen],
) -> None:
    lanes, seen = situation

    order = flat(fastest(lanes, replace(seen, draws=ORDINARY)))

    new = [each for each in order if not seen.tried(each)]
    tried = order[len(new) :]
    assert all(seen.tried(each) for each in tried)
    assert ranks(new) == sorted(ranks(new))
    keys = list(zip(map(seen.latency, tried), ranks(tried), strict=True))
    assert keys == sorted(keys)


def test_every_lane_that_is_not_the_fastest_is_measured_again_equally_often() -> None:
    lanes = [lane(f"v{number}") for number in range(4)]
    seen = Seen(
        latencies={each: 1.0 + number for number, each in enumerate(lanes)},
        turns=dict.fromkeys(lanes, 1),
    )
    draws = [number / 6000 for number in range(6000)]

    counted = Counter(first(fastest(lanes, replace(seen, draws=draw))) for draw in draws)

    assert [counted[each] for each in lanes] == [5700, 100, 100, 100]


def test_nobody_is_measured_again_while_somebody_was_never_measured() -> None:
    new, fast, slow = lane("new"), lane("fast"), lane("slow")
    seen = Seen(latencies={fast: 0.1, slow: 2.0}, turns={fast: 1, slow: 2}, draws=0.0)

    assert flat(fastest([slow, fast, new], seen)) == [new, fast, slow]
    assert flat(fastest([slow, fast], seen)) == [slow, fast]


@given(situations(), st.integers(1, 4))
def test_in_turn_everybody_is_asked_equally_often(
    situation: tuple[list[Lane], Seen], rounds: int
) -> None:
    lanes, seen = situation
    turns = dict(seen.turns)
    asked: list[Lane] = []
    for number in range(rounds * len(lanes)):
        asked.append(first(round_robin(lanes, replace(seen, turns=turns))))
        turns[asked[-1]] = 100 + number

    assert asked == asked[: len(lanes)] * rounds
    assert set(asked) == set(lanes)


def test_the_first_turns_go_by_priority() -> None:
    low, middle, high = lane("low"), lane("middle", 0, 5), lane("high", 1)

    assert flat(round_robin([low, high, middle], Seen())) == [high, middle, low]


def test_chance_is_in_proportion_to_the_weights_of_those_that_are_free() -> None:
    one, two, five = lane("a", weight=1.0), lane("b", weight=2.0), lane("c", weight=5.0)
    chance = random.Random(11)
    orders = [flat(weighted([one, two, five], Seen(draws=chance))) for _ in range(8000)]

    all_free = Counter(order[0] for order in orders)
    five_is_busy = Counter(next(each for each in order if each is not five) for order in orders)

    # three standard deviations of 8000 draws are 134 at most
    assert all_free[five] == pytest.approx(5000, abs=134)
    assert all_free[two] == pytest.approx(2000, abs=134)
    assert five_is_busy[two] == pytest.approx(8000 * 2 / 3, abs=134)


@pytest.mark.parametrize("weight", [5e-324, 1e-300, 1e308])
@pytest.mark.parametrize("draw", [0.0, 0.5, math.nextafter(1.0, 0.0)])
def test_no_weight_and_no_draw_is_too_extreme(weight: float, draw: float) -> None:
    lanes = [lane("a", weight=weight), lane("b")]

    assert set(flat(weighted(lanes, Seen(draws=draw)))) == set(lanes)
