"""How a figure is measured: two contenders take turns; the ratio of each round; the median."""

from __future__ import annotations

import gc
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[2]
"""Where `python -m tests.benchmarks` runs."""


@dataclass(frozen=True)
class Setup:
    """Where the server is, and whether there is time for few rounds only."""

    origin: str
    quick: bool

    def rounds(self, full: int, quick: int) -> int:
        """How many rounds."""
        return quick if self.quick else full


@dataclass(frozen=True)
class Measured:
    """One figure: its name in figures.py, its value in each round, what it is made of."""

    figure: str
    values: list[float]
    note: str = ""
    which: str = ""

    @property
    def value(self) -> float:
        """The median."""
        return median(self.values)


@dataclass
class Turns:
    """Seconds (or calls per second) of the two contenders, round by round."""

    base: list[float] = field(default_factory=list)
    ours: list[float] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Ours by the base, each within its round."""
        return [ours / base for base, ours in zip(self.base, self.ours, strict=True)]


def take_turns(base: Callable[[], float], ours: Callable[[], float], rounds: int) -> Turns:
    """Both contenders `rounds` times, the first one alternating."""
    turns = Turns()
    for number in range(rounds):
        order = [(base, turns.base), (ours, turns.ours)]
        for contender, results in order if number % 2 else reversed(order):
            gc.collect()
            results.append(contender())
    return turns


def cpu_of(action: Callable[[], object], times: int) -> float:
    """Processor seconds of this process (user + system) for one `action`."""
    started = time.process_time()
    for _ in range(times):
        action()
    return (time.process_time() - started) / times


def micro(seconds: list[float]) -> str:
    """The median in microseconds."""
    return f"{median(seconds) * 1e6:,.1f} µs"


def stats(origin: str) -> dict[str, Any]:
    """What the server has counted so far; asking opens one connection."""
    connection = http.client.HTTPConnection(origin.removeprefix("http://"))
    connection.request("GET", "/stats")
    found: dict[str, Any] = json.load(connection.getresponse())
    connection.close()
    return found


def fresh_cpu(statement: str) -> tuple[float, set[str]]:
    """Processor seconds of `statement` in a fresh interpreter, and the modules it loaded."""
    code = (
        "import sys, time; before = set(sys.modules); t = time.process_time()\n"
        f"{statement}\n"
        "t = time.process_time() - t; print(t, *sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    seconds, *modules = done.stdout.split()
    return float(seconds), set(modules)


class ServerProcess:
    """A server as a process of its own: `module` prints its address when it is ready."""

    def __init__(self, module: str, *arguments: str) -> None:
        command = [sys.executable, "-m", module, *arguments]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self._process.stdout is not None
        self.origin = self._process.stdout.readline().split()[-1]

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()
