"""How much a quota lets through at most: what a client that knows everything could get.

A span is a begin and an end in seconds of the clock, times in which the vendor answers; they are
in order and apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from aio_llm.simulator.quotas import AXES, Quota
from aio_llm.simulator.windows import Fixed

Span = tuple[float, float]


def offered(quota: Quota, axis: str, spans: Sequence[Span]) -> float:
    """The most that one axis of a quota lets through in the spans, whatever was used before."""
    limit, period = float(getattr(quota, axis)), AXES[axis]
    if quota.window == "bucket":
        return _bucket(max(1.0, limit * quota.burst), limit / period, spans)
    if quota.window == "fixed":
        return limit * _windows(Fixed(0, period, quota.phase, quota.zone), spans)
    return limit * _bursts(period, spans)


def _bucket(size: float, rate: float, spans: Sequence[Span]) -> float:
    """It is full at first, and fills again while nobody can draw on it."""
    total, level, emptied = 0.0, size, -math.inf
    for begin, end in spans:
        level = min(size, (begin - emptied) * rate)
        total += level + (end - begin) * rate
        emptied = end
    return total


def _windows(clock: Fixed, spans: Sequence[Span]) -> int:
    """The windows of which at least a part is in a span."""
    begins = set()
    for begin, end in spans:
        at = begin
        while at < end:
            first, at = clock.window(at)
            begins.add(first)
    return len(begins)


def _bursts(period: float, spans: Sequence[Span]) -> int:
    """The whole limit at once, again and again, each time as early as may be."""
    count, free = 0, -math.inf
    for begin, end in spans:
        free = max(free, begin)
        while free < end:
            count += 1
            free += period
    return count


def without(span: Span, gaps: Iterable[Span]) -> list[Span]:
    """What is left of a span between the gaps."""
    left, (at, end) = [], span
    for first, last in sorted(gaps):
        if at < min(first, end):
            left.append((at, min(first, end)))
        at = max(at, last)
    return [*left, (at, end)] if at < end else left


def together(spans: Iterable[Span]) -> list[Span]:
    """The times that are in any of the spans."""
    merged: list[Span] = []
    for begin, end in sorted(spans):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged
