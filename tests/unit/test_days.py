"""A vendor's day ends at the vendor's midnight, also when its clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_llm.quota.days import day_end

PACIFIC = "America/Los_Angeles"
ZONES = (PACIFIC, "UTC", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Kiritimati")

CASES = {
    "a plain day": (PACIFIC, "2026-11-20T20:00", "2026-11-21T08:00"),
    "the last minute": (PACIFIC, "2026-11-21T07:59", "2026-11-21T08:00"),
    "midnight itself begins a new day": (PACIFIC, "2026-11-21T08:00", "2026-11-22T08:00"),
    "the short day of spring": (PACIFIC, "2026-03-08T08:00", "2026-03-09T07:00"),
    "after the jump of spring": (PACIFIC, "2026-03-08T10:00", "2026-03-09T07:00"),
    "the long day of autumn": (PACIFIC, "2026-11-01T07:00", "2026-11-02T08:00"),
    "the hour that comes twice": (PACIFIC, "2026-11-01T09:30", "2026-11-02T08:00"),
    "UTC knows no summer": ("UTC", "2026-03-29T12:00", "2026-03-30T00:00"),
    "an unknown zone counts in UTC": ("Mars/Olympus", "2026-03-29T12:00", "2026-03-30T00:00"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_day_ends_at_midnight_of_the_vendor(case: str) -> None:
    zone, now, end = CASES[case]

    assert day_end(_epoch(now), zone) == _epoch(end)


@given(st.integers(1_600_000_000, 2_200_000_000), st.sampled_from(ZONES))
def test_the_next_midnight_is_always_ahead_and_never_far(wall: int, zone: str) -> None:
    end = day_end(wall, zone)

    local = datetime.fromtimestamp(end, ZoneInfo(zone))
    assert 0 < end - wall <= timedelta(hours=25).total_seconds()
    assert (local.hour, local.minute, local.second) == (0, 0, 0)


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
