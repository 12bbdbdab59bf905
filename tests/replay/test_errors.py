"""Recorded and documented errors mean what was settled for them."""

from __future__ import annotations

from typing import Any

import pytest

from aio_llm import AIOError, ErrorInfo
from tests.replay.wire import Cut, Record, cases, needs_recordings, play, records

pytestmark = needs_recordings

ERRORS = records("errors.jsonl")
SCOPES = {"key_group": "group", "key_group+model": "group+model"}
CUTS = [pytest.param(Cut(), id="whole"), pytest.param(Cut(7), id="7 bytes")]


def scope_of(expected: dict[str, Any]) -> str:
    """Our word for a scope; what is in brackets explains it."""
    words = str(expected["scope"]).partition(" (")[0]
    return SCOPES.get(words, words)


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("record", cases(ERRORS))
def test_an_error_means_what_was_settled(record: Record, cut: Cut) -> None:
    expected = record["expected"]

    error = play(record, cut)

    assert isinstance(error, AIOError), error
    info = AIOError.classify(error)
    assert (info.category.value, info.scope.value) == (expected["category"], scope_of(expected))
    assert info.should_rotate_key == expected["rotate_key"]
    assert is_cooled(info, expected["cooldown_s"])


def is_cooled(info: ErrorInfo, seconds: float | None) -> bool:
    """The wait is the stated one, where one is stated."""
    if seconds is None:
        return True
    return abs((info.retry_after or 0.0) - seconds) <= 1


@pytest.mark.parametrize("record", cases(ERRORS))
def test_what_may_succeed_later_is_said_to_be_retryable(record: Record) -> None:
    expected = record["expected"]
    if expected["category"] == "invalid_request" or expected["subcategory"] == "billing":
        return

    error = play(record, Cut())

    assert isinstance(error, AIOError)
    retryable = expected["retryable"] or expected["category"] == "network"
    assert AIOError.classify(error).is_retryable == retryable


@pytest.mark.parametrize("record", cases(ERRORS))
def test_only_errors_of_a_key_count_against_it(record: Record) -> None:
    expected = record["expected"]

    error = play(record, Cut())

    assert isinstance(error, AIOError)
    assert (error.attempts[-1].category == "auth") == (expected["category"] == "auth")


def test_every_vendor_is_replayed() -> None:
    vendors = {record["vendor"] for record in ERRORS}

    assert vendors == {"openrouter", "groq", "cerebras", "google", "any"}
    assert len(ERRORS) >= 50
