"""Outages, hangs, revoked keys and spent days cost little, and nobody's call is lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.quota.crowds import result
from tests.quota.report import Report
from tests.quota.worlds import WORLDS

SEEDS = (7, 8, 9)
pytestmark = pytest.mark.parametrize("seed", SEEDS)


def trouble(name: str, seed: int) -> Report:
    """The scenario of that name."""
    return result(replace(WORLDS[name], seed=seed))


@pytest.mark.parametrize(("name", "least"), [("c", 0.96), ("c2", 0.95)])
def test_an_outage_costs_only_the_vendor_that_is_out(seed: int, name: str, least: float) -> None:
    report = trouble(name, seed)

    assert report.goodput >= least
    assert (report.refused, report.lost) == (0, [])


@pytest.mark.parametrize(("name", "kind"), [("c", "503"), ("c2", "hang")])
def test_few_calls_go_into_an_outage(seed: int, name: str, kind: str) -> None:
    report = trouble(name, seed)

    assert 0 < report.count(kind) <= 25


@pytest.mark.parametrize("name", ["c", "c2"])
def test_a_vendor_is_back_soon_after_its_outage(seed: int, name: str) -> None:
    report = trouble(name, seed)

    assert report.back() <= 30.0


def test_a_revoked_key_is_left_alone(seed: int) -> None:
    report = trouble("d", seed)
    first = next(visit for visit in report.visits if visit.outcome == "401")
    under_way = [
        visit
        for visit in report.visits
        if visit.key == first.key and visit.sent <= first.at < visit.sent + visit.flight
    ]

    assert report.count("401") <= 1 + len(under_way)
    assert report.goodput >= 0.975
    assert (report.refused, report.lost) == (0, [])


def test_a_spent_day_is_refused_at_most_once_per_target(seed: int) -> None:
    report = trouble("e", seed)
    best = report.world.vendors[0]
    spent = {(best.name, best.key(0), model) for model in best.models}

    assert {report.answers(lane) for lane in spent} == {25}
    assert set(report.refused_by_lane) <= spent
    assert set(report.refused_by_lane.values()) <= {1}
    assert report.goodput >= 0.975
    assert report.lost == []


def test_random_errors_cost_what_they_hit_and_no_more(seed: int) -> None:
    report = trouble("f", seed)

    assert report.goodput >= 0.95 * report.world.possible
    assert (report.refused, report.lost) == (0, [])


def test_a_blackout_is_sat_out(seed: int) -> None:
    report = trouble("z", seed)

    assert 0 < report.count("503") <= 150
    assert (report.refused, report.lost) == (0, [])
    assert report.count("ok", since=120.0, until=150.0) > 0
