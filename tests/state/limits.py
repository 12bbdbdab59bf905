"""Claims in one line, stores with patience, and one that is nothing but windows: what all others
must agree with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from aio_llm.quota.shapes import Shape, make_window
from aio_llm.quota.windows import ALWAYS, MARGIN, Window
from aio_llm.state import Claim, Granted, Refused, Store, hashed
from aio_llm.state.sqlite import SqliteStore

Clock = Literal["store", "caller"]

MINUTE, DAY = 60.0, 86_400.0

WALL = 1_790_000_000.0

SHAPES = {
    "bucket": Shape("bucket"),
    "third": Shape("bucket", burst=1 / 3),
    "paced": Shape("paced", burst=0.1),
    "sliding": Shape("sliding"),
    "fixed": Shape("fixed"),
    "late": Shape("fixed", phase=7.5),
    "pacific": Shape("fixed", zone="America/Los_Angeles"),
}

PERIODS = {"pacific": DAY}


def claim(rule: str = "sliding", limit: float = 10.0, amount: float = 1.0, name: str = "") -> Claim:
    """A claim on the limit `name` (its rule, unless said otherwise)."""
    period = PERIODS.get(rule, MINUTE)
    return Claim(hashed(name or rule), SHAPES[rule], limit, period, amount)


def patient(url: str, clock: Clock = "caller") -> Store:
    """A store that waits, however busy this machine is: it is not what these tests are about."""
    if url.startswith("redis"):
        from aio_llm.state.redis import RedisStore  # an extra

        return RedisStore(url, clock=clock, patience=20.0)
    return SqliteStore(url.removeprefix("sqlite:///"), patience=20.0)


class Windows:
    """The windows of aio_llm.quota in memory, as one process without a store has them."""

    def __init__(self) -> None:
        self._windows: dict[str, Window] = {}

    def reserve(self, claims: Sequence[Claim], wall: float) -> Granted | Refused:
        """As `Store.reserve`."""
        windows = [self._window(claim) for claim in claims]
        pairs = list(zip(claims, windows, strict=True))
        ready = [window.ready_at(wall, claim.amount) for claim, window in pairs]
        if max(ready) > ALWAYS:
            return Refused(max(ready) - wall, 0, ready.index(max(ready)))
        entries = tuple((wall, window.take(wall, claim.amount)) for claim, window in pairs)
        return Granted(entries, 0, tuple(window.used(wall) for window in windows))

    def settle(
        self,
        settlements: Sequence[tuple[Claim, Any, float]],
        wall: float,
        arrived: float | None = None,
    ) -> int:
        """As `Store.settle`."""
        for claim, (reserved, entry), amount in settlements:
            moment = min(wall, reserved + MARGIN) if arrived is None else arrived
            self._window(claim).settle(entry, moment, amount)
        return 0

    def _window(self, claim: Claim) -> Window:
        known = self._windows.get(claim.name)
        if known is None:
            known = make_window(claim.shape, claim.limit, claim.period, 0.0)
            self._windows[claim.name] = known
        return known
