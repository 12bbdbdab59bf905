"""Several machines, whose clocks differ: the time of the Redis server counts."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from aio_llm.state import Granted, Refused, Store
from tests.state.conftest import empty
from tests.state.limits import claim, patient
from tests.state.redis_server import RedisServer

WRONG = 3 * 3600.0
"""Seconds by which the second machine is ahead."""


@pytest.fixture
def store(redis_server: RedisServer) -> Iterator[Store]:
    empty(redis_server)
    store = patient(redis_server.url, clock="store")
    yield store
    store.close()


@pytest.mark.parametrize("rule", ["sliding", "bucket", "fixed", "late"])
def test_a_machine_with_a_wrong_clock_finds_what_the_others_have_used(
    store: Store, rule: str
) -> None:
    now = time.time()
    first = store.reserve([claim(rule, 100, 60)], now)
    second = store.reserve([claim(rule, 100, 60)], now + WRONG)

    assert isinstance(first, Granted)
    assert isinstance(second, Refused)
    assert 0.0 < second.wait <= 60.6


def test_a_wrong_clock_does_not_change_when_a_request_arrived(store: Store) -> None:
    wrong = time.time() - WRONG
    wanted = claim("sliding", 100, 60)
    held = store.reserve([wanted], wrong)
    assert isinstance(held, Granted)
    store.settle([(wanted, held.entries[0], 50.0)], wrong + 30, arrived=wrong + 20.0)
    answer = store.reserve([wanted], wrong)

    assert isinstance(answer, Refused)
    assert answer.wait == pytest.approx(80.0, abs=1.0)


def test_the_day_of_a_time_zone_is_that_of_the_server(store: Store) -> None:
    """Which midnight is next in Los Angeles is no matter of the caller's clock."""
    now = time.time()
    answers = [store.reserve([claim("pacific", 3)], now + wrong) for wrong in (0.0, 86_400.0) * 2]
    waits = [answer.wait for answer in answers if isinstance(answer, Refused)]

    assert len(waits) == 1
    assert 0.0 < waits[0] <= 25 * 3600 + 1
