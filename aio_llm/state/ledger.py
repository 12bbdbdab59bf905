"""The windows of a store that keeps bytes: made of a record, asked, written back.

A record is numbers: life, limit, touched, and a state. `life`: a random number; an entry belongs
to one life of a window, so that what was reserved in an earlier one is never taken off a later
one. `limit`: what the state is measured in. `touched`: epoch seconds of the last change. State:
`Window.state` in epoch seconds. Beside it stands the form: which rule the state belongs to.

Pure: the caller holds the lock and does the reading and writing.
"""

from __future__ import annotations

import math
import random
import struct
from functools import lru_cache

from aio_llm.quota.shapes import DAY, Shape, make_window
from aio_llm.quota.windows import ALWAYS, Bucket, Window
from aio_llm.state.base import Claim, Settled, StoreDown

JUMP = 60.0
"""Seconds by which callers may be out of step; more is a clock that was set back."""

MOST = 50_000
"""Windows kept in memory between two calls; more are read again."""

Row = tuple[str, bytes]
"""Form and record, as they are stored."""


@lru_cache(maxsize=4096)
def form_of(kind: str, period: float, phase: float, zone: str) -> str:
    """Windows of one form can continue each other's state, whatever their limits."""
    if kind in ("bucket", "paced"):
        return f"bucket {period!r}"
    if kind == "fixed":
        return f"days {zone}" if period == DAY else f"fixed {period!r} {phase!r}"
    return f"sliding {period!r}"


def _window_of(form: str) -> Window:
    kind, *rest = form.split(" ")
    if kind == "days":
        return make_window(Shape("fixed", zone=rest[0]), 1.0, DAY, 0.0)
    phase = float(rest[1]) if kind == "fixed" else 0.0
    return make_window(Shape(kind, phase=phase), 1.0, float(rest[0]), 0.0)


def _restore(window: Window, record: bytes, now: float) -> tuple[float, float, float]:
    """Let `window` be what a record says. Returns its life, when it was written, and which time
    counts: never an earlier one, unless the clock was set back; then no time has passed.
    """
    try:
        life, limit, touched, *state = struct.unpack(f"<{len(record) // 8}d", record)
        if window.limit != limit:
            window.resize(now, limit)
        window.restore(state, 0.0)
        if touched <= now + JUMP:
            return life, touched, max(touched, now)
        window.restore(window.state(touched), now)
    except (struct.error, ValueError, TypeError, LookupError, StopIteration):
        raise StoreDown("a record in the state file is damaged") from None
    return life, touched, now


class Page:
    """One window between two calls. `record`: the one it stands for, empty if for none; `written`:
    when that was. `now`: the time that counts here.
    """

    __slots__ = ("form", "life", "limit", "now", "record", "shape", "stated", "window", "written")

    def __init__(self, claim: Claim) -> None:
        shape = claim.shape
        self.shape = shape
        self.stated = (claim.limit, claim.period)
        self.window = make_window(shape, claim.limit, claim.period, 0.0)
        self.limit = self.window.limit
        self.form = form_of(shape.kind, claim.period, shape.phase, shape.zone)
        self.life = 0.0
        self.now = self.written = ALWAYS
        self.record = b""

    def fits(self, claim: Claim) -> bool:
        """It was made for a claim like this."""
        stated, shape = (claim.limit, claim.period), claim.shape
        return self.stated == stated and (self.shape is shape or self.shape == shape)

    def begin(self, now: float) -> None:
        """A life of its own, with nothing used."""
        self.life, self.now, self.record = float(random.getrandbits(48)), now, b""

    def read(self, record: bytes, now: float) -> None:
        """Be what a record of the same form says."""
        if record == self.record and self.written <= now + JUMP:
            self.now = max(self.written, now)
            return
        self.life, self.written, self.now = _restore(self.window, record, now)
        self.record = record if self.now >= self.written else b""

    def resize(self) -> None:
        """Whoever wrote the record believed in another limit: what is used stays used."""
        if self.window.limit != self.limit:
            self.window.resize(self.now, self.limit)
            self.record = b""

    def convert(self, row: Row, now: float) -> None:
        """The record follows another rule: what it counts as used now counts as used now."""
        old = _window_of(row[0])
        _, _, now = _restore(old, row[1], now)
        used = old.used(now)
        self.begin(now)
        if used:
            self.window.take(now, used)

    def write(self) -> bytes:
        """The record of it."""
        self.written, state = self.now, self.window.state(0.0)
        form = f"<{3 + len(state)}d"
        self.record = struct.pack(form, self.life, self.window.limit, self.now, *state)
        return self.record

    def until(self) -> float:
        """When everything in it is over, and some more; two days for the windows of a day."""
        window, end = self.window, self.now + 2 * self.window.period
        if isinstance(window, Bucket):
            end = max(end, window.ready_at(self.now, math.inf) + window.period)
        return end


class Ledger:
    """The windows of a store; remembers them, so that only what others changed is read again."""

    def __init__(self) -> None:
        self._pages: dict[str, Page] = {}

    def page(self, claim: Claim, row: Row | None, now: float) -> Page:
        """The window of a claim as it stands now, and by the rule of the claim."""
        page = self._page(claim)
        if row is None:
            page = self._pages[claim.name] = Page(claim)
            page.begin(now)
        elif row[0] == page.form:
            page.read(row[1], now)
            page.resize()
        else:
            page = self._pages[claim.name] = Page(claim)
            page.convert(row, now)
        return page

    def _page(self, claim: Claim) -> Page:
        page = self._pages.get(claim.name)
        if page is None or not page.fits(claim):
            if len(self._pages) >= MOST:
                self._pages.clear()
            page = self._pages[claim.name] = Page(claim)
        return page

    def settled(self, settled: Settled, row: Row | None, now: float) -> Page | None:
        """The window after a correction; None if that entry counts no more."""
        claim, entry, amount, arrived = settled
        page = self._page(claim)
        if row is None or row[0] != page.form:
            return None
        page.read(row[1], now)
        known = page.window.find(entry.note) if page.life == entry.life else None
        if known is None:
            return None
        page.window.settle(known, arrived, amount)
        page.record = b""
        return page
