"""Percentiles of any number of seconds in constant memory: a histogram of logarithmic buckets.

Each bucket is 10.5 % wider than the one before, so that a percentile is at most 5 % off at any
size, from 0.1 ms to a day. (Masson, Rim, Lee: "DDSketch: a fast and fully-mergeable quantile
sketch with relative-error guarantees", VLDB 2019.)

Not a statistics package: no intervals, no decay, no windows. Not thread-safe; the owner locks.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

ACCURACY = 0.05
"""Relative error of a percentile."""

LOWEST = 1e-4
"""Seconds; what is shorter counts as 0."""

HIGHEST = 1e5
"""Seconds; what is longer counts as this."""

_GAMMA = (1 + ACCURACY) / (1 - ACCURACY)
_BUCKETS = int(math.log(HIGHEST / LOWEST, _GAMMA)) + 2
_ENDS = [LOWEST * _GAMMA**n for n in range(_BUCKETS - 1)]
_MIDDLE = 2 / (_GAMMA + 1)

bucket_of: Callable[[float], int] = partial(bisect_left, _ENDS)
"""The bucket a value (seconds) falls into; what is no number (NaN) falls into the lowest."""


class Histogram:
    """How often each duration was seen; a few hundred bytes, at most 20 kB whatever is put in.

    `counts[bucket_of(seconds)] += 1` records a value.
    """

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: defaultdict[int, int] = defaultdict(int)

    @classmethod
    def merged(cls, parts: Iterable[Histogram]) -> Histogram:
        """All values of `parts` in one."""
        made = cls()
        for part in parts:
            for bucket, seen in part.counts.items():
                made.counts[bucket] += seen
        return made

    def copy(self) -> Histogram:
        """The same values, independent from now on."""
        made = Histogram()
        made.counts = self.counts.copy()
        return made

    @property
    def count(self) -> int:
        """How many values."""
        return sum(self.counts.values())

    def percentile(self, share: float) -> float | None:
        """The nearest-rank percentile for a `share` of 0 to 1, in seconds; None without values."""
        rank = max(1, math.ceil(share * self.count))
        below = 0
        for bucket in sorted(self.counts):
            below += self.counts[bucket]
            if below >= rank:
                return _MIDDLE * LOWEST * _GAMMA**bucket if bucket else 0.0
        return None

    def figures(self) -> dict[str, Any]:
        """Count, and p50, p95 and p99 in seconds; None without values."""
        return {
            "count": self.count,
            "p50": self.percentile(0.50),
            "p95": self.percentile(0.95),
            "p99": self.percentile(0.99),
        }
