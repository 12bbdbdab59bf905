"""What a run must reach, and the table of all runs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tests.quota.worlds import WORLDS

from .quota_run import Result
from .table import machine

HEADER = (
    "", "client", "goodput ÷ quota", "refused", "lost", "into faults", "back s", "wait p50 s",
    "wait p99 s", "inversions", "CPU ms/answer", "",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """Bounds of one scenario; `refused` and `faulted` in calls, `wait` as (p50, p99) in seconds,
    `back` in seconds, `inverted` as a share.
    """

    goodput: float = 0.0
    refused: float = 0.0
    lost: int = 0
    faulted: float = math.inf
    back: float = math.inf
    wait: tuple[float, float] = (math.inf, math.inf)
    inverted: float = 1.0

    def missed(self, result: Result) -> list[str]:
        """What it did not reach."""
        usage, back = result.usage, result.usage["back"]
        checks = {
            "goodput": result.goodput >= self.goodput,
            "refused": result.refused <= self.refused,
            "lost": result.outcome.failed <= self.lost,
            "faults": usage["faulted"] <= self.faulted,
            "back": back is None or back <= self.back,
            "p50": result.waited(0.5) <= self.wait[0],
            "p99": result.waited(0.99) <= self.wait[1],
            "inversions": result.inverted <= self.inverted,
        }
        return [name for name, reached in checks.items() if not reached]


_LEARNT = 1.5 * 18 + 4 * 6
"""Refusals that finding out the limits may cost: three vendors that tell, one that does not."""

TARGETS = {
    "a": Target(0.975),
    "b": Target(0.97, refused=_LEARNT),
    "b again": Target(0.97),
    "c": Target(0.96, faulted=25, back=30.0),
    "c2": Target(0.95, faulted=25, back=30.0),
    "d": Target(0.975, faulted=1 + 32),
    "e": Target(0.975, refused=2),
    "e again": Target(0.975, refused=2),
    "f": Target(0.95),
    "h": Target(0.96),
    "i": Target(wait=(0.010, 0.100), inverted=0.01),
    "z": Target(faulted=150),
    "g2 sqlite": Target(0.96),
    "g4 sqlite": Target(0.96),
    "g2 redis": Target(0.96),
    "g4 redis": Target(0.96),
    "g2 sqlite killed": Target(0.95, refused=math.inf),
    "g2 redis killed": Target(0.95, refused=math.inf),
    "groq": Target(0.97),
    "cerebras": Target(0.97),
    "google-ai": Target(),
    "openrouter": Target(),
}
"""By the label of a case; only ours is held to them."""

SHORTEST = 240.0
"""Seconds of a run from which on the bounds hold."""

_LONGER = {SHORTEST: 0.975, 960.0: 0.99, 3_600.0: 0.995}
"""What goodput must reach in so many seconds, if the limits are known."""


def cells(result: Result) -> tuple[str, ...]:
    """One run, in the order of `HEADER`."""
    usage, outcome = result.usage, result.outcome
    share = result.refused / max(1, usage["calls"])
    back = "" if usage["back"] is None else f"{usage['back']:.0f}"
    return (
        f"{result.case.label}: {WORLDS[result.case.world].about}",
        result.case.contender,
        f"{result.goodput:.3f}",
        f"{result.refused} ({share:.1%})",
        str(outcome.failed),
        str(usage["faulted"] or ""),
        back,
        f"{result.waited(0.5):.3g}",
        f"{result.waited(0.99):.3g}",
        f"{result.inverted:.1%}",
        f"{result.cpu:.1f}",
        verdict(result),
    )


def verdict(result: Result) -> str:
    """What ours has missed. Nothing is asked of others, of runs that are too short, and where
    no preset knows the windows.
    """
    target = TARGETS.get(result.case.label)
    if result.case.contender != "aio_llm" or target is None or result.duration < SHORTEST:
        return ""
    if result.case.label == "a":
        target = replace(target, goodput=_LONGER[max(m for m in _LONGER if m <= result.duration)])
    missed = target.missed(result)
    return f"MISSED: {', '.join(missed)}" if missed else "ok"


def text(results: Iterable[Result]) -> str:
    """Columns for a terminal."""
    lines = [HEADER, *map(cells, results)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEADER))]
    drawn = ["  ".join(c.ljust(widths[at]) for at, c in enumerate(line)) for line in lines]
    return "\n".join([*(line.rstrip() for line in drawn), "", machine()])


def markdown(results: Iterable[Result]) -> str:
    """A table for the README."""
    lines: list[Sequence[str]] = [HEADER, ("---",) * len(HEADER), *map(cells, results)]
    return "\n".join([*(f"| {' | '.join(line)} |" for line in lines), "", machine()])
