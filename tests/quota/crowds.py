"""A whole `AIO` under a crowd of callers, in virtual time: one world in, one report out."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from functools import cache, partial
from itertools import islice
from typing import Any, cast

from aio_llm import AIO, AIOError
from aio_llm.providers.base import BaseProvider
from tests.quota.adapters import wired
from tests.quota.crowd import START, CrowdClock
from tests.quota.report import Report, Served
from tests.quota.vendors import Errand, Site, Visit
from tests.quota.worlds import Job, World, jobs, providers

WALL = 1_790_000_000
"""Epoch seconds at which runs start, 20 s after a whole minute; seeds start a bit later each."""

SULK = 1.0
"""Seconds a caller takes to get over a call that failed."""


class Crowd:
    """Callers of an `AIO`, either as fast as they can or at given moments. `processes`: of so many
    `AIO`s with the same configuration, which know of each other only by their `state`. `begins`:
    epoch seconds of the start.
    """

    def __init__(
        self,
        world: World,
        todo: Iterable[Job] | None = None,
        processes: int = 1,
        begins: float | None = None,
        **settings: Any,
    ) -> None:
        self.world = world
        self.clock = CrowdClock(WALL + 13.0 * world.seed if begins is None else begins)
        self.visits: list[Visit] = []
        self.work: dict[str, Errand] = {}
        self.report = Report(world, self.clock, self.visits)
        self._todo = islice(jobs(world.seed) if todo is None else todo, world.jobs)
        self._moments = self._arrivals()
        self._sites = [
            Site(vendor, self.clock, self.work, world.seed, self.visits) for vendor in world.vendors
        ]
        self._settings = settings
        self.aios = [self._aio(dict(settings)) for _ in range(processes)]

    @property
    def aio(self) -> AIO:
        """The only `AIO`, or the first one."""
        return self.aios[0]

    def _aio(self, settings: dict[str, Any]) -> AIO:
        entries = providers(self.world, lambda name: f"https://{name}.invalid/v1")
        attempt = settings.pop("attempt", 30.0)
        for entry in entries:
            entry["timeout"] = attempt
        aio = AIO(entries, auto_mode=True, clock=self.clock, **settings)
        adapters = cast("dict[str, BaseProvider]", aio._adapters)
        for site, config in zip(self._sites, aio.settings.providers, strict=True):
            adapters[config.label] = wired(config, site)
        return aio

    def restart(self) -> None:
        """New processes take the place of all; they know what the old ones have left behind."""
        self.aios = [self._aio(dict(self._settings)) for _ in self.aios]

    def run(self, until: float | None = None) -> Report:
        """Let everybody work until the time is over (`until`: seconds from the start, None for all
        of it) and nobody waits for an answer.
        """
        self._until = self.report.end if until is None else START + until
        before = random.getstate()
        random.seed(self.world.seed)  # the engine's jitter
        started = time.process_time()
        count = len(self.aios)
        self.clock.crowd(
            [partial(self._caller, self.aios[n % count]) for n in range(self.world.threads)]
        )
        self.report.cpu = time.process_time() - started
        random.setstate(before)
        for aio in self.aios:
            aio.close()
        return self.report

    def _arrivals(self) -> Iterator[float]:
        """When each job is due; in a closed loop as soon as somebody takes it."""
        chance, at = random.Random(f"{self.world.seed} arrivals"), START
        per_minute = self.world.calls_per_minute
        while True:
            if per_minute is None:
                at = self.clock.now()
            else:
                at += chance.expovariate(per_minute / 60.0)
            yield at

    def _caller(self, aio: AIO) -> None:
        for job in self._todo:
            due = next(self._moments)
            if due >= self._until:
                return
            if due > self.clock.now():
                self.clock.pause(due)
            self._call(aio, job, due)

    def _call(self, aio: AIO, job: Job, due: float) -> None:
        errand = self.work[str(job.number)] = Errand(job)
        try:
            aio.chat_completion(job.text, max_tokens=job.max_tokens, request_id=str(job.number))
        except AIOError as error:
            self.report.lost.append(error)
            self.clock.pause(self.clock.now() + SULK)
        else:
            waited = self.clock.now() - due - errand.visits[-1].flight
            self.report.served.append(Served(job, due, waited))


def run(world: World, **settings: Any) -> Report:
    """One run of `world`. `settings`: those of `AIO(...)`; `attempt`: seconds for one attempt."""
    return Crowd(world, **settings).run()


result = cache(run)
"""The same for tests that share a run: worlds are values, and so is what becomes of them."""
