"""How each lane stands at the moment of choosing: what the rules of routing look at."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from aio_llm.core.health import Health
from aio_llm.core.keys import KeyManager
from aio_llm.core.routing import Lane, Route
from aio_llm.core.trail import Demand


class Standing:
    """The `View` of one call on one route at one moment. The caller holds the lock."""

    def __init__(
        self,
        keys: KeyManager,
        health: Mapping[Lane, Health],
        route: Route,
        demand: Demand,
        random: Callable[[], float],
    ) -> None:
        self._keys = keys
        self._health = health
        self._prices = route.prices
        self._demand = demand
        self.random = random

    def price(self, lane: Lane) -> float:
        """USD per million tokens of this request; inf if unknown."""
        price = self._prices.get(lane)
        if price is None:
            return math.inf
        most = self._demand.max_tokens
        return price.per_million(self._demand.prompt if most else 0, most)

    def latency(self, lane: Lane) -> float:
        """Seconds until an answer, moving average; inf before any."""
        known = self._health.get(lane)
        return known.latency if known is not None and known.has_answered else math.inf

    def tried(self, lane: Lane) -> bool:
        """Whether any call has ever gone there."""
        return self.turn(lane) > 0

    def load(self, lane: Lane) -> float:
        """Calls under way for each key that is in use."""
        known = self._health.get(lane)
        if known is None or not known.in_flight:
            return 0.0
        return known.in_flight / max(1, self._keys.in_use(lane.provider))

    def turn(self, lane: Lane) -> int:
        """A number that grows: when the lane was given its last call, 0 if never."""
        known = self._health.get(lane)
        return 0 if known is None else known.turn
