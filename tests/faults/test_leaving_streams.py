"""A stream that is left, however, hangs up at the vendor and is nobody's fault."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from aio_llm import AIO, CancelToken, ChatStream, RequestCancelledError
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO
from tests.faults.scene import WHOLE, ask, healthy_text, quickest
from tests.faults.stuck import WAKE, Stuck

Leave = Callable[["Reading"], object]


@dataclass
class Reading:
    """A stream that has given two pieces and then falls silent."""

    sim: Simulator
    aio: AIO
    vendor: str
    token: CancelToken
    stream: ChatStream

    def blocks(self) -> Stuck:
        """A thread that waits for the next piece."""
        return Stuck(lambda: next(self.stream))

    def drop(self) -> None:
        """Let go of the stream."""
        del self.stream


class Bored(Exception):
    """Somebody has read enough."""


@pytest.fixture
def reading(sim: Simulator, make_aio: MakeAIO, vendor: str) -> Reading:
    return begin(sim, make_aio(vendor), vendor)


def begin(sim: Simulator, aio: AIO, vendor: str) -> Reading:
    """Read the two pieces."""
    sim.inject("stall", vendor=vendor, after=2, text="silence")
    token = CancelToken()
    stream = aio.chat_completion_stream("silence", cancel=token, request_id="left")
    assert [next(stream).content != "" for _ in range(2)] == [True, True]
    return Reading(sim, aio, vendor, token, stream)


def check_it_is_over(reading: Reading) -> None:
    """The vendor saw the hang-up, nothing is in flight, nobody has a strike, the next works."""
    sim, aio = reading.sim, reading.aio
    gone = sim.wait_for(lambda: sim.active == 0 and sim.open_connections == 0)
    rows = aio.get_key_stats(reading.vendor)["keys"]
    answer = ask(aio, "stream", "next")

    assert gone
    assert sim.aborted == 1
    assert [row["in_flight"] for row in rows] == [0]
    assert [(row["errors_in_row"], row["total_errors"]) for row in rows] == [(0, 0)]
    assert [row["total_usage"] for row in rows] == [1]
    assert answer.content == healthy_text(sim, reading.vendor, "next")
    assert len(answer.attempts) == 1


def test_a_stream_that_is_broken_off_and_closed_hangs_up(reading: Reading) -> None:
    reading.stream.close()

    assert list(reading.stream) == []
    check_it_is_over(reading)


def test_a_break_out_of_a_with_block_hangs_up(
    sim: Simulator, make_aio: MakeAIO, vendor: str
) -> None:
    aio = make_aio(vendor)
    sim.inject("stall", text="silence")

    with aio.chat_completion_stream("silence") as stream:
        for chunk in stream:
            if chunk.content:
                break

    check_it_is_over(Reading(sim, aio, vendor, CancelToken(), stream))


def test_an_exception_out_of_a_with_block_hangs_up_and_passes(reading: Reading) -> None:
    with pytest.raises(Bored), reading.stream:
        raise Bored

    check_it_is_over(reading)


def test_a_stream_nobody_holds_hangs_up(reading: Reading) -> None:
    reading.drop()
    gc.collect()

    check_it_is_over(reading)


def test_a_stream_in_a_cycle_hangs_up_when_it_is_collected(reading: Reading) -> None:
    cycle: list[object] = [reading.stream]
    cycle.append(cycle)
    reading.drop()
    del cycle
    gc.collect()

    check_it_is_over(reading)


def test_closing_twice_is_closing_once(reading: Reading) -> None:
    reading.stream.close()
    reading.stream.close()
    reading.stream.cancel()

    check_it_is_over(reading)


ELSEWHERE: dict[str, Leave] = {
    "close": lambda reading: reading.stream.close(),
    "cancel": lambda reading: reading.stream.cancel(),
    "its token": lambda reading: reading.token.cancel(),
    "its name": lambda reading: reading.aio.cancel("left"),
    "all calls": lambda reading: reading.aio.cancel_all(),
}


@pytest.mark.parametrize("way", ELSEWHERE)
def test_a_blocked_reader_is_woken_from_another_thread(way: str, reading: Reading) -> None:
    reader = reading.blocks()

    reader.wakes_after(lambda: ELSEWHERE[way](reading))

    assert isinstance(reader.error, RequestCancelledError)
    assert [step.provider for step in reader.error.attempts] == [reading.vendor]
    check_it_is_over(reading)


@pytest.mark.parametrize("way", ELSEWHERE)
def test_a_blocked_reader_wakes_within_fifty_milliseconds(
    way: str, sim: Simulator, make_aio: MakeAIO, vendor: str
) -> None:
    aio = make_aio(vendor)

    def measure() -> float:
        reading = begin(sim, aio, vendor)
        return reading.blocks().wakes_after(lambda: ELSEWHERE[way](reading))

    assert quickest(measure, enough=WAKE) < WAKE


def test_a_token_may_cancel_a_stream_later(reading: Reading) -> None:
    reader = reading.blocks()

    woken = reader.wakes_after(lambda: reading.token.cancel_after(0.05))

    assert woken >= 0.05
    assert isinstance(reader.error, RequestCancelledError)
    check_it_is_over(reading)


def test_what_was_read_before_a_cancel_stays(reading: Reading) -> None:
    whole = healthy_text(reading.sim, reading.vendor, "silence")

    reading.stream.cancel()

    assert reading.stream.text == whole[: 2 * -(-len(whole) // WHOLE)]
    assert list(reading.stream) == []


def test_a_stream_read_to_its_end_is_not_aborted(
    sim: Simulator, make_aio: MakeAIO, vendor: str
) -> None:
    aio, token = make_aio(vendor), CancelToken()

    with aio.chat_completion_stream("hello", cancel=token) as stream:
        text = "".join(chunk.content for chunk in stream)
    token.cancel()
    stream.cancel()

    assert text == stream.text == healthy_text(sim, vendor)
    assert sim.wait_for(lambda: sim.active == 0)
    assert (sim.aborted, sim.open_connections) == (0, 1)
