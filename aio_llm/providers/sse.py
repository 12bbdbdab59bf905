"""Server-sent events (WHATWG HTML, section 9.2) out of bytes, split anywhere.

One reader for every vendor; tolerant where servers differ (comments, CRLF, `data:` without a
space), and honest where they are not: a body that is no event stream is handed on as such.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

LARGEST_EVENT = 16 * 1024 * 1024
"""Bytes of one line, after which the stream is given up."""


class NotEvents(Exception):
    """The answer is not an event stream; `body` is all of it."""

    def __init__(self, body: bytes) -> None:
        super().__init__("the answer is not an event stream")
        self.body = body


_FIELDS = (b"data", b"event", b"id", b"retry", b":")
_BOM = b"\xef\xbb\xbf"


def read_events(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The data of each event; raises `NotEvents` if the first line is no field."""
    source = iter(chunks)
    rest: list[bytes] = []
    waiting = 0
    data: list[bytes] = []
    for chunk in chain((_opening(source),), source):
        if b"\n" not in chunk:
            rest.append(chunk)
            waiting += len(chunk)
            if waiting > LARGEST_EVENT:
                raise ValueError(f"one event is over {LARGEST_EVENT} bytes")
            continue
        lines = (b"".join(rest) + chunk).split(b"\n") if rest else chunk.split(b"\n")
        rest = [lines.pop()]
        waiting = len(rest[0])
        for line in lines:
            if line[:6] == b"data: ":
                data.append(line[6:])
            elif not line or line == b"\r":
                if data:
                    yield data[0] if len(data) == 1 else b"\n".join(data)
                    data = []
            elif line[:5] == b"data:":
                data.append(line[5:])
    last = b"".join(rest)
    if last[:5] == b"data:":
        data.append(last[5:].strip())
    if data:
        yield b"\n".join(data)


def _opening(source: Iterator[bytes]) -> bytes:
    """The first bytes, enough of them to tell an event stream from anything else."""
    opening = b""
    for chunk in source:
        opening += chunk
        first = opening.removeprefix(_BOM).lstrip()
        if len(first) >= 6 or b"\n" in first:
            break
    first = opening.removeprefix(_BOM).lstrip()
    if first and not first.startswith(_FIELDS):
        raise NotEvents(opening + b"".join(source))
    return opening.removeprefix(_BOM)
