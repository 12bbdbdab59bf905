"""Before any output a call falls over to who can answer, and remembers who could not."""

from __future__ import annotations

import time
from typing import Any

import pytest

from aio_llm import ContentFilterError, FakeClock, InvalidRequestError
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO
from tests.faults.conftest import Stage
from tests.faults.scene import Scene, ask, healthy_text, quickest

AT_ONCE = 0.5  # seconds

NEXT: list[tuple[str, dict[str, Any]]] = [
    ("429", {}),
    ("429_retry_after", {"seconds": 30}),
    ("429_vendor_reset", {"seconds": 432.5}),
    ("429_day", {}),
    ("insufficient_quota", {}),
    ("402", {}),
    ("401", {}),
    ("403", {}),
    ("html_403", {}),
    ("404", {}),
    ("decommissioned", {}),
    ("500", {}),
    ("502", {}),
    ("503", {}),
    ("529", {}),
    ("reset", {}),
    ("close", {}),
    ("wrong_length", {}),
    ("error_in_200", {}),
    ("html_200", {}),
    ("empty_200", {}),
    ("truncated_json", {}),
    ("no_choices", {}),
    ("empty_content", {}),
    ("redirect", {}),
]
NEXT_STREAM: list[tuple[str, dict[str, Any]]] = [
    ("sse_error_first", {}),
    ("done_only", {}),
    ("json_instead_of_sse", {}),
    ("comments_then_error", {"seconds": 0.1}),
    ("role_then_cut", {}),
]
STOP = ["400", "422", "content_filter"]


def names(rows: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """The faults as test ids."""
    return [fault for fault, _ in rows]


def check_the_second_answers(scene: Scene) -> None:
    """First call: both are asked, in order. Second call: only the healthy one."""
    first, second = scene.ask("one"), scene.ask("two")
    trail = [(step.provider, step.outcome == "ok") for step in first.attempts]

    assert first.content == healthy_text(scene.sim, scene.second, "one")
    assert second.content == healthy_text(scene.sim, scene.second, "two")
    assert trail == [(scene.first, False), (scene.second, True)]
    assert [step.provider for step in second.attempts] == [scene.second]
    assert scene.arrived == (1, 2)


def check_without_waiting(
    fault: str, params: dict[str, Any], stage: Stage, clock: FakeClock
) -> None:
    """The same, and nobody slept."""
    scene = stage(clock=clock)
    scene.fail(fault, **params)

    check_the_second_answers(scene)

    assert clock.slept == []


@pytest.mark.parametrize(("fault", "params"), NEXT, ids=names(NEXT))
def test_the_next_answers_at_once_and_the_first_is_left_alone(
    fault: str, params: dict[str, Any], stage: Stage, clock: FakeClock
) -> None:
    check_without_waiting(fault, params, stage, clock)


@pytest.mark.parametrize("fault", ["429", "429_retry_after", "401", "500", "reset"])
def test_falling_over_takes_no_time(fault: str, stage: Stage) -> None:
    def measure() -> float:
        scene = stage()
        scene.sim.clear()
        scene.fail(fault)
        scene.aio.warmup()
        began = time.perf_counter()
        check_the_second_answers(scene)
        return time.perf_counter() - began

    assert quickest(measure, enough=AT_ONCE) < AT_ONCE


@pytest.mark.parametrize("mode", ["stream"])
@pytest.mark.parametrize(("fault", "params"), NEXT_STREAM, ids=names(NEXT_STREAM))
def test_a_stream_that_fails_before_its_first_content_falls_over_unseen(
    fault: str, params: dict[str, Any], stage: Stage, clock: FakeClock
) -> None:
    check_without_waiting(fault, params, stage, clock)


@pytest.mark.parametrize("fault", STOP)
def test_what_is_wrong_with_the_request_is_nobody_elses_business(fault: str, stage: Stage) -> None:
    scene = stage()
    scene.fail(fault)
    expected = ContentFilterError if fault == "content_filter" else InvalidRequestError

    for times in (1, 2):
        with pytest.raises(expected) as caught:
            scene.ask("refused")

        assert len(caught.value.attempts) == 1
        assert scene.arrived == (times, 0)
    assert [row["errors_in_row"] for row in scene.keys] == [0]


@pytest.mark.parametrize("fault", ["context_length", "413"])
def test_what_is_too_long_for_one_model_goes_to_the_next(fault: str, stage: Stage) -> None:
    scene = stage()
    scene.fail(fault, text="long")

    answers = [scene.ask("long one"), scene.ask("long two")]

    assert [answer.provider for answer in answers] == [scene.second] * 2
    assert scene.arrived in ((2, 2), (1, 2))


@pytest.mark.parametrize("fault", ["context_length", "413"])
def test_a_short_request_still_goes_where_a_long_one_did_not_fit(fault: str, stage: Stage) -> None:
    scene = stage()
    scene.fail(fault, text="long")
    scene.ask("long")

    answer = scene.ask("short")

    assert answer.provider == scene.first
    assert len(answer.attempts) == 1


@pytest.mark.parametrize("fault", ["context_length", "413", "404", "decommissioned"])
def test_the_next_model_may_be_one_of_the_same_vendor(
    fault: str, sim: Simulator, make_aio: MakeAIO, vendor: str, mode: str
) -> None:
    big, small = sim.models(vendor)
    aio = make_aio(
        vendor, overrides={vendor: {"models": [{"model_id": big, "priority": 9}, small]}}
    )
    sim.inject(fault, vendor=vendor, model=big)

    answer = ask(aio, mode)

    assert answer.model == small
    assert [request.model for request in sim.requests] == [big, small]


@pytest.mark.parametrize("fault", ["404", "decommissioned"])
def test_a_model_that_is_not_there_is_said_once_in_the_log(
    fault: str, stage: Stage, log: list[str]
) -> None:
    scene = stage()
    scene.fail(fault)

    for _ in range(3):
        scene.ask()
    model = scene.sim.models(scene.first)[0]
    said = [line for line in log if line.startswith("ERROR") and model in line]

    assert len(said) == 1
    assert scene.arrived == (1, 3)


def test_an_empty_answer_is_given_if_nobody_does_better(stage: Stage, clock: FakeClock) -> None:
    scene = stage(clock=clock)
    scene.sim.inject("empty_content")

    answer = scene.ask()

    assert (answer.content or "") == ""
    assert answer.choices[0].finish_reason == "stop"
    assert scene.arrived == (1, 1)
    assert clock.slept == []


def test_an_empty_answer_of_the_only_vendor_is_no_error(
    sim: Simulator, make_aio: MakeAIO, vendor: str, mode: str
) -> None:
    aio = make_aio(vendor)
    sim.inject("empty_content")

    answer = ask(aio, mode)

    assert (answer.content or "") == ""
    assert answer.choices[0].finish_reason == "stop"


def test_a_key_is_never_sent_where_a_redirect_leads(stage: Stage) -> None:
    scene = stage()
    scene.fail("redirect")

    answer = scene.ask()

    assert answer.provider == scene.second
    assert answer.attempts[0].outcome == "redirect"
    assert scene.sim.trapped == []


def test_the_first_is_asked_again_when_its_rest_is_over(stage: Stage, clock: FakeClock) -> None:
    scene = stage(clock=clock)
    for fault in ("429", "500", "reset", "empty_content"):
        rule = scene.fail(fault)
        failed = scene.ask()
        rule.remove()
        clock.advance(120)
        healed = scene.ask()

        assert [failed.provider, healed.provider] == [scene.second, scene.first], fault
        clock.advance(120)
