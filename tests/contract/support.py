"""What the tests of the public contract share: who was asked, and how to make everybody refuse."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from aio_llm import AIO, RateLimitError
from aio_llm.simulator import RecordedRequest, Simulator

VENDORS = ("groq", "cerebras", "google-ai", "openrouter")

Place = tuple[str, int, str]
"""Vendor, number of the key (from 1), model."""


def place_of(sim: Simulator, request: RecordedRequest) -> Place:
    """Where a request went."""
    return (request.vendor, sim.keys(request.vendor).index(request.key) + 1, request.model)


def trail(sim: Simulator) -> list[Place]:
    """Where all requests went, oldest first."""
    return [place_of(sim, request) for request in sim.requests]


def refuse_all(sim: Simulator) -> None:
    """Every key is limited for hours, each until another moment, so that none are sisters."""
    for vendor in VENDORS:
        for number, key in enumerate(sim.keys(vendor)):
            sim.inject("429_retry_after", vendor=vendor, key=key, seconds=7200 + 100 * number)


def order(aio: AIO, sim: Simulator, **question: Any) -> list[Place]:
    """Everybody that is asked, in order, when nobody may answer."""
    sim.clear()
    refuse_all(sim)
    with suppress(RateLimitError):
        aio.chat_completion("who is asked?", **question)
    return trail(sim)


def explained(aio: AIO, sim: Simulator, **question: Any) -> list[Place]:
    """The same as `explain()` says it."""
    masked = {
        (vendor, key["key"]): number
        for vendor in VENDORS
        for number, key in enumerate(_rows(aio, vendor), 1)
    }
    rows = aio.explain("who is asked?", **question)
    return [
        (row["provider"], masked[row["provider"], row["key"]], row["model"])
        for row in rows
        if row["usable"]
    ]


def _rows(aio: AIO, vendor: str) -> list[dict[str, Any]]:
    """The statistics of a vendor's keys; none if it is not configured."""
    rows: list[dict[str, Any]] = aio.get_key_stats()["keys"]
    return [row for row in rows if row["provider"] == vendor]
