"""Measure and print the project's figures: `python -m tests.benchmarks [--quick]`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator

from .figures import BENCHMARKS, Benchmark
from .measure import ROOT, Measured, ServerProcess
from .table import Row, markdown, text


def options() -> argparse.Namespace:
    """The command line."""
    found = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    groups = sorted({one.group for one in BENCHMARKS})
    found.add_argument("--quick", action="store_true", help="few rounds, less than a minute")
    found.add_argument("--only", action="append", choices=groups, help="these figures only")
    found.add_argument("--markdown", action="store_true", help="as a table for the README")
    return found.parse_args()


def run(benchmark: Benchmark, origin: str, pace: str) -> list[Row] | None:
    """Its rows, None if it crashed."""
    module = f"{__package__}.worker"
    what = [benchmark.module, benchmark.function, origin, pace, *benchmark.arguments]
    done = subprocess.run(
        [sys.executable, "-m", module, *what], capture_output=True, text=True, cwd=ROOT
    )
    if done.returncode:
        print(f"{' '.join(what)} crashed:\n{done.stderr}", file=sys.stderr)
        return None
    return [Row(Measured(**one)) for one in json.loads(done.stdout)]


def progress(given: argparse.Namespace) -> Iterator[Benchmark]:
    """The benchmarks that are asked for, each reported when it is done."""
    chosen = [one for one in BENCHMARKS if not given.only or one.group in given.only]
    for number, one in enumerate(chosen, 1):
        started = time.perf_counter()
        yield one
        words = " ".join([one.function, *one.arguments])
        seconds = time.perf_counter() - started
        print(f"{number}/{len(chosen)} {words}: {seconds:.1f} s", file=sys.stderr, flush=True)


def main() -> int:
    """0 unless something crashed: timings are no assertions."""
    given = options()
    started = time.perf_counter()
    with ServerProcess(f"{__package__}.server") as server:
        pace = "quick" if given.quick else "full"
        results = [run(one, server.origin, pace) for one in progress(given)]
    rows = [row for found in results for row in found or ()]
    print(markdown(rows) if given.markdown else text(rows))
    print(f"{time.perf_counter() - started:.0f} s", file=sys.stderr)
    return 1 if None in results else 0


if __name__ == "__main__":
    sys.exit(main())
