"""`explain()` says what would happen, sends nothing, and is right."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import Any

import pytest

from aio_llm import AIO, ConfigError, FakeClock, ModelNotFoundError
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO
from tests.contract.support import explained, order, trail

BIG, SMALL = "llama-3.3-70b-versatile", "llama-3.1-8b-instant"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
USE = (0, 0, 1, 5)
ROW = {"provider", "model", "key", "usable", "reason", "available_in"}


def chance_configuration(sim: Simulator, chance: random.Random) -> list[dict[str, Any]]:
    """All vendors with random priorities and random use so far."""
    return [
        sim.provider(
            vendor,
            priority=chance.choice((0, 10)),
            api_keys=[
                {
                    "key": key,
                    "priority": chance.choice((0, 1)),
                    "requests_today": chance.choice(USE),
                }
                for key in sim.keys(vendor)
            ],
            models=[
                {"model_id": model, "priority": chance.choice((0, 1))}
                for model in sim.models(vendor)[: 1 if vendor == "openrouter" else 2]
            ],
        )
        for vendor in chance.sample(("groq", "cerebras", "google-ai", "openrouter"), 4)
    ]


@pytest.mark.parametrize("seed", range(12))
def test_the_explained_order_is_what_then_happens(seed: int, sim: Simulator) -> None:
    chance = random.Random(seed)
    with AIO(chance_configuration(sim, chance), auto_mode=True) as aio:
        said = explained(aio, sim)

        assert sim.requests == []
        assert order(aio, sim) == said


QUESTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"provider": "google-ai"},
    {"model": SMALL},
    {"model": SMALL, "fallback": True},
    {"model": ["gemini-2.5-flash", BIG]},
    {"model": f"groq/{SMALL}", "auto_mode": False},
)


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_it_takes_the_same_questions_as_a_call(
    question: dict[str, Any], sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio("groq", "google-ai", keys=2, models=2)
    said = explained(aio, sim, **question)

    assert order(aio, sim, **question) == said


def test_it_raises_as_the_call_would(make_aio: MakeAIO) -> None:
    aio = make_aio("groq", auto_mode=False)

    with pytest.raises(ConfigError, match="auto_mode"):
        aio.explain()
    with pytest.raises(ModelNotFoundError, match="lama"):
        aio.explain(model="lama")


def test_rows_have_all_fields_and_no_key(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", keys=2)
    aio.disable_key("groq", "1")

    rows = aio.explain("hello")

    assert [set(row) for row in rows] == [ROW, ROW]
    assert [row["usable"] for row in rows] == [True, False]
    assert not any(key in str(rows) for key in sim.keys("groq"))


def disabled(aio: AIO, sim: Simulator) -> None:
    aio.disable_key("groq", "0", "leaked")


def limited(aio: AIO, sim: Simulator) -> None:
    sim.inject("429_retry_after", vendor="groq", key=sim.keys("groq")[0], seconds=90)
    aio.chat_completion("hello")


def refused(aio: AIO, sim: Simulator) -> None:
    sim.inject("401", vendor="groq", key=sim.keys("groq")[0])
    aio.chat_completion("hello")


def broke(aio: AIO, sim: Simulator) -> None:
    sim.inject("402", vendor="groq", key=sim.keys("groq")[0])
    aio.chat_completion("hello")


def spent(aio: AIO, sim: Simulator) -> None:
    aio.chat_completion("hello", model=BIG)
    aio.chat_completion("hello", model=BIG)
    aio.chat_completion("hello", model=BIG)


REASONS = {
    disabled: ("leaked", float("inf"), 2),
    limited: ("minute_limit", 90.0, 1),
    refused: ("bad_key", 3600.0, 2),
    broke: ("billing", 3600.0, 2),
    spent: ("daily limit of 2 requests", 12 * 3600.0, 2),
}


@pytest.mark.parametrize("cause", REASONS, ids=lambda cause: cause.__name__)
def test_who_is_skipped_has_a_reason_and_a_time(
    cause: Any, sim: Simulator, make_aio: MakeAIO
) -> None:
    words, seconds, rows = REASONS[cause]
    keys = [{"key": sim.keys("groq")[0], "daily_limit": 2}, sim.keys("groq")[1]]
    entry = {"groq": {"api_keys": keys}}
    clock = FakeClock(wall_start=NOON)
    aio = make_aio("groq", models=2, overrides=entry, clock=clock)
    cause(aio, sim)

    skipped = [row for row in aio.explain("hello") if not row["usable"]]

    assert len(skipped) == rows
    assert all(words in row["reason"] for row in skipped)
    assert all(row["available_in"] == pytest.approx(seconds, abs=1) for row in skipped)


def test_a_model_that_is_gone_is_out_on_every_key(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", keys=2, models=2)
    sim.inject("decommissioned", model=BIG)
    aio.chat_completion("hello")

    skipped = [row for row in aio.explain() if not row["usable"]]

    assert [row["model"] for row in skipped] == [BIG, BIG]
    assert all("model_not_found" in row["reason"] for row in skipped)


def test_the_messages_change_nothing_and_nothing_is_sent(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", "google-ai")

    assert aio.explain("hello") == aio.explain([{"role": "user", "content": "x"}]) == aio.explain()
    assert sim.requests == []
    assert sim.connections == 0
    assert trail(sim) == []
