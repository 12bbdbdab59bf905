"""Who is asked, in which order: auto mode, direct calls, own lists, priorities, ties."""

from __future__ import annotations

from typing import Any

import pytest

from aio_llm import AIO, ConfigError, FakeClock, ModelNotFoundError, RateLimitError
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO
from tests.contract.support import Place, order, refuse_all, trail

BIG, SMALL = "llama-3.3-70b-versatile", "llama-3.1-8b-instant"
FLASH, LITE = "gemini-2.5-flash", "gemini-2.5-flash-lite"
GROQ: list[Place] = [("groq", k, m) for m in (BIG, SMALL) for k in (1, 2)]
GOOGLE: list[Place] = [("google-ai", k, m) for m in (FLASH, LITE) for k in (1, 2)]


@pytest.fixture
def aio(sim: Simulator, make_aio: MakeAIO) -> AIO:
    """Groq before Google, two keys and two models each, the first model preferred."""
    ranked = {
        vendor: {
            "models": [
                {"model_id": model, "priority": 100 - 10 * place}
                for place, model in enumerate(sim.models(vendor))
            ]
        }
        for vendor in ("groq", "google-ai")
    }
    return make_aio("groq", "google-ai", keys=2, models=2, overrides=ranked)


QUESTIONS: dict[str, tuple[dict[str, Any], list[Place]]] = {
    "nothing named: everybody": ({}, [*GROQ, *GOOGLE]),
    "provider and model": ({"provider": "google-ai", "model": LITE}, GOOGLE[2:]),
    "provider/model": ({"model": f"google-ai/{LITE}"}, GOOGLE[2:]),
    "provider:model": ({"model": f"google-ai:{LITE}"}, GOOGLE[2:]),
    "alias/model": ({"model": f"gemini/{LITE}"}, GOOGLE[2:]),
    "a bare model on all its keys": ({"model": FLASH}, GOOGLE[:2]),
    "a provider alone: its models": ({"provider": "google-ai"}, GOOGLE),
    "an alias alone": ({"provider": "google"}, GOOGLE),
    "an own list": ({"model": [LITE, BIG]}, [*GOOGLE[2:], *GROQ[:2]]),
    "an own list of one vendor": ({"provider": "groq", "model": [SMALL, BIG]}, GROQ[2:] + GROQ[:2]),
    "an own list as a tuple": ({"model": (SMALL, SMALL)}, GROQ[2:]),
    "fallback": ({"model": FLASH, "fallback": True}, GOOGLE[:2] + GROQ + GOOGLE[2:]),
    "a provider with fallback": ({"provider": "google", "fallback": True}, GOOGLE + GROQ),
    "a list with fallback": (
        {"model": [LITE, SMALL], "fallback": True},
        GOOGLE[2:] + GROQ[2:] + GROQ[:2] + GOOGLE[:2],
    ),
    "auto mode off for this call": ({"auto_mode": False, "model": BIG}, GROQ[:2]),
}


@pytest.mark.parametrize("case", QUESTIONS)
def test_targets_are_asked_in_the_order_of_the_question(
    case: str, aio: AIO, sim: Simulator
) -> None:
    question, places = QUESTIONS[case]

    assert order(aio, sim, **question) == places


@pytest.mark.parametrize("case", QUESTIONS)
def test_a_stream_asks_the_same_targets_in_the_same_order(
    case: str, aio: AIO, sim: Simulator
) -> None:
    question, places = QUESTIONS[case]
    refuse_all(sim)

    with pytest.raises(RateLimitError):
        aio.chat_completion_stream("who is asked?", **question)

    assert trail(sim) == places


REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "nobody named": ({}, ConfigError, "auto_mode=True"),
    "an unknown provider": ({"provider": "grok"}, ConfigError, "did you mean 'groq'"),
    "an unknown model": ({"model": "gemini-2.5-flush"}, ModelNotFoundError, f"'{FLASH}'"),
    "a model of another": ({"provider": "groq", "model": FLASH}, ModelNotFoundError, "groq"),
    "an empty list": ({"model": []}, ConfigError, "model"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_question_nobody_can_answer_is_refused_before_anything_is_sent(
    case: str, aio: AIO, sim: Simulator
) -> None:
    question, error, words = REFUSED[case]

    with pytest.raises(error, match=words):
        aio.chat_completion("hello", auto_mode=False, **question)

    assert sim.requests == []


def test_without_auto_mode_a_named_model_is_asked_and_nobody_else(
    sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio("groq", "cerebras", auto_mode=False)

    answer = aio.chat_completion("hello", model=BIG)

    assert (answer.provider, answer.model) == ("groq", BIG)
    assert trail(sim) == [("groq", 1, BIG)]


def entry(sim: Simulator, vendor: str, **fields: Any) -> dict[str, Any]:
    """A provider with one key and one model unless `fields` say more."""
    defaults = {"api_keys": sim.keys(vendor)[:1], "models": sim.models(vendor)[:1], "priority": 0}
    return sim.provider(vendor, **(defaults | fields))


def test_the_higher_number_is_asked_first_at_all_three_levels(sim: Simulator) -> None:
    keys = [{"key": key, "priority": n} for n, key in enumerate(sim.keys("groq"))]
    models = [{"model_id": model, "priority": n} for n, model in enumerate((BIG, SMALL))]
    providers = [
        entry(sim, "groq", api_keys=keys, models=models, priority=1),
        entry(sim, "cerebras", priority=2),
        entry(sim, "google-ai", priority=3),
    ]
    with AIO(providers, auto_mode=True) as aio:
        places = order(aio, sim)

    groq = [("groq", k, m) for m in (SMALL, BIG) for k in (2, 1)]
    assert places == [("google-ai", 1, FLASH), ("cerebras", 1, "gpt-oss-120b"), *groq]


def test_the_order_of_the_configuration_decides_between_equals(sim: Simulator) -> None:
    providers = [entry(sim, "cerebras"), entry(sim, "groq"), entry(sim, "openrouter")]
    with AIO(providers, auto_mode=True) as aio:
        places = order(aio, sim)

    assert [vendor for vendor, _, _ in places] == ["cerebras", "groq", "openrouter"]


@pytest.mark.parametrize("part", ["api_keys", "models", "providers"])
def test_what_is_inactive_is_never_asked(part: str, sim: Simulator) -> None:
    off: dict[str, Any] = {"is_active": False}
    ranked: list[dict[str, Any]] = [{"model_id": BIG, "priority": 1}, {"model_id": SMALL}]
    groq = entry(sim, "groq", api_keys=sim.keys("groq"), models=ranked, priority=1)
    if part == "api_keys":
        groq["api_keys"] = [{"key": sim.keys("groq")[0]} | off, sim.keys("groq")[1]]
    elif part == "models":
        groq["models"] = [ranked[0] | off, ranked[1]]
    else:
        groq |= off
    with AIO([groq, entry(sim, "cerebras")], auto_mode=True) as aio:
        places = order(aio, sim)

    left = {
        "api_keys": [("groq", 2, BIG), ("groq", 2, SMALL)],
        "models": [("groq", 1, SMALL), ("groq", 2, SMALL)],
        "providers": [],
    }
    assert places[:-1] == left[part]
    assert places[-1][0] == "cerebras"


def test_equal_keys_take_turns(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", keys=2)

    for _ in range(6):
        aio.chat_completion("hello")

    assert [key for _, key, _ in trail(sim)] == [1, 2, 1, 2, 1, 2]


def test_the_key_used_least_today_comes_first(sim: Simulator) -> None:
    used = [
        {"key": key, "requests_today": n} for key, n in zip(sim.keys("groq"), (5, 3), strict=True)
    ]
    with AIO([entry(sim, "groq", api_keys=used)], auto_mode=True) as aio:
        for _ in range(4):
            aio.chat_completion("hello")

    assert [key for _, key, _ in trail(sim)] == [2, 2, 1, 2]


def test_equal_providers_share_the_work(sim: Simulator) -> None:
    with AIO([entry(sim, "groq"), entry(sim, "cerebras")], auto_mode=True) as aio:
        for _ in range(6):
            aio.chat_completion("hello")

    assert sim.count("groq") == sim.count("cerebras") == 3


def test_a_better_key_is_used_before_a_rested_one(sim: Simulator) -> None:
    first, second = sim.keys("groq")
    keys = [{"key": first, "priority": 1, "requests_today": 100}, {"key": second}]
    with AIO([entry(sim, "groq", api_keys=keys)], auto_mode=True) as aio:
        for _ in range(3):
            aio.chat_completion("hello")

    assert sim.count("groq", key=first) == 3


def test_of_keys_used_alike_the_one_with_fewer_recent_errors_comes_first(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", keys=2, clock=clock)
    sim.inject("429_retry_after", key=sim.keys("groq")[0], seconds=5, times=1)
    aio.chat_completion("hello")
    clock.advance(10)

    aio.chat_completion("hello")
    aio.chat_completion("hello")

    assert [key for _, key, _ in trail(sim)] == [1, 2, 2, 1]
