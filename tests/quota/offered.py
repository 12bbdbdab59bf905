"""How much a limit lets through at most: the ceiling that goodput is measured against.

Exact for every kind of window, for any times at which the vendor is in service: what a client
that knows everything, and is never late, could get. Moments are seconds, `spans` are disjoint
and in order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

Span = tuple[float, float]


def most(
    window: str,
    limit: float,
    period: float,
    spans: Sequence[Span],
    *,
    burst: float = 1.0,
    phase: float = 0.0,
    whole: bool = False,
) -> float:
    """The most that fits into `spans` (wall seconds). `burst`: of a bucket; `phase`: of fixed
    windows; `whole`: what is counted cannot be divided, as requests.
    """
    if window == "bucket":
        return _bucket(limit, period, spans, burst, whole=whole)
    if window == "fixed":
        return limit * _windows(period, spans, phase)
    return limit * _bursts(period, spans)


def _bucket(
    limit: float, period: float, spans: Sequence[Span], burst: float, *, whole: bool
) -> float:
    """The bucket whenever service begins, and what flows in while it lasts. A request that would
    fit when service ends comes too late.
    """
    size, rate = max(1.0, limit * burst), limit / period
    level, total, before = size, 0.0, -math.inf
    for begin, end in spans:
        if before > -math.inf:
            level = min(size, level + (begin - before) * rate)
        level += (end - begin) * rate
        taken = max(math.ceil(round(level, 9)) - 1, 0) if whole else level
        level, total, before = level - taken, total + taken, end
    return total


def _windows(period: float, spans: Sequence[Span], phase: float) -> int:
    """Windows of the clock that are open at some moment in service."""
    numbers = {
        number
        for begin, end in spans
        for number in range(math.floor((begin - phase) / period), math.ceil((end - phase) / period))
    }
    return len(numbers)


def _bursts(period: float, spans: Sequence[Span]) -> int:
    """Whole limits at once, each as early as may be."""
    count, free = 0, -math.inf
    for begin, end in spans:
        at = max(begin, free)
        while at < end:
            count, at = count + 1, at + period
            free = at
    return count


def without(span: Span, gaps: Sequence[Span]) -> list[Span]:
    """What is left of `span` between `gaps`."""
    left, begin = [], span[0]
    for gap_begin, gap_end in sorted(gaps):
        if gap_begin > begin:
            left.append((begin, min(gap_begin, span[1])))
        begin = max(begin, gap_end)
    return [*left, (begin, span[1])] if begin < span[1] else left
