"""Who waits: in the order of coming, woken when there is something, and nobody for ever."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count, islice
from typing import Any

from aio_llm import CancelToken
from aio_llm.errors import RateLimitError, RequestCancelledError
from aio_llm.simulator.quotas import Quota
from tests.quota.crowd import START
from tests.quota.crowds import Crowd, result
from tests.quota.vendors import Errand
from tests.quota.worlds import BASE, Job, VendorWorld, World

PATIENT: dict[str, Any] = {"timeout": 3_600.0, "max_wait": 3_600.0}


def one_lane(threads: int = 32, **limits: Any) -> World:
    """A world with one key of one model, whose limits are known."""
    name = "groq"
    model = BASE.vendors[0].models[0]
    quota = Quota(name, model=model, window="bucket", **limits)
    vendor = VendorWorld(name, name, (quota,), (model,), keys=1)
    return replace(BASE, vendors=(vendor,), threads=threads)


def small(number: int) -> Job:
    """A job of 20 tokens and its answer."""
    return Job(number, 20, 20, 20)


def test_calls_are_served_in_the_order_of_coming() -> None:
    crowd = Crowd(one_lane(rpm=60), todo=map(small, count(1)), **PATIENT)

    report = crowd.run()

    due = {one.job.number: one.due for one in report.served}
    order = [due[visit.job.number] for visit in sorted(report.visits, key=lambda v: v.sent)]
    assert len(order) > 240
    assert order == sorted(order)


def test_a_large_request_is_not_starved_by_small_ones() -> None:
    large = 500
    work = (Job(n, 2_000, 20, 20) if n == large else small(n) for n in count(1))
    crowd = Crowd(one_lane(tpm=6_000), todo=work, **PATIENT)

    report = crowd.run()

    [waited] = [one.waited for one in report.served if one.job.number == large]
    ahead, rate = 32 * 60, 6_000 / 60
    assert waited <= (ahead + 2_100) * 1.25 / rate
    assert (report.refused, report.lost) == (0, [])


def test_small_requests_go_on_while_a_large_one_waits_for_its_room() -> None:
    work = (Job(n, 2_000, 20, 20) if n % 50 == 0 else small(n) for n in count(1))
    world = replace(one_lane(tpm=6_000), duration=600.0)
    crowd = Crowd(world, todo=islice(work, 400), **PATIENT)

    report = crowd.run()

    assert len(report.served) == 400
    assert max(one.waited for one in report.served) <= 90.0
    assert report.lost == []


def test_hardly_more_calls_are_woken_than_are_served() -> None:
    report = result(replace(BASE, duration=960.0))

    assert report.clock.sleeps <= 2 * len(report.served)


def test_exactly_one_of_those_who_wait_looks_at_the_clock() -> None:
    crowd = Crowd(BASE, **PATIENT)
    watching: list[int] = []

    def look() -> None:
        soon = crowd.clock.now() + 600.0
        watching.append(sum(due < soon for _, due in crowd.clock.dozing))

    for second in range(30, 200):
        crowd.clock.at(START + second, look)
    crowd.run()

    assert max(watching) == 1
    assert watching.count(1) > 150


def test_a_crowd_ten_times_as_large_is_served_as_well() -> None:
    report = result(replace(BASE, threads=320), timeout=3_600.0, max_wait=3_600.0)

    assert report.goodput >= 0.975
    assert (report.refused, report.lost) == (0, [])


def test_who_is_cancelled_while_waiting_leaves_at_once_and_the_next_one_is_served() -> None:
    crowd = Crowd(one_lane(rpm=1), **PATIENT)
    token = CancelToken()
    ended: dict[int, float] = {}

    def call(number: int, cancel: CancelToken | None) -> None:
        crowd.clock.pause(START + number)
        crowd.work[str(number)] = Errand(small(number))
        with suppress(RequestCancelledError):
            crowd.aio.chat_completion("Hello", request_id=str(number), cancel=cancel)
        ended[number] = crowd.clock.now() - START

    def cancel() -> bool:
        token.cancel()
        return True

    crowd.clock.at(START + 7.0, cancel)
    crowd.clock.crowd([partial(call, 1, None), partial(call, 2, token), partial(call, 3, None)])

    assert ended[2] == 7.0
    assert 61.0 <= ended[3] <= 66.0
    assert len(crowd.visits) == 2


def test_who_cannot_be_served_in_time_is_told_at_once() -> None:
    crowd = Crowd(one_lane(rpm=1), timeout=30.0)
    ended: list[tuple[float, float | None]] = []

    def call(number: int) -> None:
        crowd.work[str(number)] = Errand(small(number))
        try:
            crowd.aio.chat_completion("Hello", request_id=str(number))
        except RateLimitError as error:
            ended.append((crowd.clock.now() - START, error.retry_after))

    crowd.clock.crowd([partial(call, 1), partial(call, 2)])

    [(moment, wait)] = ended
    assert moment == 0.0
    assert wait is not None
    assert 59.0 <= wait <= 61.0
