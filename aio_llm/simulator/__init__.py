"""The four vendors on loopback, true to the wire, for tests and demos. Never a real network.

    with Simulator() as sim:
        sim.inject("429_retry_after", vendor="groq", seconds=30)
        ...  # point any SDK at sim.base_url("groq") with sim.keys("groq")
        assert sim.count("groq") == 1

It imports nothing but the standard library. Faults by name are in `faults.py`.
"""

from __future__ import annotations

from aio_llm.simulator.custom import CustomVendor
from aio_llm.simulator.quotas import Quota
from aio_llm.simulator.records import RecordedRequest
from aio_llm.simulator.rules import Rule
from aio_llm.simulator.simulator import Simulator
from aio_llm.simulator.usage import Usage

__all__ = ["CustomVendor", "Quota", "RecordedRequest", "Rule", "Simulator", "Usage"]
