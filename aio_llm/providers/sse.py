"""Server-sent events (WHATWG HTML, section 9.2) out of bytes, split anywhere.

One reader for every vendor; tolerant where servers differ (comments, CRLF, `data:` without a
space), and honest where they are not: a body that is no event stream is handed on as such.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

LARGEST_EVENT = 16 * 1024 * 1024
"""Bytes of one line, after which the stream is given up."""


class NotEvents(Exception):
    """The answer is not an event stream; `body` is all of it."""

    def __init__(self, body: bytes) -> None:
        super().__init__("the answer is not an event stream")
        self.body = body


_FIELDS = (b"data", b"event", b"id", b"retry", b":")


def read_events(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The data of each event; raises `NotEvents` if the first line is no field."""
    rest = b""
    data: list[bytes] = []
    started = False
    source = iter(chunks)
    for chunk in source:
        lines = (rest + chunk).split(b"\n") if rest else chunk.split(b"\n")
        rest = lines.pop()
        if len(rest) > LARGEST_EVENT:
            raise ValueError(f"one event is over {LARGEST_EVENT} bytes")
        if not started:
            first = next((line for line in (*lines, rest) if line.strip()), b"")
            if first and not first.lstrip(b"\xef\xbb\xbf").startswith(_FIELDS):
                raise NotEvents(b"\n".join([*lines, rest, *source]))
            started = bool(first) and len(first) > 6
        for line in lines:
            if line[:6] == b"data: ":
                data.append(line[6:])
            elif not line or line == b"\r":
                if data:
                    yield data[0] if len(data) == 1 else b"\n".join(data)
                    data = []
            elif line[:5] == b"data:":
                data.append(line[5:])
    if rest[:5] == b"data:":
        data.append(rest[5:].strip())
    if data:
        yield b"\n".join(data)
