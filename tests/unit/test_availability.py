"""Places that rest: not before their time, one probe at a time, free after a success."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_llm.core.availability import FAILURES_TO_OPEN, OPEN_FOR, Availability, Place, place
from aio_llm.faults import Kind, Scope

HERE = place(Scope.MODEL, "groq", "llama")
THERE = place(Scope.KEY, "groq", "0")
SECONDS = st.floats(0.001, 1e6)


def resting(until: float, *, soft: bool = False) -> Availability:
    """A record for `HERE`."""
    availability = Availability()
    availability.rest(HERE, Kind.SERVER, until, soft=soft)
    return availability


@given(SECONDS, SECONDS)
def test_a_place_rests_until_its_time(until: float, later: float) -> None:
    availability = resting(until)

    assert availability.blocking([HERE, THERE], until * 0.999)
    assert not availability.blocking([HERE, THERE], until + later)
    assert availability.until([THERE]) == -math.inf


@given(st.lists(SECONDS, min_size=1, max_size=6))
def test_a_hard_rest_is_never_shortened_by_a_later_fault(seconds: list[float]) -> None:
    availability = Availability()
    for until in seconds:
        availability.rest(HERE, Kind.MINUTE_LIMIT, until, soft=False)

    assert availability.until([HERE]) == max(seconds)


def test_only_one_call_at_a_time_probes_a_place_that_wakes() -> None:
    availability = resting(10.0)

    assert availability.admit([HERE, THERE], 10.0) == (HERE,)
    assert availability.blocking([HERE], 10.0)
    assert availability.admit([HERE], 11.0) == (HERE,)


def test_a_place_without_a_record_is_no_probe() -> None:

    assert Availability().admit([HERE, THERE], 0.0) == ()
    assert resting(10.0).admit([THERE], 20.0) == ()


def test_a_probe_without_a_verdict_lets_the_next_one_through() -> None:
    availability = resting(10.0)
    availability.admit([HERE], 10.0)

    availability.release(HERE, availability.next_turn())

    assert not availability.blocking([HERE], 10.5)


def test_a_call_without_a_verdict_does_not_end_a_rest() -> None:
    availability = resting(1000.0)

    availability.release(HERE, availability.next_turn())

    assert availability.blocking([HERE], 999.0)


def width(availability: Availability, now: float) -> int:
    """How many calls are let through at once."""
    calls = 0
    while not availability.blocking([HERE], now) and calls < 100:
        availability.admit([HERE], now)
        calls += 1
    return calls


def answered(times: int) -> Availability:
    """A place that was limited, woke at second 10, and has answered so many probes."""
    availability = resting(10.0)
    for _ in range(times):
        availability.admit([HERE], 10.0)
        availability.succeed(HERE, availability.next_turn())
    return availability


@pytest.mark.parametrize(("answers", "wide"), [(0, 1), (1, 1), (2, 2), (3, 4), (4, 8), (5, 100)])
def test_a_place_that_was_limited_opens_bit_by_bit(answers: int, wide: int) -> None:
    assert width(answered(answers), 10.0) == wide


def test_one_answer_is_enough_after_a_failure_of_our_own_guess() -> None:
    availability = resting(10.0, soft=True)
    availability.admit([HERE], 10.0)

    assert availability.succeed(HERE, availability.next_turn())
    assert availability.records == {}


def test_a_refused_probe_begins_anew() -> None:
    availability = answered(3)

    availability.rest(HERE, Kind.MINUTE_LIMIT, 20.0, soft=False)

    assert availability.blocking([HERE], 19.0)
    assert width(availability, 20.0) == 1


@pytest.mark.parametrize("until", [10.0, math.inf])
def test_what_an_earlier_call_has_to_say_is_old_news(until: float) -> None:
    availability = Availability()
    turn = availability.next_turn()
    availability.rest(HERE, Kind.SERVER, until, soft=True)

    assert not availability.succeed(HERE, turn)
    availability.release(HERE, turn)
    assert availability.blocking([HERE], 6.0)


def test_an_answer_from_a_place_without_a_record_changes_nothing() -> None:
    availability = resting(10.0)

    assert not availability.succeed(THERE, availability.next_turn())
    assert set(availability.records) == {HERE}


def test_the_breaker_opens_after_five_failures_in_a_row() -> None:
    availability = Availability()
    opened = [
        availability.rest(HERE, Kind.SERVER, n + 1.0, soft=True).is_open
        for n in range(1, FAILURES_TO_OPEN + 1)
    ]

    assert opened == [False] * (FAILURES_TO_OPEN - 1) + [True]
    assert availability.records[HERE].gap == OPEN_FOR


PLACES: dict[str, Place] = {
    "key": place(Scope.KEY, "groq", "1"),
    "key+model": place(Scope.KEY_MODEL, "groq", "1", "llama"),
    "another key": place(Scope.KEY, "groq", "10"),
    "another provider": place(Scope.KEY, "cerebras", "1"),
}


def test_forgetting_a_key_forgets_that_key_only() -> None:
    availability = Availability()
    for spot in PLACES.values():
        availability.rest(spot, Kind.BAD_KEY, 10.0, soft=False)

    availability.forget(Scope.KEY, "groq", "1")
    availability.forget(Scope.KEY_MODEL, "groq", "1")

    assert set(availability.records) == {PLACES["another key"], PLACES["another provider"]}
