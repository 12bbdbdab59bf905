"""What the rules choose as calls come and go: in virtual time, with chance handed in."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from aio_llm import FakeClock
from aio_llm.cancel import CancelScope
from aio_llm.config import Settings, read_settings
from aio_llm.core.expected import expected
from aio_llm.core.key_state import Lease
from aio_llm.core.routing import Route, Router
from aio_llm.core.rules import REMEASURE, RULES
from aio_llm.core.scheduler import Scheduler
from aio_llm.core.trail import Trail
from aio_llm.faults import Fault, Kind, Scope

NEVER = 0.5
"""A draw with which nobody is measured again."""


def configured(*providers: dict[str, Any]) -> Settings:
    """Settings with these providers, each with one key and one model unless it says more."""
    plain = {"provider": "groq", "api_keys": ["k"], "models": ["m"]}
    return read_settings({"providers": [plain | entry for entry in providers], "auto_mode": True})


class Desk:
    """A scheduler, and one way of routing through it."""

    def __init__(
        self,
        settings: Settings,
        rule: str,
        chance: Callable[[], float] = lambda: NEVER,
        **question: Any,
    ) -> None:
        self.clock = FakeClock()
        self.scheduler = Scheduler(settings, self.clock, chance)
        self.router = Router(settings)
        self.route = self.routed(rule, **question)

    def routed(self, rule: str, model: str | None = None, *, fallback: bool = False) -> Route:
        """The route of a question."""
        return self.router.route(None, model, auto=True, fallback=fallback, routing=rule)

    def take(self, trail: Trail | None = None) -> Lease:
        """A target that is free now."""
        taken = self.scheduler.take(self.route, trail or Trail(0.0), CancelScope())
        assert isinstance(taken, Lease)
        return taken

    def call(self, seconds: dict[str, float]) -> str:
        """Who answers one call, in so many seconds for each provider."""
        lease = self.take()
        self.clock.advance(seconds[lease.lane.provider])
        self.scheduler.succeed(lease)
        return lease.lane.provider

    def refused(self, trail: Trail) -> tuple[str, str, int]:
        """Who refuses one attempt of a call for hours."""
        lease = self.take(trail)
        hours = Fault(Kind.MINUTE_LIMIT, Scope.KEY_MODEL, "no", 429, 9999.0, True)
        self.scheduler.settle(lease, hours, trail, sent=True)
        return lease.lane.provider, lease.lane.model, lease.key.index


TWO = ({"name": "a", "priority": 1}, {"name": "b"})


def test_the_fastest_is_asked_once_all_have_been_tried() -> None:
    desk = Desk(configured(*TWO, {"name": "c"}), "fastest")
    seconds = {"a": 3.0, "b": 1.0, "c": 2.0}

    asked = [desk.call(seconds) for _ in range(8)]

    assert asked == ["a", "b", "c", *"bbbbb"]


def test_a_target_that_has_become_fast_comes_back() -> None:
    draws = iter([NEVER] * 4 + [REMEASURE / 2, NEVER, NEVER] * 12)
    desk = Desk(configured(*TWO), "fastest", lambda: next(draws))
    slow, quick = {"a": 9.0, "b": 1.0}, {"a": 0.1, "b": 1.0}

    before = [desk.call(slow) for _ in range(4)]
    after = [desk.call(quick) for _ in range(36)]

    assert before == ["a", "b", "b", "b"]
    assert after[:3] == ["a", "b", "b"]
    assert after[-3:] == ["b", "a", "a"]  # now the slower one is the one to be measured


def test_one_that_was_tried_and_did_not_answer_is_asked_after_those_that_did() -> None:
    desk = Desk(configured(*TWO), "fastest")
    desk.scheduler.give_up(desk.take(), sent=True)

    assert [desk.call({"a": 0.1, "b": 5.0}) for _ in range(3)] == ["b", "b", "b"]


def test_a_stream_is_as_fast_as_its_first_output_however_long_it_is_read() -> None:
    desk = Desk(configured(*TWO), "fastest")
    first = desk.take()
    desk.clock.advance(0.2)
    desk.scheduler.begun(first)
    desk.call({"b": 1.0})
    desk.clock.advance(500.0)
    desk.scheduler.succeed(first)

    assert desk.call({"a": 0.2}) == "a"


def test_calls_under_way_count_by_the_keys_that_are_in_use() -> None:
    three = {"api_keys": ["k1", "k2", "k3"]}
    desk = Desk(configured({"name": "a", **three}, {"name": "b"}), "least_busy")
    out = [desk.take() for _ in range(8)]
    off = [key for key in desk.scheduler.keys.keys("a") if key.index]
    for key in off:
        desk.scheduler.keys.switch(key, on=False)
    desk.scheduler.succeed(next(lease for lease in out if lease.lane.provider == "b"))
    after = [desk.take().lane.provider for _ in range(2)]

    assert Counter(lease.lane.provider for lease in out) == {"a": 6, "b": 2}
    assert after == ["b", "b"]


def test_a_stream_that_is_being_read_keeps_its_target_busy() -> None:
    desk = Desk(configured(*TWO), "least_busy")
    stream = desk.take()
    desk.scheduler.begun(stream)

    assert (stream.lane.provider, desk.take().lane.provider) == ("a", "b")


def test_each_lane_in_turn_then_each_key() -> None:
    keys = {"api_keys": ["k1", "k2"], "models": ["m", "n"]}
    desk = Desk(configured({"name": "a", **keys}, {"name": "b"}), "round_robin")
    taken = [desk.take() for _ in range(12)]

    lanes = [lease.lane.name for lease in taken]
    assert lanes == ["a/m", "a/n", "b/m"] * 4
    assert Counter(lease.key.index for lease in taken if lease.lane.provider == "a") == {0: 4, 1: 4}


def test_a_lane_that_was_used_otherwise_has_had_its_turn() -> None:
    desk = Desk(configured(*TWO, {"name": "c"}), "round_robin")
    named = desk.routed("round_robin", "b/m")
    lease = desk.scheduler.take(named, Trail(0.0), CancelScope())

    assert isinstance(lease, Lease)
    assert [desk.take().lane.provider for _ in range(4)] == ["a", "c", "b", "a"]


def test_calls_are_shared_by_weight() -> None:
    entries = ({"name": "a", "weight": 3, "priority": 9}, {"name": "b", "weight": 1})
    chance = random.Random(3)
    desk = Desk(configured(*entries), "weighted", chance.random)

    counted = Counter(desk.take().lane.provider for _ in range(2000))

    assert counted["a"] == pytest.approx(1500, abs=58)  # three standard deviations


def test_who_cannot_answer_now_leaves_its_share_to_the_others() -> None:
    entries = ({"name": "a", "weight": 1000}, {"name": "b", "weight": 3}, {"name": "c"})
    chance = random.Random(3)
    desk = Desk(configured(*entries), "weighted", chance.random)
    desk.scheduler.keys.switch(next(desk.scheduler.keys.keys("a")), on=False)

    counted = Counter(desk.take().lane.provider for _ in range(2000))

    assert counted["a"] == 0
    assert counted["b"] == pytest.approx(1500, abs=58)


@pytest.mark.parametrize("rule", RULES)
def test_only_targets_that_are_free_are_taken(rule: str) -> None:
    limited = {"models": [{"model_id": "m", "max_concurrent": 2}]}
    entries = ({"name": name, **limited} for name in "abc")
    chance = random.Random(5)
    desk = Desk(configured(*entries), rule, chance.random)

    taken = Counter(desk.take().lane.provider for _ in range(6))
    seventh = desk.scheduler.take(desk.route, Trail(0.0), CancelScope())

    assert taken == {"a": 2, "b": 2, "c": 2}
    assert not isinstance(seventh, Lease)


@pytest.mark.parametrize("rule", RULES)
def test_what_is_named_comes_before_what_is_left_for_fallback(rule: str) -> None:
    models = {"models": [{"model_id": "m", "input_price": 9, "output_price": 9}]}
    dear = {"name": "dear", "weight": 1e-9, **models}
    entries = (dear, {"name": "cheap", "weight": 1e9, "priority": 5})
    desk = Desk(configured(*entries), rule, model="dear/m", fallback=True)
    desk.call({"dear": 5.0})

    assert [desk.take().lane.provider for _ in range(3)] == ["dear"] * 3


PRICED = (
    {"name": "a", "priority": 2, "weight": 2, "api_keys": ["1", "2"],
     "models": [{"model_id": "m", "input_price": 3, "output_price": 3, "weight": 0.5}, "n"]},
    {"name": "b", "priority": 1, "weight": 7, "api_keys": ["3", "4"],
     "models": [{"model_id": "m", "input_price": 1, "output_price": 1}]},
    {"name": "c", "api_keys": ["5", {"key": "6", "priority": 3}, "7"],
     "models": [{"model_id": "m", "input_price": 1, "output_price": 1}, "n"]},
)  # fmt: skip


@pytest.mark.parametrize("used", [0, 1, 5])
@pytest.mark.parametrize("rule", ["priority", *RULES])
def test_the_expected_order_is_what_a_call_sees_if_everybody_refuses_it(
    rule: str, used: int
) -> None:
    desk = Desk(configured(*PRICED), rule)
    for _ in range(used):
        desk.call({"a": 3.0, "b": 1.0, "c": 2.0})
    keys, now = desk.scheduler.keys, desk.clock.now()
    keys.switch(next(keys.keys("a")), on=False)
    out = {(lane, 0) for lane in desk.route.lanes if lane.provider == "a"}

    told = [
        (lane.provider, lane.model, key.index)
        for lane, key in expected(desk.scheduler.choose, desk.route, Trail(now), now, out)
    ]
    trail = Trail(now)

    assert [desk.refused(trail) for _ in told] == told
    assert len(told) == 2 + 2 + 6
    assert not isinstance(desk.scheduler.take(desk.route, trail, CancelScope()), Lease)
