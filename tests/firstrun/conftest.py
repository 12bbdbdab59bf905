"""The command line in this process, with the environment of a person who has keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from aio_llm.cli import main
from aio_llm.simulator import Simulator
from tests.firstrun.shell import environment


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


Ask = Callable[..., Said]


@pytest.fixture
def ask(sim: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """`aio-llm ...` with keys for Groq and Google AI."""
    for name, value in environment(sim, "groq", "google-ai").items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> Said:
        code = main(arguments)
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return run
