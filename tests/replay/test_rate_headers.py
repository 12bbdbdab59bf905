"""Recorded rate-limit headers state the limits that their vendors document."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aio_llm.allowances import PERIODS, told_by_headers
from tests.replay.wire import FOLDER, Record, cases, needs_recordings

pytestmark = needs_recordings

WALL = 1_790_000_000.0
AXES = {"groq": {"rpd", "tpm"}, "openai": {"rpm", "tpm"}}


def with_headers() -> list[Record]:
    """Every record of any vendor whose answer has rate-limit headers."""
    path = FOLDER / "recordings.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [record for record in map(json.loads, lines) if is_limited(record)]


def is_limited(record: Record) -> bool:
    """Some header of it is about limits."""
    return any("ratelimit" in name.lower() for name in record["response"]["headers"])


LIMITED = with_headers()
SUFFIXLESS = [record for record in LIMITED if record["vendor"] in AXES]


@pytest.mark.parametrize("record", cases(SUFFIXLESS))
def test_the_window_is_inferred_from_the_answer_alone(record: Record) -> None:
    headers = record["response"]["headers"]

    told = told_by_headers(headers, WALL)

    written = {what for what in ("requests", "tokens") if f"x-ratelimit-limit-{what}" in headers}
    assert {one.axis for one in told} == {
        axis for axis in AXES[record["vendor"]] for what in written if axis[0] == what[0]
    }


@pytest.mark.parametrize("record", cases(SUFFIXLESS))
def test_the_numbers_are_those_that_were_written(record: Record) -> None:
    headers: dict[str, Any] = record["response"]["headers"]

    told = told_by_headers(headers, WALL)

    for one in told:
        what = "requests" if one.axis.startswith("r") else "tokens"
        assert one.limit == int(headers[f"x-ratelimit-limit-{what}"])
        assert one.remaining == int(headers[f"x-ratelimit-remaining-{what}"])
        assert one.resets_in is not None


@pytest.mark.parametrize("record", cases(LIMITED))
def test_a_recorded_header_never_misleads_a_meter(record: Record) -> None:
    told = told_by_headers(record["response"]["headers"], WALL)

    for one in told:
        assert one.limit is None or one.limit > 0
        assert one.remaining is None or 0 <= one.remaining <= (one.limit or 10**12)
        assert one.resets_in is None or 0 <= one.resets_in <= PERIODS[one.axis]


def test_both_vendors_are_replayed() -> None:
    vendors = {record["vendor"] for record in SUFFIXLESS}

    assert vendors == set(AXES)
    assert len(LIMITED) >= 30
