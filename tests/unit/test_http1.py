"""HTTP/1.1 framing: any split gives the same answer, any cut is noticed, nothing loops."""

from __future__ import annotations

import http.client
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_llm.http1 import LARGEST_LINE, WireError, encode_request, parse_head, read_head
from tests.unit.pieces import CUTS, Wire, cut

BODY = st.binary(max_size=300)
SIZES = st.lists(st.integers(1, 60), max_size=12)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


def counted(body: bytes) -> bytes:
    """An answer that says how long it is."""
    return HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)


def chunked(body: bytes, sizes: list[int], extension: bytes = b"", trailer: bytes = b"") -> bytes:
    """An answer in chunks of these sizes, the rest in one."""
    out, start = HEAD + b"Transfer-Encoding: chunked\r\n\r\n", 0
    for size in [*sizes, len(body)]:
        piece = body[start : start + size]
        start += size
        out += b"%X%b\r\n%b\r\n" % (len(piece), extension, piece) if piece else b""
    return out + b"0\r\n" + trailer + b"\r\n"


def read(pieces: list[bytes]) -> tuple[int, bytes]:
    """Status and body of what comes in `pieces`."""
    wire = Wire(pieces)
    head = read_head(wire)
    return head.status, b"".join(head.body(wire))


@given(BODY, CUTS)
def test_any_split_of_a_counted_body_reads_the_same(body: bytes, places: list[int]) -> None:

    assert read(cut(counted(body), places)) == (200, body)


@given(BODY, SIZES, CUTS, st.sampled_from((b"", b";a=b")), st.sampled_from((b"", b"X-A: 1\r\n")))
def test_any_split_of_a_chunked_body_reads_the_same(
    body: bytes, sizes: list[int], places: list[int], extension: bytes, trailer: bytes
) -> None:

    assert read(cut(chunked(body, sizes, extension, trailer), places)) == (200, body)


@given(BODY, CUTS)
def test_a_body_without_a_length_ends_with_the_connection(body: bytes, places: list[int]) -> None:

    assert read(cut(HEAD + b"\r\n" + body, places)) == (200, body)


@given(BODY, SIZES, CUTS, st.data())
def test_every_cut_of_a_framed_answer_is_noticed(
    body: bytes, sizes: list[int], places: list[int], data: st.DataObject
) -> None:
    whole = data.draw(st.sampled_from((counted(body), chunked(body, sizes))))
    end = data.draw(st.integers(0, len(whole) - 1))

    with pytest.raises(WireError) as caught:
        read(cut(whole[:end], places))

    assert caught.value.name == "RemoteProtocolError"


@pytest.mark.parametrize("step", [1000, 65_536, 300_000])
def test_a_chunk_larger_than_a_read_comes_through(step: int) -> None:
    body = bytes(range(256)) * 1000
    data = chunked(body, [200_000])

    found = read([data[at : at + step] for at in range(0, len(data), step)])

    assert found == (200, body)


def test_a_cut_within_a_large_chunk_is_noticed() -> None:
    data = chunked(b"x" * 200_000, [])[:150_000]

    with pytest.raises(WireError, match="before the end"):
        read([data[at : at + 8192] for at in range(0, len(data), 8192)])


def test_an_interim_answer_is_passed_over() -> None:

    assert read([b"HTTP/1.1 100 Continue\r\n\r\n" + counted(b"after")]) == (200, b"after")


def test_chunks_win_over_a_length() -> None:
    data = chunked(b"abc", []).replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\n", 1)

    assert read([data]) == (200, b"abc")


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_content_has_no_body(status: int) -> None:

    assert read([b"HTTP/1.1 %d X\r\nConnection: keep-alive\r\n\r\nnext" % status]) == (status, b"")


KEEPING = {
    b"HTTP/1.1 200 OK\r\ncontent-length: 1": True,
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked": True,
    b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close": False,
    b"HTTP/1.1 200 OK": False,
    b"HTTP/1.0 200 OK\r\ncontent-length: 1": False,
    b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\nconnection: keep-alive": True,
}


@pytest.mark.parametrize(("block", "keeps"), KEEPING.items())
def test_a_connection_is_kept_only_if_the_end_of_the_body_is_known(
    block: bytes, keeps: bool
) -> None:

    assert parse_head(block).keep_alive is keeps


BROKEN = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
    "HTTP/2": b"HTTP/2 200\r\n\r\n",
    "no status": b"HTTP/1.1 abc\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nab",
    "a length in words": b"HTTP/1.1 200 OK\r\nContent-Length: one\r\n\r\nab",
    "a head without end": b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * LARGEST_LINE,
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_head_is_a_broken_connection(case: str) -> None:

    with pytest.raises(WireError):
        read([BROKEN[case]] if BROKEN[case] else [])


SIZELESS = (b"xyz", b"", b"-6", b"-1", b"+6", b"0x6", b"1_0", b"6 6", b"\xb2", b"-0",
            b"1" * (LARGEST_LINE + 1))  # fmt: skip


@pytest.mark.parametrize("size", SIZELESS, ids=lambda size: repr(size[:8]))
def test_a_senseless_chunk_size_is_a_broken_connection(size: bytes) -> None:
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

    with pytest.raises(WireError):
        read([head + size + b"\r\nabcdef\r\n0\r\n\r\n"])


NAME = st.from_regex(rb"[a-z][a-z0-9-]{0,12}", fullmatch=True)
VALUE = st.from_regex(rb"[!-~]([ -~]{0,20}[!-~])?", fullmatch=True)


@given(st.dictionaries(NAME, VALUE, max_size=6), BODY)
def test_a_request_arrives_as_it_was_meant(headers: dict[bytes, bytes], body: bytes) -> None:
    stream = io.BytesIO(encode_request("POST", b"/v1/chat?x=1", headers.items(), body))

    assert stream.readline() == b"POST /v1/chat?x=1 HTTP/1.1\r\n"
    found = http.client.parse_headers(stream)
    assert {k.encode(): v.encode() for k, v in found.items()} == headers
    assert stream.read() == body
