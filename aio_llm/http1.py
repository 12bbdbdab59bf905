"""HTTP/1.1 framing (RFC 9112): a request as bytes, an answer's head, where its body ends.

Pure: no socket in here. A `Source` hands over bytes; every size that a server controls is
bounded.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

_HEX = b"0123456789abcdefABCDEF"

LARGEST_LINE = 64 * 1024
"""Bytes of a head or of a chunk-size line."""


class WireError(Exception):
    """A broken connection; `name` is the class of httpx and httpx2 that stands for it."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class Source(Protocol):
    """Where bytes come from; `more()` returns b"" at the end."""

    buffer: bytearray

    def more(self) -> bytes: ...


def encode_request(
    method: str, target: bytes, headers: Iterable[tuple[bytes, bytes]], body: bytes
) -> bytes:
    """One request, ready to be written in one go."""
    lines = [b"%b %b HTTP/1.1" % (method.encode("ascii"), target)]
    lines += [b"%b: %b" % pair for pair in headers]
    lines += [b"", body]
    return b"\r\n".join(lines)


@dataclass(slots=True)
class Head:
    """Status and headers of an answer, how its body ends and is packed.

    `length`: bytes of the body, None if the connection's end (or chunking) marks it.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    keep_alive: bool
    chunked: bool = False
    length: int | None = None
    coding: bytes | None = None

    def body(self, source: Source) -> Iterator[bytes]:
        """The body's bytes as they arrive, unpacked; raises `WireError` if it is cut short."""
        packed = self._framed(source)
        return packed if self.coding is None else _unpacked(packed, self.coding)

    def _framed(self, source: Source) -> Iterator[bytes]:
        if self.chunked:
            return _chunked(source)
        if self.length is not None:
            return _counted(source, self.length)
        return _until_close(source)


def parse_head(block: bytes) -> Head:
    """A head without its empty line; raises `WireError` if it is not HTTP/1.x."""
    lines = block.split(b"\r\n") if b"\r\n" in block else block.split(b"\n")
    version, _, rest = lines[0].partition(b" ")
    code = rest[:3]
    is_http = version.startswith(b"HTTP/1.") and rest[3:4] in (b" ", b"")
    if not is_http or len(code) != 3 or not code.isdigit():
        raise WireError("RemoteProtocolError", "the answer is not HTTP/1.1")
    head = Head(int(code), [], keep_alive=version != b"HTTP/1.0")
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            _note(head, name.strip().lower(), value.strip())
    if head.chunked and head.length is not None:
        head.length, head.keep_alive = None, False  # RFC 9112, section 6.3: a smuggler's sign
    if head.status in (204, 304):
        head.length, head.chunked = 0, False
    if head.length is None and not head.chunked:
        head.keep_alive = False
    return head


def _note(head: Head, name: bytes, value: bytes) -> None:
    if name == b"content-encoding":
        head.coding = None if value.lower() in (b"", b"identity") else value.lower()
        return  # unpacked here, within bounds, so nobody above needs to know
    head.headers.append((name, value))
    if name == b"content-length":
        bad = not value.isdigit() or len(value) > 18
        if bad or (head.length is not None and head.length != int(value)):
            raise WireError("RemoteProtocolError", "the answer has a bad content-length")
        head.length = int(value)
    elif name == b"transfer-encoding":
        head.chunked = value.lower().split(b",")[-1].strip() == b"chunked"
    elif name == b"connection":
        head.keep_alive = b"close" not in value.lower()


def read_head(source: Source) -> Head:
    """The next final head; interim answers (1xx) are passed over."""
    while True:
        head = parse_head(_head_block(source))
        if head.status >= 200:
            return head


def _head_block(source: Source) -> bytes:
    while True:
        end, width = _blank_line(source.buffer)
        if end >= 0:
            block = bytes(source.buffer[:end])
            del source.buffer[: end + width]
            return block
        if len(source.buffer) > LARGEST_LINE:
            raise WireError("RemoteProtocolError", "the head of the answer is too long")
        _pull(source, "the connection was closed before an answer came")


def _blank_line(buffer: bytearray) -> tuple[int, int]:
    """Where the first empty line begins, and its width; -1 if there is none yet."""
    strict, lax = buffer.find(b"\r\n\r\n"), buffer.find(b"\n\n")
    if strict >= 0 and not 0 <= lax < strict:
        return strict, 4
    return lax, 2


def _pull(source: Source, complaint: str) -> None:
    data = source.more()
    if not data:
        raise WireError("RemoteProtocolError", complaint)
    source.buffer += data


def _counted(source: Source, length: int) -> Iterator[bytes]:
    left = length
    while left > 0:
        if not source.buffer:
            _pull(source, f"the connection was closed {left} bytes before the end of the answer")
        piece = bytes(source.buffer[:left])
        del source.buffer[: len(piece)]
        left -= len(piece)
        yield piece


def _until_close(source: Source) -> Iterator[bytes]:
    while True:
        if source.buffer:
            piece = bytes(source.buffer)
            source.buffer.clear()
            yield piece
        data = source.more()
        if not data:
            return
        source.buffer += data


def _chunked(source: Source) -> Iterator[bytes]:
    """Chunks joined per read, so that a burst of small events costs one step."""
    while True:
        pieces: list[bytes] = []
        used, ended = _whole_chunks(source.buffer, pieces)
        del source.buffer[:used]
        if pieces:
            yield b"".join(pieces)
        if ended:
            return
        if len(source.buffer) > LARGEST_LINE:
            yield from _partial_chunk(source)
        else:
            _pull(source, "the connection was closed within the answer")


def _whole_chunks(buffer: bytearray, pieces: list[bytes]) -> tuple[int, bool]:
    """Collect the complete chunks of `buffer`; returns bytes used, and True at the last."""
    position = 0
    while True:
        line_end = buffer.find(b"\r\n", position)
        if line_end < 0:
            if len(buffer) - position > LARGEST_LINE:
                raise WireError("RemoteProtocolError", "a chunk has no size")
            return position, False
        size = _chunk_size(bytes(buffer[position:line_end]))
        start = line_end + 2
        if size == 0:
            trailer_end = buffer.find(b"\r\n", start)
            if trailer_end == start:
                return start + 2, True
            if buffer.find(b"\r\n\r\n", start) < 0:
                return position, False
            return buffer.find(b"\r\n\r\n", start) + 4, True
        if len(buffer) < start + size + 2:
            return position, False
        if buffer[start + size : start + size + 2] != b"\r\n":
            raise WireError("RemoteProtocolError", "a chunk is longer than it says")
        pieces.append(bytes(buffer[start : start + size]))
        position = start + size + 2


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not 0 < len(digits) <= 16 or digits.strip(_HEX):
        raise WireError("RemoteProtocolError", "a chunk has a bad size")
    return int(digits, 16)


def _partial_chunk(source: Source) -> Iterator[bytes]:
    """A chunk larger than a read: hand it on as it comes instead of collecting it."""
    line_end = source.buffer.find(b"\r\n")
    size = _chunk_size(bytes(source.buffer[: max(line_end, 0)]))
    del source.buffer[: line_end + 2]
    yield from _counted(source, size)
    while len(source.buffer) < 2:
        _pull(source, "the connection was closed within the answer")
    del source.buffer[:2]


def _unpacked(chunks: Iterator[bytes], coding: bytes) -> Iterator[bytes]:
    """What a server packed though it was asked not to; in pieces, so that a few bytes cannot
    become gigabytes at once.
    """
    if coding not in (b"gzip", b"x-gzip", b"deflate"):
        raise WireError("DecodingError", f"the answer is packed with {coding.decode('latin-1')!r}")
    inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    for chunk in chunks:
        while chunk:
            try:
                piece = inflate.decompress(chunk, LARGEST_LINE)
            except zlib.error as error:
                raise WireError("DecodingError", f"the answer is badly packed: {error}") from None
            chunk = inflate.unconsumed_tail
            if piece:
                yield piece
