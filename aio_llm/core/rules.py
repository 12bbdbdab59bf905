"""Rules of routing beside priority: which lanes are asked before which, as things stand now.

A rule is one function. It puts lanes into tiers, best first, lanes of one tier being equals, and
looks at nothing but the `View` it is handed; it does not know which lanes are free. The first
that is free takes the call, so no rule makes a call wait or sends it where it would be refused.
Priority is no rule here: its order never changes and is part of the route.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from aio_llm.core.routing import Lane, Route, by_priority

Tiers = Sequence[tuple[Lane, ...]]

REMEASURE = 1 / 20
"""The share of choices by which `fastest` measures a lane that is not the fastest."""


class View(Protocol):
    """What rules may look at: what is known of each lane at the moment of choosing."""

    def price(self, lane: Lane) -> float:
        """USD per million tokens of this request; inf if unknown."""

    def latency(self, lane: Lane) -> float:
        """Seconds until an answer, moving average; inf before any."""

    def tried(self, lane: Lane) -> bool:
        """Whether any call has ever gone there."""

    def load(self, lane: Lane) -> float:
        """Calls under way per key."""

    def turn(self, lane: Lane) -> int:
        """A number that grows: when the lane was given its last call, 0 if never."""

    def random(self) -> float:
        """Chance, in [0, 1)."""


Rule = Callable[[Sequence[Lane], View], Tiers]


def cheapest(lanes: Sequence[Lane], view: View) -> Tiers:
    """The lowest price per token first, unknown prices last; then by priority."""
    return _least_first(lanes, view.price)


def fastest(lanes: Sequence[Lane], view: View) -> Tiers:
    """The lowest average latency first; then by priority. A lane that was never tried comes
    before all others, once; one that was and never answered, after them. By chance another
    than the fastest is measured again, so that what was slow once can come back: without that
    the average of a lane nobody asks would never change (the epsilon-greedy rule; Sutton and
    Barto, Reinforcement Learning, 2.2).
    """
    new = by_priority([lane for lane in lanes if not view.tried(lane)])
    known = _least_first([lane for lane in lanes if view.tried(lane)], view.latency)
    others = [lane for tier in known[1:] for lane in tier]
    drawn = view.random() / REMEASURE
    if new or not others or drawn >= 1.0:
        return [*new, *known]
    return _with_first(others[int(drawn * len(others))], known)


def least_busy(lanes: Sequence[Lane], view: View) -> Tiers:
    """The fewest calls under way for each of its keys first; then by priority."""
    return _least_first(lanes, view.load)


def round_robin(lanes: Sequence[Lane], view: View) -> Tiers:
    """The lane whose last call was given longest ago first; new ones by priority."""
    return [(lane,) for lane in sorted(lanes, key=lambda lane: (view.turn(lane), *_rank(lane)))]


def weighted(lanes: Sequence[Lane], view: View) -> Tiers:
    """By chance, so that each of the lanes that are free comes first in proportion to its weight.

    Each lane draws an exponential time at the rate of its weight, and the earliest comes first:
    among any of them, the chance to be earliest is weight by sum of weights (Efraimidis and
    Spirakis, Weighted random sampling with a reservoir, 2006).
    """
    drawn = {lane: -math.log(1.0 - view.random()) / lane.weight for lane in lanes}
    return [(lane,) for lane in sorted(lanes, key=lambda lane: (drawn[lane], *_rank(lane)))]


RULES: Mapping[str, Rule] = {
    "cheapest": cheapest,
    "fastest": fastest,
    "least_busy": least_busy,
    "round_robin": round_robin,
    "weighted": weighted,
}


def in_order(route: Route, view: View) -> Tiers:
    """The lanes of `route` by its rule, stage by stage."""
    rule = RULES[route.rule]
    return [tier for stage in route.stages for tier in rule(stage, view)]


def _rank(lane: Lane) -> tuple[int, int]:
    return (-lane.provider_priority, -lane.model_priority)


def _least_first(lanes: Sequence[Lane], figure: Callable[[Lane], float]) -> Tiers:
    """Lanes in tiers of the same figure and priority."""
    tiers: dict[tuple[float, int, int], list[Lane]] = {}
    for lane in lanes:
        tiers.setdefault((figure(lane), *_rank(lane)), []).append(lane)
    return [tuple(tiers[place]) for place in sorted(tiers)]


def _with_first(first: Lane, tiers: Tiers) -> Tiers:
    """The same tiers with one lane before all others."""
    rest = [tuple(lane for lane in tier if lane is not first) for tier in tiers]
    return [(first,), *(tier for tier in rest if tier)]
