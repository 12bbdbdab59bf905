"""`routing=`: what decides among the targets that may be asked, seen from the vendors."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest

from aio_llm import AIO, ConfigError, FakeClock, RequestCancelledError
from aio_llm.core.rules import RULES
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO
from tests.contract.support import Place, explained, order, trail

GROQ, CEREBRAS, GOOGLE = "groq", "cerebras", "google-ai"
BIG, SMALL, OSS, FLASH = (
    "llama-3.3-70b-versatile", "llama-3.1-8b-instant", "gpt-oss-120b", "gemini-2.5-flash",
)  # fmt: skip
STEADY = ("cheapest", "least_busy", "round_robin")
"""Rules that leave nothing to chance."""

PRICES = {GROQ: (9.0, 9.0), CEREBRAS: (1.0, 2.0), GOOGLE: (2.0, 4.0)}


def priced(sim: Simulator, prices: dict[str, tuple[float, float]]) -> dict[str, dict[str, Any]]:
    """Overrides that say what the first model of each vendor costs."""
    return {
        vendor: {
            "models": [
                {"model_id": sim.models(vendor)[0], "input_price": read, "output_price": written}
            ]
        }
        for vendor, (read, written) in prices.items()
    }


def vendors(sim: Simulator) -> list[str]:
    """Which vendors were asked, in their order."""
    return [request.vendor for request in sim.requests]


def test_the_cheapest_is_asked_whatever_the_priority(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio(*PRICES, overrides=priced(sim, PRICES), routing="cheapest")

    for _ in range(3):
        aio.chat_completion("hello")
    sim.inject("429_retry_after", vendor=CEREBRAS, seconds=600)
    for _ in range(2):
        aio.chat_completion("hello")

    assert vendors(sim) == [CEREBRAS] * 4 + [GOOGLE] * 2


def test_a_stream_goes_where_a_call_would(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio(*PRICES, overrides=priced(sim, PRICES))

    with aio.chat_completion_stream("hello", routing="cheapest") as stream:
        assert stream.response.provider == CEREBRAS
    aio.chat.completions.create(messages=[{"role": "user", "content": "hello"}], routing="cheapest")

    assert vendors(sim) == [CEREBRAS, CEREBRAS]


def test_whose_price_nobody_knows_comes_last_and_priority_decides_between_equals(
    sim: Simulator, make_aio: MakeAIO
) -> None:
    overrides = priced(sim, {GOOGLE: (5.0, 5.0), "openrouter": (5.0, 5.0)})
    for vendor in (GROQ, CEREBRAS):
        overrides[vendor] = {"models": [f"{vendor}-unheard-of"]}
    aio = make_aio(GROQ, CEREBRAS, GOOGLE, "openrouter", overrides=overrides)

    said = explained(aio, sim, routing="cheapest")

    assert [vendor for vendor, _, _ in said] == [GOOGLE, "openrouter", GROQ, CEREBRAS]


SIZES: dict[str, tuple[str, int, str]] = {
    "a long answer to a short question": ("hello", 4000, GROQ),
    "a short answer to a long question": ("hello " * 3000, 5, CEREBRAS),
}


@pytest.mark.parametrize("case", SIZES)
def test_the_price_is_that_of_the_request_at_hand(
    case: str, sim: Simulator, make_aio: MakeAIO
) -> None:
    words, max_tokens, expected = SIZES[case]
    prices = {GROQ: (8.0, 1.0), CEREBRAS: (1.0, 8.0)}
    aio = make_aio(GROQ, CEREBRAS, overrides=priced(sim, prices), routing="cheapest")

    aio.chat_completion(words, max_tokens=max_tokens)

    assert vendors(sim) == [expected]


def test_the_fastest_gets_most_of_the_work() -> None:
    slow = {GROQ: 0.25, CEREBRAS: 0.0}
    with (
        Simulator(latency=lambda ask: slow[ask.vendor]) as sim,
        AIO(**sim.config(GROQ, CEREBRAS)) as aio,
    ):
        aio.warmup()  # importing an SDK is not the vendor's latency
        for _ in range(4):  # two models of each, once
            aio.chat_completion("hello", routing="fastest")
        measured = Counter(vendors(sim))
        for _ in range(30):
            aio.chat_completion("hello", routing="fastest")

        # by chance one in 30 goes to a slow one; half of 30 once in more than 10**13 runs
        assert measured == {GROQ: 2, CEREBRAS: 2}
        assert sim.count(CEREBRAS) - 2 > 15


def test_the_least_busy_gets_the_next_call(sim: Simulator, make_aio: MakeAIO) -> None:
    one_key = {CEREBRAS: {"api_keys": sim.keys(CEREBRAS)[:1]}}
    aio = make_aio(GROQ, CEREBRAS, keys=2, overrides=one_key, routing="least_busy")
    sim.inject("hang")
    with ThreadPoolExecutor(6) as threads:
        calls = []
        for number in range(6):
            calls.append(threads.submit(aio.chat_completion, "hello"))
            assert sim.wait_for(lambda: sim.active == number + 1)  # noqa: B023
        aio.cancel_all()
        wait(calls)

    assert all(isinstance(call.exception(), RequestCancelledError) for call in calls)
    assert vendors(sim) == [GROQ, CEREBRAS, GROQ, GROQ, CEREBRAS, GROQ]
    assert [sim.count(GROQ, key) for key in sim.keys(GROQ)] == [2, 2]


def test_everybody_in_turn_then_every_key(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio(GROQ, CEREBRAS, keys=2, models=2, routing="round_robin")

    for _ in range(16):
        aio.chat_completion("hello")

    lanes = [(vendor, model) for vendor, _, model in trail(sim)]
    assert lanes == [(v, m) for v in (GROQ, CEREBRAS) for m in sim.models(v)[:2]] * 4
    assert {sim.count(v, key) for v in (GROQ, CEREBRAS) for key in sim.keys(v)} == {4}


def test_who_refuses_loses_its_turn_and_comes_back_when_it_is_free(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio(GROQ, CEREBRAS, GOOGLE, routing="round_robin", clock=clock)
    sim.inject("429_retry_after", vendor=CEREBRAS, seconds=5, times=1)

    for _ in range(3):
        aio.chat_completion("hello")
    asked = vendors(sim)
    clock.advance(10)
    aio.chat_completion("hello")

    assert asked == [GROQ, CEREBRAS, GOOGLE, GROQ]
    assert vendors(sim)[4:] == [CEREBRAS]


def test_calls_go_by_weight_and_a_heavy_target_that_refuses_is_passed_over(
    sim: Simulator, make_aio: MakeAIO
) -> None:
    weights = {GROQ: {"weight": 1e-12}, CEREBRAS: {"weight": 1e12}, GOOGLE: {"weight": 1.0}}
    aio = make_aio(*weights, overrides=weights, routing="weighted")

    for _ in range(5):
        aio.chat_completion("hello")
    sim.inject("429_retry_after", vendor=CEREBRAS, seconds=600)
    for _ in range(5):
        aio.chat_completion("hello")

    assert vendors(sim) == [CEREBRAS] * 6 + [GOOGLE] * 5


@pytest.mark.parametrize("rule", RULES)
def test_the_callers_own_order_wins_over_every_rule(
    rule: str, sim: Simulator, make_aio: MakeAIO
) -> None:
    overrides = priced(sim, PRICES)
    overrides[CEREBRAS]["weight"] = 1e12
    aio = make_aio(*PRICES, overrides=overrides, routing=rule)
    aio.chat_completion("hello", model=OSS)

    places = order(aio, sim, model=[BIG, FLASH, OSS])

    assert [vendor for vendor, _, _ in places] == [GROQ, GOOGLE, CEREBRAS]


@pytest.mark.parametrize("rule", RULES)
def test_with_fallback_the_named_model_comes_first_under_every_rule(
    rule: str, sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio(*PRICES, overrides=priced(sim, PRICES), routing=rule)

    places = order(aio, sim, model=BIG, fallback=True)

    assert places[0] == (GROQ, 1, BIG)
    assert len(set(places)) == 3


def test_the_rule_of_a_call_wins_over_that_of_the_configuration(
    sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio(*PRICES, overrides=priced(sim, PRICES), routing="cheapest")

    aio.chat_completion("hello", routing="priority")
    aio.chat_completion("hello", routing=None)

    assert vendors(sim) == [GROQ, CEREBRAS]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("fault", ["429_retry_after", "401", "500", "no_choices"])
def test_a_call_falls_over_under_every_rule_as_ever(
    rule: str, fault: str, sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio(*PRICES, overrides=priced(sim, PRICES), routing=rule)
    for vendor in (CEREBRAS, GOOGLE):
        sim.inject(fault, vendor=vendor)

    answer = aio.chat_completion("hello")

    assert answer.provider == GROQ
    assert sim.count(GROQ) == 1
    assert all(sim.count(vendor) <= 1 for vendor in (CEREBRAS, GOOGLE))


@pytest.mark.parametrize("rule", STEADY)
def test_the_explained_order_is_what_then_happens(
    rule: str, sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio(*PRICES, keys=2, overrides=priced(sim, PRICES), routing=rule)
    for _ in range(3):
        aio.chat_completion("hello")
    sim.clear()
    said = explained(aio, sim)

    assert sim.requests == []
    assert order(aio, sim) == said
    assert len(said) == 6


def test_the_order_of_chance_is_explained_by_what_is_most_likely(
    sim: Simulator, make_aio: MakeAIO
) -> None:
    weights = {GROQ: {"weight": 1}, CEREBRAS: {"weight": 5}, GOOGLE: {"weight": 3}}
    aio = make_aio(*weights, overrides=weights)

    heavy: list[Place] = explained(aio, sim, routing="weighted")
    new: list[Place] = explained(aio, sim, routing="fastest")

    assert [vendor for vendor, _, _ in heavy] == [CEREBRAS, GOOGLE, GROQ]
    assert [vendor for vendor, _, _ in new] == [GROQ, CEREBRAS, GOOGLE]


def test_prices_are_explained_in_dollars_per_million_tokens(
    sim: Simulator, make_aio: MakeAIO
) -> None:
    overrides = priced(sim, PRICES) | {GOOGLE: {"models": ["unheard-of"]}}
    aio = make_aio(*PRICES, overrides=overrides)
    aio.disable_key(GROQ, "0")

    rows = aio.explain(routing="cheapest")

    assert [(row["provider"], row["price"]) for row in rows] == [
        (CEREBRAS, 1.25),
        (GOOGLE, None),
        (GROQ, 9.0),
    ]
    assert not any("price" in row for row in aio.explain())


def test_the_summary_says_which_rule_decides(make_aio: MakeAIO) -> None:

    assert make_aio(GROQ).get_config_summary()["routing"] == "priority"
    assert make_aio(GROQ, routing="fastest").get_config_summary()["routing"] == "fastest"


MISSPELT: dict[str, tuple[Any, str]] = {
    "nearly right": ("cheepest", "did you mean 'cheapest'"),
    "camelCase": ("roundRobin", "did you mean 'round_robin'"),
    "far from all": ("xyz", "known: .*weighted"),
    "empty": ("", "routing"),
    "no text": (7, "routing"),
}


@pytest.mark.parametrize("case", MISSPELT)
def test_a_misspelt_rule_is_refused_before_anything_is_sent(
    case: str, sim: Simulator, make_aio: MakeAIO
) -> None:
    name, words = MISSPELT[case]
    aio = make_aio(GROQ)

    with pytest.raises(ConfigError, match=words):
        aio.chat_completion("hello", routing=name)
    with pytest.raises(ConfigError, match=words):
        aio.chat_completion_stream("hello", routing=name)
    with pytest.raises(ConfigError, match=words):
        aio.explain(routing=name)
    with pytest.raises(ConfigError, match=words):
        make_aio(GROQ, routing=name)
    assert sim.requests == []


def test_a_file_in_camel_case_may_name_rule_prices_and_weights(sim: Simulator) -> None:
    entry = {
        "provider": GROQ,
        "baseUrl": sim.base_url(GROQ),
        "apiKeys": sim.keys(GROQ)[:1],
        "weight": 2,
        "models": [
            {"modelId": BIG, "inputPrice": 3, "outputPrice": 3},
            {"modelId": SMALL, "inputPrice": 1, "outputPrice": 1, "weight": 0.5},
        ],
    }
    with AIO.from_dict({"providers": [entry], "autoMode": True, "routing": "cheapest"}) as aio:
        aio.chat_completion("hello")

    assert trail(sim) == [(GROQ, 1, SMALL)]
