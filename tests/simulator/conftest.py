"""A fresh simulator per test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from aio_llm.simulator import Simulator
from tests.simulator.callers import VENDORS, Caller


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


@pytest.fixture(params=VENDORS)
def caller(request: pytest.FixtureRequest, sim: Simulator) -> Caller:
    return Caller(sim, request.param)


@pytest.fixture
def caller_of(sim: Simulator) -> Callable[[str], Caller]:
    return lambda vendor: Caller(sim, vendor)
