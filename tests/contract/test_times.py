"""The four times of a call: the whole, one attempt, between chunks, waiting for capacity."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from aio_llm import (
    AIO,
    FakeClock,
    NetworkError,
    RateLimitError,
    RequestTimeoutError,
    StreamInterruptedError,
)
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO

VENDORS = ("groq", "cerebras", "google-ai", "openrouter")
SLACK = 0.5  # seconds a busy machine may add


@pytest.fixture
def slow() -> Iterator[Simulator]:
    """Vendors that need 40 ms for every piece after the first."""
    with Simulator(chunk_delay=0.04) as running:
        yield running


@pytest.mark.parametrize("stream", [False, True], ids=["call", "stream"])
@pytest.mark.parametrize("vendor", VENDORS)
def test_a_call_ends_when_its_time_is_over(
    vendor: str, stream: bool, sim: Simulator, make_aio: MakeAIO
) -> None:
    sim.inject("hang")
    aio = make_aio(vendor)
    send = aio.chat_completion_stream if stream else aio.chat_completion
    began = time.monotonic()

    with pytest.raises(RequestTimeoutError) as caught:
        send("hello", timeout=0.1)

    assert 0.1 <= time.monotonic() - began < 0.1 + SLACK
    assert isinstance(caught.value, TimeoutError | NetworkError)
    assert sim.wait_for(lambda: sim.open_connections == 0)


def test_the_time_of_the_constructor_is_the_default(sim: Simulator, make_aio: MakeAIO) -> None:
    sim.inject("hang")
    aio = make_aio("groq", timeout=0.05)

    with pytest.raises(RequestTimeoutError, match=r"0\.1 s|0\.0 s"):
        aio.chat_completion("hello")


def test_the_time_of_a_provider_is_for_one_attempt(sim: Simulator, make_aio: MakeAIO) -> None:
    sim.inject("hang", vendor="groq")
    aio = make_aio("groq", "cerebras", overrides={"groq": {"timeout": 0.05}})

    answer = aio.chat_completion("hello", timeout=30)

    assert answer.provider == "cerebras"
    assert [a.outcome for a in answer.attempts] == ["timeout", "ok"]
    assert answer.attempts[0].latency == pytest.approx(0.05, abs=SLACK)


def test_a_hanging_target_leaves_time_for_the_next(sim: Simulator, make_aio: MakeAIO) -> None:
    sim.inject("hang", vendor="groq")
    aio = make_aio("groq", "cerebras")

    answer = aio.chat_completion("hello", timeout=0.4)

    assert answer.provider == "cerebras"
    assert answer.latency < 0.4


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_stream_that_has_begun_may_take_its_time(vendor: str, slow: Simulator) -> None:
    with AIO(**slow.config(vendor)) as aio:
        stream = aio.chat_completion_stream("hello", timeout=0.1)
        whole = stream.response

    assert whole.content.endswith("hello")
    assert whole.latency > 0.1


def test_a_pause_between_chunks_may_be_as_long_as_allowed(slow: Simulator) -> None:
    with AIO(**slow.config("groq"), idle_timeout=0.01) as aio:
        patient = aio.chat_completion_stream("hello", idle_timeout=5)
        assert patient.response.content.endswith("hello")

        hasty = aio.chat_completion_stream("hello")
        with pytest.raises(StreamInterruptedError):
            list(hasty)
    assert 0 < len(hasty.text) < len(patient.text)


@pytest.mark.parametrize("seconds", [30, 61])
def test_a_call_waits_for_capacity_as_long_as_allowed(
    seconds: int, sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    sim.inject("429_retry_after", seconds=seconds, times=1)
    aio = make_aio("groq", clock=clock, max_wait=60)

    if seconds < 60:
        assert aio.chat_completion("hello").content
        assert sum(clock.slept) == pytest.approx(seconds, abs=0.1)
    else:
        with pytest.raises(RateLimitError) as caught:
            aio.chat_completion("hello")
        assert caught.value.retry_after == pytest.approx(seconds, abs=0.1)
        assert clock.slept == []


def test_a_call_that_may_not_wait_does_not(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    sim.inject("429_retry_after", seconds=1)
    aio = make_aio("groq", clock=clock)

    with pytest.raises(RateLimitError):
        aio.chat_completion("hello", max_wait=0)

    assert (clock.slept, sim.count()) == ([], 1)


def test_an_interrupted_stream_begins_again_if_that_was_asked_for(
    sim: Simulator, make_aio: MakeAIO
) -> None:
    sim.inject("cut", vendor="groq")
    aio = make_aio("groq", "cerebras")

    chunks = list(aio.chat_completion_stream("hello", on_interrupt="restart"))

    marks = [number for number, chunk in enumerate(chunks) if chunk.restarted]
    text = "".join(chunk.content for chunk in chunks[marks[0] :])
    assert len(marks) == 1
    assert marks[0] > 0
    assert text == "cerebras/gpt-oss-120b says: hello"


def test_leaving_the_block_closes_all_connections(sim: Simulator) -> None:
    with AIO(**sim.config()) as aio:
        for vendor in VENDORS:
            aio.chat_completion("hello", provider=vendor)
        assert sim.open_connections > 0

    assert sim.wait_for(lambda: sim.open_connections == 0)


def test_a_closed_aio_may_be_used_again(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    aio.chat_completion("hello")
    aio.close()
    aio.close()

    assert aio.chat_completion("hello").content


def test_warming_up_sends_nothing(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio(*VENDORS)

    aio.warmup()

    assert (sim.requests, sim.connections) == ([], 0)
    assert aio.chat_completion("hello").content
