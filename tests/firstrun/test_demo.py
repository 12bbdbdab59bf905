"""The demo shows what it says, checks it at the vendors, and admits when it was not so."""

from __future__ import annotations

import io
import time
from dataclasses import dataclass

import pytest

from aio_llm import AIO, ServerError
from aio_llm.demo import MARK, SCENES, WIDTH, Scene, Stage, run
from aio_llm.simulator import Simulator
from tests.firstrun.shell import Done, command
from tests.firstrun.shell import run as run_command


@dataclass(frozen=True)
class Shown:
    """One run of the demo; `seconds` on the wall."""

    done: Done
    seconds: float


@pytest.fixture(scope="module")
def shown() -> Shown:
    began = time.monotonic()
    done = run_command(command("demo"))
    return Shown(done, time.monotonic() - began)


def stage(sim: Simulator) -> Stage:
    return Stage(sim, io.StringIO())


def text_of(scene: Stage) -> str:
    assert isinstance(scene.out, io.StringIO)
    return scene.out.getvalue()


def truthful(stage: Stage) -> None:
    stage.claim("one is one", holds=True)


def boastful(stage: Stage) -> None:
    stage.claim("nobody was ever asked", holds=bool(stage.sim.requests))


def failing(stage: Stage) -> None:
    raise ServerError("the scene fell down")


def test_the_demo_needs_no_key_and_ends_well(shown: Shown) -> None:
    assert shown.done.returncode == 0, shown.done.stdout + shown.done.stderr
    assert shown.done.stdout.endswith("every scene did what it says\n")
    assert shown.done.stderr == ""


def test_the_demo_is_over_within_fifteen_seconds(shown: Shown) -> None:
    assert shown.seconds < 15


def test_every_scene_of_the_demo_is_marked_as_simulated(shown: Shown) -> None:
    marked = [line for line in shown.done.stdout.splitlines() if line.startswith(MARK)]

    assert len(marked) == len(SCENES) + 2
    assert all(any(scene.title in line for line in marked) for scene in SCENES)


def test_the_demo_is_plain_text_for_a_narrow_terminal(shown: Shown) -> None:
    lines = shown.done.stdout.splitlines()

    assert max(map(len, lines)) <= WIDTH
    assert "\x1b" not in shown.done.stdout


def test_the_demo_shows_no_key(shown: Shown, sim: Simulator) -> None:
    keys = [key for vendor in ("groq", "cerebras", "openrouter") for key in sim.keys(vendor)]

    assert not any(key in shown.done.stdout for key in keys)


def test_the_demo_says_how_many_milliseconds_a_cancel_takes(shown: Shown) -> None:
    told = [line for line in shown.done.stdout.splitlines() if "ms after cancel()" in line]

    assert len(told) == 1


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.play.__name__)
def test_a_scene_holds_when_nothing_interferes(scene: Scene, sim: Simulator) -> None:
    played = stage(sim)
    scene.play(played)

    assert played.untrue == []
    assert "ok  " in text_of(played)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.play.__name__)
def test_a_scene_notices_a_request_too_many_at_the_vendor(scene: Scene, sim: Simulator) -> None:
    for vendor in ("groq", "google-ai", "openrouter"):
        with AIO(**sim.config(vendor)) as stray:
            stray.chat_completion("I do not belong here.")
    played = stage(sim)
    scene.play(played)

    assert played.untrue
    assert "WRONG" in text_of(played)


@pytest.mark.parametrize(
    ("scenes", "code", "words"),
    [
        ([Scene("true", truthful)], 0, "every scene did what it says"),
        ([Scene("true", truthful), Scene("false", boastful)], 1, "not do what they say: 2 (false)"),
        (
            [Scene("broken", failing), Scene("true", truthful)],
            1,
            "not do what they say: 1 (broken)",
        ),
    ],
    ids=["all true", "one is untrue", "one raises"],
)
def test_the_exit_code_is_zero_only_if_every_scene_held(
    scenes: list[Scene], code: int, words: str
) -> None:
    out = io.StringIO()

    assert run(out, scenes) == code
    assert words in out.getvalue()


def test_a_scene_that_raises_says_what_was_raised() -> None:
    out = io.StringIO()
    run(out, [Scene("broken", failing)])

    assert "ServerError" in out.getvalue()
