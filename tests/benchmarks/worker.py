"""One benchmark in a process of its own: `worker MODULE FUNCTION ORIGIN quick|full ARGUMENT…`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from importlib import import_module

from .measure import Setup

if __name__ == "__main__":
    module, function, origin, pace, *arguments = sys.argv[1:]
    benchmark = getattr(import_module(f".{module}", __package__), function)
    found = benchmark(Setup(origin, pace == "quick"), *arguments)
    print(json.dumps([asdict(one) for one in found]))
