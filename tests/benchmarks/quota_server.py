"""The vendors of a world as a process of its own: `quota_server WORLD RATE OFFSET`."""

from __future__ import annotations

import json
import math
import random
import re
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

from aio_llm.simulator import Simulator
from aio_llm.simulator.custom import CustomVendor
from aio_llm.simulator.desk import VENDORS
from aio_llm.simulator.records import Ask
from tests.quota.worlds import WORLDS, Trouble, VendorWorld, World

from .quota_clock import ScaledClock

_JOB = re.compile(r"Job (\d+)")


def latency(vendor: VendorWorld, job: int) -> float:
    """Seconds a vendor takes for a job; the same whoever asks."""
    median, sigma = vendor.latency
    return random.Random(f"{vendor.name} {job}").lognormvariate(math.log(median), sigma)


def simulator(world: World, clock: ScaledClock) -> Simulator:
    """Its vendors; troubles are not yet injected."""
    vendors = {vendor.name: vendor for vendor in world.vendors}

    def takes(ask: Ask) -> float:
        found = _JOB.search(ask.text)
        return latency(vendors[ask.vendor], int(found[1]) if found else 0)

    return Simulator(
        keys=max(vendor.keys for vendor in world.vendors),
        latency=takes,
        quotas=world.quotas,
        clock=clock.wall,
        rate=clock.rate,
        models={name: vendor.models for name, vendor in vendors.items()},
        custom=[
            CustomVendor(vendor.name, vendor.models, vendor.tells)
            for vendor in world.vendors
            if vendor.name not in VENDORS
        ],
    )


def troubles(world: World, start: float) -> Iterator[dict[str, Any]]:
    """What `Simulator.inject` takes, for a run that begins at `start` (wall seconds)."""
    for vendor in world.vendors:
        for trouble in vendor.faults:
            yield _trouble(vendor, trouble, start, world.seed)


def _trouble(vendor: VendorWorld, trouble: Trouble, start: float, seed: int) -> dict[str, Any]:
    return {
        "fault": trouble.kind,
        "vendor": vendor.name,
        "key": None if trouble.key is None else vendor.key(trouble.key),
        "model": None if trouble.model is None else vendor.models[trouble.model],
        "start": start + trouble.start,
        "end": start + trouble.end,
        "probability": trouble.probability,
        "seed": seed,
        "spends": trouble.probability < 1.0,
    }


def main() -> None:
    """Serve until SIGTERM."""
    name, rate, offset = sys.argv[1], *map(float, sys.argv[2:4])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    world = WORLDS[name]
    with simulator(world, ScaledClock(rate, offset)) as sim:
        urls = {vendor.name: sim.base_url(vendor.name) for vendor in world.vendors}
        print(json.dumps({"origin": sim.origin, "urls": urls}), sim.origin, flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
