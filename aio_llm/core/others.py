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

HALF = 0.5
"""Share of a limit that is enough to see who uses it."""


@dataclass(slots=True)
class _Limit:
    """One limit: no room for `amount` of `unit` before `until`. `pace`: seconds in which one more
    fits, 0 if that is not known. `calm_at`: when it may be forgotten.
    """

    unit: int
    amount: float
    until: float
    pace: float
    calm_at: float


class Others:
    """By the axis of a limit."""

    __slots__ = ("_full", "_limits", "_share")

    def __init__(self) -> None:
        self._limits: dict[str, _Limit] = {}
        self._full: dict[str, float] = {}
        self._share: dict[str, float] = {}

    def compete(self, meter: Meter) -> bool:
        """Whether others have recently used what we needed of a limit."""
        return meter.axis in self._limits

    def refuse(self, meter: Meter, amount: float, until: float, now: float) -> None:
        """The store says that there is no room for `amount` before `until`."""
        window, is_even = meter.window, meter.form.kind in ("bucket", "paced")
        pace = window.period / window.limit if is_even else 0.0
        calm_at, known = max(until, now + window.period), self._limits.get(meter.axis)
        if known is not None and not pace and known.until > now and 0.0 < known.amount <= amount:
            known.calm_at = calm_at  # not even less would fit
        else:
            self._limits[meter.axis] = _Limit(meter.unit, amount, until, pace, calm_at)

    def until(self, now: float, size: tuple[int, int, int]) -> float:
        """From when a request of `size` may ask; `ALWAYS` if now. What flows in evenly is enough
        for a smaller one a bit earlier.
        """
        at = ALWAYS
        for limit in self._limits.values():
            if limit.until > now and (limit.pace or size[limit.unit] >= limit.amount):
                ready = limit.until + (size[limit.unit] - limit.amount) * limit.pace
                if ready > now and ready > at:
                    at = ready
        return at

    def enter(self, now: float) -> None:
        """One goes to ask; the next one waits for what it is told."""
        for axis, limit in list(self._limits.items()):
            if limit.calm_at <= now:
                del self._limits[axis]
            elif limit.until <= now:
                limit.amount = limit.pace = 0.0
                limit.until = now + ASKING

    def saw(self, meter: Meter, used: float, now: float) -> None:
        """All together have used so much of a limit."""
        self._full[meter.axis] = full = used / meter.limit
        if full > HALF and meter.form.kind in ("fixed", "sliding"):  # they remember who it was
            self._share[meter.axis] = meter.window.used(now) / used

    def share(self, meter: Meter) -> float:
        """Our share of what all together have used of a limit; 1 if that is not known."""
        return self._share.get(meter.axis, 1.0)

    def full(self, meter: Meter) -> float:
        """The share of a limit that all together had used when it was seen last."""
        return self._full.get(meter.axis, 0.0)

    def leave(self, now: float) -> bool:
        """It was granted: the next one may ask; True if that may let somebody go."""
        waiting = [limit for limit in self._limits.values() if not limit.amount]
        for limit in waiting:
            limit.until = now
        return bool(waiting)

    def give_back(self, meter: Meter, given: float) -> None:
        """A call of ours has cost that much less than was reserved: there is so much more room."""
        limit = self._limits.get(meter.axis)
        if limit is not None and limit.amount:
            limit.until -= given * limit.pace
            limit.amount += given * (not limit.pace)
