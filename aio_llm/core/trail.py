"""What one call has been through: its attempts, and what follows from them for this call only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aio_llm.core.backoff import Backoff
from aio_llm.core.recent import Size
from aio_llm.core.routing import Lane

if TYPE_CHECKING:
    from aio_llm.types import Attempt


class Demand:
    """What a call asks of quotas. `count` gives the tokens of its prompt, once, when somebody
    wants to know; `max_tokens`: the most it may be answered with, None if it does not say.
    """

    __slots__ = ("_count", "_prompt", "max_tokens")

    def __init__(self, count: Callable[[], int], max_tokens: int | None) -> None:
        self._count = count
        self._prompt: int | None = None
        self.max_tokens = max_tokens

    @property
    def prompt(self) -> int:
        """Estimated tokens of the prompt."""
        if self._prompt is None:
            self._prompt = self._count()
        return self._prompt

    @property
    def least(self) -> tuple[int, int]:
        """Tokens of the prompt, and with the answer; what is not known counts as large."""
        if self.max_tokens is None:
            return self.prompt, self.prompt + UNBOUNDED
        return self.prompt, self.prompt + self.max_tokens


def smallest(demands: Sequence[Demand]) -> Demand:
    """What none of `demands` is smaller than, in the prompt or in the answer."""
    prompt = min(demand.prompt for demand in demands)
    answers = {demand.max_tokens for demand in demands}
    if answers == {None}:
        return Demand(lambda: prompt, None)
    return Demand(lambda: prompt, min(most or 0 for most in answers))


UNBOUNDED = 10**6
"""Tokens an answer without a limit is taken for when calls are compared."""

NO_DEMAND = Demand(lambda: 0, 0)


@dataclass(slots=True)
class Trail:
    """`excluded`: lanes this request can do nothing with. `avoided`: providers that just
    failed it; asked again only when there is nobody else. `waited`: seconds spent waiting
    for capacity. `sizes`: what the call is expected to cost on each lane. `session`: who
    answered its last call is asked first.
    """

    started: float
    demand: Demand = NO_DEMAND
    sizes: dict[Lane, Size] = field(default_factory=dict)
    attempts: list[Attempt] = field(default_factory=list)
    tries: dict[tuple[Lane, int], int] = field(default_factory=dict)
    setbacks: dict[Lane, int] = field(default_factory=dict)
    retry_at: dict[Lane, float] = field(default_factory=dict)
    excluded: set[Lane] = field(default_factory=set)
    avoided: set[str] = field(default_factory=set)
    waited: float = 0.0
    session: str | None = None

    def tried(self, lane: Lane, key: int) -> None:
        """One more attempt at this target."""
        self.tries[lane, key] = self.tries.get((lane, key), 0) + 1

    def not_counted(self, lane: Lane, key: int) -> None:
        """The last attempt was refused for want of capacity: waiting is bounded, not tries."""
        self.tries[lane, key] -= 1

    def set_back(self, lane: Lane, now: float, backoff: Backoff, random: float) -> None:
        """`lane` failed; this call may try it again after a delay with full jitter."""
        self.setbacks[lane] = self.setbacks.get(lane, 0) + 1
        self.retry_at[lane] = now + backoff.delay(self.setbacks[lane], lambda: random)

    def not_before(self, lane: Lane, moment: float) -> None:
        """The vendor said when: trying `lane` earlier is for nothing."""
        self.retry_at[lane] = max(self.retry_at[lane], moment)

    def spent(self, lane: Lane, max_retries: int) -> frozenset[int]:
        """Keys this call has tried on `lane` as often as it may."""
        if not self.tries:
            return frozenset()
        return frozenset(k for (at, k), n in self.tries.items() if at is lane and n > max_retries)

    def is_spent(self, lane: Lane, max_retries: int) -> bool:
        """This call has failed on `lane` as often as it may."""
        return self.setbacks.get(lane, 0) > max_retries

    def again_at(self, lane: Lane) -> float:
        """From when this call may pass over a back-off of `lane`; -inf if it never tried it."""
        return self.retry_at.get(lane, -math.inf)
