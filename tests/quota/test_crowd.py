"""The crowd's clock: one thread at a time, exact moments, the same order in every run."""

from __future__ import annotations

import threading

import pytest

from aio_llm.cancel import CancelScope
from tests.quota.crowd import START, CrowdClock, Stuck


def test_threads_take_turns_by_their_moments() -> None:
    clock, seen = CrowdClock(), []

    def body(period: float) -> None:
        for _ in range(3):
            clock.pause(clock.now() + period)
            seen.append((clock.now() - START, period))

    clock.crowd([lambda: body(2.0), lambda: body(3.0)])

    assert seen == [(2.0, 2.0), (3.0, 3.0), (4.0, 2.0), (6.0, 3.0), (6.0, 2.0), (9.0, 3.0)]


def test_a_nudged_sleeper_goes_on_at_the_moment_of_the_nudge() -> None:
    clock, seen = CrowdClock(), []
    scope = CancelScope(clock.now)

    def sleeper() -> None:
        scope.expect_nudge()
        clock.sleep(100.0, scope)
        seen.append(clock.now() - START)

    def waker() -> None:
        clock.pause(START + 5.0)
        scope.nudge()
        clock.pause(START + 7.0)

    clock.crowd([sleeper, waker])

    assert seen == [5.0]
    assert (clock.sleeps, clock.timed) == (1, 0)


def test_a_cancelled_sleeper_goes_on_at_once() -> None:
    clock, seen = CrowdClock(), []
    scope = CancelScope(clock.now)

    def sleeper() -> None:
        scope.expect_nudge()
        clock.sleep(100.0, scope)
        seen.append((clock.now() - START, scope.cancelled))

    def cancel() -> bool:
        scope.cancel()
        return True

    clock.at(START + 3.0, cancel)
    clock.crowd([sleeper])

    assert seen == [(3.0, True)]


def test_who_fell_asleep_first_gets_up_first() -> None:
    clock, seen = CrowdClock(), []
    scopes = [CancelScope(clock.now) for _ in range(5)]

    def sleeper(number: int) -> None:
        scopes[number].expect_nudge()
        clock.sleep(50.0, scopes[number])
        seen.append(number)

    def wake_all() -> bool:
        for scope in reversed(scopes):
            scope.nudge()
        return True

    clock.at(START + 1.0, wake_all)
    clock.crowd([lambda n=n: sleeper(n) for n in range(5)])  # type: ignore[misc]

    assert seen == [0, 1, 2, 3, 4]


def test_only_one_thread_runs_at_a_time() -> None:
    clock, inside, most = CrowdClock(), [0], [0]

    def body() -> None:
        for _ in range(50):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            sum(range(2_000))
            inside[0] -= 1
            clock.pause(clock.now() + 1.0)

    clock.crowd([body] * 16)

    assert most == [1]
    assert clock.now() == START + 50.0


def test_a_crowd_that_sleeps_for_ever_is_sent_home() -> None:
    clock = CrowdClock()
    before = threading.active_count()

    def body() -> None:
        scope = CancelScope(clock.now)
        scope.expect_nudge()
        clock.sleep(float("inf"), scope)

    with pytest.raises(Stuck, match="for ever"):
        clock.crowd([body] * 4)

    assert threading.active_count() == before


def test_an_error_of_an_event_is_nobodys_but_the_crowds() -> None:
    clock, harmed = CrowdClock(), []

    def body() -> None:
        try:
            clock.pause(START + 10.0)
        except ValueError as error:
            harmed.append(error)

    def event() -> None:
        raise ValueError("broken vendor")

    clock.at(START + 5.0, event)

    with pytest.raises(ValueError, match="broken vendor"):
        clock.crowd([body] * 3)

    assert harmed == []


def test_wall_time_keeps_step_with_virtual_time() -> None:
    clock = CrowdClock(wall_start=1_700_000_000.0)

    clock.crowd([lambda: clock.pause(START + 86_400.0)])

    assert clock.wall() == 1_700_086_400.0
