"""List prices of vendors' models, from the genai-prices package where it is installed.

Its table comes with the package: nothing is fetched. Vendors change prices monthly and a contract
may say something else, so what is written in the configuration wins over this.
"""

from __future__ import annotations

from typing import NamedTuple

_THEIR_NAMES = {"google-ai": "google"}
"""Vendors that the table knows by another name than ours."""

_SAMPLE = 1000
"""Tokens to ask the price of: below every tier that makes long prompts dearer."""


class Price(NamedTuple):
    """USD per million tokens read (`input`) and written (`output`)."""

    input: float
    output: float

    def per_million(self, prompt: int, max_tokens: int | None) -> float:
        """USD per million tokens of a request that reads `prompt` tokens and may be answered with
        `max_tokens`; if either is unknown, three are read for one that is written.
        """
        if not prompt or not max_tokens:
            return (3.0 * self.input + self.output) / 4.0
        return (prompt * self.input + max_tokens * self.output) / (prompt + max_tokens)


FREE = Price(0.0, 0.0)


def list_price(vendor: str, model: str) -> Price | None:
    """What `model` costs at `vendor` (its name in the presets); None if nobody knows, or if the
    extra `prices` is not installed. OpenRouter's `:free` models cost nothing; its other suffixes
    (`:online`, `:nitro`) and Google's `models/` are not part of the name a price goes by.
    """
    if model.endswith(":free"):
        return FREE
    try:
        from genai_prices import Usage, calc_price  # 66 MB and half a second: only if wanted
    except ImportError:
        return None
    bare = model.removeprefix("models/")
    usage = Usage(input_tokens=_SAMPLE, output_tokens=_SAMPLE)
    for name in dict.fromkeys((model, bare, bare.rpartition(":")[0] or bare)):
        try:
            cost = calc_price(usage, name, provider_id=_THEIR_NAMES.get(vendor, vendor))
        except LookupError:
            continue
        return Price(_per_million(cost.input_price), _per_million(cost.output_price))
    return None


def _per_million(cost: object) -> float:
    return float(str(cost)) * 1e6 / _SAMPLE
