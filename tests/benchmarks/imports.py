"""What it costs before the first call: fresh interpreters, everything compiled already."""

from __future__ import annotations

from statistics import median

from .callers import SDKS, place
from .measure import Measured, Setup, fresh_cpu, take_turns

VENDOR_SDKS = frozenset({"openai", "groq", "google.genai", "httpx", "httpx2"})


def front_door(setup: Setup) -> list[Measured]:
    """`AIO(config)` against the import of the openai SDK."""
    config = {"providers": [place(sdk, setup.origin) for sdk in SDKS]}
    statement = f"from aio_llm import AIO; AIO(**{config!r})"
    ratio = _compare("front door", "import openai", statement, setup)
    loaded = sorted(fresh_cpu(statement)[1] & VENDOR_SDKS)
    return [ratio, Measured("sdks loaded", [float(len(loaded))], ", ".join(loaded) or "none")]


def package(setup: Setup) -> list[Measured]:
    """The package alone against pydantic and loguru."""
    return [_compare("import", "import pydantic, loguru", "import aio_llm", setup)]


def _compare(figure: str, base: str, ours: str, setup: Setup) -> Measured:
    for statement in (base, ours):
        fresh_cpu(statement)
    rounds = setup.rounds(21, 5)
    turns = take_turns(lambda: fresh_cpu(base)[0], lambda: fresh_cpu(ours)[0], rounds)
    note = f"{median(turns.ours) * 1e3:,.1f} ms : {median(turns.base) * 1e3:,.1f} ms"
    return Measured(figure, turns.ratios, note)
