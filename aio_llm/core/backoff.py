"""How long to leave something alone when nobody says how long. Pure; chance is handed in.

"Full jitter" between 0 and base x multiplier^(n-1): AWS Architecture Blog, "Exponential
Backoff And Jitter" (2015).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays in seconds: `base`, times `multiplier` per repetition, at most `cap`."""

    base: float
    multiplier: float
    cap: float

    def ceiling(self, n: int) -> float:
        """The longest delay before repetition `n` (1 is the first)."""
        return min(self.cap, self.base * self.multiplier ** min(n - 1, 60))

    def delay(self, n: int, random: Callable[[], float]) -> float:
        """A delay before repetition `n` with full jitter: anything up to the ceiling."""
        return random() * self.ceiling(n)

    def rest(self, n: int, random: Callable[[], float]) -> float:
        """How long others go elsewhere after strike `n`: within a quarter of the ceiling."""
        return (0.75 + 0.25 * random()) * self.ceiling(n)
