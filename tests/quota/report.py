"""What a run came to, from what arrived at the vendors: goodput, refusals, outages, waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import quantiles

from aio_llm.errors import AIOError
from aio_llm.simulator.quotas import ALL_MODELS, AXES, Quota
from tests.quota.crowd import START, CrowdClock
from tests.quota.offered import Span, most, without
from tests.quota.vendors import Visit, size_of
from tests.quota.worlds import Job, Trouble, VendorWorld, World, mean_job

Lane = tuple[str, str, str]
"""Vendor, key, model."""

Offered = Callable[[Quota, str, Sequence[Span]], float]
"""What a limit offers while it is in service."""


@dataclass(slots=True)
class Served:
    """One call that got its answer. `waited`: seconds it took beyond the flight of its answer."""

    job: Job
    due: float
    waited: float


@dataclass(repr=False)
class Report:
    """One run. `visits`: everything that arrived, in order. `cpu`: seconds of this process.
    `sleeps`: how often a call of the library slept, `timed`: how often it woke by itself.
    """

    world: World
    clock: CrowdClock
    visits: list[Visit]
    served: list[Served] = field(default_factory=list)
    lost: list[AIOError] = field(default_factory=list)
    cpu: float = 0.0

    def __repr__(self) -> str:
        met = Counter(visit.outcome for visit in self.visits)
        found = ", ".join(f"{count} {outcome}" for outcome, count in met.most_common())
        return (
            f"<world {self.world.name}, seed {self.world.seed}, {self.world.duration:.0f} s:"
            f" goodput {self.goodput:.4f}; {found}; {len(self.lost)} lost; {self.cpu:.1f} s CPU>"
        )

    @property
    def end(self) -> float:
        """The moment at which the run is measured, clock seconds."""
        return START + self.world.duration

    def count(self, outcome: str, since: float = 0.0, until: float = float("inf")) -> int:
        """Visits with that outcome between two moments (seconds from the start)."""
        return sum(
            visit.outcome == outcome and since <= visit.at - START < until for visit in self.visits
        )

    @property
    def refused(self) -> int:
        """Calls that were answered 429."""
        return self.count("limit")

    @property
    def refused_by_lane(self) -> dict[Lane, int]:
        """429s per (vendor, key, model), only those that had any."""
        found: dict[Lane, int] = {}
        for visit in self.visits:
            if visit.outcome == "limit":
                lane = (visit.site.world.name, visit.key, visit.model)
                found[lane] = found.get(lane, 0) + 1
        return found

    def answers(self, lane: Lane) -> int:
        """How many calls a lane has answered."""
        return sum(
            visit.outcome == "ok" and (visit.site.world.name, visit.key, visit.model) == lane
            for visit in self.visits
        )

    def wait(self, percent: int) -> float:
        """That percentile of the waits, in seconds."""
        waits = [one.waited for one in self.served]
        return quantiles(waits, n=100, method="inclusive")[percent - 1]

    @property
    def goodput(self) -> float:
        """The share of what the quotas offer that ended in answers: every lane by its binding
        limit, weighted with its capacity.
        """
        return self._weighted(self.shares(self._offered))

    @property
    def sustained(self) -> float:
        """The same, of what the quotas offer in the long run: without full buckets and begun
        windows at the start, which only those can use who know what kind of window it is.
        """
        return self._weighted(self.shares(_in_the_long_run))

    def _weighted(self, shares: dict[Lane, float]) -> float:
        weights = {lane: self._capacity(*lane) for lane in shares}
        total = sum(weights.values())
        return sum(shares[lane] * weight for lane, weight in weights.items()) / total

    def shares(self, offered: Offered) -> dict[Lane, float]:
        """The share that each lane has used of its binding limit."""
        used = self._used()
        found: dict[Lane, float] = {}
        for vendor, key, model in self.world.lanes():
            spans, best = self._spans(vendor, key, model), 0.0
            for at, axis, quota in _limits(vendor, key, model):
                place = (vendor.name, at, axis, key, _shared(quota, model))
                best = max(best, used.get(place, 0.0) / offered(quota, axis, spans))
            found[vendor.name, key, model] = best
        return found

    def _used(self) -> dict[tuple[str, int, str, str, str], float]:
        used: dict[tuple[str, int, str, str, str], float] = {}
        for visit in self.visits:
            if visit.outcome != "ok" or visit.at >= self.end:
                continue
            vendor = visit.site.world
            for at, axis, quota in _limits(vendor, visit.key, visit.model):
                place = (vendor.name, at, axis, visit.key, _shared(quota, visit.model))
                used[place] = used.get(place, 0.0) + size_of(visit.job).amount(axis, quota.tokens)
        return used

    @staticmethod
    def _offered(quota: Quota, axis: str, spans: Sequence[Span]) -> float:
        return most(
            quota.window,
            quota.limits()[axis],
            AXES[axis],
            spans,
            burst=quota.burst,
            phase=quota.phase,
            whole=axis.startswith("r"),
        )

    def _capacity(self, name: str, key: str, model: str) -> float:
        """Average jobs that a lane takes while nothing goes wrong."""
        vendor = next(one for one in self.world.vendors if one.name == name)
        mean, span = mean_job(), (self._wall(0.0), self._wall(self.world.duration))
        return min(
            self._offered(quota, axis, [span])
            / (1.0 if axis.startswith("r") else mean[quota.tokens])
            / (len(vendor.models) if quota.model == ALL_MODELS else 1)
            for _, axis, quota in _limits(vendor, key, model)
        )

    def _spans(self, vendor: VendorWorld, key: str, model: str) -> list[Span]:
        """When a lane was in service, wall seconds."""
        gaps = [
            (self._wall(trouble.start), self._wall(trouble.end))
            for trouble in vendor.faults
            if trouble.probability == 1.0
            and trouble.key in (None, [vendor.key(n) for n in range(vendor.keys)].index(key))
            and trouble.model in (None, vendor.models.index(model))
        ]
        return without((self._wall(0.0), self._wall(self.world.duration)), gaps)

    def _wall(self, seconds: float) -> float:
        return self.clock.wall() - self.clock.now() + START + seconds

    def back(self) -> float:
        """Seconds from the end of the outages to the first answer of the last model to return."""
        return max(
            self._first_answer(vendor, model, trouble) - trouble.end
            for vendor in self.world.vendors
            for trouble in vendor.faults
            for model in vendor.models
            if trouble.end < self.world.duration
        )

    def _first_answer(self, vendor: VendorWorld, model: str, trouble: Trouble) -> float:
        return min(
            (
                visit.at - START
                for visit in self.visits
                if visit.site.world is vendor and visit.model == model and visit.outcome == "ok"
                and visit.at - START >= trouble.end
            ),
            default=float("inf"),
        )  # fmt: skip


def _in_the_long_run(quota: Quota, axis: str, spans: Sequence[Span]) -> float:
    seconds = sum(end - begin for begin, end in spans)
    return quota.limits()[axis] * max(1.0, seconds / AXES[axis])


def _limits(vendor: VendorWorld, key: str, model: str) -> Iterator[tuple[int, str, Quota]]:
    """Number, axis and quota of every limit that holds for a lane."""
    for at, quota in enumerate(vendor.quotas):
        if quota.covers(vendor.name, key, model):
            for axis in quota.limits():
                yield at, axis, quota


def _shared(quota: Quota, model: str) -> str:
    return ALL_MODELS if quota.model == ALL_MODELS else model
