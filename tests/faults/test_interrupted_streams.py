"""A stream that breaks after output says so: never a silent short answer, never text twice."""

from __future__ import annotations

import pickle

import pytest

from aio_llm import AIO, ChatStream, FakeClock, StreamChunk, StreamInterruptedError
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO
from tests.faults.conftest import Stage
from tests.faults.scene import WHOLE, Scene, ask, healthy_text

BROKEN = [
    "cut", "cut_reset", "cut_in_line", "no_finish", "sse_error", "finish_error", "stall",
    "garbage", "bad_utf8",
]  # fmt: skip
IDLE = 0.08  # seconds


@pytest.fixture
def mode() -> str:
    return "stream"


@pytest.fixture
def scene(stage: Stage) -> Scene:
    return stage(idle_timeout=IDLE)


def beginning(text: str, pieces: int) -> str:
    """The first pieces of a text as the simulator cuts it."""
    return text[: pieces * -(-len(text) // WHOLE)]


def interrupted(stream: ChatStream) -> tuple[list[StreamChunk], StreamInterruptedError]:
    """What was shown before the stream broke, and the error it broke with."""
    chunks: list[StreamChunk] = []
    with pytest.raises(StreamInterruptedError) as caught:
        chunks.extend(stream)
    return chunks, caught.value


@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("after", [1, 3])
def test_a_stream_cut_after_output_says_so(fault: str, after: int, scene: Scene) -> None:
    scene.fail(fault, after=after)
    expected = beginning(healthy_text(scene.sim, scene.first), after)

    stream = scene.aio.chat_completion_stream("hello")
    chunks, error = interrupted(stream)

    assert error.partial == stream.text == expected
    assert "".join(chunk.content for chunk in chunks) == expected
    assert not any(chunk.done for chunk in chunks)
    assert [step.provider for step in error.attempts] == [scene.first]
    assert error.attempts[0].outcome != "ok"
    assert scene.arrived == (1, 0)


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_stream_leaves_nothing_behind(fault: str, scene: Scene) -> None:
    scene.fail(fault)

    stream = scene.aio.chat_completion_stream("hello")
    interrupted(stream)

    assert list(stream) == []
    assert scene.sim.wait_for(lambda: scene.sim.active == 0)
    assert [row["in_flight"] for row in scene.keys] == [0]
    assert [row["errors_in_row"] for row in scene.keys] == [0]
    assert [row["total_errors"] for row in scene.keys] == [1]


@pytest.mark.parametrize("fault", BROKEN)
def test_who_broke_a_stream_is_passed_over_by_the_next_call(fault: str, scene: Scene) -> None:
    scene.fail(fault)
    interrupted(scene.aio.chat_completion_stream("hello"))

    answer = scene.ask()

    assert answer.provider == scene.second
    assert scene.arrived == (1, 1)


@pytest.mark.parametrize("fault", BROKEN)
def test_a_restart_is_announced_and_gives_the_whole_text(fault: str, scene: Scene) -> None:
    scene.fail(fault)
    whole = healthy_text(scene.sim, scene.second)

    with scene.aio.chat_completion_stream("hello", on_interrupt="restart") as stream:
        chunks = list(stream)
    marks = [chunk.restarted for chunk in chunks]
    first, again = chunks[: marks.index(True)], chunks[marks.index(True) + 1 :]

    assert marks.count(True) == 1
    assert "".join(chunk.content for chunk in first) == beginning(
        healthy_text(scene.sim, scene.first), 2
    )
    assert "".join(chunk.content for chunk in again) == whole
    assert stream.text == stream.response.content == whole
    assert again[-1].done
    assert scene.arrived == (1, 1)


@pytest.mark.parametrize("fault", ["cut", "stall"])
def test_the_trail_of_a_restart_has_both(fault: str, scene: Scene) -> None:
    scene.fail(fault)

    with scene.aio.chat_completion_stream("hello", on_interrupt="restart") as stream:
        response = stream.response
    trail = [(step.provider, step.outcome == "ok") for step in response.attempts]

    assert trail == [(scene.first, False), (scene.second, True)]
    assert response.provider == stream.provider == scene.second


def test_a_restart_with_nobody_left_says_where_it_broke(scene: Scene) -> None:
    scene.fail("cut")
    scene.sim.inject("400", vendor=scene.second)

    stream = scene.aio.chat_completion_stream("hello", on_interrupt="restart")
    _, error = interrupted(stream)

    assert error.partial == beginning(healthy_text(scene.sim, scene.first), 2)
    assert [step.provider for step in error.attempts] == [scene.first, scene.second]
    assert [row["in_flight"] for row in scene.aio.get_key_stats()["keys"]] == [0, 0]


def test_a_restart_may_break_as_well(stage: Stage, clock: FakeClock) -> None:
    scene = stage(clock=clock)
    scene.sim.inject("cut", times=2)

    with scene.aio.chat_completion_stream("hello", on_interrupt="restart") as stream:
        chunks = list(stream)

    assert [chunk.restarted for chunk in chunks].count(True) == 2
    assert stream.text == healthy_text(scene.sim, stream.provider)
    assert [step.outcome == "ok" for step in stream.attempts] == [False, False, True]
    assert sum(scene.arrived) == 3


def test_a_stream_may_take_longer_than_the_idle_time_as_long_as_it_talks(
    vendor: str,
) -> None:
    with Simulator(chunk_delay=IDLE / 2) as slow, AIO(**slow.config(vendor)) as aio:
        answer = ask(aio, "stream", idle_timeout=IDLE)

        assert answer.content == healthy_text(slow, vendor)


def test_an_interrupted_stream_survives_pickling(scene: Scene) -> None:
    scene.fail("cut")

    _, error = interrupted(scene.aio.chat_completion_stream("hello"))
    copy = pickle.loads(pickle.dumps(error))

    assert copy.partial == error.partial != ""
    assert copy.attempts == error.attempts


@pytest.mark.parametrize("fault", BROKEN)
def test_a_plain_call_never_gives_half_an_answer(
    fault: str, sim: Simulator, make_aio: MakeAIO, vendor: str, clock: FakeClock
) -> None:
    aio = make_aio(vendor, "groq" if vendor != "groq" else "cerebras", clock=clock)
    sim.inject(fault, vendor=vendor)

    answer = ask(aio, "call", timeout=2 * IDLE)

    assert answer.provider != vendor
    assert (answer.content or "").endswith("says: hello")
    assert sim.count(vendor) == 1
