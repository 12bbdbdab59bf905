"""The control endpoints below `/_sim/`, for a simulator that runs as a process of its own."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aio_llm.simulator.desk import json_reply
from aio_llm.simulator.records import HttpRequest, Reply

if TYPE_CHECKING:
    from aio_llm.simulator.simulator import Simulator


class Control:
    """GET config, stats, requests; POST inject, usage, clear."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._actions: dict[tuple[str, str], Callable[[dict[str, Any]], Any]] = {
            ("GET", "/_sim/config"): lambda body: simulator.config(),
            ("GET", "/_sim/stats"): lambda body: simulator.stats(),
            ("GET", "/_sim/requests"): lambda body: self._requests(),
            ("POST", "/_sim/inject"): self._inject,
            ("POST", "/_sim/usage"): self._usage,
            ("POST", "/_sim/clear"): lambda body: self._clear(),
        }

    def __call__(self, request: HttpRequest) -> Reply:
        """Answer a request to the simulator itself."""
        action = self._actions.get((request.method, request.path))
        if action is None:
            return json_reply({"error": f"nothing at {request.method} {request.path}"}, 404)
        try:
            return json_reply(action(json.loads(request.body or b"{}")))
        except (TypeError, ValueError) as error:
            return json_reply({"error": str(error)}, 400)

    def _requests(self) -> list[dict[str, Any]]:
        return [dataclasses.asdict(request) for request in self._simulator.requests]

    def _inject(self, body: dict[str, Any]) -> dict[str, Any]:
        rule = self._simulator.inject(**body)
        return {"fault": rule.fault, "params": rule.params}

    def _usage(self, body: dict[str, Any]) -> dict[str, Any]:
        """`ranks` as a list of [vendor, key, model, rank]."""
        ranks = body.pop("ranks", None)
        lanes = None if ranks is None else {(v, k, m): rank for v, k, m, rank in ranks}
        return dataclasses.asdict(self._simulator.usage(**body, ranks=lanes))

    def _clear(self) -> dict[str, Any]:
        self._simulator.clear()
        return {"cleared": True}
