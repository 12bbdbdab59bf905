"""The rule of one limit as data, and the window that counts by it."""

from __future__ import annotations

from dataclasses import dataclass

from aio_llm.quota.calendar import Calendar, Days, Grid
from aio_llm.quota.windows import Bucket, Fixed, Sliding, Window

UTC = "UTC"

DAY = 86_400.0

PACED_BURST = 0.1
"""Even pacing lets a tenth of the limit through at once, and takes as much off the rate."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The rule of one limit. `kind`: bucket, fixed, sliding or paced. `phase`: seconds a fixed
    window begins after the wall's. `unit`: index into a `Size`. `keeps_estimate`: what was
    reserved is what the vendor counts. `source`: how the limit is known.
    """

    kind: str = "sliding"
    burst: float = 1.0
    phase: float = 0.0
    zone: str = UTC
    unit: int = 0
    keeps_estimate: bool = False
    limit: float | None = None
    source: str = ""


def rate(shape: Shape, limit: float) -> float:
    """What the window of a limit lets through per period: even pacing leaves out its burst."""
    return max(1.0, limit * (1 - shape.burst)) if shape.kind == "paced" else limit


def make_window(shape: Shape, limit: float, period: float, offset: float) -> Window:
    """An empty window. `period` in seconds; `offset`: epoch seconds minus the clock's."""
    if shape.kind in ("bucket", "paced"):
        return Bucket(rate(shape, limit), period, shape.burst)
    if shape.kind == "fixed":
        return Fixed(limit, period, _calendar(shape, period, offset))
    return Sliding(limit, period)


def _calendar(shape: Shape, period: float, offset: float) -> Calendar:
    if period == DAY:
        return Days(shape.zone, offset)
    return Grid(period, offset, shape.phase)
