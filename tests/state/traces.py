"""What may happen to a store, in random order: for comparing what stores make of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, product
from typing import Any, Protocol

from hypothesis import strategies as st

from aio_llm.state import Claim, Granted, Refused, hashed
from tests.state.limits import SHAPES, WALL, claim

NIGHT_OF_23_HOURS = 1_772_956_800.0  # 2026-03-08 00:00 in Los Angeles

BORDER = WALL - WALL % 60.0

STARTS = {
    "fixed": (BORDER - 0.2,),
    "late": (BORDER + 7.4,),
    "pacific": tuple(NIGHT_OF_23_HOURS + after for after in (-0.2, 7_199.0, 82_799.9)),
}
"""Moments at which something might go wrong; other rules have none."""

PAUSES = (0.0, 0.0, 0.0, 0.03, 0.03, 0.125, 0.3, 1.0, 7.5, 20.0, 59.9, 61.0, 3600.0, 86_400.0)

JUMPS = (*PAUSES, -0.5, -30.0, -90.0, -7200.0)

AMOUNTS = (0.0, 0.2, 1.0, 2.5, 7.0)

SHARES = (0.0, 0.5, 1.0, 1.0, 3.0)

TRANSITS = (None, 0.0, 0.05, 0.3, 0.9, 20.0)

LIMIT = 4.0

numbers = count()


class Counter(Protocol):
    """What stores and windows have in common."""

    def reserve(self, claims: Sequence[Claim], wall: float) -> Granted | Refused: ...

    def settle(
        self,
        settlements: Sequence[tuple[Claim, Any, float]],
        wall: float,
        arrived: float | None = None,
    ) -> int: ...


@dataclass(frozen=True)
class Step:
    """`pause` seconds later: reserve `claims`, or settle the open reservation `which` with a
    `share` of its amount, arrived `transit` seconds after it; `store`: which of them does it.
    """

    pause: float
    claims: tuple[Claim, ...]
    which: int = 0
    share: float = 0.0
    transit: float | None = None
    store: int = 0


def steps(
    claims: Sequence[tuple[Claim, ...]], pauses: Sequence[float]
) -> st.SearchStrategy[list[Step]]:
    """Every second one settles. One number stands for a whole step: it is drawn faster."""
    settles: list[tuple[Claim, ...]] = [()] * len(claims)
    choices = (pauses, [*settles, *claims], range(4), SHARES, TRANSITS, range(2))

    def step(number: int) -> Step:
        chosen: list[Any] = []
        for each in choices:
            number, which = divmod(number, len(each))
            chosen.append(each[which])
        return Step(*chosen)

    last = math.prod(len(each) for each in choices) - 1
    return st.lists(st.integers(0, last).map(step), min_size=15, max_size=30)


def tame(rule: str) -> st.SearchStrategy[list[Step]]:
    """One limit, and a larger one that follows the same rule beside it."""
    some = [claim(rule, LIMIT, amount) for amount in AMOUNTS]
    beside = [claim(rule, 5 * LIMIT, amount, "beside") for amount in AMOUNTS]
    return steps([*zip(some), *zip(beside), *zip(some, beside, strict=True)], PAUSES)


def wild(rules: tuple[str, str]) -> st.SearchStrategy[list[Step]]:
    """Two limits about which everybody believes something else, and clocks that are set."""
    beliefs = list(product(rules, (LIMIT, LIMIT, 10.0), AMOUNTS))
    first, second = ([claim(*belief, name) for belief in beliefs] for name in ("first", "second"))
    return steps([*zip(first), *zip(second), *zip(first, reversed(second), strict=True)], JUMPS)


def probes(rule: str) -> list[Step]:
    """Questions whose answers show how much is counted until when: fill up, and ask for more."""
    wanted = [claim(rule, LIMIT, amount) for amount in (LIMIT, 2.0, 1.0, 1.0, 1.0)]
    beside = [claim(rule, 5 * LIMIT, amount, "beside") for amount in (5 * LIMIT, 12.0, 5.0, 5.0)]
    return [Step(pause, (one,)) for pause in (0.0, 1.0, 19.0, 37.0) for one in (*wanted, *beside)]


SMALL, ONE, MOST, NOTHING = (
    (claim("fixed", LIMIT, amount),) for amount in (0.05 * LIMIT, 1.0, 3.6, 0.0)
)

SLIDING = (claim("sliding", LIMIT, 2.0),)

CASES = {
    "small, arrived before the border": (
        BORDER - 0.2,
        [Step(0.0, SMALL), Step(0.1, (), share=1.0, transit=0.0), Step(1.0, NOTHING)],
    ),
    "arrived after the border": (
        BORDER - 1.0,
        [Step(0.0, ONE), Step(20.0, (), share=1.0, transit=5.0), Step(0.0, NOTHING)],
    ),
    "arrived after the border, and was more": (
        BORDER - 1.0,
        [Step(0.0, ONE), Step(20.0, (), share=3.0, transit=5.0), Step(0.0, NOTHING)],
    ),
    "small, at the border of a nearly full window": (
        BORDER - 1.0,
        [Step(0.0, MOST), Step(0.8, SMALL), Step(0.0, SMALL), Step(0.0, ONE), Step(2.0, NOTHING)],
    ),
    "two at one moment, the first arrived late": (
        WALL,
        [
            Step(0.0, SLIDING), Step(0.03, SLIDING), Step(1.0, (), share=1.0, transit=0.9),
            Step(0.0, SLIDING), Step(58.0, SLIDING), Step(2.0, SLIDING),
        ],
    ),
}  # fmt: skip
"""What seldom happens by chance."""


def start(rule: str) -> st.SearchStrategy[float]:
    """When it begins."""
    assert rule in SHAPES
    return st.sampled_from(STARTS.get(rule, (WALL,)))


def renamed(claims: Sequence[Claim], salt: str) -> list[Claim]:
    """The same claims on limits nobody has used before."""
    return [Claim(hashed(c.name, salt), c.shape, c.limit, c.period, c.amount) for c in claims]


def play(counters: Sequence[Counter], trace: Sequence[Step], wall: float) -> list[Any]:
    """What a trace is answered, comparable; each step by the counter it names."""
    salt = str(next(numbers))
    answers: list[Any] = []
    open_reservations: list[tuple[list[Claim], Granted, float]] = []
    for step in trace:
        wall += step.pause
        counter = counters[step.store % len(counters)]
        if step.claims:
            claims = renamed(step.claims, salt)
            answer = counter.reserve(claims, wall)
            answers.append(comparable(answer))
            if isinstance(answer, Granted):
                open_reservations.append((claims, answer, wall))
        elif open_reservations:
            claims, granted, moment = open_reservations.pop(step.which % len(open_reservations))
            pairs = zip(claims, granted.entries, strict=True)
            settlements = [(c, entry, step.share * c.amount) for c, entry in pairs]
            arrived = None if step.transit is None else moment + step.transit
            counter.settle(settlements, wall, arrived)
    return answers


def comparable(answer: Granted | Refused) -> tuple[float, ...]:
    """Without what is a store's own; moments to ten microseconds."""
    if isinstance(answer, Granted):
        return tuple(round(used, 5) for used in answer.used)
    return round(answer.wait, 5), answer.which
