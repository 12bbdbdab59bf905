"""Alerts of real calls: told when they begin, once, as an event and in the log."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from aio_llm import (
    AIO,
    AIOError,
    ConfigError,
    FakeClock,
    RateLimitError,
)
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO

HOUR = 3600.0


def listen(aio: AIO) -> list[Any]:
    """The alerts from now on."""
    told: list[Any] = []
    aio.on("alert", told.append)
    return told


def fail(aio: AIO, times: int = 1, **options: Any) -> None:
    """Calls whose end is not what matters."""
    for _ in range(times):
        with suppress(AIOError):
            aio.chat_completion("hello", **options)


def daily(sim: Simulator, limit: int) -> dict[str, Any]:
    """Groq with one key of so many requests per day."""
    return {"groq": {"api_keys": [{"key": sim.keys("groq")[0], "daily_limit": limit}]}}


def test_too_many_failed_attempts_are_told_once(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", "cerebras", alerts={"error_rate": 0.3, "min_requests": 10})
    told = listen(aio)
    sim.inject("400", vendor="groq", text="refused")

    for text in ["fine"] * 7 + ["refused"] * 3:
        with suppress(AIOError):
            aio.chat_completion(text)
    before = list(told)
    for _ in range(5):
        with suppress(AIOError):
            aio.chat_completion("refused")

    (alert,) = told
    assert before == []
    assert (alert.kind, alert.threshold) == ("error_rate", 0.3)
    assert alert.value == pytest.approx(4 / 11)


def test_a_key_that_runs_dry_is_told_once_and_again_on_another_day(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", overrides=daily(sim, 10), clock=clock, max_wait=0)
    told = listen(aio)

    fail(aio, 8)
    early = len(told)
    fail(aio, 2)
    first = len(told)
    clock.advance(25 * HOUR)
    fail(aio, 8)
    second = len(told)
    fail(aio, 1)

    assert (early, first, second, len(told)) == (0, 1, 1, 2)
    row = aio.get_key_stats()["keys"][0]
    assert {(a.kind, a.provider, a.key) for a in told} == {("daily_limit", "groq", row["key"])}
    assert told[0].value == 0.9


def test_a_slow_answer_is_told(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", alerts={"slow": 0.1})
    told = listen(aio)
    sim.inject("slow", seconds=0.15, times=2)

    answers = [aio.chat_completion("hello") for _ in range(2)]

    (alert,) = told
    assert (alert.kind, alert.threshold) == ("slow", 0.1)
    assert (alert.provider, alert.model, alert.key) == (
        "groq", answers[0].attempts[-1].model, answers[0].key,
    )  # fmt: skip
    assert alert.value >= 0.14


def test_a_long_stream_is_not_slow(make_aio: MakeAIO) -> None:
    with Simulator(chunk_delay=0.05, chunks=8) as sim:
        entry = sim.provider("groq", api_keys=sim.keys("groq")[:1])
        with AIO([entry], auto_mode=True, alerts={"slow": 0.35}) as aio:
            aio.warmup()
            told = listen(aio)

            answer = aio.chat_completion_stream("hello").response

    assert answer.latency > 0.35
    assert told == []


def test_that_nobody_can_be_asked_is_told_until_somebody_answers(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    alerts = {"daily_limit": None, "error_rate": None}
    aio = make_aio("groq", overrides=daily(sim, 1), clock=clock, max_wait=0, alerts=alerts)
    told = listen(aio)

    fail(aio, 4)
    first = len(told)
    with pytest.raises(RateLimitError):
        aio.chat_completion("hello")
    clock.advance(25 * HOUR)
    fail(aio, 2)

    assert first == 1
    assert [alert.kind for alert in told] == ["all_down"] * 2
    assert sim.count() == 2


def test_an_alert_is_a_warning_in_the_log_too(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock, log: list[str]
) -> None:
    aio = make_aio("groq", overrides=daily(sim, 1), clock=clock, max_wait=0)

    fail(aio, 3)

    alerts = [line for line in log if "alert" in line]
    assert [line.split(":")[0] for line in alerts] == [
        "WARNING alert daily_limit",
        "WARNING alert all_down",
    ]


WRONG: list[tuple[Any, str]] = [
    ({"slo": 1.0}, "did you mean 'slow'"), ({"slow": -1}, "slow"), ({"slow": "often"}, "slow"),
    ({"error_rate": 1.5}, "error_rate"), ({"min_requests": 0}, "min_requests"),
    ({"daily_limit": float("nan")}, "daily_limit"), ({"slow": float("inf")}, "slow"),
    ({"window": 1.5}, "window"), ({"window": None}, "window"), (5, "alerts"), ([], "alerts"),
]  # fmt: skip


@pytest.mark.parametrize(("alerts", "words"), WRONG)
def test_a_senseless_threshold_is_a_configuration_error(
    alerts: Any, words: str, make_aio: MakeAIO
) -> None:
    with pytest.raises(ConfigError, match=words):
        make_aio("groq", alerts=alerts)


def test_thresholds_are_part_of_the_configuration(sim: Simulator) -> None:
    values = {"providers": [sim.provider("groq")], "alerts": {"minRequests": 3, "slow": None}}
    with AIO.from_dict(values) as aio:
        summary = aio.get_config_summary()

    assert summary["alerts"] == {
        "error_rate": 0.1, "daily_limit": 0.8, "slow": None, "min_requests": 3, "window": 100,
    }  # fmt: skip


OFF: dict[str, Any] = {"error_rate": None, "daily_limit": None, "slow": None, "min_requests": 1}


def test_none_switches_an_alert_off(sim: Simulator, make_aio: MakeAIO, log: list[str]) -> None:
    aio = make_aio("groq", overrides=daily(sim, 4), alerts=OFF)
    told = listen(aio)
    sim.inject("400", times=2)

    fail(aio, 4)

    assert sim.count() == 4
    assert told == [line for line in log if "alert" in line] == []
