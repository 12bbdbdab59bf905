"""Memory: of a key that has been used, of a large `AIO`, and of many calls."""

from __future__ import annotations

import gc
import resource
import sys
from pathlib import Path
from typing import Any

from aio_llm import AIO

from .callers import history, ours, place
from .measure import Measured, Setup

KEYS = 1_000
CALLS = 10_000


def resident() -> int:
    """Bytes of memory this process holds (where the system tells only the peak: the peak)."""
    gc.collect()
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * resource.getpagesize()


def per_key(setup: Setup, sdk: str) -> list[Measured]:
    """An `AIO` with 1,000 keys, each used once, so that it has its SDK client."""
    kept = [_used(sdk, setup, 20)]
    values = []
    for _ in range(setup.rounds(5, 2)):
        before = resident()
        kept.append(_used(sdk, setup, KEYS))
        values.append((resident() - before) / KEYS / 1e3)
    return [Measured("key memory", values, f"{KEYS:,} keys", sdk)]


def _used(sdk: str, setup: Setup, keys: int) -> AIO:
    many = {"api_keys": [f"sk-{sdk}-{number:012}" for number in range(keys)]}
    aio = AIO(providers=[place(sdk, setup.origin) | many], auto_mode=True)
    for _ in range(keys):
        aio.chat_completion("Hello!")
    unused = [row for row in aio.get_key_stats()["keys"] if not row["total_usage"]]
    assert not unused, f"{len(unused)} keys were not used"
    return aio


def large(setup: Setup) -> list[Measured]:
    """100 providers with 10 keys each, all of them used."""
    kept = [_large(setup, 2)]
    before = resident()
    kept.append(_large(setup, 100))
    return [Measured("large AIO", [(resident() - before) / 1e6], "every key used once")]


def _large(setup: Setup, providers: int) -> AIO:
    entries: list[dict[str, Any]] = [
        place("openai", setup.origin)
        | {"name": f"p{at}", "api_keys": [f"csk-{at:04}-{key:012}" for key in range(10)]}
        for at in range(providers)
    ]
    aio = AIO(providers=entries, auto_mode=True)
    for _ in range(10):
        for entry in entries:
            aio.chat_completion("Hello!", provider=entry["name"])
    return aio


def growth(setup: Setup) -> list[Measured]:
    """10,000 calls after the first 1,000."""
    chat = ours("openai", setup.origin, history(1)).chat
    for _ in range(1_000):
        chat()
    calls = CALLS // 4 if setup.quick else CALLS
    before = resident()
    for _ in range(calls):
        chat()
    gained = (resident() - before) / 1e6 * CALLS / calls
    return [Measured("growth", [gained], f"{calls:,} calls")]
