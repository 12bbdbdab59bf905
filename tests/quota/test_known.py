"""Limits that are known are used up, and nobody is ever refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.quota.crowds import result
from tests.quota.report import Report
from tests.quota.worlds import BASE, VENDOR_WORLDS, WORLDS, World

SEEDS = (7, 8, 9)


def known(seed: int, minutes: int) -> Report:
    """The base world for so many minutes."""
    return result(replace(BASE, seed=seed, duration=60.0 * minutes))


LENGTHS = [
    *[pytest.param(seed, 4, 0.975, id=f"4 minutes, seed {seed}") for seed in SEEDS],
    pytest.param(7, 16, 0.99, id="16 minutes"),
    pytest.param(7, 60, 0.995, id="60 minutes"),
]


@pytest.mark.parametrize(("seed", "minutes", "least"), LENGTHS)
def test_known_limits_are_used_up(seed: int, minutes: int, least: float) -> None:
    report = known(seed, minutes)

    assert report.goodput >= least


@pytest.mark.parametrize(("seed", "minutes", "least"), LENGTHS)
def test_known_limits_are_never_overrun(seed: int, minutes: int, least: float) -> None:
    report = known(seed, minutes)

    assert (report.refused, report.lost) == (0, [])


def test_an_hour_takes_seconds() -> None:
    report = known(7, 60)

    assert len(report.served) > 14_000
    assert report.cpu <= 40.0  # about 13 on an idle machine, the aim is 5


@pytest.mark.parametrize("seed", [8, 9, 10])  # with 7 a minute ends while all wait for answers
def test_a_slow_vendor_is_used_up_as_well(seed: int) -> None:
    report = result(replace(WORLDS["h"], seed=seed))

    assert report.goodput >= 0.96
    assert (report.refused, report.lost) == (0, [])


@pytest.mark.parametrize("world", VENDOR_WORLDS, ids=[world.name for world in VENDOR_WORLDS])
def test_a_free_tier_as_documented_is_used_up(world: World) -> None:
    report = result(replace(world, duration=600.0), timeout=600.0, max_wait=600.0)

    assert report.goodput >= 0.97
    assert (report.refused, report.lost) == (0, [])
