"""Ctrl-C is obeyed at once wherever a call is, and the program may go on afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pytest

from aio_llm.simulator import Simulator
from tests.faults.interrupted import SITUATIONS
from tests.faults.scene import VENDORS, healthy_text

PROGRAM = Path(__file__).with_name("interrupted.py")


@dataclass
class Session:
    """What a program said that was interrupted in every situation."""

    code: int | None = None
    said: list[dict[str, Any]] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    aborted: int = 0

    def of(self, vendor: str, situation: str) -> dict[str, Any]:
        """What became of one interrupted call."""
        wanted = {"vendor": vendor, "situation": situation}
        return next(line for line in self.said if wanted.items() <= line.items())


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    """One program for all tests: starting it costs more than everything it does."""
    with Simulator(keys=1) as sim:
        sim.inject("hang", text="hang")
        sim.inject("stall", text="stall", after=1)
        program = subprocess.Popen(
            [sys.executable, str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            text=True,
        )
        try:
            yield interrupt_it(program, sim)
        finally:
            program.kill()
            program.communicate()


def interrupt_it(program: subprocess.Popen[str], sim: Simulator) -> Session:
    """Press Ctrl-C in each of its calls."""
    assert program.stdin is not None
    assert program.stdout is not None
    json.dump(sim.config(*VENDORS), program.stdin)
    program.stdin.close()
    program.stdin = None
    session = Session(texts={vendor: healthy_text(sim, vendor, "next") for vendor in VENDORS})
    for number in range(len(VENDORS) * len(SITUATIONS)):
        session.said.append(interrupt_once(program, program.stdout, sim, 2 * number + 1))
    session.code = program.wait(10)
    session.aborted = sim.aborted
    return session


def interrupt_once(
    program: subprocess.Popen[str], output: IO[str], sim: Simulator, count: int
) -> dict[str, Any]:
    """Wait until so many requests have come, interrupt the last, read what came of it."""
    assert sim.wait_for(lambda: sim.count() == count, timeout=30)
    if sim.requests[-1].fault == "stall":
        assert "piece" in json.loads(output.readline())
    program.send_signal(signal.SIGINT)
    said: dict[str, Any] = json.loads(output.readline())
    return said


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_ctrl_c_comes_through_and_the_next_call_works(
    situation: str, vendor: str, session: Session
) -> None:
    said = session.of(vendor, situation)

    assert said["ended"] == "KeyboardInterrupt"
    assert said["next"] == session.texts[vendor]
    assert said["attempts"] == 1


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_ctrl_c_is_nobodys_fault(situation: str, vendor: str, session: Session) -> None:
    said = session.of(vendor, situation)

    assert (said["in_flight"], said["total_errors"], said["errors_in_row"]) == (0, 0, 0)


def test_a_program_that_goes_on_after_ctrl_c_ends_well(session: Session) -> None:
    assert session.code == 0
    assert session.aborted == len(VENDORS) * len(SITUATIONS)
