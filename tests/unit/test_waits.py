"""Every spelling of "come back later", and everything a hostile vendor may say instead."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_llm.waits import LONGEST, parse_duration, retry_after

WALL = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC
MOMENT = "Mon, 21 Sep 2026 14:53:20 GMT"

SPELLINGS = {
    "30": 30.0, "17.4": 17.4, "0": 0.0, "6s": 6.0, "26ms": 0.026, "17.399999999s": 17.399999999,
    "2m59.56s": 179.56, "7m12.5s": 432.5, "1h8m25.745s": 4105.745, "1d": 86_400.0, " 6S ": 6.0,
    "33011.382867097855": 33011.382867097855, "2h": 7200.0, "0s": 0.0, "5d": LONGEST,
}  # fmt: skip
JUNK = ("", " ", "nan", "inf", "-inf", "-5", "-5s", "1e308", "soon", "7m12", "s", "1h-3m", "²",
        "9" * 400, "40d", "1 2", "1m 2s", "\x00")  # fmt: skip


@pytest.mark.parametrize(("text", "seconds"), SPELLINGS.items())
def test_a_duration_is_read_in_every_spelling(text: str, seconds: float) -> None:

    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", JUNK)
def test_a_senseless_duration_is_no_duration(text: str) -> None:

    assert parse_duration(text) is None


@pytest.mark.parametrize("text", ["1" * 60_000, "1." * 30_000, "1m" * 30_000, "s" * 60_000])
def test_a_huge_duration_costs_no_time(text: str) -> None:

    assert parse_duration(text) in (None, LONGEST)


@given(st.integers(0, 23), st.integers(0, 59), st.decimals(0, 59, places=3))
def test_go_durations_are_added_up(hours: int, minutes: int, seconds: object) -> None:
    total = hours * 3600 + minutes * 60 + float(str(seconds))

    assert parse_duration(f"{hours}h{minutes}m{seconds}s") == pytest.approx(total)


@given(st.text(st.characters(max_codepoint=0x2FF)) | st.from_regex(r"[-+0-9.eE_smhdnaif]{1,20}"))
def test_any_text_is_a_sensible_wait_or_none(text: str) -> None:
    seconds = parse_duration(text)

    assert seconds is None or 0 <= seconds <= LONGEST


HEADERS: list[tuple[dict[str, str], float | None]] = [
    ({}, None),
    ({"retry-after": "30"}, 30),
    ({"retry-after": "0.5"}, 0.5),
    ({"retry-after": "1m"}, 60),
    ({"retry-after-ms": "1500", "retry-after": "30"}, 1.5),
    ({"retry-after": MOMENT}, 2400),
    ({"retry-after": MOMENT, "date": "Mon, 21 Sep 2026 14:52:20 GMT"}, 60),
    ({"retry-after": "Mon, 21 Sep 2020 14:13:20 GMT"}, 0),
    ({"retry-after": "1e308"}, None),
    ({"retry-after": "-5"}, None),
    ({"retry-after": "nan"}, None),
    ({"retry-after": "864000"}, LONGEST),
    ({"x-ratelimit-reset-tokens": "11.455s", "x-ratelimit-reset-requests": "2s"}, 11.455),
    ({"x-ratelimit-reset-tokens": "11s", "x-ratelimit-remaining-tokens": "0",
      "x-ratelimit-reset-requests": "18m43.2s", "x-ratelimit-remaining-requests": "9"}, 11),
    ({"x-ratelimit-reset-requests-day": "33011", "x-ratelimit-reset-tokens-minute": "9"}, 9),
    ({"X-RateLimit-Reset": str(int(WALL + 90))}, 90),
    ({"x-ratelimit-reset": str(int((WALL + 90) * 1000))}, 90),
    ({"x-ratelimit-reset": "²²²²²²²²²²"}, None),
    ({"x-ratelimit-reset": "9" * 400}, None),
    ({"retry-after": "7", "x-ratelimit-reset-tokens": "11s"}, 7),
]  # fmt: skip


@pytest.mark.parametrize(("headers", "seconds"), HEADERS)
def test_headers_say_how_long(headers: dict[str, str], seconds: float | None) -> None:
    found = retry_after(headers, None, "", WALL, day=False)

    assert found == (None if seconds is None else pytest.approx(seconds))


def test_a_spent_day_looks_at_the_daily_header() -> None:
    headers = {"x-ratelimit-reset-requests-day": "33011", "x-ratelimit-reset-tokens-minute": "9"}

    assert retry_after(headers, None, "", WALL, day=True) == 33011


BODIES: list[tuple[str, bool, float | None]] = [
    ("Please try again in 7m12.5s. Need more tokens?", False, 432.5),
    ("Please try again in 26ms.", False, 0.026),
    ("Please retry in 48.5s.", False, 48.5),
    ("try again after 30", False, 30),
    ('{"retryDelay": "48s"}', False, 48),
    ('Please retry in 20s. {"quotaId": "x", "retryDelay": "20s"}', True, None),
    ("tokens per day (TPD): please try again in 9m38s", True, 578),
    (f'{{"headers": {{"X-RateLimit-Reset": "{int((WALL + 60) * 1000)}"}}}}', False, 60),
    (f'{{"X-RateLimit-Reset": {int(WALL) - 60}}}', False, 0),
    ("try again in a while", False, None),
]


@pytest.mark.parametrize(("said", "day", "seconds"), BODIES)
def test_a_body_says_how_long(said: str, day: bool, seconds: float | None) -> None:
    found = retry_after({}, None, said, WALL, day=day)

    assert found == (None if seconds is None else pytest.approx(seconds))


def test_the_text_of_the_answer_is_more_exact_than_its_header() -> None:
    found = retry_after({"retry-after": "12"}, None, "try again in 11.455s", WALL, day=False)

    assert found == pytest.approx(11.455)


NAMES = ("retry-after", "retry-after-ms", "date", "x-ratelimit-reset", "x-ratelimit-reset-tokens",
         "x-ratelimit-remaining-tokens", "x-ratelimit-reset-requests-day")  # fmt: skip
VALUES = (
    st.text(st.characters(max_codepoint=255), max_size=20)
    | st.from_regex(r"[0-9²]{1,14}[smhd]{0,2}", fullmatch=True)
    | st.datetimes().map(lambda when: f"{when:%a, %d %b} {when.year} {when:%H:%M:%S} -0000")
)


@given(st.dictionaries(st.sampled_from(NAMES), VALUES), VALUES, st.booleans())
def test_hostile_hints_never_raise_and_never_park_for_long(
    headers: dict[str, str], value: str, day: bool
) -> None:
    said = f'Please retry in {value}. "retryDelay": "{value}s", "X-RateLimit-Reset": "{value}"'

    found = retry_after(headers, None, said, WALL, day=day)

    assert found is None or (math.isfinite(found) and 0 <= found <= LONGEST)
