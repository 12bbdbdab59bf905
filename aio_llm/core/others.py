"""What other processes leave of one quota, as far as the shared store has said so.

The store refuses a reservation when others have used what it needs, and says for how long. Until
then nobody here asks again for as much. After that one call at a time asks, because the own
shadow of the limit knows nothing of the others and would let too many go at once; that ends when
the store has not refused for a period of the limit. Pure; the caller holds the lock.
"""

from __future__ import annotations

from dataclasses import dataclass

from aio_llm.core.meter import Meter
from aio_llm.quota.windows import ALWAYS

ASKING = 0.3
"""Seconds after which the next one may ask although the one before has not come back."""


@dataclass(slots=True)
class _Limit:
    """One limit: no room for `amount` before `until`. `pace`: seconds in which one more fits, 0 if
    that is not known. `calm_at`: when it may be forgotten.
    """

    amount: float
    until: float
    pace: float
    calm_at: float


class Others:
    """By unit of a `Size`."""

    __slots__ = ("_limits",)

    def __init__(self) -> None:
        self._limits: dict[int, _Limit] = {}

    def refuse(self, meter: Meter, amount: float, until: float, now: float) -> None:
        """The store says that there is no room for `amount` before `until`."""
        window, is_even = meter.window, meter.form.kind in ("bucket", "paced")
        pace = window.period / window.limit if is_even else 0.0
        calm_at = max(until, now + window.period)
        self._limits[meter.unit] = _Limit(amount, until, pace, calm_at)

    def until(self, now: float, size: tuple[int, int, int]) -> float:
        """From when a request of `size` may ask; `ALWAYS` if now. What flows in evenly is enough
        for a smaller one a bit earlier.
        """
        at = ALWAYS
        for unit, limit in self._limits.items():
            if limit.until > now and (limit.pace or size[unit] >= limit.amount):
                ready = limit.until + (size[unit] - limit.amount) * limit.pace
                if ready > now and ready > at:
                    at = ready
        return at

    def enter(self, now: float) -> None:
        """One goes to ask; the next one waits for what it is told."""
        for unit, limit in list(self._limits.items()):
            if limit.calm_at <= now:
                del self._limits[unit]
            elif limit.until <= now:
                limit.amount = limit.pace = 0.0
                limit.until = now + ASKING

    def leave(self, now: float) -> bool:
        """It was granted: the next one may ask; True if that may let somebody go."""
        waiting = [limit for limit in self._limits.values() if not limit.amount]
        for limit in waiting:
            limit.until = now
        return bool(waiting)

    def give_back(self, unit: int, now: float) -> None:
        """A call of ours has cost less than was reserved: there may be more room."""
        limit = self._limits.get(unit)
        if limit is not None and limit.amount:
            limit.until = now
