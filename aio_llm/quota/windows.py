"""Shadows of a vendor's limits: how much may be used in which time, kept on our side.

A shadow never grants what the vendor would refuse, as far as the vendor's rule is known. What
is sent now arrives a little later, nobody knows when exactly; so an amount counts from the
latest moment it can have arrived, and near the border of two windows in both of them.

    bucket    `limit * burst` at once at most, refilled evenly (GCRA, ITU-T I.371)
    fixed     so much per window of the vendor's clock: whole minutes, days of its time zone
    sliding   so much within any `period`; safe on every window that lets a full burst through

Pure: every method takes `now` (seconds of one monotonic clock), the caller holds the lock.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from itertools import chain
from typing import Any

from aio_llm.quota.calendar import Calendar

MARGIN = 0.3
"""Seconds within which what was sent has arrived. Measured: 0 gives 6 % refused calls, 0.1 to
3 give none; a second survives 600 ms of jitter.
"""

COARSE = 0.05
"""Share of a limit that is too much to be counted in two windows: it waits for the second one."""

ALWAYS = -math.inf

LONG_AGO = -1e300
"""Before every moment, and yet a number in JSON."""


class Window(ABC):
    """One limit. `take` returns an entry that `settle` corrects later; amounts are requests or
    tokens. What is larger than the whole limit counts as all of it.
    """

    __slots__ = ("limit", "period")

    kind = ""

    def __init__(self, limit: float, period: float) -> None:
        self.limit = limit
        self.period = period

    @property
    def capacity(self) -> float:
        """The most that fits in at once."""
        return self.limit

    @abstractmethod
    def ready_at(self, now: float, amount: float) -> float:
        """From when `amount` fits; `ALWAYS` if it does now."""

    @abstractmethod
    def take(self, now: float, amount: float) -> Any:
        """Count `amount`, whether it fits or not; returns what `settle` wants back."""

    @abstractmethod
    def settle(self, entry: Any, arrived: float, amount: float) -> None:
        """It was `amount` in truth (0: it never came), and arrived at the moment `arrived` at the
        latest.
        """

    @abstractmethod
    def used(self, now: float) -> float:
        """What counts now."""

    @abstractmethod
    def exhaust(self, now: float, until: float | None, amount: float) -> None:
        """The vendor says it is all used, and that there is room for `amount` from `until` on
        (None: it does not say when).
        """

    def resize(self, now: float, limit: float) -> None:
        """The limit is another one; what was used stays used."""
        self.limit = limit

    @abstractmethod
    def state(self, now: float) -> list[float]:
        """What `restore` needs, nothing but numbers; moments as seconds after `now`."""

    @abstractmethod
    def restore(self, state: Sequence[float], now: float) -> None:
        """Continue from a `state` taken at the moment that is `now` here."""

    def note(self, entry: Any) -> list[float]:
        """`entry` as numbers, for `find`: whoever settles may have restored the window since."""
        return list(entry)

    def find(self, note: Sequence[float]) -> Any:
        """The entry of a `note`; None if it does not count any more."""
        return list(note)


class Bucket(Window):
    """`limit` per `period`, evenly refilled; `limit * burst` fit in at most.

    `_full_at`: when the bucket would be full again ("theoretical arrival time").
    """

    __slots__ = ("_fills", "_full_at", "_pace", "burst", "size")

    kind = "bucket"

    def __init__(self, limit: float, period: float, burst: float = 1.0) -> None:
        super().__init__(limit, period)
        self.burst = burst
        self._full_at = ALWAYS
        self._fills = 0
        self._measure(limit)

    @property
    def capacity(self) -> float:
        """The size of the bucket."""
        return self.size

    def _measure(self, limit: float) -> None:
        self.limit = limit
        self.size = max(1.0, limit * self.burst)
        self._pace = self.period / limit

    def resize(self, now: float, limit: float) -> None:
        """The same amount takes another time to flow in."""
        used = self.used(now)
        self._measure(limit)
        self._full_at = now + used * self._pace

    def ready_at(self, now: float, amount: float) -> float:
        """When enough has flowed in."""
        at = self._full_at + (min(amount, self.size) - self.size) * self._pace
        return at if at > now else ALWAYS

    def take(self, now: float, amount: float) -> list[float]:
        """Entries are [moment, amount, how often the bucket had been full, whether it was]."""
        amount, stamp = min(amount, max(self.size, self.limit)), now + MARGIN
        was_full = self._full_at < stamp
        self._fills += was_full
        self._full_at = max(self._full_at, stamp) + amount * self._pace
        return [stamp, amount, self._fills, was_full]

    def find(self, note: Sequence[float]) -> list[float] | None:
        """None once the bucket has been full since."""
        return list(note) if note[2] == self._fills else None

    def settle(self, entry: list[float], arrived: float, amount: float) -> None:
        """Give back, or take, the difference, unless the bucket has been full since: then it was
        forgotten. If it met a full bucket, that has begun to refill when it arrived.
        """
        if entry[2] == self._fills:
            moved = (arrived - entry[0]) * entry[3]
            self._full_at += (amount - entry[1]) * self._pace + moved
        entry[0], entry[1] = arrived, amount

    def exhaust(self, now: float, until: float | None, amount: float) -> None:
        """Empty now, or as empty as it must be to hold `amount` at `until`."""
        since = now if until is None else until - min(amount, self.size) * self._pace
        self._full_at = max(self._full_at if until is None else now, since + self.size * self._pace)
        self._fills += 1

    def used(self, now: float) -> float:
        """What has not flowed in again."""
        return max(0.0, self._full_at - now) / self._pace

    def state(self, now: float) -> list[float]:
        """Seconds until it is full, and how often it has been."""
        return [max(0.0, self._full_at - now), self._fills]

    def restore(self, state: Sequence[float], now: float) -> None:
        """Full again as many seconds from now."""
        self._full_at = now + state[0]
        self._fills = int(state[1])


class Fixed(Window):
    """`limit` per window of the vendor's calendar. Within `MARGIN` of a border an amount counts
    on both sides: neither the way to the vendor nor its clock is known better.
    """

    __slots__ = ("_promised", "_used", "calendar")

    kind = "fixed"

    def __init__(self, limit: float, period: float, calendar: Calendar) -> None:
        super().__init__(limit, period)
        self.calendar = calendar
        self._used: dict[int, float] = {}
        self._promised = ALWAYS

    def ready_at(self, now: float, amount: float) -> float:
        """Now, or just after the border of the first window with room."""
        amount, at = min(amount, self.limit), ALWAYS
        first, last = self._windows(now)
        if first != last and amount > COARSE * self.limit and not self._has_plenty(last, amount):
            first, at = last, self.calendar.start(last) + MARGIN  # not worth a place in both
        while self._taken(first) + amount > self.limit or self._taken(last) + amount > self.limit:
            first = last = first + 1
            at = self.calendar.start(first) + MARGIN
        if now < self._promised < at < self._promised + 4 * MARGIN:
            return self._promised
        return at

    def _has_plenty(self, last: int, amount: float) -> bool:
        """Both of two windows have so much room that one request more or less is nothing."""
        return max(self._taken(last - 1), self._taken(last)) + 2 * amount <= self.limit

    def _windows(self, now: float) -> tuple[int, int]:
        """The windows that what is sent now may be counted in."""
        number = self.calendar.number
        if self._promised <= now < self._promised + 2 * MARGIN:
            opened = number(now + 2 * MARGIN)
            return opened, opened
        return number(now - MARGIN), number(now + MARGIN)

    def exhaust(self, now: float, until: float | None, amount: float) -> None:
        """This window is full; the vendor's word of when the next one begins is believed."""
        window = self.calendar.number(now)
        self._used[window] = max(self._taken(window), self.limit)
        if until is not None:
            self._promised = until

    def _taken(self, window: int) -> float:
        return self._used.get(window, 0.0)

    def take(self, now: float, amount: float) -> list[Any]:
        """Entries are [first window, last window, amount]."""
        amount = min(amount, self.limit)
        first, last = self._windows(now)
        if first not in self._used:
            self._used = {n: used for n, used in self._used.items() if n >= first}
        for window in {first, last}:
            self._used[window] = self._taken(window) + amount
        return [first, last, amount]

    def settle(self, entry: list[Any], arrived: float, amount: float) -> None:
        """Correct the windows it counts in, up to the one that it can have arrived in."""
        first, last, counted = entry
        end = max(first, self.calendar.number(arrived))
        for window in range(first, max(last, end) + 1):
            before = counted if window <= last else 0.0
            after = amount if window <= end else 0.0
            if window in self._used or after > before:
                self._used[window] = max(0.0, self._taken(window) + after - before)
        entry[1], entry[2] = end, amount

    def used(self, now: float) -> float:
        """What counts in the fuller of the windows that `now` may be in."""
        first, last = self._windows(now)
        return max(self._taken(first), self._taken(last))

    def state(self, now: float) -> list[float]:
        """Window number and amount of each."""
        return list(chain.from_iterable(self._used.items()))

    def restore(self, state: Sequence[float], now: float) -> None:
        """Window numbers are the vendor's calendar, the same for everybody."""
        rest = iter(state)
        self._used = {int(window): used for window, used in zip(rest, rest, strict=True)}


class Sliding(Window):
    """`limit` within any `period`. Amounts closer than a thousandth of it are counted as one, from
    the later moment, so that memory is bounded.
    """

    __slots__ = ("_entries", "_serial", "_sum")

    kind = "sliding"

    def __init__(self, limit: float, period: float) -> None:
        super().__init__(limit, period)
        self._entries: deque[list[float]] = deque()
        self._sum = 0.0
        self._serial = 0

    def ready_at(self, now: float, amount: float) -> float:
        """When enough of the oldest amounts are out of the window."""
        self._forget(now)
        over = self._sum + min(amount, self.limit) - self.limit
        if over <= 1e-9:
            return ALWAYS
        for stamp, counted, _ in self._entries:
            over -= counted
            if over <= 1e-9:
                return stamp + self.period
        return now + self.period

    def _forget(self, now: float) -> None:
        entries, border = self._entries, now - self.period
        while entries and entries[0][0] <= border:
            self._sum -= entries[0][1]
            entries.popleft()[1] = -1.0
        if not entries:
            self._sum = 0.0

    def take(self, now: float, amount: float) -> list[Any]:
        """Entries are [moment, amount, serial number] of all that came at about that moment, and
        the amount.
        """
        amount = min(amount, self.limit)
        stamp = now + MARGIN
        self._sum += amount
        if self._entries and self._entries[-1][0] > stamp - self.period / 1024:
            newest = self._entries[-1]
            newest[0] = max(newest[0], stamp)
            newest[1] += amount
        else:
            newest = self._entry(stamp, amount)
            self._entries.append(newest)
        return [newest, amount]

    def _entry(self, stamp: float, amount: float) -> list[float]:
        self._serial += 1
        return [stamp, amount, self._serial]

    def settle(self, entry: list[Any], arrived: float, amount: float) -> None:
        """Correct what is still counted; alone at its moment, it takes the true one."""
        counted, before = entry
        if counted[1] < 0:
            return  # forgotten
        if counted[1] == before or arrived > counted[0]:
            counted[0] = arrived
        counted[1] = max(0.0, counted[1] + amount - before)
        self._sum += amount - before
        entry[1] = amount

    def exhaust(self, now: float, until: float | None, amount: float) -> None:
        """What is not known to be used was used by somebody, and ends at `until`."""
        self._forget(now)
        stamp = now if until is None else min(now, until - self.period)
        unseen = self.limit - self._sum
        if unseen > 0 and stamp > now - self.period:
            self._entries.appendleft(self._entry(stamp, unseen))
            self._entries = deque(sorted(self._entries))
            self._sum += unseen

    def used(self, now: float) -> float:
        """What was counted in the last `period`."""
        self._forget(now)
        return self._sum

    def state(self, now: float) -> list[float]:
        """How many there were, and moment, amount and serial number of each."""
        self._forget(now)
        state = [self._serial, *chain.from_iterable(self._entries)]
        if now:
            state[1::3] = [stamp - now for stamp in state[1::3]]
        return state

    def restore(self, state: Sequence[float], now: float) -> None:
        """The same moments from now."""
        rest = iter(state)
        self._serial = int(next(rest))
        self._entries = deque([now + at, *what] for at, *what in zip(rest, rest, rest, strict=True))
        self._sum = sum(state[2::3])

    def note(self, entry: list[Any]) -> list[float]:
        """The serial number stands for what came with it."""
        counted, amount = entry
        return [counted[2], amount]

    def find(self, note: Sequence[float]) -> list[Any] | None:
        """Most are settled soon, so the newest are looked at first."""
        serial, amount = note
        for counted in reversed(self._entries):
            if counted[2] == serial:
                return [counted, amount]
        return None
