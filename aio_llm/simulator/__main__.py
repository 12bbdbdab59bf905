"""Run the simulator in the foreground: `python -m aio_llm.simulator --port 8900`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Any

from aio_llm.simulator.quotas import AXES, Quota
from aio_llm.simulator.simulator import Simulator


def quota(text: str) -> Quota:
    """`groq:rpm=30,window=fixed` as a quota."""
    vendor, _, rest = text.partition(":")
    given: dict[str, Any] = dict(part.split("=", 1) for part in rest.split(",") if part)
    for kind, names in ((int, (*AXES, "concurrent")), (float, ("burst", "phase"))):
        given.update({name: kind(given[name]) for name in names if name in given})
    try:
        return Quota(vendor, **given)
    except TypeError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(prog="python -m aio_llm.simulator", description=__doc__)
    found.add_argument("--port", type=int, default=8900, help="0 takes any free port")
    found.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    found.add_argument("--chunks", type=int, default=5, help="content chunks per answer")
    found.add_argument("--chunk-delay", type=float, default=0.0, help="seconds between chunks")
    found.add_argument("--keys", type=int, default=2, help="keys per vendor")
    found.add_argument("--quota", type=quota, action="append", default=[], help="groq:rpm=30")
    found.add_argument("--print-config", action="store_true", help="print the configuration too")
    found.add_argument("--ready-fd", type=int, nargs="?", const=1, help="tell readiness here too")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM."""
    given = parser().parse_args(argv)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    simulator = Simulator(
        given.keys, given.latency, given.chunk_delay, given.chunks, quotas=given.quota,
        port=given.port,
    )  # fmt: skip
    with simulator:
        print(f"simulator ready on {simulator.origin}", flush=True)
        if given.print_config:
            print(json.dumps(simulator.config(), indent=2), flush=True)
        if given.ready_fd is not None and given.ready_fd != 1:
            os.write(given.ready_fd, f"{simulator.origin}\n".encode())
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
