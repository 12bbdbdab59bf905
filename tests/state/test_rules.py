"""Every store counts as the windows of one process do, whatever happens in which order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio_llm.state import Claim, Granted, Refused, Store, hashed
from tests.state.conftest import MakeStore
from tests.state.limits import SHAPES, WALL, Windows, claim, patient
from tests.state.redis_server import RedisServer

NIGHT_OF_23_HOURS = 1_772_956_800.0  # 2026-03-08 00:00 in Los Angeles

BORDER = WALL - WALL % 60.0

STARTS = (
    WALL,
    BORDER - 0.2,
    BORDER + 7.4,
    NIGHT_OF_23_HOURS - 0.2,
    NIGHT_OF_23_HOURS + 7_199.0,
    NIGHT_OF_23_HOURS + 82_799.9,
)

PAUSES = (0.0, 0.03, 0.03, 0.125, 0.3, 0.6, 1.0, 7.5, 20.0, 59.9, 61.0, 3600.0, 86_400.0)

JUMPS = (*PAUSES, -0.5, -30.0, -90.0, -7200.0)

AMOUNTS = (0.0, 1.0, 1.0, 1.0, 2.5, 7.0)

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
    which: int
    share: float
    transit: float | None
    store: int


def steps(claims: st.SearchStrategy[Claim], pauses: Sequence[float]) -> st.SearchStrategy[Step]:
    """Every second one settles."""
    some = st.lists(claims, min_size=1, max_size=2, unique_by=lambda claim: claim.name)
    return st.builds(
        Step,
        pause=st.sampled_from(pauses),
        claims=st.just(()) | some.map(tuple),
        which=st.integers(0, 3),
        share=st.sampled_from((0.0, 0.5, 1.0, 1.0, 3.0)),
        transit=st.sampled_from((None, None, 0.0, 0.05, 0.3, 0.9, 20.0)),
        store=st.integers(0, 1),
    )


def tame(rule: str) -> st.SearchStrategy[list[Step]]:
    """One limit, and what follows its own rule beside it."""
    amounts = st.sampled_from(AMOUNTS)
    claims = st.builds(claim, st.just(rule), st.just(LIMIT), amounts)
    beside = st.builds(claim, st.just(rule), st.just(5 * LIMIT), amounts, st.just("beside"))
    return st.lists(steps(claims | beside, PAUSES), min_size=1, max_size=30)


def wild(rules: tuple[str, str]) -> st.SearchStrategy[list[Step]]:
    """Two limits about which everybody believes something else, and clocks that are set."""
    claims = st.builds(
        claim,
        st.sampled_from(rules),
        st.sampled_from((LIMIT, LIMIT, 10.0)),
        st.sampled_from(AMOUNTS),
        st.sampled_from(("first", "second")),
    )
    return st.lists(steps(claims, JUMPS), min_size=1, max_size=30)


def probes(rule: str) -> list[Step]:
    """Questions whose answers show how much is counted until when: fill up, and ask for more."""
    wanted = [claim(rule, LIMIT, amount) for amount in (LIMIT, 2.0, 1.0, 1.0, 1.0)]
    beside = [claim(rule, 5 * LIMIT, amount, "beside") for amount in (5 * LIMIT, 12.0, 5.0, 5.0)]
    return [
        Step(pause, (one,), 0, 0.0, None, 0)
        for pause in (0.0, 1.0, 19.0, 37.0)
        for one in (*wanted, *beside)
    ]


def renamed(claims: Sequence[Claim], salt: str) -> list[Claim]:
    """The same claims on limits nobody has used before."""
    return [Claim(hashed(c.name, salt), c.shape, c.limit, c.period, c.amount) for c in claims]


def play(counters: Sequence[Counter], trace: Sequence[Step], wall: float) -> list[Any]:
    """What a trace is answered; each step by the counter it names."""
    salt = str(next(numbers))
    answers: list[Any] = []
    open_reservations: list[tuple[list[Claim], Granted, float]] = []
    for step in trace:
        wall += step.pause
        counter = counters[step.store % len(counters)]
        if step.claims:
            claims = renamed(step.claims, salt)
            answer = counter.reserve(claims, wall)
            answers.append(answer)
            if isinstance(answer, Granted):
                open_reservations.append((claims, answer, wall))
        elif open_reservations:
            claims, granted, moment = open_reservations.pop(step.which % len(open_reservations))
            pairs = zip(claims, granted.entries, strict=True)
            settlements = [(c, entry, step.share * c.amount) for c, entry in pairs]
            arrived = None if step.transit is None else moment + step.transit
            counter.settle(settlements, wall, arrived)
    return answers


def comparable(answers: list[Any]) -> list[Any]:
    """Without what is a store's own; moments to a microsecond."""
    return [
        tuple(round(used, 5) for used in answer.used)
        if isinstance(answer, Granted)
        else (round(answer.wait, 5), answer.which)
        for answer in answers
    ]


@pytest.fixture(scope="module")
def sqlite_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Store]]:
    yield from opened(f"sqlite:///{tmp_path_factory.mktemp('pair') / 'state.db'}")


@pytest.fixture(scope="module")
def redis_pair(redis_server: RedisServer) -> Iterator[list[Store]]:
    yield from opened(redis_server.url)


def opened(url: str) -> Iterator[list[Store]]:
    """Two that share their state, as two processes would."""
    stores = [patient(url) for _ in range(2)]
    yield stores
    for store in stores:
        store.close()


@pytest.mark.parametrize("rule", SHAPES)
@pytest.mark.parametrize("pair", ["sqlite_pair", "redis_pair"])
@settings(max_examples=25, derandomize=True)
@given(data=st.data(), wall=st.sampled_from(STARTS))
def test_stores_count_as_windows_in_memory_do(
    pair: str, rule: str, data: st.DataObject, wall: float, request: pytest.FixtureRequest
) -> None:
    trace = [*data.draw(tame(rule)), *probes(rule)]

    said = comparable(play(request.getfixturevalue(pair), trace, wall))

    assert said == comparable(play([Windows()], trace, wall))


@pytest.mark.parametrize("rule", SHAPES)
@settings(max_examples=25, derandomize=True)
@given(data=st.data(), other=st.sampled_from(list(SHAPES)), wall=st.sampled_from(STARTS))
def test_stores_agree_when_limits_rules_and_clocks_change(
    sqlite_pair: list[Store],
    redis_pair: list[Store],
    rule: str,
    other: str,
    data: st.DataObject,
    wall: float,
) -> None:
    trace = data.draw(wild((rule, other)))

    said = comparable(play(sqlite_pair, trace, wall))

    assert said == comparable(play(redis_pair, trace, wall))


def test_waits_are_exact(make_store: MakeStore) -> None:
    """Asked again when it said, there is room; a moment earlier there is none."""
    store = make_store()
    for rule in SHAPES:
        wanted = [claim(rule, 10.0, 4.0)]
        while isinstance(answer := store.reserve(wanted, WALL), Granted):
            pass
        assert math.isfinite(answer.wait)
        too_early = store.reserve(wanted, WALL + answer.wait - 0.001)
        in_time = store.reserve(wanted, WALL + answer.wait)

        assert isinstance(too_early, Refused), rule
        assert isinstance(in_time, Granted), rule
