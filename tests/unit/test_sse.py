"""Server-sent events are the same however the network cuts their bytes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_llm.providers.sse import LARGEST_EVENT, NotEvents, read_events
from tests.unit.pieces import CUTS, cut

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
COMMENT = st.sampled_from((": keep-alive", ": OPENROUTER PROCESSING", ":"))
EVENT = st.tuples(st.just("data"), TEXT.map(lambda text: json.dumps({"text": text})))
NOISE = st.tuples(
    st.just("noise"), COMMENT | st.sampled_from(("event: error", "id: 7", "retry: 1"))
)
STREAM = st.lists(EVENT | NOISE, max_size=8)
Parts = list[tuple[str, str]]


def written(parts: Parts, newline: str, space: str) -> bytes:
    """A stream as a server writes it."""
    lines = [f"data:{space}{text}" if kind == "data" else text for kind, text in parts]
    return "".join(line + newline * 2 for line in lines).encode()


@given(STREAM, st.sampled_from(("\n", "\r\n")), st.sampled_from((" ", "")), CUTS)
def test_any_split_of_the_bytes_gives_the_same_events(
    parts: Parts, newline: str, space: str, places: list[int]
) -> None:
    found = read_events(cut(written(parts, newline, space), places))

    assert [json.loads(event) for event in found] == [
        json.loads(text) for kind, text in parts if kind == "data"
    ]


@given(STREAM)
def test_one_byte_at_a_time_is_enough(parts: Parts) -> None:
    data = written(parts, "\n", " ")

    found = read_events([data[at : at + 1] for at in range(len(data))])

    assert [json.loads(event) for event in found] == [
        json.loads(text) for kind, text in parts if kind == "data"
    ]


BODIES = ('{"error": {"message": "Überlast", "code": 500}}', "<!DOCTYPE html><html></html>",
          '[{"error": {"code": 429}}]', "error code: 1015", "\n\n   {}")  # fmt: skip


@pytest.mark.parametrize("body", BODIES)
@given(places=CUTS)
def test_a_body_that_is_no_stream_comes_back_whole(body: str, places: list[int]) -> None:
    data = body.encode()

    with pytest.raises(NotEvents) as caught:
        list(read_events(cut(data, places)))

    assert caught.value.body == data


CASES = {
    "lines of one event are joined": (b"data: a\ndata: b\n\n", [b"a\nb"]),
    "an event at the end needs no empty line": (b"data: a\n\ndata: b", [b"a", b"b"]),
    "a byte order mark is no part of the stream": (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
    "blank lines come first": (b"\n\r\n\ndata: a\n\n", [b"a"]),
    "fields that are not data say nothing": (b"event: x\nid: 1\ndata: a\n\n", [b"a"]),
    "comments say nothing": (b": a\n\n: b\n\ndata: a\n\n", [b"a"]),
    "nothing at all has no events": (b"", []),
    "comments alone have no events": (b": a\n\n: b\n\n", []),
    "only one blank is cut off": (b"data:  a\n\n", [b" a"]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_the_standard_says(case: str) -> None:
    data, events = CASES[case]

    assert list(read_events([data] if data else [])) == events


def test_a_line_without_end_is_given_up() -> None:
    megabyte = b"x" * (1024 * 1024)
    endless = (b"data: " + megabyte for _ in range(LARGEST_EVENT // len(megabyte) + 2))

    with pytest.raises(ValueError, match="one event is over"):
        list(read_events(endless))
