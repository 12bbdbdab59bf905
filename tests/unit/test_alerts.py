"""Alerts: told when they begin, not again until they have passed, exact at the threshold."""

from __future__ import annotations

import math
import os
import signal
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_llm.config import Alerts
from aio_llm.core.alerts import CALM, AlertWatch
from aio_llm.event_records import Alert
from tests.unit.records import interrupting

LEAST, WINDOW = 20, 100


class Watched:
    """An `AlertWatch`, what it is told in short, and the alerts that came of it."""

    def __init__(self, **thresholds: Any) -> None:
        self.alerts: list[Alert] = []
        self.watch = AlertWatch(Alerts(**thresholds), self.alerts.append)

    def attempts(self, good: int = 0, bad: int = 0, *, outcome: str = "server") -> None:
        """First the bad ones, then the good ones."""
        for one in [outcome] * bad + ["ok"] * good:
            category = None if one == "ok" else "server"
            self.watch.attempt(
                "groq", "llama", "gsk_…9fQ2", outcome=one, category=category, latency=0.1
            )

    def answers(self, *latencies: float, model: str = "llama", **about: Any) -> None:
        """Calls that took so long, one after the other."""
        for latency in latencies:
            self.watch.answer("groq", model, "gsk_…9fQ2", latency=latency, **about)

    def used(self, *counts: int, limit: float | None = 10, key: str = "gsk_…9fQ2") -> None:
        """What a key has used of its day."""
        for count in counts:
            self.watch.key_used("groq", key, count, limit)

    @property
    def kinds(self) -> list[str]:
        """What was told, in short."""
        return [alert.kind for alert in self.alerts]


def test_the_defaults_are_those_of_the_manual() -> None:
    assert Alerts().model_dump() == {
        "error_rate": 0.10, "daily_limit": 0.80, "slow": 5.0, "min_requests": 20, "window": 100,
    }  # fmt: skip


RATES = [
    (0, LEAST, True), (18, 2, False), (17, 3, True), (90, 10, False), (89, 11, True),
    (LEAST, 0, False), (0, LEAST - 1, False), (LEAST - 2, 1, False),
]  # fmt: skip


@pytest.mark.parametrize(("good", "bad", "told"), RATES)
def test_the_error_rate_must_be_above_its_threshold(good: int, bad: int, told: bool) -> None:
    watched = Watched()

    watched.attempts(good=good)
    watched.attempts(bad=bad)

    assert watched.kinds == ["error_rate"] * told


def test_too_many_errors_are_told_once_with_who_and_how_much() -> None:
    watched = Watched()

    watched.attempts(bad=200)

    (alert,) = watched.alerts
    assert (alert.value, alert.threshold, alert.provider) == (1.0, 0.10, None)
    assert alert.message == "20 of the last 20 attempts failed, 20 of them at groq (server)"


def test_only_the_last_attempts_count() -> None:
    watched = Watched()

    watched.attempts(good=1000)
    watched.attempts(bad=10)
    before = watched.kinds
    watched.attempts(bad=1)

    assert before == []
    assert watched.alerts[0].value == 0.11


def test_too_many_errors_are_told_again_after_they_had_passed() -> None:
    watched = Watched()
    watched.attempts(bad=LEAST)

    watched.attempts(good=WINDOW)
    watched.attempts(bad=11)

    assert watched.kinds == ["error_rate"] * 2


def test_a_rate_that_swings_about_its_threshold_is_one_alert() -> None:
    watched = Watched()
    watched.attempts(good=WINDOW)

    for _ in range(50):
        watched.attempts(bad=11, good=89)
        watched.attempts(bad=9, good=91)

    assert watched.kinds == ["error_rate"]


def test_a_cancelled_attempt_is_no_error() -> None:
    watched = Watched()

    watched.attempts(bad=WINDOW, outcome="cancelled")
    watched.attempts(good=LEAST)

    assert watched.kinds == []


def told_times(outcomes: list[bool], threshold: float, least: int, window: int) -> int:
    """How often too many errors should be told, straight from the rules."""
    failing, told = False, 0
    for end in range(least, len(outcomes) + 1):
        recent = outcomes[max(0, end - window) : end]
        rate = recent.count(False) / len(recent)
        began = not failing and rate > threshold
        told += began
        failing = began or (failing and rate > threshold / 2)
    return told


@given(
    st.lists(st.booleans(), max_size=120),
    st.floats(0.0, 1.0),
    st.integers(1, 20),
    st.integers(20, 60),
)
def test_any_row_of_attempts_is_told_as_often_as_the_rules_say(
    outcomes: list[bool], threshold: float, least: int, window: int
) -> None:
    watched = Watched(error_rate=threshold, min_requests=least, window=window)

    for is_good in outcomes:
        watched.attempts(good=is_good, bad=not is_good)

    assert len(watched.alerts) == told_times(outcomes, threshold, least, window)


def test_a_least_number_above_the_window_widens_it() -> None:
    watched = Watched(min_requests=50, window=10)

    watched.attempts(bad=49)
    before = watched.kinds
    watched.attempts(bad=1)

    assert before == []
    assert watched.kinds == ["error_rate"]


def test_a_key_above_its_share_of_the_day_is_told_once() -> None:
    watched = Watched()

    watched.used(*range(9))
    before = watched.kinds
    watched.used(9, 10)

    (alert,) = watched.alerts
    assert before == []
    assert (alert.kind, alert.provider, alert.key) == ("daily_limit", "groq", "gsk_…9fQ2")
    assert (alert.value, alert.threshold) == (0.9, 0.80)
    assert "9 of its 10 requests" in alert.message


def test_a_new_day_ends_the_alert() -> None:
    watched = Watched()

    watched.used(9, 10, 1, 8, 9)

    assert watched.kinds == ["daily_limit"] * 2


def test_each_key_is_told_by_itself() -> None:
    watched = Watched()

    watched.used(9)
    watched.used(9, key="gsk_…3333")

    assert [alert.key for alert in watched.alerts] == ["gsk_…9fQ2", "gsk_…3333"]


@pytest.mark.parametrize("limit", [None, 0, -1, math.inf])
def test_a_key_without_a_limit_runs_never_dry(limit: float | None) -> None:
    watched = Watched()

    watched.used(10**9, limit=limit)

    assert watched.alerts == []


def test_an_answer_above_the_threshold_is_slow() -> None:
    watched = Watched()

    watched.answers(0.1, 5.0)
    before = watched.kinds
    watched.answers(5.01)

    (alert,) = watched.alerts
    assert before == []
    assert (alert.kind, alert.value, alert.threshold) == ("slow", 5.01, 5.0)
    assert (alert.provider, alert.model, alert.key) == ("groq", "llama", "gsk_…9fQ2")
    assert alert.message == "groq/llama: the answer took 5.0 s"


def test_a_slow_answer_says_what_it_waited_for() -> None:
    watched = Watched()

    watched.answers(31.0, attempts=3, waited=20.0)

    assert watched.alerts[0].message.endswith("31.0 s (3 attempts, 20.0 s waiting for capacity)")


@pytest.mark.parametrize(("first", "told"), [(0.3, []), (6.0, ["slow"])])
def test_of_a_stream_only_the_first_output_is_slow(first: float, told: list[str]) -> None:
    watched = Watched()

    watched.answers(300.0, first_token=first)

    assert watched.kinds == told


def test_a_model_is_slow_until_it_was_in_time_several_times_in_a_row() -> None:
    watched = Watched()

    watched.answers(9.0, *[0.1] * (CALM - 1), 9.0, *[0.1] * (CALM - 1), 9.0)
    before = watched.kinds
    watched.answers(*[0.1] * CALM, 9.0)

    assert before == ["slow"]
    assert watched.kinds == ["slow", "slow"]


def test_each_model_is_slow_by_itself() -> None:
    watched = Watched()

    for _ in range(CALM):
        watched.answers(9.0)
        watched.answers(0.1, model="gemma")
    watched.answers(9.0, model="gemma")

    assert [alert.model for alert in watched.alerts] == ["llama", "gemma"]


def test_that_nobody_is_there_is_told_until_somebody_answers() -> None:
    watched = Watched()
    watched.watch.all_down(targets=6, free_in=31.0)
    watched.watch.all_down(targets=6, free_in=30.0)
    first = list(watched.alerts)

    watched.answers(0.1)
    watched.watch.all_down(targets=6)

    assert [a.message for a in first] == [
        "none of 6 targets can be asked now; the first one may be in 31.0 s"
    ]
    assert watched.kinds == ["all_down"] * 2
    assert watched.alerts[1].message == "none of 6 targets can be asked now"


def provoke(watched: Watched) -> None:
    """Everything there is an alert for."""
    watched.attempts(bad=LEAST)
    watched.used(10)
    watched.answers(9.0)
    watched.watch.all_down(targets=1)


ALL = ["error_rate", "daily_limit", "slow", "all_down"]


def test_the_kinds_of_alerts_do_not_hide_each_other() -> None:
    watched = Watched()

    provoke(watched)
    provoke(watched)

    assert watched.kinds == [*ALL, "all_down"]


@pytest.mark.parametrize("off", ["error_rate", "daily_limit", "slow"])
def test_an_alert_without_a_threshold_is_never_told(off: str) -> None:
    watched = Watched(**{off: None})

    provoke(watched)

    assert watched.kinds == [kind for kind in ALL if kind != off]


def test_each_alert_is_one_warning_in_the_log(log: list[str]) -> None:
    watched = Watched()

    provoke(watched)
    provoke(watched)

    assert [line.split(":")[0] for line in log] == [
        f"WARNING alert {kind}" for kind in watched.kinds
    ]
    assert watched.alerts[0].message in log[0]


def test_a_handler_may_report_while_it_is_told() -> None:
    alerts: list[Alert] = []

    def report(alert: Alert) -> None:
        alerts.append(alert)
        watch.all_down(targets=1)
        watch.key_used("groq", "gsk_…9fQ2", 10, 10)

    watch = AlertWatch(Alerts(), report)
    watch.answer("groq", "llama", "gsk_…9fQ2", latency=9.0)

    assert [alert.kind for alert in alerts] == ["slow", "all_down", "daily_limit"]


def test_a_report_in_the_middle_of_a_report_is_no_deadlock() -> None:
    watched = Watched()
    name = interrupting(lambda: watched.watch.all_down(targets=1))
    report = watched.watch.answer
    thread = threading.Thread(
        target=lambda: report(name, "llama", "gsk_…9fQ2", latency=9.0), daemon=True
    )

    thread.start()
    thread.join(5)

    assert not thread.is_alive()
    assert sorted(watched.kinds) == ["all_down", "slow"]


def test_a_handler_that_is_told_holds_up_no_other_thread() -> None:
    busy, go_on = threading.Event(), threading.Event()

    def slow(alert: Alert) -> None:
        busy.set()
        go_on.wait(10)

    watch = AlertWatch(Alerts(), slow)
    thread = threading.Thread(target=watch.all_down, kwargs={"targets": 1})
    thread.start()
    assert busy.wait(5)
    watch.key_used("groq", "gsk_…9fQ2", 1, 10)
    watch.attempt("groq", "llama", "gsk_…9fQ2", outcome="server", category="server", latency=0.1)
    is_held_up = not thread.is_alive()
    go_on.set()
    thread.join()

    assert not is_held_up


def test_64_threads_at_once_are_told_of_each_episode_once() -> None:
    watched, ready = Watched(), threading.Barrier(64)

    def work() -> None:
        ready.wait()
        watched.attempts(bad=50)
        watched.used(10)
        watched.answers(9.0)
        for number in range(50):
            watched.used(10, key=f"gsk_…{number:04d}")

    threads = [threading.Thread(target=work) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(watched.kinds) == ["daily_limit"] * 51 + ["error_rate", "slow"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_watches_its_own_calls() -> None:
    watched = Watched()
    provoke(watched)
    child = os.fork()
    if child == 0:
        code = 99
        try:
            signal.alarm(10)
            provoke(watched)
            code = len(watched.alerts)
        finally:
            os._exit(code)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2 * len(ALL)
