"""Injected faults: which requests they hit, and how often."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aio_llm.simulator.records import Ask


@dataclass(eq=False, slots=True)
class Rule:
    """One injected fault; unset conditions match every chat request."""

    fault: str
    vendor: str | None = None
    key: str | None = None
    model: str | None = None
    times: int | None = None
    text: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    hits: int = 0
    on_remove: Callable[[Rule], None] = field(default=lambda rule: None, repr=False)

    def remove(self) -> None:
        """Stop hitting requests."""
        self.on_remove(self)

    def matches(self, ask: Ask) -> bool:
        """Whether the rule is not spent and all its conditions hold."""
        if self.times is not None and self.hits >= self.times:
            return False
        wanted = (self.vendor, self.key, self.model)
        found = (ask.vendor, ask.key, ask.model)
        if any(a is not None and a != b for a, b in zip(wanted, found, strict=True)):
            return False
        return self.text is None or self.text in ask.text
