"""How much of the quota is used, and what it costs: `python -m tests.benchmarks.quota`.

Real threads and SDKs against simulated vendors whose time runs `--scale` times as fast; the
vendors count. Each scenario is gone through by an `AIO` and by the vendors' own SDKs, in turns.
The machine's own lateness is scaled, too: an idle one bears 20, a busy one 5 or less.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from aio_llm.quota.windows import MARGIN
from tests.quota.worlds import SCENARIOS, UNKNOWN_WORLDS, VENDOR_WORLDS

from .quota_run import Case, CrashedError, Pace, Result, run
from .quota_stores import KINDS, is_there
from .quota_table import markdown, text, verdict

QUICK = ("a", "b", "i")
SLOWLY = {"i": 4.0}
"""The scale at most, where the client's own milliseconds count: they are not scaled."""

OTHERS = "openai SDK"


def options() -> argparse.Namespace:
    """The command line."""
    found = argparse.ArgumentParser(prog="python -m tests.benchmarks.quota", description=__doc__)
    found.add_argument("--scenario", default="", help="a,b,c,… or names of worlds; default: a to z")
    found.add_argument("--scale", type=float, default=5.0, help="seconds per real second")
    found.add_argument("--minutes", type=float, default=4.0, help="minutes of the vendors")
    found.add_argument("--threads", type=int, help="callers; default: 32")
    found.add_argument("--quick", action="store_true", help="one minute of a, b and i")
    found.add_argument("--alone", action="store_true", help="without the vendors' SDKs")
    found.add_argument("--markdown", action="store_true", help="as a table for the README")
    return found.parse_args()


def cases(name: str, *, alone: bool) -> Iterator[Case]:
    """The runs of a scenario; who comes first changes from one scenario to the next."""
    ours = [Case(name, name)]
    if name == "b":
        ours.append(Case("b again", "b", store="sqlite", again=True))
    if name == "e":
        ours.append(Case("e again", "e", store="sqlite", again=True))
    if name == "g":
        ours = list(_shared())
    yield from ours
    if not alone:
        yield Case(name, name, OTHERS, processes=2 if name == "g" else 1)


def _shared() -> Iterator[Case]:
    for kind in KINDS:
        if is_there(kind):
            for processes in (2, 4):
                yield Case(f"g{processes} {kind}", "g", processes=processes, store=kind)
            yield Case(f"g2 {kind} killed", "g", processes=2, store=kind, killed=True)
        else:
            print(f"no {kind} here: left out", file=sys.stderr)


def chosen(given: argparse.Namespace) -> list[Case]:
    """All runs that are asked for."""
    every = [world.name for world in (*SCENARIOS, *VENDOR_WORLDS, *UNKNOWN_WORLDS)]
    names = given.scenario.split(",") if given.scenario else [one.name for one in SCENARIOS]
    if given.quick and not given.scenario:
        names = list(QUICK)
    for name in names:
        if name not in every:
            raise SystemExit(f"no scenario {name!r}; there are {', '.join(every)}")
    found: list[Case] = []
    for number, name in enumerate(names):
        pair = list(cases(name, alone=given.alone))
        found += reversed(pair) if number % 2 else pair
    return found


def progress(todo: list[Case], pace: Pace) -> Iterator[Result]:
    """Each run, reported when it is done."""
    for number, case in enumerate(todo, 1):
        started = time.perf_counter()
        scale = min(pace.rate, SLOWLY.get(case.world, pace.rate))
        try:
            result = run(case, replace(pace, rate=scale))
        except CrashedError as crash:
            print(f"{number}/{len(todo)} {case.label}: {crash}", file=sys.stderr, flush=True)
            continue
        seconds = time.perf_counter() - started
        words = f"{number}/{len(todo)} {case.label}, {case.contender}: {seconds:.0f} s"
        print(words, verdict(result), _busy(result, scale), file=sys.stderr, flush=True)
        if result.outcome.late:
            print(f"  began {result.outcome.late:.1f} s late", file=sys.stderr)
        errors = Counter(result.outcome.errors).most_common(3)
        for error, times in errors if case.contender != OTHERS else ():
            print(f"  lost {times}: {error}", file=sys.stderr)
        yield result


def _busy(result: Result, scale: float) -> str:
    """A word of warning if the machine itself was late by more than the engine reckons with."""
    late = result.outcome.jitter * scale
    return f"(busy machine: {late:.1f} s late at this scale)" if late > MARGIN else ""


def main() -> int:
    """0 unless something crashed: figures are no assertions."""
    given = options()
    pace = Pace(given.scale, 1.0 if given.quick else given.minutes, given.threads)
    todo = chosen(given)
    results = list(progress(todo, pace))
    print(markdown(results) if given.markdown else text(results))
    return 0 if len(results) == len(todo) else 1


if __name__ == "__main__":
    sys.exit(main())
