"""Windows of a vendor's clock: whole minutes, or the days of its time zone. Pure.

Moments are seconds of one monotonic clock; `offset` is epoch seconds minus those.
"""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Protocol

from aio_llm.quota.days import zone_info


class Calendar(Protocol):
    """Numbers windows the same way for everybody who looks at the same clock."""

    def number(self, moment: float) -> int:
        """The window that `moment` is in."""

    def start(self, number: int) -> float:
        """When that window begins."""


class Grid:
    """Windows of `period` seconds; `phase`: how long after a whole period of the epoch they
    begin.
    """

    def __init__(self, period: float, offset: float, phase: float = 0.0) -> None:
        self.period = period
        self.phase = phase
        self._shift = offset - phase

    def number(self, moment: float) -> int:
        """Whole periods since the epoch."""
        return math.floor((moment + self._shift) / self.period)

    def start(self, number: int) -> float:
        """The border before that window."""
        return number * self.period - self._shift


class Days:
    """The days of a time zone, numbered as `datetime.date.toordinal` does. Two days of a year
    have 23 and 25 hours in many of them.
    """

    def __init__(self, zone: str, offset: float) -> None:
        self._zone = zone_info(zone)
        self._offset = offset
        self._known = (math.inf, -math.inf, 0)

    def number(self, moment: float) -> int:
        """The day; remembers the last one, as nearly every question is about today."""
        start, end, day = self._known
        if not start <= moment < end:
            day = datetime.fromtimestamp(moment + self._offset, self._zone).toordinal()
            self._known = (self.start(day), self.start(day + 1), day)
        return day

    def start(self, number: int) -> float:
        """Midnight in the zone."""
        day = date.fromordinal(number)
        midnight = datetime(day.year, day.month, day.day, tzinfo=self._zone)
        return midnight.timestamp() - self._offset
