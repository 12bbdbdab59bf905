"""Calls that went to a worse place while a better one was free: found by replaying a run."""

from __future__ import annotations

from collections.abc import Sequence

from aio_llm.simulator.records import Size
from tests.quota.crowd import CrowdClock
from tests.quota.report import Lane, Report
from tests.quota.vendors import QuickLedger, Visit, size_of
from tests.quota.worlds import Job

PATIENCE = 1.0
"""Seconds a better lane must have been free without a break."""


def inversions(report: Report) -> float:
    """The share of answered calls for which a lane of better rank had been free on the server
    for `PATIENCE`. Outages are not looked at: a lane that is down counts as free.
    """
    answered = [visit for visit in report.visits if visit.outcome == "ok"]
    return len(_Replay(report).find()) / len(answered)


class _Replay:
    """Everything again, in the order of time, with a look `PATIENCE` before every arrival."""

    def __init__(self, report: Report) -> None:
        self._offset = report.clock.wall() - report.clock.now()
        self._visits: Sequence[Visit] = report.visits
        self._ledger = QuickLedger(report.world.quotas, CrowdClock().wall)
        self._ranks = report.world.ranks()
        self._free: dict[int, list[Lane]] = {}

    def find(self) -> list[Visit]:
        looks = [(visit.at - PATIENCE, False, n) for n, visit in enumerate(self._visits)]
        arrivals = [(visit.at, True, n) for n, visit in enumerate(self._visits)]
        found = []
        for moment, is_arrival, number in sorted(looks + arrivals):
            visit, at = self._visits[number], moment + self._offset
            if not is_arrival:
                self._free[number] = self._better(visit, at)
                continue
            if self._free.pop(number) and visit.outcome == "ok":
                found.append(visit)
            self._arrive(visit, at)
        return found

    def _better(self, visit: Visit, at: float) -> list[Lane]:
        rank = self._ranks[lane_of(visit)]
        lanes = [lane for lane, other in self._ranks.items() if other < rank]
        return [lane for lane in lanes if self._ledger.wait(*lane, _most(visit.job), at) == 0]

    def _arrive(self, visit: Visit, at: float) -> None:
        lane = lane_of(visit)
        self._ledger.admit(*lane, size_of(visit.job), at)
        for number, lanes in self._free.items():
            size = _most(self._visits[number].job)
            if lane in lanes and self._ledger.wait(*lane, size, at) > 0:
                lanes.remove(lane)


def _most(job: Job) -> Size:
    """What a job may cost: nobody knows more before it is answered."""
    return Size(job.prompt_tokens, job.prompt_tokens + job.max_tokens, size_of(job).reserved)


def lane_of(visit: Visit) -> Lane:
    """Vendor, key and model of a request."""
    return visit.site.world.name, visit.key, visit.model
