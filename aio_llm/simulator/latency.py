"""How long an answer takes: a number, a lognormal chance, or a function of the request."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from aio_llm.simulator.records import Ask

Latency = float | tuple[float, float, int] | Callable[[Ask], float]
"""Seconds; or median in seconds, sigma of the logarithm and seed; or seconds for a request."""


def as_latency(latency: Latency) -> Callable[[Ask], float]:
    """Seconds before the answer to a request begins."""
    if callable(latency):
        return latency
    if isinstance(latency, tuple):
        median, sigma, seed = latency
        chance = random.Random(seed)
        return lambda ask: chance.lognormvariate(math.log(median), sigma)
    return lambda ask: latency
