"""When may each place be used again: cool-downs, set-asides and breakers are one thing.

A place is a provider, a model of a provider, a key, a quota group, or a pair of these. A
place without a record is free. A record says "not before `until`"; when that moment comes the
place is half-open: one call goes through. Its success frees the place, or, after a limit,
lets the next one through, then two, four, eight, then all; a failure renews the record. So capacity
that comes back bit by bit is not overrun, and a probe that hangs blocks nobody for longer
than `gap`.

    free --fault--> resting --until passes--> half-open --success--> free
                       ^                       |     ^       |
                       +--------fault----------+     +-limit-+

Pure bookkeeping: `now` is handed in, the caller holds the lock.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable
from dataclasses import dataclass

from aio_llm.faults import Kind, Scope

Place = tuple[str, ...]
"""A scope and the names that make it one place, e.g. ("model", "groq", "llama-3.1-8b")."""

WIDEST = 8
"""Calls at once through a half-open place after which it counts as free."""

SURE = 5
"""Answers to start with where the limit is known: `width` is past `WIDEST` then."""


@dataclass(slots=True)
class Record:
    """Why and until when a place rests.

    `gate`: while as many calls are out as may be, the next one waits for their end, or at most
    until then. `soft`: our own guess, may be passed over if there is nowhere else to go, unless
    it `is_open`: a breaker that has tripped, so often in a row as `opened` says. `turn`: the
    turn it was set at; what calls granted at an earlier turn have to say is old news.
    `streak`: answers since then, of which `enough` free the place. `failures`: in a row, those of
    calls that went out together counted once; `strikes`: all of them. `shared`: another process
    has found it.
    """

    until: float
    kind: Kind
    turn: int = 0
    soft: bool = False
    failures: int = 1
    strikes: int = 1
    gap: float = 1.0
    message: str = ""
    streak: int = 0
    out: int = 0
    gate: float = -math.inf
    opened: int = 0
    enough: int = 1
    shared: bool = False

    @property
    def width(self) -> int:
        """How many calls may be out at once: 1 until it has answered twice, then 2, 4, 8."""
        return 1 if self.soft else 1 << max(0, self.streak - 1)

    @property
    def free_at(self) -> float:
        """When a call may go there."""
        return max(self.until, self.gate)

    @property
    def is_open(self) -> bool:
        """The breaker is open: not even a call without alternatives goes through."""
        return not self.soft or self.opened > 0

    @property
    def is_free(self) -> bool:
        """It has answered often enough."""
        return self.streak >= self.enough if self.soft else self.width > WIDEST


def place(scope: Scope, *names: str) -> Place:
    """The place of `scope` with `names`."""
    return (scope.value, *names)


class Availability:
    """The records of all places that are not free."""

    def __init__(self) -> None:
        self.records: dict[Place, Record] = {}
        self._turn = 0

    def next_turn(self) -> int:
        """A number larger than all before: grants and records are put in order by it."""
        self._turn += 1
        return self._turn

    def until(self, places: Iterable[Place]) -> float:
        """When the last of `places` is free; -inf if all are."""
        if not self.records:
            return -math.inf
        latest = -math.inf
        for spot in places:
            record = self.records.get(spot)
            if record is not None and record.free_at > latest:
                latest = record.free_at
        return latest

    def longest(self, places: Iterable[Place], now: float) -> Record | None:
        """Of the records that keep `places` from being used at `now`, the last to end."""
        found: Record | None = None
        if self.records:
            for spot in places:
                record = self.records.get(spot)
                if record is not None and record.free_at > now:
                    found = record if found is None or record.free_at > found.free_at else found
        return found

    def blocking(self, places: Iterable[Place], now: float) -> list[tuple[Place, Record]]:
        """Those of `places` that are not free at `now`, with their records."""
        found = ((spot, self.records.get(spot)) for spot in places)
        return [(spot, record) for spot, record in found if record and record.free_at > now]

    def admit(self, places: Iterable[Place], now: float) -> tuple[Place, ...]:
        """Let one call through; returns the half-open places it is a probe of."""
        if not self.records:
            return ()
        probed = tuple(spot for spot in places if spot in self.records)
        for spot in probed:
            record = self.records[spot]
            record.out += 1
            if record.out >= record.width:
                record.gate = now + record.gap
        return probed

    def rest(self, spot: Place, record: Record) -> Record:
        """Let `spot` rest as `record` says; what is known of its failures in a row goes on."""
        old = self.records.get(spot)
        record.turn = self.next_turn()
        if old is not None:
            record.failures = old.failures + 1
            record.strikes = old.strikes + 1
            record.opened = max(record.opened, old.opened)
            if not record.soft:
                record.until = max(record.until, old.until)
        self.records[spot] = record
        return record

    def release(self, spot: Place, turn: int) -> None:
        """A probe granted at `turn` ended without a verdict: the next call may probe at once."""
        record = self._probed(spot, turn)
        if record is not None:
            record.out -= 1
            record.gate = -math.inf

    def succeed(self, spot: Place, turn: int) -> bool:
        """A probe granted at `turn` got an answer; True if that let more calls through."""
        record = self._probed(spot, turn)
        if record is None:
            return False
        record.streak += 1
        if record.is_free:
            del self.records[spot]
            return True
        record.out -= 1
        record.failures = record.strikes = 0
        record.gate = -math.inf
        return True

    def calm(self, places: Iterable[Place]) -> None:
        """Somebody got an answer there: failures so far were not in a row."""
        for spot in places:
            record = self.records.get(spot)
            if record is not None and record.soft and not record.opened:
                record.failures = record.strikes = 0

    def _probed(self, spot: Place, turn: int) -> Record | None:
        """The record a probe was let through; None if it has been replaced since."""
        record = self.records.get(spot)
        return None if record is None or turn < record.turn else record

    def forget(self, scope: Scope, *names: str, kinds: Container[Kind] | None = None) -> None:
        """Drop every record of `scope` whose names start with `names` (only of `kinds`)."""
        prefix = place(scope, *names)
        for spot, record in list(self.records.items()):
            if spot[: len(prefix)] == prefix and (kinds is None or record.kind in kinds):
                del self.records[spot]
