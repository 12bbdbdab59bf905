"""Many threads in virtual time, one at a time: real code, exact and repeatable to the last bit.

A thread runs until it sleeps; then the next one takes over, and time jumps to its moment. Who
was nudged goes before who is due, in the order of falling asleep. Nothing polls and nothing
really sleeps: an hour takes as long as its computing. This is the discrete-event simulation of
the textbooks with threads as processes (Law, "Simulation Modeling and Analysis", 5th ed., 1.3).
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from heapq import heappop, heappush
from typing import Protocol, cast

from aio_llm.clock import Clock, Sleeper

Event = Callable[[], object]
"""What happens at a moment; true if it may have nudged or cancelled somebody."""

START = 1_000.0
"""The first moment, in seconds."""


class Stuck(BaseException):
    """Everybody sleeps and nothing will ever wake anybody."""


class Nudgeable(Protocol):
    """A sleeper that can tell whether it was woken; a call's cancel scope is one."""

    @property
    def nudged(self) -> bool: ...


class Seat:
    """One thread of the crowd. `moment`: when it is due, in seconds; inf while it is not."""

    __slots__ = ("baton", "moment", "sleeper")

    def __init__(self) -> None:
        self.baton = threading.Lock()
        self.baton.acquire()  # let go by whoever hands over
        self.moment = math.inf
        self.sleeper: Nudgeable | None = None


@contextmanager
def _on_one_processor() -> Iterator[None]:
    """Threads started in here stay on one processor: they take turns, and find its cache warm.
    It halves the time of everything.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(allowed)[os.getpid() % len(allowed)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


class CrowdClock(Clock):
    """Virtual time for a crowd of threads. `wall_start`: epoch seconds at the first moment.

    `sleeps` counts the sleeps of the code under test, `timed` those that ended by themselves.
    Only the thread that has the baton may call anything here.
    """

    def __init__(self, wall_start: float = 1_790_000_000.0) -> None:
        self._now = START
        self._due: list[tuple[float, int, Seat | Event]] = []
        self._count = 0
        self._seats: dict[Seat, None] = {}
        self._dozing: dict[Seat, Nudgeable] = {}
        self._here = threading.local()
        self._errors: list[BaseException] = []
        self.sleeps = 0
        self.timed = 0
        super().__init__()
        self._wall_offset = wall_start - START

    def now(self) -> float:
        """The virtual moment, in seconds."""
        return self._now

    def wall(self) -> float:
        """Virtual seconds since the epoch."""
        return self._wall_offset + self._now

    def sleep(self, seconds: float, sleeper: Sleeper) -> None:
        """Let the others run until `seconds` are over or `sleeper` is nudged or cancelled."""
        seat = self.seat
        self.sleeps += 1
        seat.sleeper = cast("Nudgeable", sleeper)
        self._dozing[seat] = seat.sleeper
        self.wake_at(seat, self._now + max(seconds, 0.0))
        self.park(seat)

    def pause(self, moment: float) -> None:
        """Let the others run until `moment`."""
        self.wake_at(self.seat, moment)
        self.park(self.seat)

    @property
    def seat(self) -> Seat:
        """The seat of this thread."""
        seat: Seat = self._here.seat
        return seat

    @property
    def dozing(self) -> list[tuple[Nudgeable, float]]:
        """Whom a nudge would wake, and when each is due anyway, in the order of falling asleep."""
        return [(sleeper, seat.moment) for seat, sleeper in self._dozing.items()]

    def wake_at(self, seat: Seat, moment: float) -> None:
        """Let `seat` go on at `moment`."""
        seat.moment = moment
        if moment < math.inf:
            self._put(moment, seat)

    def at(self, moment: float, event: Event) -> None:
        """Run `event` at `moment`, on whichever thread has the baton then."""
        self._put(moment, event)

    def _put(self, moment: float, what: Seat | Event) -> None:
        self._count += 1
        heappush(self._due, (moment, self._count, what))

    def park(self, seat: Seat) -> None:
        """Let the others run until it is the turn of `seat`; raises `Stuck` if it never is."""
        successor = self._next()
        if successor is not seat:
            successor.baton.release()
            seat.baton.acquire()
        if self._errors:
            raise Stuck

    def _next(self) -> Seat:
        """Whose turn it is; time jumps to its moment. With an error everybody goes home."""
        while not self._errors:
            for seat, sleeper in self._dozing.items():
                if sleeper.nudged:
                    return self._up(seat)
            try:
                found = self._jump()
            except (Exception, Stuck) as error:  # an event is nobody's in particular
                self._errors.append(error)
            else:
                if found is not None:
                    return self._up(found)
        return next(iter(self._seats))

    def _jump(self) -> Seat | None:
        """Go on to the next moment that wakes somebody: whom; None after an event that did."""
        while self._due:
            moment, _, what = heappop(self._due)
            if isinstance(what, Seat):
                if moment == what.moment:  # else it got up earlier
                    self._now = max(self._now, moment)
                    self.timed += what.sleeper is not None
                    return what
            else:
                self._now = max(self._now, moment)
                if what():
                    return None
        raise Stuck("everybody sleeps for ever")

    def _up(self, seat: Seat) -> Seat:
        seat.moment = math.inf
        if seat.sleeper is not None:
            del self._dozing[seat]
            seat.sleeper = None
        return seat

    def crowd(self, bodies: Iterable[Callable[[], None]]) -> None:
        """Run every body on a thread of its own until all have ended; raises what they raise."""
        threads = [threading.Thread(target=self._live, args=(body, self._sit())) for body in bodies]
        with _on_one_processor():
            for thread in threads:
                thread.start()
        self._next().baton.release()
        for thread in threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _sit(self) -> Seat:
        seat = Seat()
        self._seats[seat] = None
        self.wake_at(seat, self._now)
        return seat

    def _live(self, body: Callable[[], None], seat: Seat) -> None:
        self._here.seat = seat
        seat.baton.acquire()
        try:
            body()
        except BaseException as error:
            self._errors.append(error)
        del self._seats[seat]
        if self._seats:
            self._next().baton.release()
