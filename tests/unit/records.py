"""What the tests of metrics and alerts share: records to make, and what must add up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from aio_llm import FakeClock
from aio_llm.core.metrics import Metrics
from aio_llm.faults import Fault, Kind, Scope

FAULTS = [Fault(kind, Scope.MODEL) for kind in Kind if kind is not Kind.CANCELLED]


def begun() -> Metrics:
    """Nothing recorded yet."""
    return Metrics(FakeClock().wall)


def attempt(metrics: Metrics, fault: Fault | None = None, **about: Any) -> None:
    """One attempt, well ended unless `fault` says otherwise."""
    where = {"provider": "groq", "model": "llama", "key": "gsk_…9fQ2"}
    outcome = {
        "outcome": fault.kind.value if fault else "ok",
        "category": fault.category.value if fault else None,
        "latency": 0.5,
    }
    metrics.attempt(**{**where, **outcome, **about})


def answer(metrics: Metrics, **about: Any) -> None:
    """One call that was answered at the first attempt, without waiting."""
    usual = {
        "provider": "groq", "model": "llama", "key": "gsk_…9fQ2", "latency": 0.5,
        "first_token": None, "prompt_tokens": 7, "completion_tokens": 3, "cost": None,
        "attempts": 1, "waited": 0.0, "fallback": False,
    }  # fmt: skip
    metrics.answer(**{**usual, **about})


def failure(metrics: Metrics, category: str = "server", **about: Any) -> None:
    """One call that failed after one attempt."""
    metrics.failure(category, **{"attempts": 1, "waited": 0.0, "latency": 0.5, **about})


def rows(figures: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The whole, and every provider, model and key."""
    yield figures
    for part in ("providers", "models", "keys"):
        yield from figures[part].values()


SUMS: dict[str, Callable[[dict[str, Any]], float]] = {
    "answers": lambda row: row.get("answers", row["successes"]),
    "attempts": lambda row: row.get("attempts", row["requests"]),
    "fallbacks": lambda row: row["fallbacks"],
    "429s": lambda row: row["rate_limited"],
    "prompt tokens": lambda row: row["tokens"]["prompt"],
    "completion tokens": lambda row: row["tokens"]["completion"],
    "first tokens": lambda row: row["first_token"]["count"],
}
"""What the parts add up to: how to read it from the whole and from a part."""


def add_up(figures: dict[str, Any]) -> bool:
    """Within each row, and from the parts to the whole."""
    within = all(
        row["requests"] == row["successes"] + row["failures"] + row["cancelled"]
        and row["failures"] == sum(row["failures_by_category"].values())
        and row["tokens"]["total"] == row["tokens"]["prompt"] + row["tokens"]["completion"]
        for row in rows(figures)
    )
    return within and all(
        sum(map(read, figures[part].values())) == read(figures)
        for part in ("providers", "models", "keys")
        for read in SUMS.values()
    )


class Interrupting(str):
    """A name that records something itself while it is looked up, as a stream does that is
    garbage-collected in the middle of a record.
    """

    __slots__ = ("then",)
    then: Callable[[], None]

    def __hash__(self) -> int:
        self.then()
        return super().__hash__()


def interrupting(then: Callable[[], None]) -> str:
    """A provider's name that does `then` in the middle of each record."""
    name = Interrupting("groq")
    name.then = then
    return name


def cpu_each(do: Callable[[], object], times: int = 3000) -> float:
    """Seconds of this thread's CPU that one `do` takes; the best of nine rounds."""

    def one_turn() -> float:
        began = time.thread_time()
        for _ in range(times):
            do()
        return time.thread_time() - began

    return min(one_turn() for _ in range(9)) / times
