"""One request that is hit by a fault, with all a builder needs to answer it wrongly."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aio_llm.simulator.http1 import play
from aio_llm.simulator.records import Ask, Case, Event, Json, Play, Reply
from aio_llm.simulator.vendor import SSE_TYPE, Vendor


@dataclass(frozen=True, slots=True)
class Shot:
    """`healthy` is what the vendor would answer without the fault; `delay` is in seconds."""

    vendor: Vendor
    ask: Ask
    case: Case
    params: Mapping[str, Any]
    healthy: Callable[[], Reply]
    other_origin: str
    latency: float
    delay: float

    @property
    def choices(self) -> str:
        """What the vendor calls the list of answers."""
        return "candidates" if self.ask.vendor == "google-ai" else "choices"

    def error(self, name: str, **details: Any) -> Reply:
        """The vendor's error of that name."""
        problem = self.vendor.problem(name, replace(self.case, **details))
        return self.vendor.reply(problem, self.ask.serial)

    def play(self, reply: Reply) -> Play:
        """The reply on a connection that stays healthy."""
        return play(reply, self.latency, self.delay)

    def stream(self, events: Sequence[Event]) -> Reply:
        """A stream of these events."""
        headers = self.vendor.headers(SSE_TYPE, self.ask.serial)
        return Reply(200, headers, events=tuple(events))

    def altered(self, change: Callable[[Json], Json]) -> Play:
        """The healthy plain answer with its body changed; errors stay as they are."""
        reply = self.healthy()
        if reply.status == 200:
            body = change(json.loads(reply.body))
            reply = replace(reply, body=self.vendor.padding() + self.vendor.encode(body))
        return self.play(reply)


Builder = Callable[[Shot], Play]
