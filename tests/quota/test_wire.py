"""What the harness promises of the vendors: exact counting, true words, the same in every run."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from aio_llm.cancel import CallAborted, CancelScope
from aio_llm.faults import Fault, Kind, Scope
from aio_llm.providers.base import Call, Target
from aio_llm.simulator.quotas import Quota
from aio_llm.types import ChatCompletion, ChatRequest
from tests.quota.adapters import Refused, Wired
from tests.quota.crowd import START
from tests.quota.crowds import Crowd, run
from tests.quota.inversions import lane_of
from tests.quota.report import Report
from tests.quota.vendors import Errand, QuickLedger, size_of
from tests.quota.worlds import BASE, STRANGERS, WORLDS, Job, Trouble, VendorWorld, World

JOB = Job(1, 100, 50, 40)


def world_of(vendor: VendorWorld, **how: Any) -> World:
    """A world with that vendor only, one request a minute for each key and model."""
    quota = Quota(vendor.name, rpm=1, window="sliding")
    one = replace(vendor, **{"quotas": (quota,), "latency": (0.5, 0.0), **how})
    return replace(BASE, vendors=(one,))


def send(world: World, times: int, deadline: float = 1e9) -> list[Fault | ChatCompletion | str]:
    """What so many requests to the first key and model of a world come to, one after the other."""
    crowd = Crowd(world)
    vendor = world.vendors[0]
    adapter = crowd.aio._adapters[vendor.name]
    assert isinstance(adapter, Wired)
    target = Target(vendor.name, vendor.models[0], "masked", vendor.key(0))
    found: list[Fault | ChatCompletion | str] = []

    def body() -> None:
        for number in range(times):
            crowd.work[str(number)] = Errand(JOB)
            scope = CancelScope(crowd.clock.now, START + deadline)
            try:
                request = ChatRequest((), b"[]", request_id=str(number))
                found.append(adapter.chat(request, Call(target, scope)))
            except Refused as refused:
                found.append(adapter.classify(refused))
            except CallAborted as aborted:
                found.append(aborted.reason)

    crowd.clock.crowd([body])
    return found


VENDORS = [pytest.param(vendor, id=vendor.name) for vendor in BASE.vendors]


@pytest.mark.parametrize("vendor", VENDORS)
def test_an_answer_says_what_was_spent(vendor: VendorWorld) -> None:
    [answer] = send(world_of(vendor), 1)

    assert isinstance(answer, ChatCompletion)
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (100, 40)


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_refusal_is_read_from_the_vendors_own_words(vendor: VendorWorld) -> None:
    _, fault = send(world_of(vendor), 2)

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.status) == (Kind.MINUTE_LIMIT, 429)
    assert fault.retry_after is not None
    assert 59.0 <= fault.retry_after <= 60.0


@pytest.mark.parametrize(
    ("tells", "least"),
    [("headers", 59.0), ("text", 59.0), ("retry_after", 59.0), ("nothing", None)],
)
def test_a_stranger_tells_what_it_is_told_to(tells: str, least: float | None) -> None:
    _, fault = send(world_of(STRANGERS.vendors[0], tells=tells), 2)

    assert isinstance(fault, Fault)
    assert fault.kind is Kind.MINUTE_LIMIT
    assert (fault.retry_after is None) if least is None else (fault.retry_after or 0) >= least


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("503", Kind.SERVER), ("500", Kind.SERVER), ("401", Kind.BAD_KEY)],
)
@pytest.mark.parametrize("vendor", VENDORS)
def test_troubles_come_as_the_vendor_puts_them(
    vendor: VendorWorld, kind: str, expected: Kind
) -> None:
    faults = (Trouble(0.0, 600.0, kind),)

    [fault] = send(world_of(vendor, faults=faults), 1)

    assert isinstance(fault, Fault)
    assert fault.kind is expected


def test_a_hanging_vendor_holds_a_call_until_its_deadline() -> None:
    world = world_of(BASE.vendors[0], faults=(Trouble(0.0, 600.0, "hang"),))

    found = send(world, 1, deadline=30.0)

    assert found == ["deadline"]


def test_a_day_limit_is_known_from_a_minute_limit() -> None:
    quota = Quota("groq", rpd=1, window="bucket")

    _, fault = send(world_of(BASE.vendors[0], quotas=(quota,)), 2)

    assert isinstance(fault, Fault)
    assert (fault.kind, fault.scope) == (Kind.DAY_LIMIT, Scope.GROUP_MODEL)


def trace(report: Report) -> list[tuple[object, ...]]:
    """Everything that arrived, to the last bit."""
    return [
        (visit.at, *lane_of(visit), visit.job.number, visit.outcome, visit.flight)
        for visit in report.visits
    ]


SHORT = {name: replace(WORLDS[name], duration=90.0) for name in ("b", "c2", "f", "i")}


@pytest.mark.parametrize("world", SHORT.values(), ids=SHORT)
def test_the_same_seed_gives_the_same_run_to_the_last_bit(world: World) -> None:
    first, second = run(world), run(world)

    assert trace(first) == trace(second)
    assert [one.waited for one in first.served] == [one.waited for one in second.served]


DIGEST = """
from hashlib import sha256
from tests.quota.test_wire import SHORT, run, trace
print(sha256(repr(trace(run(SHORT["c2"]))).encode()).hexdigest())
"""


def test_another_process_runs_the_same() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", DIGEST],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(digests) == 1


def test_another_seed_gives_another_run() -> None:
    world = SHORT["b"]

    first, second = run(world), run(replace(world, seed=world.seed + 1))

    assert trace(first) != trace(second)


def test_every_arrival_was_judged_by_the_ledger_in_its_turn() -> None:
    report = run(SHORT["b"])
    ledger = QuickLedger(report.world.quotas, report.clock.wall)
    offset = report.clock.wall() - report.clock.now()

    judged = [
        ledger.admit(*lane_of(visit), size_of(visit.job), visit.at + offset) is None
        for visit in report.visits
    ]

    assert judged == [visit.outcome == "ok" for visit in report.visits]
    assert [visit.at for visit in report.visits] == sorted(visit.at for visit in report.visits)
