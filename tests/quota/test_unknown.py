"""Limits that nobody told are learned from what the vendors say, and cost few refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.quota.crowds import result
from tests.quota.report import Report
from tests.quota.worlds import STRANGERS, WORLDS, World

SEEDS = (7, 8, 9)
TWO = (7, 8)
"""Enough for runs that are four times as long."""

MUTE = ("nothing", "retry_after")


def by_vendor(report: Report) -> dict[str, float]:
    """Refusals per (key, model) of each vendor."""
    found = {}
    for vendor in report.world.vendors:
        lanes = vendor.keys * len(vendor.models)
        count = sum(n for lane, n in report.refused_by_lane.items() if lane[0] == vendor.name)
        found[vendor.name] = count / lanes
    return found


def most_refusals(world: World) -> dict[str, float]:
    """How many each vendor of a world may refuse per (key, model)."""
    return {vendor.name: 4.0 if vendor.tells in MUTE else 1.5 for vendor in world.vendors}


@pytest.mark.parametrize("seed", SEEDS)
def test_unknown_limits_are_found_and_used_up(seed: int) -> None:
    report = result(replace(WORLDS["b"], seed=seed))

    assert report.goodput >= 0.97
    assert report.lost == []


@pytest.mark.parametrize("seed", SEEDS)
def test_unknown_limits_cost_few_refusals(seed: int) -> None:
    report = result(replace(WORLDS["b"], seed=seed))

    refusals, most = by_vendor(report), most_refusals(report.world)
    assert {name: n for name, n in refusals.items() if n > most[name]} == {}


@pytest.mark.parametrize("seed", TWO)
def test_strangers_with_known_limits_are_used_up(seed: int) -> None:
    report = result(replace(STRANGERS, seed=seed, duration=960.0))

    assert report.sustained >= 0.97
    assert report.refused <= 0.01 * len(report.visits)
    assert report.lost == []


@pytest.mark.parametrize("seed", TWO)
def test_strangers_with_unknown_limits_are_used_up(seed: int) -> None:
    report = result(replace(WORLDS["strangers-unknown"], seed=seed, duration=960.0))

    assert report.sustained >= 0.96
    assert report.refused <= 0.02 * len(report.visits)
    assert report.lost == []


@pytest.mark.parametrize("seed", TWO)
def test_strangers_refuse_no_more_than_it_takes_to_learn(seed: int) -> None:
    report = result(replace(WORLDS["strangers-unknown"], seed=seed, duration=960.0))

    refusals, most = by_vendor(report), most_refusals(report.world)
    assert {name: n for name, n in refusals.items() if n > most[name]} == {}


@pytest.mark.parametrize("seed", TWO)
def test_windows_that_nobody_names_are_found_out(seed: int) -> None:
    report = result(replace(WORLDS["disguised"], seed=seed, duration=960.0))

    assert report.sustained >= 0.92  # what a token is nobody names either
    assert report.refused <= 0.01 * len(report.visits)
    assert report.lost == []
