"""Places that rest: not before their time, one probe at a time, free after a success."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_llm.core.availability import Availability, Place, Record, place
from aio_llm.faults import Kind, Scope

HERE = place(Scope.MODEL, "groq", "llama")
THERE = place(Scope.KEY, "groq", "0")
SECONDS = st.floats(0.001, 1e6)


def resting(until: float, *, soft: bool = False) -> Availability:
    """A record for `HERE`."""
    availability = Availability()
    availability.rest(HERE, Record(until, Kind.SERVER, soft=soft))
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
        availability.rest(HERE, Record(until, Kind.MINUTE_LIMIT, soft=False))

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

    availability.rest(HERE, Record(20.0, Kind.MINUTE_LIMIT, soft=False))

    assert availability.blocking([HERE], 19.0)
    assert width(availability, 20.0) == 1


@pytest.mark.parametrize("until", [10.0, math.inf])
def test_what_an_earlier_call_has_to_say_is_old_news(until: float) -> None:
    availability = Availability()
    turn = availability.next_turn()
    availability.rest(HERE, Record(until, Kind.SERVER, soft=True))

    assert not availability.succeed(HERE, turn)
    availability.release(HERE, turn)
    assert availability.blocking([HERE], 6.0)


def test_an_answer_from_a_place_without_a_record_changes_nothing() -> None:
    availability = resting(10.0)

    assert not availability.succeed(THERE, availability.next_turn())
    assert set(availability.records) == {HERE}


def test_a_breaker_closes_after_as_many_answers_as_it_asks_for() -> None:
    availability = Availability()
    availability.rest(HERE, Record(10.0, Kind.SERVER, soft=True, opened=1, enough=2))
    for _ in range(2):
        assert availability.blocking([HERE], 9.0) or availability.admit([HERE], 10.0)
        availability.succeed(HERE, availability.next_turn())

    assert availability.records == {}


def test_an_answer_ends_a_row_of_failures_unless_the_breaker_is_open() -> None:
    availability = resting(10.0, soft=True)
    availability.rest(THERE, Record(10.0, Kind.SERVER, soft=True, failures=3, opened=1))

    availability.calm([HERE, THERE])

    assert availability.records[HERE].failures == 0
    assert availability.records[THERE].failures == 3


PLACES: dict[str, Place] = {
    "key": place(Scope.KEY, "groq", "1"),
    "key+model": place(Scope.KEY_MODEL, "groq", "1", "llama"),
    "another key": place(Scope.KEY, "groq", "10"),
    "another provider": place(Scope.KEY, "cerebras", "1"),
}


def test_forgetting_a_key_forgets_that_key_only() -> None:
    availability = Availability()
    for spot in PLACES.values():
        availability.rest(spot, Record(10.0, Kind.BAD_KEY, soft=False))

    availability.forget(Scope.KEY, "groq", "1")
    availability.forget(Scope.KEY_MODEL, "groq", "1")

    assert set(availability.records) == {PLACES["another key"], PLACES["another provider"]}
