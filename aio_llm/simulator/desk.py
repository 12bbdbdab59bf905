"""Decides what is answered to a request: fault, key, model, options, quota, then the answer."""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from aio_llm.simulator.answers import compose
from aio_llm.simulator.cerebras import Cerebras
from aio_llm.simulator.faults import FAULTS
from aio_llm.simulator.google import GoogleAI
from aio_llm.simulator.groq import Groq
from aio_llm.simulator.http1 import header_block, play
from aio_llm.simulator.journal import Journal
from aio_llm.simulator.openrouter import OpenRouter
from aio_llm.simulator.quotas import Ledger, Refusal
from aio_llm.simulator.records import (
    Answer,
    Ask,
    Case,
    HttpRequest,
    Json,
    Play,
    Problem,
    RecordedRequest,
    Reply,
    Route,
)
from aio_llm.simulator.rules import Rule
from aio_llm.simulator.shot import Shot
from aio_llm.simulator.vendor import JSON_TYPE, Vendor

VENDORS: Mapping[str, Vendor] = {v.name: v for v in (Groq(), Cerebras(), GoogleAI(), OpenRouter())}
_NOWHERE = Reply(404, b"content-type: text/plain\r\n", b"no such vendor")
Control = Callable[[HttpRequest], Reply]


@dataclass(slots=True)
class Settings:
    """What a user of the simulator sets; times in seconds."""

    vendors: Mapping[str, Vendor]
    keys: Mapping[str, list[str]]
    latency: Callable[[Ask], float]
    chunk_delay: float
    chunks: int
    groups: dict[tuple[str, str], str] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    other_origin: str = ""


class Desk:
    """The counter where requests arrive; runs in the server thread only."""

    def __init__(
        self,
        settings: Settings,
        ledger: Ledger,
        journal: Journal,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._ledger = ledger
        self._journal = journal
        self._serial = itertools.count(1)
        self.control: Control = lambda request: _NOWHERE

    def __call__(self, request: HttpRequest, connection: int) -> tuple[Play, bool]:
        """Decide and write down; True when it is a chat request."""
        prefix, _, rest = request.path[1:].partition("/")
        vendor = self._settings.vendors.get(prefix)
        if vendor is None:
            return self._elsewhere(request, connection), False
        route = vendor.route(request.method, f"/{rest}")
        body = _json(request.body)
        ask = self._ask(vendor, route, request, body)
        counts = route.kind == "chat"
        answer = self._chat(vendor, ask) if counts else self._other(vendor, ask, route)
        self._journal.arrived(_recorded(request, ask, body, answer, connection), counts)
        return answer, counts

    def _elsewhere(self, request: HttpRequest, connection: int) -> Play:
        if request.path == "/_sim/trap":
            ask = Ask("", "", "", False, request.path, 0)
            answer = play(Reply(200, b"content-type: application/json\r\n", b"{}"))
            self._journal.trap(_recorded(request, ask, _json(request.body), answer, connection))
            return answer
        return play(self.control(request))

    def _ask(self, vendor: Vendor, route: Route, request: HttpRequest, body: Json | None) -> Ask:
        key, serial = vendor.key_of(request), next(self._serial)
        ask = Ask(vendor.name, key, route.model, route.stream, request.path, serial)
        ask.at = self._clock()
        if body is None:
            ask.readable = False
        elif route.kind == "chat":
            try:
                vendor.read(ask, body)
            except (AttributeError, TypeError):
                ask.readable = False
        return ask

    def _chat(self, vendor: Vendor, ask: Ask) -> Play:
        rule = next((rule for rule in self._settings.rules if rule.matches(ask)), None)
        latency = self._settings.latency(ask)
        if rule is None:
            answer = play(self._healthy(vendor, ask), latency, self._settings.chunk_delay)
        else:
            answer = self._hit(vendor, ask, rule, latency)
        if ask.counted:
            group = self.group_of(vendor.name, ask.key)
            answer.ended = lambda: self._ledger.leave(vendor.name, group, ask.model)
        return answer

    def _hit(self, vendor: Vendor, ask: Ask, rule: Rule, latency: float) -> Play:
        settings = self._settings
        if rule.spends and ask.readable:
            refused = self._admit(vendor, ask, compose(ask, settings.chunks))
            if refused is not None:
                return play(refused)
        rule.hits += 1
        shot = Shot(
            vendor, ask, _case(ask), rule.params, lambda: self._healthy(vendor, ask),
            settings.other_origin, latency, settings.chunk_delay,
        )  # fmt: skip
        answer = FAULTS[rule.fault].build(shot)
        answer.fault = rule.fault
        return answer

    def _healthy(self, vendor: Vendor, ask: Ask) -> Reply:
        wrong = self._refused_key(ask) or self._refused_model(vendor, ask) or vendor.complaint(ask)
        if wrong is not None:
            return vendor.reply(vendor.problem(wrong, _case(ask)), ask.serial)
        answer = compose(ask, self._settings.chunks)
        refused = self._admit(vendor, ask, answer)
        if refused is not None:
            return refused
        if not self._ledger.limited(vendor.name):
            return vendor.answer(answer, {})
        group = self.group_of(vendor.name, ask.key)
        return vendor.answer(answer, self._ledger.meters(vendor.name, group, ask.model, ask.at))

    def _admit(self, vendor: Vendor, ask: Ask, answer: Answer) -> Reply | None:
        """Spend quota, once per request; the vendor's refusal if there is none left."""
        ask.size = answer.size
        if ask.counted or not self._ledger.limited(vendor.name):
            return None
        place = (vendor.name, self.group_of(vendor.name, ask.key), ask.model)
        refusal = self._ledger.admit(*place, answer.size, ask.at)
        ask.counted, ask.limited = refusal is None, refusal is not None
        if refusal is None:
            return None
        problem = _refusal(vendor, ask, refusal)
        meters = self._ledger.meters(*place, ask.at)
        headers = {**problem.headers, **vendor.spent_headers(meters)}
        problem = Problem(problem.status, problem.body, headers, problem.content_type)
        return vendor.reply(problem, ask.serial)

    def group_of(self, vendor: str, key: str) -> str:
        """The key group; a key that is in none is its own."""
        return self._settings.groups.get((vendor, key), key)

    def _other(self, vendor: Vendor, ask: Ask, route: Route) -> Play:
        wrong = "no_path" if route.kind == "unknown" else self._refused_key(ask)
        if wrong is None and route.model and route.model not in vendor.models:
            wrong = "no_model"
        if wrong is not None:
            return play(vendor.reply(vendor.problem(wrong, _case(ask)), ask.serial))
        body = vendor.model_list()
        if route.kind == "key" and isinstance(vendor, OpenRouter):
            body = vendor.key_state(ask.key)
        elif route.model and isinstance(vendor, GoogleAI):
            body = vendor.model_entry(route.model)
        headers = vendor.headers(JSON_TYPE, ask.serial)
        return play(Reply(200, headers, vendor.encode(body)))

    def _refused_key(self, ask: Ask) -> str | None:
        if not ask.key:
            return "no_key"
        return None if ask.key in self._settings.keys[ask.vendor] else "bad_key"

    def _refused_model(self, vendor: Vendor, ask: Ask) -> str | None:
        return None if ask.model in vendor.models else "no_model"


def _case(ask: Ask) -> Case:
    return Case(ask.model, ask.key, _inner(ask.path), ask.serial, at=ask.at)


def _inner(path: str) -> str:
    return path[path.find("/", 1) :]


def _refusal(vendor: Vendor, ask: Ask, refusal: Refusal) -> Problem:
    endless = math.isinf(refusal.wait)
    wait: float | None = 86_400.0 if endless else round(refusal.wait, 6)
    if refusal.axis == "concurrent":
        wait = None  # nobody knows when one of the others ends
    case = Case(
        ask.model, ask.key, _inner(ask.path), ask.serial, refusal.axis, refusal.limit, refusal.used,
        refusal.requested, wait, retry_after=True, at=ask.at,
    )  # fmt: skip
    too_large = endless and vendor.name == "groq" and refusal.axis.startswith("t")
    return vendor.problem("413" if too_large else "limit", case)


def _json(data: bytes) -> Json | None:
    try:
        body = json.loads(data) if data else None
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _recorded(
    request: HttpRequest, ask: Ask, body: Json | None, answer: Play, connection: int
) -> RecordedRequest:
    return RecordedRequest(
        ask.vendor, ask.key, ask.model, ask.stream, request.path, request.method,
        request.headers, body, answer.status, answer.fault, time.monotonic(), connection,
        ask.at, ask.size, ask.counted, ask.limited,
    )  # fmt: skip


def json_reply(value: object, status: int = 200) -> Reply:
    """A plain JSON reply without a vendor."""
    body = json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
    return Reply(status, header_block({"content-type": "application/json"}), body)


def vendor_names(names: Iterable[str], known: Iterable[str] = VENDORS) -> list[str]:
    """The names, all famous vendors when there is none; ValueError for an unknown one."""
    known = list(known)
    chosen = list(names) or list(VENDORS)
    for name in chosen:
        if name not in known:
            raise ValueError(f"no vendor {name!r}; there are {', '.join(known)}")
    return chosen
