"""Bytes in pieces: the same bytes, cut anywhere."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from hypothesis import strategies as st


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """`data` in pieces cut at `places` (taken modulo its length), none of them empty."""
    ends = sorted({place % len(data) for place in places if data} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(ends)]


CUTS = st.lists(st.integers(0, 1_000_000), max_size=30)


class Wire:
    """A source of bytes for the HTTP reader: piece by piece, then the end of the connection."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.buffer = bytearray()
        self._pieces: Iterator[bytes] = iter(pieces)

    def more(self) -> bytes:
        """The next piece, b"" at the end."""
        return next(self._pieces, b"")
