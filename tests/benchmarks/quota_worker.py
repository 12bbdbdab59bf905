"""One process of a contender: its threads do jobs until the time is over.

An `Order` is its argument; it prints that it is ready, reads start and end, prints the `Outcome`.
"""

from __future__ import annotations

import collections
import itertools
import json
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.quota.worlds import WORLDS, Job, jobs

from .quota_clock import ScaledClock
from .quota_contenders import CONTENDERS, Contender

REST = 1.0
"""Seconds after which a caller whose job has failed takes the next one."""


@dataclass(frozen=True)
class Order:
    """What a process is told; `rate` and `offset` make its clock, and that of the vendors. It is
    `member` of `members` processes.
    """

    world: str
    contender: str
    urls: Mapping[str, str]
    rate: float
    offset: float
    threads: int
    member: int = 0
    members: int = 1
    state: str | None = None


@dataclass
class Outcome:
    """What became of the jobs. `waits` in seconds; `late`: seconds by which they began too late;
    `cpu`: processor seconds of all the calls; `jitter`: real seconds that a thread here wakes up
    late, in the worst of a hundred cases.
    """

    served: int = 0
    failed: int = 0
    late: float = 0.0
    cpu: float = 0.0
    jitter: float = 0.0
    waits: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)


_BEAT = 0.02  # real seconds between two looks at the clock


class Crowd:
    """The threads of one process; a closed loop, or an open one if the world has a pace."""

    def __init__(self, order: Order, contender: Contender, start: float, end: float) -> None:
        world = WORLDS[order.world]
        self._order, self._start, self._end = order, start, end
        self._world = world
        self._contender = contender
        self._clock = ScaledClock(order.rate, order.offset)
        self._work = self._jobs()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._waits: list[float] = []
        self._lateness: list[float] = [0.0]
        self._errors: collections.Counter[str] = collections.Counter()

    def _jobs(self) -> Iterator[tuple[Job, float | None]]:
        """Each job with the moment it is due, None for at once."""
        order, pace = self._order, self._world.calls_per_minute
        mine = itertools.islice(jobs(self._world.seed), order.member, None, order.members)
        limit = self._world.jobs and self._world.jobs // order.members
        for number, job in enumerate(itertools.islice(mine, limit)):
            due = None if pace is None else self._start + number * 60.0 * order.members / pace
            yield job, due

    def run(self) -> Outcome:
        """All jobs that can be done between start and end."""
        order, clock = self._order, self._clock
        late = max(0.0, clock.wall() - self._start)
        self._until(self._start)
        cpu = time.process_time()
        crew = [threading.Thread(target=self._work_on) for _ in range(order.threads)]
        for thread in crew:
            thread.start()
        self._until(self._end, crew)
        spent = time.process_time() - cpu
        self._over.set()
        self._contender.leave()
        for thread in crew:
            thread.join()
        failed, errors = sum(self._errors.values()), dict(self._errors)
        jitter = sorted(self._lateness)[len(self._lateness) * 99 // 100]
        return Outcome(len(self._waits), failed, late, spent, jitter, self._waits, errors)

    def _until(self, moment: float, crew: list[threading.Thread] | None = None) -> None:
        while (left := moment - self._clock.wall()) > 0:
            if crew and not any(thread.is_alive() for thread in crew):
                return
            began, pause = time.monotonic(), min(left / self._clock.rate, _BEAT)
            self._over.wait(pause)
            self._lateness.append(time.monotonic() - began - pause)

    def _work_on(self) -> None:
        while not self._over.is_set():
            with self._lock:
                job, due = next(self._work, (None, None))
            if job is None:
                return
            late = 0.0 if due is None else self._wait_until(due)
            if not self._over.is_set():
                self._do(job, late)

    def _wait_until(self, due: float) -> float:
        """Seconds by which it is late, in the quota's time beyond what the machine took."""
        left = due - self._clock.wall()
        if left <= 0:
            return -left
        self._over.wait(left / self._clock.rate)
        return 0.0

    def _do(self, job: Job, late: float) -> None:
        try:
            wait = self._contender.ask(job)
        except Exception as error:  # whatever a contender raises, its caller has got no answer
            if not self._over.is_set():
                self._errors[_words(error)] += 1
                self._over.wait(REST / self._clock.rate)
        else:
            if not self._over.is_set():
                self._waits.append(late + wait)


def _words(error: Exception) -> str:
    """What it says in its first line, and where it came from."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    said = str(error).partition("\n")[0]
    return f"{type(error).__name__} ({where}): {said}"[:200]


def main() -> None:
    """Do as ordered; both ways in JSON."""
    order = Order(**json.loads(sys.argv[1]))
    clock = ScaledClock(order.rate, order.offset)
    contender = CONTENDERS[order.contender](WORLDS[order.world], order.urls, clock, order.state)
    print("ready", flush=True)
    start, end = json.loads(sys.stdin.readline())
    outcome = Crowd(order, contender, start, end).run()
    contender.close()
    print(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    main()
