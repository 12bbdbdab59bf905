"""An application that logs our errors with `diagnose=True`, which prints what frames hold."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from aio_llm import AIO, AIOError
from aio_llm.simulator import Simulator
from tests.secrets.scan import shown

KEY = "gsk_c4naryC4NARYc4naryC4NARYc4naryC4NARYc4nary"
Deed = Callable[[], object]


class Application(threading.Thread):
    """Does one thing and logs how it failed, on a stack of its own."""

    def __init__(self, deed: Deed) -> None:
        super().__init__()
        self.deed = deed
        self.error: Exception | None = None
        self.start()
        self.join()

    def run(self) -> None:
        """The deed, and the log of its failure."""
        try:
            self.deed()
        except (AIOError, TypeError) as error:
            logger.exception("it failed")
            self.error = error


def our_frames(lines: list[str]) -> str:
    """The log without what it prints of the application's own frames, which hold its own keys."""
    frames = "".join(lines).split('  File "')
    return "\n".join(frame for frame in frames if Path(__file__).name not in frame)


def entry(**fields: Any) -> dict[str, Any]:
    """A provider with the key."""
    return {"api_keys": [KEY], "provider": "groq", "models": ["m"]} | fields


WRONG: dict[str, dict[str, Any]] = {
    "an unknown provider": {"providers": [entry(provider="grok")]},
    "a negative priority": {"providers": [entry(priority=-1)]},
    "a misspelt field": {"providers": [entry(prioritty=1)]},
    "a key twice": {"providers": [entry(api_keys=[KEY, KEY])]},
    "a key with a blank": {"providers": [entry(api_keys=[f"{KEY} x"])]},
    "a misspelt setting": {"providers": [entry()], "max_retry": 1},
    "no time": {"providers": [entry()], "timeout": 0},
    "custom without an address": {"providers": [entry(provider="custom")]},
}


@pytest.mark.parametrize("case", WRONG)
def test_a_refused_configuration_shows_no_key(case: str, careless: list[str]) -> None:
    app = Application(lambda: AIO(**WRONG[case]))

    assert app.error is not None
    assert shown(our_frames(careless), [KEY]) == []


@pytest.mark.parametrize("case", WRONG)
def test_a_refused_file_shows_no_key(case: str, careless: list[str], tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(WRONG[case]), encoding="utf-8")

    app = Application(lambda: AIO.from_file(path))

    assert app.error is not None
    assert shown(our_frames(careless), [KEY]) == []


def test_a_refused_environment_shows_no_key(careless: list[str]) -> None:
    environment = {"GROQ_API_KEY": KEY, "GROQ_BASE_URL": "api.test"}

    app = Application(lambda: AIO.from_env(environment))

    assert app.error is not None
    assert shown(our_frames(careless), [KEY]) == []


def broken(sim: Simulator) -> AIO:
    """An `AIO` whose calls fail."""
    sim.inject("500")
    return AIO([sim.provider("groq")], auto_mode=True, max_retries=0, max_wait=0)


DEEDS: dict[str, Callable[[AIO, Simulator], object]] = {
    "a call": lambda aio, sim: aio.chat_completion("hello"),
    "a stream": lambda aio, sim: aio.chat_completion_stream("hello"),
    "a wrong argument": lambda aio, sim: aio.chat_completion("hello", max_tokens=0),
    "an unknown model": lambda aio, sim: aio.chat_completion("hello", model="x"),
    "an unknown provider": lambda aio, sim: aio.validate_api_key("grok", sim.keys("groq")[0]),
    "a key that is none": lambda aio, sim: aio.validate_api_key(
        "cerebras", sim.keys("groq")[0] + " x"
    ),
    "a key of another": lambda aio, sim: aio.disable_key("groq", sim.keys("groq")[0] + "x"),
}


@pytest.mark.parametrize("name", DEEDS)
def test_a_failed_deed_shows_no_key(name: str, sim: Simulator, careless: list[str]) -> None:
    with broken(sim) as aio:
        app = Application(lambda: DEEDS[name](aio, sim))

    assert app.error is not None
    assert shown(our_frames(careless), sim.keys("groq")) == []
