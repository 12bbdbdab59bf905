"""The vendors' side in virtual time: what arrives is counted exactly and answered to the letter.

A request takes its way, is counted by the simulator's own ledger at the moment it arrives, is
answered in the vendor's own words and headers, and the answer takes its way back.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from aio_llm.providers.base import Call
from aio_llm.simulator.custom import CustomVendor
from aio_llm.simulator.desk import VENDORS
from aio_llm.simulator.quotas import Held, Ledger, Meter, Quota, Refusal
from aio_llm.simulator.records import Case, Problem, Size
from tests.quota.crowd import START, CrowdClock, Seat
from tests.quota.worlds import Job, Trouble, VendorWorld

TRANSIT = (0.010, 0.060)
"""Seconds a message is under way, one way."""

PROMPT = 0.005
"""Seconds a vendor takes to refuse."""


@dataclass(frozen=True, slots=True)
class Wire:
    """An answer as the transport leaves it on the scope of a call."""

    status_code: int
    headers: Mapping[str, str]
    text: str = ""


@dataclass(slots=True)
class Errand:
    """One call of a caller and the requests it led to."""

    job: Job
    visits: list[Visit] = field(default_factory=list)


def size_of(job: Job) -> Size:
    """What a quota may count of a job."""
    prompt = job.prompt_tokens
    return Size(prompt, prompt + job.completion, prompt + job.max_tokens)


class Visit:
    """One request. `at`: when it arrived (clock seconds). `outcome`: "ok", "limit", or the kind
    of trouble it met. `flight`: seconds from sending it to having the answer.
    """

    __slots__ = (
        "at", "deadline", "flight", "job", "key", "model", "outcome", "seat", "sent", "site",
        "wire",
    )  # fmt: skip

    def __init__(self, site: Site, errand: Errand, call: Call, seat: Seat) -> None:
        self.site = site
        self.job = errand.job
        errand.visits.append(self)
        self.key = call.target.secret
        self.model = call.target.model
        self.deadline = call.scope.deadline
        self.seat = seat
        self.sent = self.at = site.clock.now()
        self.outcome = ""
        self.flight = 0.0
        self.wire: Wire | None = None

    def arrive(self) -> None:
        """Be counted and answered; the caller goes on when the answer is there, or too late."""
        site = self.site
        self.at = site.clock.now()
        takes = site.receive(self)
        back = self.at + takes + site.transit()
        self.flight = back - self.sent
        if back >= self.deadline:
            self.wire = None
        site.clock.wake_at(self.seat, min(back, self.deadline))


class QuickLedger(Ledger):
    """The simulator's ledger, which looks up once which limits hold for whom."""

    def __init__(self, quotas: Iterable[Quota], clock: Callable[[], float]) -> None:
        super().__init__(quotas, clock)
        self._known: dict[tuple[str, str, str], list[Held]] = {}

    def held(self, vendor: str, group: str, model: str) -> Iterator[Held]:
        """The limits that hold for a key group and model."""
        lane = (vendor, group, model)
        known = self._known.get(lane)
        if known is None:
            known = self._known[lane] = list(super().held(*lane))
        return iter(known)

    def admit(
        self, vendor: str, group: str, model: str, size: Size | int, at: float | None = None
    ) -> Refusal | None:
        """The same, quick where nothing is refused."""
        assert isinstance(size, Size)
        now = self._clock() if at is None else at
        amounts = [
            (counter, size.amount(axis, quota.tokens))
            for quota, axis, _, counter in self.held(vendor, group, model)
        ]
        for counter, amount in amounts:
            if counter.wait(now, amount) > 0:
                return super().admit(vendor, group, model, size, now)
        for counter, amount in amounts:
            counter.add(now, amount)
        return None


class Site:
    """One vendor of a world: its ledger, its troubles; `visits`: what has arrived anywhere."""

    def __init__(
        self,
        world: VendorWorld,
        clock: CrowdClock,
        work: Mapping[str, Errand],
        seed: int,
        visits: list[Visit],
    ) -> None:
        self.world = world
        self.clock = clock
        self.work = work
        self.visits = visits
        self.ledger = QuickLedger(world.quotas, clock.wall)
        self.voice = VENDORS.get(world.name) or CustomVendor(world.name, world.models, world.tells)
        self._numbers = {world.key(n): n for n in range(world.keys)}
        self._has_places = any(quota.concurrent is not None for quota in world.quotas)
        self._is_talkative = bool(self.voice.rate_headers({"rpm": Meter(1, 1, 0.0)}, 1))
        self._median = math.log(world.latency[0])
        self._ways, self._latencies, self._chance = (
            random.Random(f"{seed} {world.name} {what}") for what in ("ways", "latency", "chance")
        )

    def transit(self) -> float:
        """Seconds of one way."""
        return TRANSIT[0] + (TRANSIT[1] - TRANSIT[0]) * self._ways.random()

    def receive(self, visit: Visit) -> float:
        """Count and answer; returns the seconds that takes."""
        self.visits.append(visit)
        job, name = visit.job, self.world.name
        trouble = self._trouble(visit, certain=True)
        if trouble is not None:
            return self._fail(visit, trouble.kind)
        refusal = self.ledger.admit(name, visit.key, visit.model, size_of(job))
        if refusal is not None:
            return self._refuse(visit, refusal)
        trouble = self._trouble(visit, certain=False)
        if trouble is not None:
            return self._fail(visit, trouble.kind)
        visit.outcome, visit.wire = "ok", Wire(200, self._headers(visit))
        takes = self._latencies.lognormvariate(self._median, self.world.latency[1])
        if self._has_places:
            leave = partial(self.ledger.leave, name, visit.key, visit.model)
            self.clock.at(visit.at + takes, leave)
        return takes

    def _headers(self, visit: Visit) -> Mapping[str, str]:
        """What the vendor says of its limits beside an answer."""
        if not self._is_talkative:
            return {}
        meters = self.ledger.meters(self.world.name, visit.key, visit.model)
        return self.voice.rate_headers(meters, visit.job.prompt_tokens + visit.job.completion)

    def _trouble(self, visit: Visit, *, certain: bool) -> Trouble | None:
        """An outage hits before a request is counted, a mishap after."""
        moment = visit.at - START
        for trouble in self.world.faults:
            if (trouble.probability == 1.0) is not certain:
                continue
            if not trouble.start <= moment < trouble.end or not self._concerns(trouble, visit):
                continue
            if certain or self._chance.random() < trouble.probability:
                return trouble
        return None

    def _concerns(self, trouble: Trouble, visit: Visit) -> bool:
        if trouble.key not in (None, self._numbers[visit.key]):
            return False
        return trouble.model is None or self.world.models[trouble.model] == visit.model

    def _fail(self, visit: Visit, kind: str) -> float:
        visit.outcome = kind
        if kind == "hang":
            return math.inf
        visit.wire = self._render(self.voice.problem(kind, Case(visit.model, visit.key)))
        return PROMPT

    def _refuse(self, visit: Visit, refusal: Refusal) -> float:
        visit.outcome = "limit"
        wait = 86_400.0 if math.isinf(refusal.wait) else round(refusal.wait, 6)
        case = Case(
            visit.model, visit.key, "", 0, refusal.axis, refusal.limit, refusal.used,
            refusal.requested, wait, retry_after=True, at=self.clock.wall(),
        )  # fmt: skip
        problem = self.voice.problem("limit", case)
        meters = self.ledger.meters(self.world.name, visit.key, visit.model)
        headers = {**problem.headers, **self.voice.spent_headers(meters)}
        visit.wire = self._render(replace(problem, headers=headers))
        return PROMPT

    def _render(self, problem: Problem) -> Wire:
        body = problem.body
        data = body if isinstance(body, bytes) else self.voice.encode(body)
        headers = {name.lower(): value for name, value in problem.headers.items()}
        return Wire(problem.status, headers, data.decode())
