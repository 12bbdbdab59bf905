"""Several processes on one store: exact sums, never more than a limit, whoever is killed."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import pytest

from aio_llm.state import Granted
from tests.state.conftest import MakeStore
from tests.state.limits import MINUTE, WALL, claim

ROOT = Path(__file__).parents[2]

PROCESSES = 4

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


class Start(Protocol):
    """Starts the program; it and its children are gone when the test ends."""

    def __call__(self, url: str, **work: Any) -> subprocess.Popen[str]: ...


@pytest.fixture
def start() -> Iterator[Start]:
    programs = []

    def run(url: str, **work: Any) -> subprocess.Popen[str]:
        program = subprocess.Popen(
            [sys.executable, "-m", "tests.state.hammer"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip
        programs.append(program)
        assert program.stdin is not None
        program.stdin.write(json.dumps({"url": url, "processes": PROCESSES, **work}))
        program.stdin.close()
        program.stdin = None
        return program

    yield run
    for program in programs:
        if program.returncode is None:
            os.killpg(program.pid, signal.SIGKILL)
            program.communicate()


def results(process: subprocess.Popen[str]) -> list[list[float]]:
    """What each of its processes was granted."""
    out, problems = process.communicate(timeout=60)
    assert process.returncode == 0, problems
    said: list[list[float]] = json.loads(out)
    return said


def test_no_count_is_lost_and_none_is_made_up(
    url: str, start: Start, make_store: MakeStore
) -> None:
    limits = {"sliding": 400.0, "late": 1200.0}
    programs = {
        rule: start(url, what="fill_up", rule=rule, limit=limit, turns=100)
        for rule, limit in limits.items()
    }
    store = make_store()
    for rule, program in programs.items():
        kept = results(program)
        now = store.reserve([claim(rule, limits[rule], 0.0)], WALL + 0.3)

        assert isinstance(now, Granted), rule
        assert now.used[0] == sum(map(sum, kept)), rule
        assert limits[rule] - 16 <= now.used[0] <= limits[rule], rule


def test_no_window_ever_holds_more_than_the_limit(url: str, start: Start) -> None:
    rules, limit = ("sliding", "fixed"), 30
    programs = [start(url, what="run_on", rule=rule, limit=limit, seconds=2.0) for rule in rules]
    sliding, fixed = (sorted(chain.from_iterable(results(program))) for program in programs)
    minutes = [moment // MINUTE for moment in fixed]

    assert all(sliding[i + limit] - sliding[i] >= MINUTE for i in range(len(sliding) - limit))
    assert max(minutes.count(minute) for minute in minutes) <= limit
    assert len(sliding) >= 2 * limit
    assert len(set(minutes)) >= 2


def test_a_killed_process_leaves_what_it_was_granted(
    url: str, start: Start, make_store: MakeStore
) -> None:
    programs = [start(url, what="report") for _ in range(3)]
    acknowledged = 0
    for program in programs:
        assert program.stdout is not None
        acknowledged += sum(bool(program.stdout.readline()) for _ in range(50))
    for program in programs:
        assert program.stdout is not None
        program.kill()
        acknowledged += program.stdout.read().count("granted\n")
    now = make_store().reserve([claim("sliding", 1e9, 0.0)], WALL)

    assert isinstance(now, Granted)
    assert acknowledged <= now.used[0] <= acknowledged + len(programs)
    assert acknowledged >= 150


def test_a_killed_process_leaves_a_sound_file(start: Start, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    program = start(url, what="report")
    assert program.stdout is not None
    lines = [program.stdout.readline() for _ in range(100)]
    program.kill()
    program.communicate()
    with sqlite3.connect(tmp_path / "state.db") as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
    connection.close()

    assert len(lines) == 100
    assert verdict == "ok"
