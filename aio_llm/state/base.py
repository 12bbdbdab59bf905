"""What several processes share: how much of each limit is used, and facts about keys and vendors.

Not here: who decides what to reserve (core), and how limits count (aio_llm.quota). A store does
two things only. It counts reservations, all limits of one call in one step. And it passes facts
on: cool-downs, open breakers, disabled keys, learned limits; the last one told wins.

No store ever sees the text of a key: names are hashes (`hashed`), values are what the caller
tells. A store that is away raises `StoreDown`, quickly and for a while at once, and the caller
goes on with what it knows itself.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

from aio_llm.quota.calendar import Calendar
from aio_llm.quota.shapes import Shape, make_window
from aio_llm.quota.windows import MARGIN, Fixed

PATIENCE = 0.25
"""Seconds a store may take to answer before it counts as away."""

SILENCE = 5.0
"""Seconds in which a store that was away is not asked again."""

KEEP_TOLD = 3600.0
"""Seconds for which what was taken back is remembered, so that everybody hears of it."""


def hashed(*parts: str) -> str:
    """A name for a store: 32 hex digits of SHA-256; a key in `parts` cannot be read back."""
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Claim:
    """One limit that a call counts against. `name`: from `hashed`; no two claims of one call share
    it. `period` in seconds, `amount` in what `limit` is in. Raises `ValueError` for what is no
    quantity: it would spoil the count of every process.
    """

    name: str
    shape: Shape
    limit: float
    period: float
    amount: float

    def __post_init__(self) -> None:
        if not (0.0 < self.limit < math.inf and 0.0 < self.period < math.inf):
            raise ValueError(f"not a limit: {self.limit} per {self.period} seconds")
        if not 0.0 <= self.amount < math.inf:
            raise ValueError(f"not an amount: {self.amount}")


@dataclass(frozen=True, slots=True)
class Granted:
    """All claims are counted. `entries`: what `settle` wants back, one per claim. `used`: what
    counts now, per claim, with this one. `version`: of the facts.
    """

    entries: tuple[Any, ...]
    version: int
    used: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing is counted. `wait`: seconds until it may fit. `which`: index of the claim that has
    no room for longest. `version`: of the facts.
    """

    wait: float
    version: int
    which: int


@dataclass(frozen=True, slots=True)
class Fact:
    """Something all processes should know. `value`: plain JSON, without any key. `until`: epoch
    seconds; it is forgotten after that. To take a fact back, tell one that has ended.
    """

    value: Any
    until: float

    def __post_init__(self) -> None:
        if math.isnan(self.until):
            raise ValueError("a fact must end at some time, or never (inf)")


class StoreDown(Exception):
    """The store cannot be used now: not reachable, locked for too long, read-only, damaged. The
    message says why, without passwords. Whether the last request was counted is not known.
    """


class Store(ABC):
    """Thread-safe; in a forked child every connection is made anew. `wall`: the caller's epoch
    seconds. Everything but `close` raises `StoreDown`.
    """

    @abstractmethod
    def reserve(self, claims: Sequence[Claim], wall: float) -> Granted | Refused:
        """Count all claims, or none if one does not fit; one atomic step for all processes."""

    @abstractmethod
    def settle(
        self,
        settlements: Sequence[tuple[Claim, Any, float]],
        wall: float,
        arrived: float | None = None,
    ) -> int:
        """Correct reservations: (claim, its entry, what it was in truth; 0: never came), each
        once. `arrived`: by when it had reached the vendor, epoch seconds; None: as `reserve` has
        assumed. Returns the version of the facts, as far as it is known.
        """

    @abstractmethod
    def tell(self, facts: Mapping[str, Fact]) -> int:
        """Let everybody know; the last one to tell a name wins. Returns the version now."""

    @abstractmethod
    def hear(self, since: int) -> tuple[dict[str, Fact], int]:
        """The facts told after version `since` (0: all that hold), and the version now. A version
        that is lower than `since`: the store began anew.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of files and sockets; a second time does nothing."""


class Silence:
    """After a failure nobody asks for a while; then one asks, and the others wait for what it
    finds. `now`: a monotonic clock.
    """

    def __init__(self, seconds: float = SILENCE, now: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._now = now
        self._until = -math.inf
        self._reason = ""

    def check(self) -> None:
        """Raises `StoreDown` while it is silent."""
        if not self._reason:
            return
        now = self._now()
        if now < self._until:
            raise StoreDown(self._reason)
        self._until = now + self._seconds  # this caller asks, the others not yet

    def begin(self, reason: str) -> StoreDown:
        """It failed; returns what to raise."""
        self._until, self._reason = self._now() + self._seconds, reason
        return StoreDown(reason)

    def end(self) -> None:
        """It answered."""
        self._reason = ""


class Entry(NamedTuple):
    """What a reservation has left in one window. `life`: of the window. `at`: when, by the clock
    of the store; `wall`: by that of the caller. `note`: see `Window.note`.
    """

    life: float
    at: float
    wall: float
    note: Sequence[float]


def arrival(entry: Entry, wall: float, arrived: float | None) -> float:
    """By when a request had arrived, by the clock of the store."""
    if arrived is None:
        arrived = min(wall, entry.wall + MARGIN)
    if entry.at == entry.wall:
        return arrived
    return entry.at + (arrived - entry.wall)


Settled = tuple[Claim, Entry, float, float]
"""Whose entry it is, what it was in truth, and by when it had arrived (clock of the store)."""


def corrections(
    settlements: Sequence[tuple[Claim, Any, float]], wall: float, arrived: float | None
) -> list[Settled]:
    """Those that change something; what is no amount leaves the reservation as it was."""
    changed = []
    for claim, entry, amount in settlements:
        moment = arrival(entry, wall, arrived)
        if 0.0 <= amount < math.inf and not is_right(claim, entry.note, amount, moment):
            changed.append((claim, entry, amount, moment))
    return changed


def is_right(claim: Claim, note: Sequence[float], amount: float, arrived: float) -> bool:
    """True if to settle changes nothing: the amount was right, and the moment does not matter."""
    shape = claim.shape
    if shape.kind in ("bucket", "paced"):
        return note[1] == amount and not note[3]
    if shape.kind != "fixed" or note[2] != amount:
        return False
    window = _calendar(claim.period, shape.phase, shape.zone).number(arrived)
    return note[0] == note[1] == window


@lru_cache(maxsize=1024)
def _calendar(period: float, phase: float, zone: str) -> Calendar:
    window = make_window(Shape("fixed", phase=phase, zone=zone), 1.0, period, 0.0)
    assert isinstance(window, Fixed)  # noqa: S101
    return window.calendar
