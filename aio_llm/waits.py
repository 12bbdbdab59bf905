"""How long a vendor asks to wait: every place and spelling it is said in, as seconds.

Spellings: RFC 9110 section 10.2.3 (`Retry-After`: seconds or date), `retry-after-ms`, Go
durations (`7m12.5s`, `26ms`) of Groq and OpenAI, float seconds of Cerebras, epoch
milliseconds of OpenRouter, `google.rpc.RetryInfo` of Google.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

LONGEST = 86_400.0
"""No hint parks anything for longer than a day (seconds)."""

_ABSURD = 31 * LONGEST
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|d|h|m|s)")
_UNIT = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_IN_TEXT = re.compile(
    r"(?:try again|retry) (?:in|after) ((?:\d+(?:\.\d+)?(?:ms|d|h|m|s))+|\d+(?:\.\d+)?)",
    re.IGNORECASE,
)
_RETRY_INFO = re.compile(r'"retryDelay":\s*"([0-9.]+s)"')
_EPOCH_HEADER = re.compile(r'"X-RateLimit-Reset":\s*"?(\d{10,13})', re.IGNORECASE)


def parse_duration(text: str) -> float | None:
    """Seconds of `7m12.5s`, `26ms`, `17.4`; None for junk, negative or absurd values."""
    text = text.strip().lower()
    if len(text) > 40:
        return None
    parts = _PART.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return clamp(sum(float(number) * _UNIT[unit] for number, unit in parts))
    try:
        return clamp(float(text))
    except ValueError:
        return None


def clamp(seconds: float) -> float | None:
    """`seconds` within [0, a day]; None if it is no sensible wait at all."""
    if not math.isfinite(seconds) or seconds < 0 or seconds > _ABSURD:
        return None
    return min(seconds, LONGEST)


def retry_after(
    headers: Mapping[str, str], body: object, said: str, wall: float, *, day: bool
) -> float | None:
    """Seconds until the vendor will answer again, None if it does not say.

    `said`: the whole answer as text; `wall`: now, epoch seconds. For a `day` limit Google's
    RetryInfo and "retry in" are ignored: they name a minute window that is not the one spent.
    """
    found = list(_in_body(said, wall, google_day=day and "quotaId" in said))
    if found:
        return max(found)
    if day and "quotaId" in said:
        return None
    stated = _in_retry_after(headers, wall)
    return stated if stated is not None else _in_reset_headers(headers, wall, day=day)


def _in_body(said: str, wall: float, *, google_day: bool) -> Iterator[float]:
    if google_day:
        return
    for pattern in (_IN_TEXT, _RETRY_INFO):
        for match in pattern.finditer(said):
            seconds = parse_duration(match[1])
            if seconds is not None:
                yield seconds
    for match in _EPOCH_HEADER.finditer(said):
        seconds = _until_epoch(match[1], wall)
        if seconds is not None:
            yield seconds


def _until_epoch(stamp: str, wall: float) -> float | None:
    moment = float(stamp)
    left = (moment / 1000 if moment > 1e11 else moment) - wall
    return clamp(max(left, 0.0))


def _in_retry_after(headers: Mapping[str, str], wall: float) -> float | None:
    milliseconds = headers.get("retry-after-ms")
    if milliseconds:
        seconds = parse_duration(milliseconds)
        if seconds is not None:
            return seconds / 1000
    value = headers.get("retry-after")
    if not value:
        return None
    seconds = parse_duration(value)
    return seconds if seconds is not None else _until_date(value, headers.get("date"), wall)


def _until_date(value: str, date: str | None, wall: float) -> float | None:
    """An HTTP date, counted from the vendor's own `Date`: the local clock may be wrong."""
    try:
        then = parsedate_to_datetime(value).timestamp()
        start = parsedate_to_datetime(date).timestamp() if date else wall
    except (TypeError, ValueError):
        return None
    return clamp(max(then - start, 0.0))


def _in_reset_headers(headers: Mapping[str, str], wall: float, *, day: bool) -> float | None:
    """The longest reset among the limits of the right window, spent ones first."""
    resets = dict(_reset_headers(headers, wall))
    if day:
        daily = [seconds for name, seconds in resets.items() if name.endswith("day")]
        return max(daily or list(resets.values()), default=None)
    spent = [seconds for name, seconds in resets.items() if _is_spent(headers, name)]
    if spent:
        return max(spent)
    return max((s for name, s in resets.items() if not name.endswith("day")), default=None)


def _reset_headers(headers: Mapping[str, str], wall: float) -> Iterator[tuple[str, float]]:
    for name, value in headers.items():
        name = name.lower()
        if not name.startswith("x-ratelimit-reset"):
            continue
        stamp = value.strip()
        is_epoch = stamp.isascii() and stamp.isdigit() and 10 <= len(stamp) <= 13
        seconds = _until_epoch(stamp, wall) if is_epoch else parse_duration(stamp)
        if seconds is not None:
            yield name, seconds


def _is_spent(headers: Mapping[str, str], reset_name: str) -> bool:
    left: Any = headers.get(reset_name.replace("-reset", "-remaining", 1))
    return left is not None and left.strip() == "0"
