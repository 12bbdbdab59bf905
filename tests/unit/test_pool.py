"""The pool against a model of it: whatever has happened, the best ready key is picked."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from aio_llm.core.pool import KeyPool, Rank

INDEX = st.integers(0, 7)
SKIP = st.frozensets(INDEX, max_size=4)


@dataclass
class Key:
    """A key of the model; `ready_at` as in the pool."""

    index: int
    priority: int
    requests: int = 0
    ready_at: float = -math.inf

    @property
    def rank(self) -> Rank:
        """Best first."""
        return (-self.priority, self.requests, 0, self.index)


class PoolMachine(RuleBasedStateMachine):
    """Random histories of a pool of eight keys."""

    @initialize(priorities=st.lists(st.integers(0, 2), min_size=8, max_size=8))
    def begin(self, priorities: list[int]) -> None:
        self.now = 0.0
        self.keys = [Key(index, priority) for index, priority in enumerate(priorities)]
        self.pool = KeyPool(self.keys, lambda key, now, size: key.ready_at)

    def ready(self, skip: frozenset[int]) -> list[Key]:
        """The keys that may be picked, in the order of the configuration."""
        return [k for k in self.keys if k.ready_at <= self.now and k.index not in skip]

    @rule(skip=SKIP)
    def use_the_best(self, skip: frozenset[int]) -> None:
        best = min(self.ready(skip), key=lambda key: key.rank, default=None)

        assert self.pool.pick(self.now, skip) is best
        if best is not None:
            best.requests += 1

    @rule(skip=SKIP)
    def ask_when_the_next_wakes(self, skip: frozenset[int]) -> None:
        found = self.pool.pick(self.now, skip)

        waiting = [k.ready_at for k in self.keys if k.ready_at > self.now and k.index not in skip]
        if found is None:
            assert self.pool.earliest(self.now, skip)[0] == min(waiting, default=math.inf)

    @rule(index=INDEX, seconds=st.sampled_from((1.0, 5.0, 60.0, math.inf)))
    def rest(self, index: int, seconds: float) -> None:
        key = self.keys[index]
        key.ready_at = max(key.ready_at, self.now + seconds)

    @rule(index=INDEX, seconds=st.sampled_from((-math.inf, 0.0, 2.0)))
    def wake_early(self, index: int, seconds: float) -> None:
        key = self.keys[index]
        key.ready_at = min(key.ready_at, self.now + seconds)
        self.pool.renew(index)

    @rule(index=INDEX)
    def refund(self, index: int) -> None:
        key = self.keys[index]
        key.requests = max(0, key.requests - 1)
        self.pool.renew(index)

    @rule(seconds=st.sampled_from((0.5, 1.0, 5.0, 100.0)))
    def let_time_pass(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def begin_a_new_day(self) -> None:
        for key in self.keys:
            key.requests = 0
        self.pool.rebuild()

    @invariant()
    def nothing_ready_is_lost(self) -> None:
        if hasattr(self, "pool"):
            assert (self.pool.pick(self.now) is None) == (not self.ready(frozenset()))


PoolMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, derandomize=True, database=None
)
TestTheBestReadyKeyIsPicked = PoolMachine.TestCase
