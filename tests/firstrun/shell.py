"""The command line as a person's shell starts it: own process, own environment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import aio_llm
from aio_llm.simulator import Simulator

ROOT = Path(__file__).parents[2]
PREFIXES = {
    "groq": "GROQ",
    "cerebras": "CEREBRAS",
    "google-ai": "GEMINI",
    "openrouter": "OPENROUTER",
}

Done = subprocess.CompletedProcess[str]


def environment(sim: Simulator, *vendors: str) -> dict[str, str]:
    """The variables a person sets, leading to the simulator; all vendors by default."""
    found: dict[str, str] = {}
    for vendor in vendors or tuple(PREFIXES):
        name = PREFIXES[vendor]
        found[f"{name}_API_KEYS"] = ",".join(sim.keys(vendor))
        found[f"{name}_MODELS"] = ",".join(sim.models(vendor))
        found[f"{name}_BASE_URL"] = sim.base_url(vendor)
    return found


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """A bare environment, the code under test, and these variables."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ}
    code = str(Path(aio_llm.__file__).parents[1])
    return {**kept, "PYTHONPATH": code, "PYTHONWARNINGS": "error::ResourceWarning", **environ}


def command(*arguments: str) -> list[str]:
    """`aio-llm` with these arguments."""
    return [sys.executable, "-m", "aio_llm", *arguments]


def run(
    line: Sequence[str],
    environ: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    stdin: str = "",
) -> Done:
    """Run a command to its end, a minute at most."""
    return subprocess.run(
        line,
        env=clean(environ or {}),
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@contextmanager
def started(
    line: Sequence[str], environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A command that runs; it is ended with the block if it has not ended by itself."""
    # A job in the background of a shell ignores Ctrl-C, and so would its children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    running = subprocess.Popen(
        line,
        env=clean(environ or {}),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    signal.signal(signal.SIGINT, before)
    with running:
        try:
            yield running
        finally:
            running.kill()
