"""One run: the vendors in a process, the contender in one or more, both on one timeline."""

from __future__ import annotations

import http.client
import json
import math
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from tests.quota.worlds import WORLDS, World

from .measure import ROOT
from .quota_clock import Timeline
from .quota_server import troubles
from .quota_stores import Store, store
from .quota_worker import Order, Outcome

STARTING = 0.3
"""Real seconds at least between the last process being ready and the beginning."""

GAP = 60.0
"""Seconds at least between a run and the one that begins with what it has learnt."""


@dataclass(frozen=True)
class Case:
    """A world and who goes through it. `store`: where what is known is kept; `killed`: it breaks
    half-way. `again`: what is measured is a second run, by a new process with the same store.
    """

    label: str
    world: str
    contender: str = "aio_llm"
    processes: int = 1
    store: str | None = None
    killed: bool = False
    again: bool = False


@dataclass(frozen=True)
class Pace:
    """How runs are made: seconds per real second, minutes of the vendors, threads in all."""

    rate: float = 20.0
    minutes: float = 4.0
    threads: int | None = None


@dataclass(frozen=True)
class Result:
    """The vendors' figures and the callers' outcome."""

    case: Case
    usage: Mapping[str, Any]
    outcome: Outcome
    duration: float

    def waited(self, share: float) -> float:
        """Seconds that this share of the calls waited at most."""
        waits = sorted(self.outcome.waits)
        return waits[math.ceil(share * len(waits)) - 1] if waits else math.nan

    @property
    def goodput(self) -> float:
        """Of what the quotas offer; where chance spoils answers, these are counted as well."""
        by_chance = WORLDS[self.case.world].possible < 1.0
        return float(self.usage["spent" if by_chance else "goodput"])

    @property
    def refused(self) -> int:
        """Calls that a quota refused."""
        return int(self.usage["refused"])

    @property
    def inverted(self) -> float:
        """The share of the calls that passed while a better lane was free."""
        inversions, calls = int(self.usage["inversions"]), int(self.usage["calls"])
        return inversions / max(1, calls)

    @property
    def cpu(self) -> float:
        """Milliseconds of processor time per answer."""
        return 1e3 * self.outcome.cpu / max(1, self.outcome.served)


class CrashedError(RuntimeError):
    """A process did not come to its end."""


class Vendors:
    """The server process of a world on a timeline."""

    def __init__(self, world: World, line: Timeline) -> None:
        module = f"{__package__}.quota_server"
        numbers = [str(number) for number in (line.rate, line.offset)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, world.name, *numbers],
            stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        self._world = world
        self.urls: dict[str, str] = json.loads(said.rpartition(" ")[0])["urls"]
        self._host = said.rpartition("//")[2].strip()

    def begin(self, start: float) -> None:
        """Let the troubles of a run that begins then (wall seconds) happen."""
        self._post("clear", {})
        for trouble in troubles(self._world, start):
            self._post("inject", trouble)

    def usage(self, start: float, end: float) -> dict[str, Any]:
        """Their figures from `start` to `end` (wall seconds)."""
        ranks = [[*lane, rank] for lane, rank in self._world.ranks().items()]
        return self._post("usage", {"start": start, "end": end, "ranks": ranks})

    def _post(self, what: str, body: Mapping[str, Any]) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._host, timeout=300)
        connection.request("POST", f"/_sim/{what}", json.dumps(body))
        answer = connection.getresponse()
        found: dict[str, Any] = json.load(answer)
        connection.close()
        if answer.status != 200:
            raise CrashedError(str(found))
        return found

    def __enter__(self) -> Vendors:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()


def run(case: Case, pace: Pace) -> Result:
    """Go through it in real time, `pace.rate` times as fast."""
    world = replace(WORLDS[case.world], duration=60.0 * pace.minutes)
    line = Timeline.now(pace.rate)
    with store(case.store) as kept, Vendors(world, line) as vendors:
        stage = Stage(case, world, line, vendors, kept, pace.threads or world.threads)
        if case.again:
            stage.go(gap=0.0)
        start, outcome = stage.go(gap=GAP if case.again else 0.0)
        usage = vendors.usage(start, start + world.duration)
    return Result(case, usage, outcome, world.duration)


@dataclass(frozen=True)
class Stage:
    """Where a contender's processes go through a world, once or again."""

    case: Case
    world: World
    line: Timeline
    vendors: Vendors
    kept: Store | None
    threads: int

    def go(self, gap: float) -> tuple[float, Outcome]:
        """When they began (wall seconds; at least `gap` seconds from now), and what they did."""
        workers = [self._worker(member) for member in range(self.case.processes)]
        killer = None
        try:
            for worker in workers:
                _line(worker)
            start = self.line.next_minute(STARTING, gap)
            killer = self._killer(start)
            if not gap:  # else what the vendors have counted goes on
                self.vendors.begin(start)
            for worker in workers:
                assert worker.stdin is not None
                worker.stdin.write(json.dumps([start, start + self.world.duration]) + "\n")
                worker.stdin.flush()
            return start, merged([Outcome(**json.loads(_line(worker))) for worker in workers])
        finally:
            if killer is not None:
                killer.cancel()
            for worker in workers:
                worker.kill()
                worker.communicate()

    def _worker(self, member: int) -> subprocess.Popen[str]:
        case, line = self.case, self.line
        order = Order(
            self.world.name, case.contender, self.vendors.urls, line.rate, line.offset,
            self.threads // case.processes, member, case.processes,
            self.kept.url if self.kept else None,
        )  # fmt: skip
        module = f"{__package__}.quota_worker"
        command = [sys.executable, "-m", module, json.dumps(asdict(order))]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)

    def _killer(self, start: float) -> threading.Timer | None:
        """Breaks the store half-way."""
        if not self.case.killed or self.kept is None:
            return None
        middle = start + self.world.duration / 2
        delay = (middle - self.line.clock().wall()) / self.line.rate
        killer = threading.Timer(delay, self.kept.kill)
        killer.start()
        return killer


def _line(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    said = worker.stdout.readline()
    if not said:
        raise CrashedError("a process of the contender has ended before its time")
    return said


def merged(outcomes: list[Outcome]) -> Outcome:
    """Those of several processes as one."""
    errors: Counter[str] = Counter()
    for one in outcomes:
        errors.update(one.errors)
    return Outcome(
        sum(one.served for one in outcomes),
        sum(one.failed for one in outcomes),
        max(one.late for one in outcomes),
        sum(one.cpu for one in outcomes),
        max(one.jitter for one in outcomes),
        [wait for one in outcomes for wait in one.waits],
        dict(errors),
    )
