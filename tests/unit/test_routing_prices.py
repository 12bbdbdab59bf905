"""What a request costs per token: from the configuration, from the price list, or unknown."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_llm import ConfigError
from aio_llm.config import ModelConfig, read_settings
from aio_llm.core.routing import Router
from aio_llm.prices import FREE, Price, list_price

USD = st.floats(0, 1e3)
TOKENS = st.integers(1, 10**6)


def prices(vendor: str, *models: dict[str, Any], **fields: Any) -> list[Price | None]:
    """What a route by price knows of a provider's models."""
    entry = {"provider": vendor, "api_keys": ["k"], "models": list(models)} | fields
    router = Router(read_settings({"providers": [entry], "auto_mode": True}))
    route = router.route(None, None, auto=True, fallback=False, routing="cheapest")
    by_name = {lane.model: price for lane, price in route.prices.items()}
    return [by_name.get(str(model["model_id"])) for model in models]


@given(USD, USD, TOKENS, TOKENS)
def test_a_request_costs_what_its_tokens_cost(
    read: float, written: float, prompt: int, answer: int
) -> None:
    price = Price(read, written)

    total = (prompt * read + answer * written) / 1e6
    per_token = price.per_million(prompt, answer) / 1e6
    assert per_token * (prompt + answer) == pytest.approx(total)


@given(USD, USD, st.sampled_from([(0, None), (0, 5), (5, None), (7, 0)]))
def test_without_a_known_size_three_tokens_are_read_for_one_written(
    read: float, written: float, size: tuple[int, int | None]
) -> None:
    expected = (read + read + read + written) / 4

    assert Price(read, written).per_million(*size) == pytest.approx(expected)


def test_the_configuration_says_what_its_models_cost() -> None:
    found = prices(
        "custom",
        {"model_id": "a", "input_price": 0.5, "output_price": 2},
        {"model_id": "b", "inputPrice": 0, "outputPrice": 0},
        {"model_id": "c"},
        {"model_id": "d", "input_price": 0.5},
        base_url="http://127.0.0.1:9",
    )

    assert found == [Price(0.5, 2.0), FREE, None, None]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a negative price": ({"input_price": -0.1}, "input_price"),
    "a price that is no number": ({"output_price": float("nan")}, "output_price"),
    "an endless price": ({"output_price": float("inf")}, "output_price"),
    "no weight at all": ({"weight": 0}, "weight"),
    "a negative weight": ({"weight": -1}, "weight"),
    "a weight that is no number": ({"weight": float("nan")}, "weight"),
    "an endless weight": ({"weight": float("inf")}, "weight"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_senseless_prices_and_weights_are_refused_by_name(case: str) -> None:
    fields, name = REFUSED[case]

    with pytest.raises(ConfigError, match=name):
        ModelConfig("m", **fields)


def test_weights_of_provider_and_model_multiply() -> None:
    entry = {
        "provider": "groq",
        "api_keys": ["k"],
        "weight": 4,
        "models": [{"model_id": "a", "weight": 0.5}, "b"],
    }

    lanes = Router(read_settings({"providers": [entry]})).lanes

    assert [lane.weight for lane in lanes] == [2.0, 4.0]


def test_weights_whose_product_vanishes_still_are_more_than_none() -> None:
    entry = {
        "provider": "groq",
        "api_keys": ["k"],
        "weight": 1e-300,
        "models": [{"model_id": "a", "weight": 1e-300}],
    }

    assert Router(read_settings({"providers": [entry]})).lanes[0].weight > 0


def test_a_free_model_of_openrouter_costs_nothing_without_any_list() -> None:
    code = (
        "import sys; sys.modules['genai_prices'] = None\n"
        "from aio_llm.prices import list_price\n"
        "print(list_price('openrouter', 'any/model:free'), list_price('groq', 'llama'))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout.strip() == "Price(input=0.0, output=0.0) None"


def test_only_routing_by_price_loads_the_list() -> None:
    code = (
        "import sys\n"
        "from aio_llm import AIO\n"
        "aio = AIO([{'provider': 'groq', 'api_keys': ['k'], 'models': ['m']}], auto_mode=True)\n"
        "aio.explain(); aio.explain(routing='fastest')\n"
        "print('genai_prices' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout.strip() == "False"


LISTED = (
    ("groq", "llama-3.3-70b-versatile", "groq", "llama-3.3-70b-versatile"),
    ("cerebras", "gpt-oss-120b", "cerebras", "gpt-oss-120b"),
    ("google-ai", "gemini-2.5-flash", "google", "gemini-2.5-flash"),
    ("google-ai", "models/gemini-2.5-flash", "google", "gemini-2.5-flash"),
    ("openrouter", "openai/gpt-4o", "openrouter", "openai/gpt-4o"),
    ("openrouter", "openai/gpt-4o:online", "openrouter", "openai/gpt-4o"),
)


@pytest.mark.parametrize(("vendor", "model", "theirs", "name"), LISTED)
def test_the_list_is_asked_by_the_names_it_knows(
    vendor: str, model: str, theirs: str, name: str
) -> None:
    genai_prices = pytest.importorskip("genai_prices", reason="the extra `prices` is missing")
    usage = genai_prices.Usage(input_tokens=1000, output_tokens=1000)
    cost = genai_prices.calc_price(usage, name, provider_id=theirs)

    price = list_price(vendor, model)

    assert price is not None
    assert price.input == pytest.approx(float(cost.input_price) * 1000)
    assert price.output == pytest.approx(float(cost.output_price) * 1000)
    assert price.output > price.input > 0


@pytest.mark.parametrize(
    ("vendor", "model"), [("groq", "no-such-model"), ("custom", "gpt-4o"), ("acme", "llama")]
)
def test_what_the_list_does_not_know_has_no_price(vendor: str, model: str) -> None:
    pytest.importorskip("genai_prices", reason="the extra `prices` is missing")

    assert list_price(vendor, model) is None


def test_what_the_configuration_leaves_open_comes_from_the_list() -> None:
    pytest.importorskip("genai_prices", reason="the extra `prices` is missing")
    listed = list_price("groq", "llama-3.3-70b-versatile")
    model = {"model_id": "llama-3.3-70b-versatile"}

    assert listed is not None
    assert prices("groq", model) == [listed]
    assert prices("groq", model | {"output_price": 9.0}) == [Price(listed.input, 9.0)]
    assert prices("groq", model, name="work") == [listed]
