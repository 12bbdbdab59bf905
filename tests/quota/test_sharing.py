"""Processes that share a state file use the quota together, and a restart forgets nothing."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from tests.quota.crowd import START
from tests.quota.crowds import Crowd
from tests.quota.worlds import BASE, WORLDS


def state(folder: Path) -> str:
    """A state file in `folder`."""
    return f"sqlite:///{folder}/state.db"


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_that_share_use_the_quota_together(processes: int, tmp_path: Path) -> None:
    report = Crowd(BASE, processes=processes, state=state(tmp_path)).run()

    assert report.goodput >= 0.96
    assert (report.refused, report.lost) == (0, [])


def test_processes_go_on_when_their_state_is_gone(tmp_path: Path) -> None:
    crowd = Crowd(BASE, processes=2, state=state(tmp_path))
    locks: list[sqlite3.Connection] = []

    def lock() -> None:
        holder = sqlite3.connect(tmp_path / "state.db", check_same_thread=False)
        holder.execute("BEGIN EXCLUSIVE")
        locks.append(holder)

    crowd.clock.at(START + 100.0, lock)
    report = crowd.run()
    locks[0].close()

    assert report.goodput >= 0.92  # the aim is 0.95
    assert report.count("limit", until=100.0) == 0
    assert report.lost == []


def test_what_was_learned_is_known_after_a_restart(tmp_path: Path) -> None:
    crowd = Crowd(WORLDS["b"], state=state(tmp_path))
    learned = crowd.run(until=120.0).refused
    crowd.restart()

    report = crowd.run()

    assert learned > 0
    targets = sum(vendor.keys * len(vendor.models) for vendor in report.world.vendors)
    assert report.refused <= learned + targets  # the aim is not one more
    assert report.lost == []


def test_a_spent_day_is_known_after_a_restart(tmp_path: Path) -> None:
    crowd = Crowd(replace(WORLDS["e"], duration=360.0), state=state(tmp_path))
    crowd.run(until=200.0)
    crowd.restart()

    report = crowd.run()

    best = report.world.vendors[0]
    assert {report.answers((best.name, best.key(0), model)) for model in best.models} == {25}
    assert set(report.refused_by_lane.values()) <= {1}
    assert report.lost == []
