"""HTTP/1.1 as bytes: one request out of a buffer, response heads, chunks. No sockets."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from aio_llm.simulator.records import End, Event, HttpRequest, Play, Reply

LAST_CHUNK = b"0\r\n\r\n"
REASONS = {status.value: status.phrase for status in HTTPStatus} | {529: "Site is overloaded"}
_LENGTH = "content-length"
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class BadRequestError(ValueError):
    """The bytes are not a request this server reads."""


def take_request(buffer: bytearray) -> HttpRequest | None:
    """Cut the first complete request off the buffer; None while it is incomplete."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = buffer[:end].decode("latin-1").split("\r\n")
    headers = _headers(lines)
    start, stop = end + 4, end + 4 + _body_length(headers)
    if len(buffer) < stop:
        return None
    body = bytes(buffer[start:stop])
    del buffer[:stop]
    return _request(lines[0], headers, body)


def _headers(lines: list[str]) -> dict[str, str]:
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return headers


def _body_length(headers: dict[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise BadRequestError("a request body needs a content-length")
    length = headers.get(_LENGTH, "0")
    if not length.isdecimal():
        raise BadRequestError("content-length is not a number")
    return int(length)


def _request(line: str, headers: dict[str, str], body: bytes) -> HttpRequest:
    parts = line.split(" ")
    if len(parts) != 3:
        raise BadRequestError("no request line")
    path, _, query = parts[1].partition("?")
    return HttpRequest(parts[0], path, query, headers, body)


class DateHeader:
    """The `date` header, rebuilt once a second."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._second = -1
        self._value = ""

    def __call__(self) -> str:
        """Return the current value."""
        second = int(self._clock())
        if second != self._second:
            self._value = formatdate(second, usegmt=True)
            self._second = second
        return self._value


def header_block(headers: Mapping[str, str]) -> bytes:
    """Header lines, each with its line end."""
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode("latin-1")


def compact_json(value: Any) -> bytes:
    """JSON without spaces, non-ASCII as UTF-8."""
    return _compact(value).encode("utf-8", "replace")


def head(reply: Reply, framing: str) -> bytes:
    """Status line and headers; `framing` is the header that tells the body's length."""
    line = f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Unknown')}\r\n{framing}\r\n"
    return b"%b%b\r\n" % (line.encode("latin-1"), reply.headers)


def sized(reply: Reply, extra: int = 0) -> bytes:
    """Head with a content-length that is `extra` bytes too large."""
    return head(reply, f"{_LENGTH}: {len(reply.body) + extra}")


def chunked(reply: Reply) -> bytes:
    """Head of a chunked body."""
    return head(reply, "transfer-encoding: chunked")


def chunk(data: bytes) -> bytes:
    """One HTTP chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def stream_steps(events: Iterable[Event], delay: float) -> Iterator[bytes | float]:
    """One chunk per event, `delay` seconds before each content event but the first."""
    seen = False
    for event in events:
        if delay and seen and event.kind == "content":
            yield delay
        seen = seen or event.kind == "content"
        yield chunk(event.data)


def play(reply: Reply, latency: float = 0.0, delay: float = 0.0) -> Play:
    """How a healthy connection sends the reply; times in seconds."""
    if reply.events is None:
        steps: list[bytes | float] = [sized(reply) + reply.body]
        return Play(reply.status, [latency, *steps] if latency else steps, End.KEEP)
    return Play(reply.status, _stream(reply, latency, delay), End.KEEP)


def _stream(reply: Reply, latency: float, delay: float) -> Iterator[bytes | float]:
    if latency:
        yield latency
    yield from joined([chunked(reply), *stream_steps(reply.events or (), delay), LAST_CHUNK])


def joined(steps: Iterable[bytes | float]) -> Iterator[bytes | float]:
    """The same steps with neighbouring bytes in one."""
    pending = bytearray()
    for step in steps:
        if isinstance(step, bytes):
            pending += step
            continue
        yield bytes(pending)
        pending.clear()
        yield step
    if pending:
        yield bytes(pending)
