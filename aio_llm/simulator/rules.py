"""Injected faults: which requests they hit, and how often."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aio_llm.simulator.records import Ask
from aio_llm.simulator.usage import Outage

_DISTURBANCES = ("slow", "drip")


@dataclass(eq=False, slots=True)
class Rule:
    """One injected fault; unset conditions match every chat request.

    `start`, `end`: seconds of the simulator's clock. `probability`: of one matching request to be
    hit, by `chance`. `spends`: who is hit has spent quota first, or was refused by it.
    """

    fault: str
    vendor: str | None = None
    key: str | None = None
    model: str | None = None
    times: int | None = None
    text: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    start: float = -math.inf
    end: float = math.inf
    probability: float = 1.0
    chance: random.Random = field(default_factory=random.Random, repr=False)
    spends: bool = False
    hits: int = 0
    on_remove: Callable[[Rule], None] = field(default=lambda rule: None, repr=False)

    def remove(self) -> None:
        """Stop hitting requests."""
        self.on_remove(self)

    @property
    def outage(self) -> Outage | None:
        """The times in which nothing can be had, None when it only disturbs."""
        is_total = self.times is None and self.text is None and self.probability >= 1.0
        if not is_total or self.fault in _DISTURBANCES:
            return None
        return Outage(self.start, self.end, self.vendor, self.key, self.model)

    def matches(self, ask: Ask) -> bool:
        """Whether the rule is not spent, all its conditions hold, and chance will have it."""
        return self._concerns(ask) and (
            self.probability >= 1.0 or self.chance.random() < self.probability
        )

    def _concerns(self, ask: Ask) -> bool:
        if self.times is not None and self.hits >= self.times:
            return False
        if not self.start <= ask.at < self.end:
            return False
        wanted = (self.vendor, self.key, self.model)
        found = (ask.vendor, ask.key, ask.model)
        if any(a is not None and a != b for a, b in zip(wanted, found, strict=True)):
            return False
        return self.text is None or self.text in ask.text
