"""What every simulated vendor has: paths, keys, models, an error table and a wire format."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import ClassVar, Self

from aio_llm.simulator.answers import blank
from aio_llm.simulator.http1 import DateHeader, compact_json, header_block
from aio_llm.simulator.quotas import Meter
from aio_llm.simulator.records import (
    Answer,
    Ask,
    Case,
    Event,
    HttpRequest,
    Json,
    Problem,
    Reply,
    Route,
)

JSON_TYPE = "application/json"
SSE_TYPE = "text/event-stream"
HTML_TYPE = "text/html; charset=UTF-8"
MOST_TOKENS = 1_000_000
_ALIASES = {"401": "bad_key", "404": "no_model", "429": "limit"}


@dataclass(frozen=True, slots=True)
class Row:
    """One error: HTTP status, message (a format string over `Case`), type, code, parameter."""

    status: int
    message: str
    type: str = ""
    code: str | int | None = None
    param: str | None = None


Special = Callable[[Case], Problem]


class Vendor(ABC):
    """A vendor's wire format. The error tables are data; the rest is shape."""

    name: str
    base: str
    priority: ClassVar[int]
    models: tuple[str, ...]
    key_prefix: ClassVar[str]
    key_alphabet: ClassVar[str] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    key_length: ClassVar[int]
    rows: ClassVar[Mapping[str, Row]]
    special: Mapping[str, Special]
    day_wait: ClassVar[float]
    date: DateHeader = DateHeader()

    def living(self, clock: Callable[[], float], models: Sequence[str] = ()) -> Self:
        """The same vendor with dates of that clock and, if there are any, with these models."""
        made = copy(self)
        made.date = DateHeader(clock)
        made.models = tuple(models) or self.models
        return made

    def key(self, number: int) -> str:
        """The vendor's accepted key with this number, from 1: always the same."""
        digest = hashlib.shake_256(f"{self.name} key {number}".encode()).digest(self.key_length)
        letters = "".join(self.key_alphabet[byte % len(self.key_alphabet)] for byte in digest)
        return self.key_prefix + letters[: self.key_length - len(self.key_prefix)]

    def problem(self, name: str, case: Case) -> Problem:
        """The vendor's true error of that name."""
        for known in (name, _ALIASES.get(name, name)):
            if known in self.special:
                return self.special[known](case)
            if known in self.rows:
                return self.from_row(self.rows[known], case)
        raise KeyError(name)

    def reply(self, problem: Problem, serial: int) -> Reply:
        """An error, ready to be framed."""
        body = problem.body if isinstance(problem.body, bytes) else self.encode(problem.body)
        headers = self.headers(problem.content_type, serial)
        return Reply(problem.status, headers + header_block(problem.headers), body)

    def answer(self, answer: Answer, meters: Mapping[str, Meter]) -> Reply:
        """A model's answer, ready to be framed."""
        stream = answer.ask.stream
        headers = self.headers(SSE_TYPE if stream else JSON_TYPE, answer.ask.serial)
        headers += header_block(self.rate_headers(meters, answer.total_tokens))
        if stream:
            return Reply(200, headers, events=tuple(self.events(answer)))
        return Reply(200, headers, self.padding() + self.encode(self.body(answer)))

    def encode(self, body: Json) -> bytes:
        """JSON as this vendor writes it."""
        return compact_json(body)

    def padding(self) -> bytes:
        """What comes before a plain JSON body."""
        return b""

    def rate_headers(self, meters: Mapping[str, Meter], tokens: int) -> dict[str, str]:
        """Rate-limit headers of a success."""
        return {}

    def spent_headers(self, meters: Mapping[str, Meter]) -> dict[str, str]:
        """Rate-limit headers of a refusal."""
        return self.rate_headers(meters, 0) if meters else {}

    def blank_event(self, ask: Ask) -> Event:
        """The first event of a stream, without any text."""
        events = self.events(blank(ask, "stop"))
        return next(event for event in events if event.kind in ("role", "content"))

    @abstractmethod
    def route(self, method: str, path: str) -> Route:
        """Where a path below the vendor's prefix leads."""

    @abstractmethod
    def key_of(self, request: HttpRequest) -> str:
        """The key a request carries, empty when there is none."""

    @abstractmethod
    def read(self, ask: Ask, body: Json) -> None:
        """Fill in the ask from the request's body."""

    @abstractmethod
    def complaint(self, ask: Ask) -> str | None:
        """The name of the error this request deserves, None when it is fine."""

    @abstractmethod
    def from_row(self, row: Row, case: Case) -> Problem:
        """An error from the table in the vendor's shape."""

    @abstractmethod
    def headers(self, content_type: str, serial: int) -> bytes:
        """The headers of every answer, but for its length."""

    @abstractmethod
    def body(self, answer: Answer) -> Json:
        """A plain answer."""

    @abstractmethod
    def events(self, answer: Answer) -> list[Event]:
        """A streamed answer, terminator included."""

    @abstractmethod
    def model_list(self) -> Json:
        """The list of models."""

    @abstractmethod
    def sse(self, body: Json) -> bytes:
        """One server-sent event."""

    @abstractmethod
    def stream_error(self, ask: Ask, problem: Problem) -> bytes:
        """An error as the vendor sends it inside a stream."""

    @abstractmethod
    def finish_error(self, ask: Ask) -> Json:
        """A chunk (or, for a plain call, a body) that ends in an error after some text."""


def token_limit_is_sane(limit: object) -> bool:
    """Whether a limit of output tokens is absent or possible."""
    return limit is None or (isinstance(limit, int) and 0 < limit <= MOST_TOKENS)


def duration(seconds: float) -> str:
    """Seconds as `1h8m25.745s`, `7m12.5s`, `6s` or `26ms`."""
    if seconds < 1:
        return f"{round(seconds * 1000, 6):g}ms"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = f"{hours}h" * bool(hours) + f"{minutes}m" * bool(hours or minutes)
    return f"{parts}{round(rest, 9):.12g}s"


def html_problem(status: int, page: str) -> Problem:
    """An error page in HTML."""
    return Problem(status, page.encode(), content_type=HTML_TYPE)


def cloudflare_block(host: str) -> Special:
    """Cloudflare's 403 page for a host."""
    page = (
        '<!DOCTYPE html><html lang="en-US"><head><title>Attention Required! | Cloudflare</title>'
        '</head><body><div id="cf-wrapper"><h1 data-translate="block_headline">Sorry, you have '
        f"been blocked</h1><h2>You are unable to access {host}</h2></div></body></html>"
    )
    return lambda case: html_problem(403, page)


def retry_after(problem: Problem, case: Case) -> Problem:
    """The problem with a `retry-after` header when the case asks for one."""
    if not case.retry_after or case.wait is None:
        return problem
    headers = {**problem.headers, "retry-after": str(max(1, -int(-case.wait // 1)))}
    return Problem(problem.status, problem.body, headers, problem.content_type)
