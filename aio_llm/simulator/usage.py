"""What was made of the quotas in a run: exact, because it is the vendors' side that counts.

A lane is one key on one model of a vendor. Its *use* is that of its binding limit: the largest of
served / offered over its limits, where outages reduce what is offered. *Goodput* is the mean use,
weighted by how many calls of the mean size a lane offers. An *inversion* is a request that passed
on a lane while a better one was free, and had been a second before.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from aio_llm.simulator.offered import Span, offered, together, without
from aio_llm.simulator.quotas import ALL_MODELS, Ledger, Quota
from aio_llm.simulator.records import RecordedRequest, Size

Lane = tuple[str, str, str]
"""Vendor, key and model."""

_LATELY = 1.0  # seconds
_NONE: Size = Size(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Outage:
    """Seconds of the clock in which lanes do not answer; None stands for all."""

    start: float
    end: float
    vendor: str | None = None
    key: str | None = None
    model: str | None = None

    def covers(self, lane: Lane) -> bool:
        """Whether this lane is out."""
        mine = (self.vendor, self.key, self.model)
        return all(a in (None, b) for a, b in zip(mine, lane, strict=True))


@dataclass(frozen=True, slots=True)
class LaneUse:
    """One lane: `offered` in calls of the mean size, `use` of its binding limit."""

    vendor: str
    key: str
    model: str
    offered: float
    use: float
    served: int
    refused: int


@dataclass(frozen=True, slots=True)
class Usage:
    """A run. `spent`: like goodput, but of all that the quotas have counted, answered or not.
    `refused`: by a quota. `faulted`: calls that met a fault. `back`: seconds from the end of an
    outage to the first answer from there, the longest; None without outages.
    """

    goodput: float
    spent: float
    calls: int
    served: int
    refused: int
    faulted: int
    inversions: int
    back: float | None
    lanes: tuple[LaneUse, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """What is measured: requests by moment; `ranks` of the lanes, 0 for the best."""

    quotas: tuple[Quota, ...]
    requests: tuple[RecordedRequest, ...]
    outages: tuple[Outage, ...]
    ranks: Mapping[Lane, int]
    span: Span
    group_of: Callable[[str, str], str] = lambda vendor, key: key

    def spans(self, lane: Lane) -> list[Span]:
        """When a lane is in service."""
        gaps = [(out.start, out.end) for out in self.outages if out.covers(lane)]
        return without(self.span, gaps)

    def limits(self, lane: Lane) -> Iterator[tuple[Quota, str, list[Lane]]]:
        """The limits that hold for a lane, axis by axis, each with the lanes that share it."""
        for quota in self.quotas:
            if quota.covers(lane[0], self.group(lane), lane[2]):
                members = [one for one in self.ranks if self._shared(quota, lane, one)]
                for axis in quota.limits():
                    yield quota, axis, members

    def _shared(self, quota: Quota, lane: Lane, other: Lane) -> bool:
        if lane[0] != other[0] or self.group(lane) != self.group(other):
            return False
        return quota.model == ALL_MODELS or lane[2] == other[2]

    def group(self, lane: Lane) -> str:
        """The group that a lane's key belongs to."""
        return self.group_of(lane[0], lane[1])

    def is_out(self, lane: Lane, at: float) -> bool:
        """Whether a lane is out of service at a moment."""
        return any(out.start <= at < out.end and out.covers(lane) for out in self.outages)


def measure(run: Run) -> Usage:
    """The figures of a run."""
    counted = [request for request in run.requests if request.counted]
    served = [request for request in counted if request.status == 200]
    lanes = tuple(_lane_uses(run, served))
    return Usage(
        goodput=_mean_use(lanes),
        spent=_mean_use(tuple(_lane_uses(run, counted))),
        calls=len(run.requests),
        served=len(served),
        refused=sum(request.limited for request in run.requests),
        faulted=sum(request.fault is not None for request in run.requests),
        inversions=_inversions(run),
        back=_back(run, served),
        lanes=lanes,
    )


def _mean_use(lanes: Sequence[LaneUse]) -> float:
    total = sum(lane.offered for lane in lanes)
    return sum(lane.use * lane.offered for lane in lanes) / total if total else 0.0


def lane_of(request: RecordedRequest) -> Lane:
    """The lane a request came on."""
    return request.vendor, request.key, request.model


def _lane_uses(run: Run, served: Sequence[RecordedRequest]) -> Iterator[LaneUse]:
    amounts: defaultdict[Lane, list[Size]] = defaultdict(list)
    for request in served:
        amounts[lane_of(request)].append(request.size or _NONE)
    mean = _mean([size for sizes in amounts.values() for size in sizes])
    refused = Counter(lane_of(request) for request in run.requests if request.limited)
    for lane in run.ranks:
        use, calls = 0.0, math.inf
        for quota, axis, members in run.limits(lane):
            most = offered(quota, axis, together(s for one in members for s in run.spans(one)))
            used = sum(z.amount(axis, quota.tokens) for one in members for z in amounts[one])
            use = max(use, used / most if most else 0.0)
            calls = min(calls, most / mean(axis, quota.tokens) / len(members))
        calls = 0.0 if math.isinf(calls) else calls
        yield LaneUse(*lane, calls, use, len(amounts[lane]), refused[lane])


def _mean(sizes: Sequence[Size]) -> Callable[[str, str], float]:
    def mean(axis: str, tokens: str) -> float:
        if not sizes or axis.startswith("r"):
            return 1.0
        return max(1.0, sum(size.amount(axis, tokens) for size in sizes) / len(sizes))

    return mean


def _back(run: Run, served: Sequence[RecordedRequest]) -> float | None:
    """The longest that a lane's vendor went unused after its outage."""
    found = []
    for out in run.outages:
        if run.span[0] <= out.end < run.span[1]:
            after = (r.moment for r in served if r.moment >= out.end and out.covers(lane_of(r)))
            found.append(min(after, default=math.inf) - out.end)
    return max(found, default=None)


def _inversions(run: Run) -> int:
    """Plays the run again, a second apart: with what was free then and what is free now."""
    moment = [0.0]
    now, lately = (Ledger(run.quotas, lambda: moment[0]) for _ in range(2))
    count = late = 0
    for request in run.requests:
        moment[0] = request.moment
        while run.requests[late].moment <= request.moment - _LATELY:
            _count(run, lately, run.requests[late])
            late += 1
        if request.counted and request.size is not None:
            count += _is_inversion(run, request, request.size, now, lately)
        _count(run, now, request)
    return count


def _count(run: Run, ledger: Ledger, request: RecordedRequest) -> None:
    if request.size is not None and (request.counted or request.limited):
        place = (request.vendor, run.group(lane_of(request)), request.model)
        ledger.admit(*place, request.size, request.moment)
        ledger.leave(*place)


def _is_inversion(
    run: Run, request: RecordedRequest, size: Size, now: Ledger, lately: Ledger
) -> bool:
    mine, at = run.ranks.get(lane_of(request), 0), request.moment
    for lane, rank in run.ranks.items():
        if rank >= mine:
            continue
        place = (lane[0], run.group(lane), lane[2])
        if now.wait(*place, size, at) or lately.wait(*place, size, at - _LATELY):
            continue
        if not run.is_out(lane, at) and not run.is_out(lane, at - _LATELY):
            return True
    return False
