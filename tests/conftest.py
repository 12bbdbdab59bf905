"""What every test may ask for: the vendors on loopback, an `AIO` in front of them, its log."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from typing import Any, Protocol

import hypothesis
import pytest
from loguru import logger

from aio_llm import AIO, FakeClock
from aio_llm.simulator import Simulator

hypothesis.settings.register_profile("patient", deadline=None)  # a busy machine is no defect
hypothesis.settings.load_profile("patient")


class MakeAIO(Protocol):
    """Makes an `AIO` that talks to the simulator; it is closed when the test ends."""

    def __call__(
        self,
        *vendors: str,
        keys: int = 1,
        models: int = 1,
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
        **settings: Any,
    ) -> AIO:
        """`vendors`: the first one is preferred. `overrides`: provider fields per vendor."""


@pytest.fixture
def sim() -> Iterator[Simulator]:
    with Simulator() as running:
        yield running


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def providers(
    sim: Simulator,
    vendors: tuple[str, ...],
    keys: int,
    models: int,
    overrides: Mapping[str, Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """Provider entries with falling priority, each with so many keys and models."""
    return [
        sim.provider(
            vendor,
            priority=100 - 10 * place,
            api_keys=sim.keys(vendor)[:keys],
            models=sim.models(vendor)[:models],
        )
        | dict(overrides.get(vendor, {}))
        for place, vendor in enumerate(vendors)
    ]


@pytest.fixture
def make_aio(sim: Simulator) -> Iterator[MakeAIO]:
    made: list[AIO] = []

    def make(
        *vendors: str,
        keys: int = 1,
        models: int = 1,
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
        **settings: Any,
    ) -> AIO:
        entries = providers(sim, vendors, keys, models, overrides or {})
        aio = AIO(entries, **{"auto_mode": True, **settings})
        made.append(aio)
        return aio

    yield make
    for aio in made:
        aio.close()


@pytest.fixture
def log() -> Iterator[list[str]]:
    """The library's log, one line per record: level, a blank, the words."""
    lines: list[str] = []
    logger.enable("aio_llm")
    number = logger.add(lambda line: lines.append(str(line)), level=0, format="{level} {message}")
    yield lines
    logger.remove(number)
    logger.disable("aio_llm")


CANARIES = frozenset(
    key
    for vendor in ("openrouter", "groq", "cerebras", "google-ai")
    for key in Simulator(keys=8).keys(vendor)
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """No test may leave a key in what it printed or logged, whatever else it was about."""
    report = yield
    printed = "".join(text for _, text in report.sections)
    if "secrets" in item.path.parts:
        return report  # there an application shows its own keys, and the tests look themselves
    if report.passed and any(key in printed for key in CANARIES):
        report.outcome = "failed"
        report.longrepr = "a key of the simulator stands in the output of this test"
    return report
