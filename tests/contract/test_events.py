"""`aio.on(...)`: what handlers are told of real calls, and handlers that behave badly."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from aio_llm import (
    AIO,
    AIOError,
    CancelToken,
    ConfigError,
    FakeClock,
    RequestCancelledError,
    ServerError,
)
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO
from tests.contract.support import VENDORS

EVENTS = (
    "attempt_failed", "request_completed", "request_failed", "key_disabled", "circuit_opened",
    "circuit_closed", "alert",
)  # fmt: skip
HOUR = 3600.0


def listen(aio: AIO, *names: str) -> list[Any]:
    """What is told of these events from now on."""
    told: list[Any] = []
    for name in names:
        aio.on(name, told.append)
    return told


def fail(aio: AIO, times: int = 1, **options: Any) -> None:
    """Calls whose end is not what matters."""
    for _ in range(times):
        with suppress(AIOError):
            aio.chat_completion("hello", **options)


# Events


def test_a_failed_attempt_is_told_as_the_trail_has_it(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", "cerebras")
    told = listen(aio, "attempt_failed")
    sim.inject("429_retry_after", vendor="groq", seconds=90)

    answer = aio.chat_completion("hello", request_id="mine")

    (event,), step = told, answer.attempts[0]
    assert (event.name, event.request_id, event.attempt) == ("attempt_failed", "mine", 1)
    assert (event.provider, event.model, event.key) == (step.provider, step.model, step.key)
    assert (event.category, event.kind, event.status) == ("rate_limit", "minute_limit", 429)
    assert (event.message, event.latency) == (step.message, step.latency)
    assert (event.retry_after, event.cooled_for) == (step.retry_after, step.cooled_for)
    assert event.retry_after == 90


@pytest.mark.parametrize("stream", [False, True], ids=["call", "stream"])
def test_a_completed_request_is_told_as_the_answer_has_it(
    stream: bool, sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio("groq", "openrouter")
    told = listen(aio, "request_completed", "request_failed")
    sim.inject("503", vendor="groq")

    if stream:
        answer = aio.chat_completion_stream("hello", metadata={"team": "red"}).response
    else:
        answer = aio.chat_completion("hello", metadata={"team": "red"})

    ((event, usage),) = [(event, answer.usage) for event in told]
    assert (event.name, event.stream) == ("request_completed", stream)
    assert (event.provider, event.model, event.key) == (
        answer.provider, answer.attempts[-1].model, answer.key,
    )  # fmt: skip
    assert usage is not None
    assert (event.prompt_tokens, event.completion_tokens, event.cost) == (
        usage.prompt_tokens, usage.completion_tokens, usage.cost,
    )  # fmt: skip
    assert (event.attempts, event.fallback, event.metadata) == (2, True, {"team": "red"})
    assert event.request_id == answer.request_id
    assert 0 < event.latency <= answer.latency + 1
    assert (event.first_token is None) is not stream


def test_a_stream_is_completed_when_it_has_been_read(make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    told = listen(aio, "request_completed")

    with aio.chat_completion_stream("hello") as stream:
        next(stream)
        before = len(told)
        for _ in stream:
            pass

    assert (before, len(told)) == (0, 1)


def test_a_failed_request_is_told_with_what_is_raised(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", max_retries=0)
    told = listen(aio, "request_completed", "request_failed")
    sim.inject("503")

    with pytest.raises(ServerError) as caught:
        aio.chat_completion("hello", request_id="mine")

    (event,) = told
    assert (event.name, event.request_id, event.category) == ("request_failed", "mine", "server")
    assert (event.error, event.message) == ("ServerError", str(caught.value))
    assert (event.attempts, event.cancelled) == (1, False)


def test_a_cancelled_request_is_told_as_cancelled(make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    told = listen(aio, "request_failed", "attempt_failed")
    token = CancelToken()
    token.cancel()

    with pytest.raises(RequestCancelledError):
        aio.chat_completion("hello", cancel=token)
    with aio.chat_completion_stream("hello") as stream:
        next(stream)

    assert [(event.name, event.cancelled, event.stream) for event in told] == [
        ("request_failed", True, False),
        ("request_failed", True, True),
    ]


def test_a_disabled_key_is_told_once(sim: Simulator, make_aio: MakeAIO, clock: FakeClock) -> None:
    aio = make_aio("groq", "cerebras", clock=clock)
    told = listen(aio, "key_disabled")
    sim.inject("401", vendor="groq")

    for _ in range(5):
        fail(aio)
        clock.advance(HOUR + 1)

    (event,) = told
    row = aio.get_key_stats("groq")["keys"][0]
    assert (event.provider, event.key, event.reason) == ("groq", row["key"], row["reason"])
    assert row["state"] == "disabled"


def test_a_breaker_tells_when_it_opens_and_when_it_closes(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", clock=clock, max_wait=0)
    told = listen(aio, "circuit_opened", "circuit_closed")
    rule = sim.inject("503")
    fail(aio, 3)
    opened = [(event.name, event.provider) for event in told]
    rule.remove()

    for _ in range(4):
        clock.advance(61)
        fail(aio)

    assert opened == [("circuit_opened", "groq")]
    assert [event.name for event in told] == ["circuit_opened", "circuit_closed"]
    assert (told[0].failures, told[0].model) == (5, sim.models("groq")[0])
    assert told[0].open_for > 0
    assert told[1].model == told[0].model


def test_nothing_is_told_after_unsubscribing(make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    told: list[object] = []
    stop = aio.on("request_completed", told.append)
    aio.chat_completion("hello")

    stop()
    aio.chat_completion("hello")

    assert len(told) == 1


def test_a_misspelt_event_is_a_configuration_error(make_aio: MakeAIO) -> None:
    with pytest.raises(ConfigError, match="did you mean 'request_failed'"):
        make_aio("groq").on("request_fail", print)


def test_no_event_shows_a_key(sim: Simulator, make_aio: MakeAIO, clock: FakeClock) -> None:
    aio = make_aio("groq", "cerebras", keys=2, clock=clock, alerts={"min_requests": 1})
    told = listen(aio, *EVENTS)
    sim.inject("401", vendor="groq")
    sim.inject("500", vendor="cerebras", times=3)

    for _ in range(4):
        fail(aio)
        clock.advance(HOUR + 1)

    assert {event.name for event in told} >= {"attempt_failed", "key_disabled", "alert"}
    assert not any(key in repr(told) for vendor in VENDORS for key in sim.keys(vendor))


# Handlers


def provoke(aio: AIO, sim: Simulator) -> None:
    """A failed attempt, an answer, a failed call, and alerts."""
    sim.inject("503", vendor="groq", times=1)
    fail(aio)
    rule = sim.inject("400", text="hello")
    fail(aio)
    rule.remove()


def test_a_handler_that_raises_changes_no_call_and_is_logged_once(
    sim: Simulator, make_aio: MakeAIO, log: list[str]
) -> None:
    aio = make_aio("groq", "cerebras")

    def broken(event: object) -> None:
        raise ValueError("the handler is broken")

    aio.on("request_completed", broken)
    for number in range(3):
        assert aio.chat_completion(f"hello {number}").content
    with aio.chat_completion_stream("hello") as stream:
        assert [chunk.done for chunk in stream][-1]

    assert len([line for line in log if "the handler is broken" in line]) == 1
    assert sim.count() == 4


def test_a_handler_may_call_the_object_that_tells_it(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    told: list[str] = []

    def again(event: Any) -> None:
        told.append(aio.chat_completion("and again?").content)

    aio.on("request_completed", again)
    aio.chat_completion("hello")

    assert len(told) == 1
    assert sim.count() == aio.get_metrics()["successes"] == 2


USES: dict[str, Callable[[AIO], object]] = {
    "calls": lambda aio: aio.chat_completion("from the handler", provider="cerebras"),
    "statistics": lambda aio: aio.get_key_stats(),
    "metrics": lambda aio: aio.get_metrics(),
    "explanations": lambda aio: aio.explain("hello"),
    "switches": lambda aio: aio.reset_daily_counters(),
}


@pytest.mark.parametrize("use", USES)
def test_no_lock_is_held_while_handlers_are_told(
    use: str, sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio("groq", "cerebras", alerts={"min_requests": 1})
    told: list[tuple[str, bool]] = []
    inside = threading.local()

    def from_another_thread() -> None:
        inside.yes = True
        USES[use](aio)

    def handler(event: Any) -> None:
        if getattr(inside, "yes", False):
            return  # the handler's own call
        thread = threading.Thread(target=from_another_thread, daemon=True)
        thread.start()
        thread.join(2)
        told.append((event.name, thread.is_alive()))

    for name in EVENTS:
        aio.on(name, handler)
    provoke(aio, sim)

    assert {name for name, _ in told} >= {
        "attempt_failed", "request_completed", "request_failed", "alert",
    }  # fmt: skip
    assert not any(is_stuck for _, is_stuck in told)


def test_a_slow_handler_holds_up_its_own_call_only(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    busy, go_on = threading.Event(), threading.Event()

    def slow(event: Any) -> None:
        if event.request_id == "slow":
            busy.set()
            go_on.wait(10)

    aio.on("request_completed", slow)
    thread = threading.Thread(
        target=aio.chat_completion, args=("hello",), kwargs={"request_id": "slow"}
    )
    thread.start()
    assert busy.wait(5)
    answer = aio.chat_completion("hello", request_id="swift")
    is_still_told = thread.is_alive()
    go_on.set()
    thread.join()

    assert answer.content
    assert is_still_told
