"""Every store counts as the windows of one process do, whatever happens in which order."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio_llm.state import Granted, Refused, Store
from tests.state.limits import SHAPES, WALL, Windows, claim, patient
from tests.state.redis_server import RedisServer
from tests.state.traces import CASES, play, probes, start, tame, wild


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
@given(data=st.data())
def test_stores_count_as_windows_in_memory_do(
    pair: str, rule: str, data: st.DataObject, request: pytest.FixtureRequest
) -> None:
    wall, trace = data.draw(start(rule)), [*data.draw(tame(rule)), *probes(rule)]

    said = play(request.getfixturevalue(pair), trace, wall)

    assert said == play([Windows()], trace, wall)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("pair", ["sqlite_pair", "redis_pair"])
def test_stores_count_as_windows_in_memory_do_at_borders(
    pair: str, case: str, request: pytest.FixtureRequest
) -> None:
    wall, trace = CASES[case]

    said = play(request.getfixturevalue(pair), trace, wall)

    assert said == play([Windows()], trace, wall)


@pytest.mark.parametrize("rule", SHAPES)
@settings(max_examples=25, derandomize=True)
@given(data=st.data(), other=st.sampled_from(list(SHAPES)))
def test_stores_agree_when_limits_rules_and_clocks_change(
    sqlite_pair: list[Store], redis_pair: list[Store], rule: str, other: str, data: st.DataObject
) -> None:
    wall, trace = data.draw(start(rule)), data.draw(wild((rule, other)))

    said = play(sqlite_pair, trace, wall)

    assert said == play(redis_pair, trace, wall)


@pytest.mark.parametrize("rule", SHAPES)
def test_waits_are_exact(store: Store, rule: str) -> None:
    """Asked again when it said, there is room; a moment earlier there is none."""
    wanted = [claim(rule, 10.0, 4.0)]
    while isinstance(answer := store.reserve(wanted, WALL), Granted):
        pass
    too_early = store.reserve(wanted, WALL + answer.wait - 0.001)
    in_time = store.reserve(wanted, WALL + answer.wait)

    assert math.isfinite(answer.wait)
    assert isinstance(too_early, Refused)
    assert isinstance(in_time, Granted)
