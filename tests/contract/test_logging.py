"""Logging: silent unless asked, structured when asked, and never a key."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from loguru import logger

from aio_llm import AIO, AIOError, FakeClock
from aio_llm.core import events
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO

FIELDS = {"provider", "model", "key_id", "category", "latency", "attempt", "request_id"}


@pytest.fixture
def records() -> Iterator[list[dict[str, Any]]]:
    """The records an application's own sink gets; the library is silent again afterwards."""
    found: list[dict[str, Any]] = []
    logger.disable("aio_llm")
    number = logger.add(lambda message: found.append(dict(message.record)), level=0)
    yield found
    logger.remove(number)
    logger.disable("aio_llm")


def fail(aio: AIO, sim: Simulator, fault: str = "503") -> None:
    """One call whose first attempt fails."""
    sim.inject(fault, vendor="groq", times=1)
    with suppress(AIOError):
        aio.chat_completion("the prompt", request_id="mine")


def test_nothing_is_logged_by_default(
    sim: Simulator, make_aio: MakeAIO, records: list[dict[str, Any]]
) -> None:
    fail(make_aio("groq", "cerebras"), sim)

    assert sim.count() == 2
    assert records == []


def test_a_failed_attempt_is_one_record_with_its_fields(
    sim: Simulator, make_aio: MakeAIO, records: list[dict[str, Any]]
) -> None:
    fail(make_aio("groq", "cerebras", enable_logging=True), sim)

    (record,) = records
    extra = record["extra"]
    assert record["level"].name == "WARNING"
    assert set(extra) >= FIELDS
    assert (extra["provider"], extra["model"]) == ("groq", "llama-3.3-70b-versatile")
    assert (extra["category"], extra["attempt"], extra["request_id"]) == ("server", 1, "mine")
    assert extra["latency"] >= 0
    assert record["name"].startswith("aio_llm")
    assert record["exception"] is None


def test_a_good_call_writes_nothing(make_aio: MakeAIO, records: list[dict[str, Any]]) -> None:
    make_aio("groq", enable_logging=True).chat_completion("hello")

    assert [r for r in records if r["level"].no >= logger.level("INFO").no] == []


def test_the_application_can_switch_it_on_itself(
    sim: Simulator, make_aio: MakeAIO, records: list[dict[str, Any]]
) -> None:
    logger.enable("aio_llm")

    fail(make_aio("groq", "cerebras"), sim)

    assert len(records) == 1


def test_a_model_that_is_gone_is_said_once(
    sim: Simulator, make_aio: MakeAIO, records: list[dict[str, Any]]
) -> None:
    aio = make_aio("groq", "cerebras", keys=2, enable_logging=True)
    sim.inject("decommissioned", vendor="groq")

    for _ in range(3):
        aio.chat_completion("hello")

    said = [r for r in records if "not there" in r["message"]]
    assert len(said) == 1
    assert said[0]["level"].name == "ERROR"


def test_a_disabled_key_is_said_by_its_mask(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock, records: list[dict[str, Any]]
) -> None:
    aio = make_aio("groq", enable_logging=True, clock=clock)
    sim.inject("401")
    for _ in range(3):
        with suppress(AIOError):
            aio.chat_completion("hello")
        clock.advance(7200)

    said = [r["message"] for r in records if "is disabled" in r["message"]]
    key = sim.keys("groq")[0]
    assert len(said) == 1
    assert f"{key[:4]}…{key[-4:]}" in said[0]


@pytest.mark.parametrize("fault", ["401", "400", "429", "500", "reset", "empty_200"])
def test_neither_key_nor_prompt_is_in_the_log(
    fault: str, sim: Simulator, make_aio: MakeAIO, records: list[dict[str, Any]]
) -> None:
    fail(make_aio("groq", "cerebras", enable_logging=True), sim, fault)

    text = repr(records)
    assert records
    assert "the prompt" not in text
    assert not any(key in text for v in ("groq", "cerebras") for key in sim.keys(v))


def test_braces_in_a_vendors_words_are_only_words(records: list[dict[str, Any]]) -> None:
    events.enable()

    events.tell("WARNING", "{0} {unknown} {message!r:>{width}} <red>", provider="{x}")

    assert records[0]["message"] == "{0} {unknown} {message!r:>{width}} <red>"


def test_many_threads_log_without_losing_a_line(
    sim: Simulator, make_aio: MakeAIO, records: list[dict[str, Any]]
) -> None:
    aio = make_aio("groq", "cerebras", enable_logging=True)
    sim.inject("400", vendor="groq")

    def call() -> None:
        with suppress(AIOError):
            aio.chat_completion("hello")

    threads = [threading.Thread(target=call) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(records) == sim.count("groq") == 16
    assert len({r["extra"]["request_id"] for r in records}) == 16
