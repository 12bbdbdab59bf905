"""What is remembered of sessions: the newest ones, for a while, in bounded memory."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_llm import InvalidRequestError
from aio_llm.core.sessions import KEPT_FOR, MOST, Sessions, check_session

NAMES = st.sampled_from("abcdef")
STEPS = st.lists(st.tuples(NAMES, st.integers(0, 9), st.floats(0, 15)), max_size=40)


@given(STEPS, st.integers(1, 4))
def test_it_knows_what_a_plain_list_of_everything_would(
    steps: list[tuple[str, int, float]], most: int
) -> None:
    sessions, now = Sessions[int](most, 20.0), 0.0
    said: list[tuple[str, int, float]] = []
    for name, target, later in steps:
        now += later
        sessions.remember(name, target, now)
        said = [entry for entry in said if entry[0] != name] + [(name, target, now)]

    kept = {name: target for name, target, at in said[-most:] if now - at <= 20.0}
    assert {name: sessions.find(name, now) for name in "abcdef"} == {
        name: kept.get(name) for name in "abcdef"
    }
    assert len(sessions) == len(kept)


def test_a_session_is_known_until_its_time_is_over() -> None:
    sessions = Sessions[str]()
    sessions.remember("user-1", "groq", 100.0)

    assert sessions.find("user-1", 100.0 + KEPT_FOR) == "groq"
    assert sessions.find("user-1", 100.1 + KEPT_FOR) is None
    assert sessions.find("user-2", 100.0) is None


def test_every_answer_begins_the_time_anew() -> None:
    sessions = Sessions[str]()
    for moment in range(0, 10 * int(KEPT_FOR), 3000):
        sessions.remember("user-1", "groq", float(moment))

        assert sessions.find("user-1", moment + 3000.0) == "groq"


def test_no_more_than_the_bound_are_kept_and_those_used_longest_ago_go_first() -> None:
    sessions = Sessions[int]()
    for number in range(MOST):
        sessions.remember(f"user-{number}", number, 0.0)
    sessions.remember("user-0", 0, 1.0)
    sessions.remember("one more", 1, 1.0)

    assert len(sessions) == MOST
    assert sessions.find("user-0", 1.0) == 0
    assert sessions.find("user-1", 1.0) is None
    assert sessions.find("user-2", 1.0) == 2


def test_long_names_are_told_apart_and_not_kept() -> None:
    sessions, alike = Sessions[int](), "x" * 100_000
    sessions.remember(alike + "1", 1, 0.0)
    sessions.remember(alike + "2", 2, 0.0)
    sessions.remember("\ud800" * 100, 3, 0.0)

    assert [sessions.find(alike + end, 0.0) for end in "123"] == [1, 2, None]
    assert sessions.find("\ud800" * 100, 0.0) == 3
    assert len(pickle.dumps(sessions)) < 1000


@pytest.mark.parametrize("name", ["", 5, 0, True, b"user", ["user"]], ids=repr)
def test_what_is_no_name_is_refused(name: object) -> None:

    with pytest.raises(InvalidRequestError, match="session"):
        check_session(name)


def test_a_name_or_none_is_taken_as_it_is() -> None:

    assert check_session("user-1") == "user-1"
    assert check_session(None) is None
