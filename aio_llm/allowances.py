"""What a vendor tells of its limits, in headers of any answer and in the words of a 429.

Nothing is remembered here and nothing decided: a `Mapping` or a text goes in, `Allowance`s come
out. What the forms mean is in the vendors' documents and in recorded answers: Groq, OpenAI,
Cerebras, OpenRouter, Anthropic, Mistral, Together, xAI, Hugging Face; Google says nothing in
headers. Whatever is no plain number (nan, negative, text, 2^63 for "no limit") counts as not
told, so junk never raises and never becomes a limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

from aio_llm.waits import clamp, parse_duration

PERIODS: dict[str, float] = {
    "rps": 1.0, "rpm": 60.0, "rph": 3600.0, "rpd": 86_400.0,
    "tps": 1.0, "tpm": 60.0, "tph": 3600.0, "tpd": 86_400.0,
}  # fmt: skip
"""Seconds of each axis: requests (r) and tokens (t) per second, minute, hour, day."""

_MOST = 10**12  # more than anybody is granted; Hugging Face writes 2^63 for "no limit"
_LONGEST_TEXT = 20_000  # characters of a refusal that are read
_EPOCH = 1e9  # a reset from here on is a moment, not a duration (seconds)
_ALIKE = 0.05  # how near a reset must come to that of an evenly refilled period
_ROUNDING = 0.001  # seconds: reset times are written in whole milliseconds


@dataclass(frozen=True, slots=True)
class Allowance:
    """One limit as the vendor states it; None where it does not say.

    `axis`: a key of `PERIODS`. `limit`: requests or tokens per period, never 0 or less.
    `remaining`: what is left of it now, never more than `limit`. `resets_in`: seconds until
    it is full again, never more than the period.
    """

    axis: str
    limit: int | None = None
    remaining: int | None = None
    resets_in: float | None = None


Told = list[bytes | None]  # limit, remaining, reset as they were written


def _slots() -> dict[str, str]:
    """Header families, `{}` for limit, remaining or reset: what they count.

    That is an axis, or "requests" / "tokens" where the name hides the period, or "" where it
    hides everything.
    """
    hidden = {"": "", "-requests": "requests", "-tokens": "tokens"}
    hidden |= {"-project-requests": "requests", "-project-tokens": "tokens"}  # OpenAI
    named: dict[str, str] = {}
    for name in ("second", "minute", "hour", "day"):
        named |= {f"-requests-{name}": f"rp{name[0]}", f"-tokens-{name}": f"tp{name[0]}"}
        named |= {f"-req-{name}": f"rp{name[0]}", f"-{name}": f"rp{name[0]}"}  # Mistral; Kong
    slots = {f"x-ratelimit-{{}}{suffix}": axis for suffix, axis in (hidden | named).items()}
    anthropic = {"requests": "rpm", "tokens": "tpm", "input-tokens": "tpm"}
    return slots | {f"anthropic-ratelimit-{what}-{{}}": axis for what, axis in anthropic.items()}


def _places() -> dict[bytes, tuple[str, int]]:
    """Every header name: its family, and which of the three it is.

    In three spellings, so that a lookup needs no lower(): that halves the time of an answer
    without such headers.
    """
    places = {}
    for family in _SLOTS:
        for place, word in enumerate(("limit", "remaining", "reset")):
            name = family.format(word)
            title = name.title()
            for spelling in (name, title, title.replace("Ratelimit", "RateLimit")):
                places[spelling.encode()] = (family, place)
    return places


_SLOTS = _slots()
_PLACES = _places()


def told_by_headers(
    headers: Mapping[str, str], wall: float, *, requests: str = ""
) -> tuple[Allowance, ...]:
    """The limits an answer's headers state, at most one per axis; never raises.

    `wall`: now, epoch seconds; the answer's own `Date` is preferred. `requests`: the axis that
    headers without a period count for this vendor ("rpd" for Groq, "rps" for Together, "rpm"
    for xAI), "" to infer it; where nothing proves a period the header is left out. Where two
    headers state one axis (Anthropic: all tokens, input tokens) the one with less remaining
    stands. A limit of 0 means "does not apply" and is left out; more remaining than the limit
    is the limit.
    """
    told = _collect(_pairs(headers))
    if not told:
        return ()
    return _allowances(told, _Now(headers, wall), requests, requests)


def _pairs(headers: Mapping[str, str]) -> Iterable[tuple[bytes, bytes]]:
    """Names and values as bytes: httpx has them so, and decoding would cost the most."""
    raw: list[tuple[bytes, bytes]] | None = getattr(headers, "raw", None)
    if raw is not None:
        return raw
    return [_bytes(name, value) for name, value in headers.items()]


def _bytes(name: str, value: str) -> tuple[bytes, bytes]:
    return name.lower().encode("ascii", "replace"), str(value).encode("ascii", "replace")


def _collect(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, Told]:
    told: dict[str, Told] = {}
    for name, value in [pair for pair in pairs if pair[0] in _PLACES]:
        family, place = _PLACES[name]
        row = told.get(family)
        if row is None:
            row = told[family] = [None, None, None]
        row[place] = value
    return told


class _Now:
    """The moment absolute reset times are counted from, looked up only if there are any."""

    __slots__ = ("_headers", "_wall")

    def __init__(self, headers: Mapping[str, str], wall: float) -> None:
        self._headers = headers
        self._wall = wall

    def until(self, moment: float) -> float | None:
        """Seconds until `moment`, 0 if it is past; None for a senseless one."""
        return clamp(max(moment - self._moment(), 0.0))

    def _moment(self) -> float:
        """The vendor's clock, by its `Date`: the local one may be wrong."""
        try:
            return parsedate_to_datetime(self._headers["date"]).timestamp()
        except (KeyError, TypeError, ValueError, OverflowError, OSError, AttributeError):
            return self._wall


def _allowances(
    told: dict[str, Told], now: _Now, requests: str, bare: str
) -> tuple[Allowance, ...]:
    found: dict[str, Allowance] = {}
    for family, row in told.items():
        counts = _SLOTS[family]
        hint = requests if counts == "requests" else bare if not counts else ""
        read = _read(hint if hint in PERIODS else counts, row, now)
        if read is not None:
            other = found.get(read.axis)
            found[read.axis] = read if other is None else min(other, read, key=_tightness)
    return tuple(found.values())


def _tightness(allowance: Allowance) -> tuple[int, int]:
    """Sorts the limit that will be reached first to the front."""
    limit = _MOST if allowance.limit is None else allowance.limit
    return (limit if allowance.remaining is None else allowance.remaining, limit)


def _read(counts: str, row: Told, now: _Now) -> Allowance | None:
    """One family of headers as an allowance; None if nothing in it can be used."""
    limit, remaining = _count(row[0]), _count(row[1])
    if limit == 0:
        return None
    if limit is not None and remaining is not None and remaining > limit:
        remaining = limit
    reset = row[2] or b""
    seconds = _seconds(reset, now) if reset else None
    if limit is None and remaining is None and seconds is None:
        return None
    axis = counts if counts in PERIODS else _infer(counts, limit, remaining, reset, seconds)
    if not axis:
        return None
    if seconds is not None and seconds > PERIODS[axis]:
        seconds = PERIODS[axis]
    return Allowance(axis, limit, remaining, seconds)


def _count(value: bytes | str | None) -> int | None:
    """A whole number from 0 to a million millions, None for anything else."""
    if value is None:
        return None
    try:
        number = int(value)
    except (TypeError, ValueError):
        try:
            number = int(float(value))
        except (TypeError, ValueError, OverflowError):
            return None
    return number if 0 <= number <= _MOST else None


def _seconds(reset: bytes, now: _Now) -> float | None:
    """Seconds until a reset: a duration, an RFC 3339 time, or an epoch in s or ms."""
    try:  # the usual `7.66s`, `26ms` and `11.38`; parse_duration does the rest, slower
        if reset[-1:] != b"s":
            plain = float(reset)
            return clamp(plain) if plain < _EPOCH else _until_epoch(reset, now)
        if reset[-2:] == b"ms":
            return clamp(float(reset[:-2]) / 1000)
        return clamp(float(reset[:-1]))
    except ValueError:
        text = reset.decode("latin-1")
        moment = _timestamp(text)
        return parse_duration(text) if moment is None else now.until(moment)


def _until_epoch(reset: bytes, now: _Now) -> float | None:
    moment = _epoch(reset)
    return None if moment is None else now.until(moment)


def _epoch(reset: bytes) -> float | None:
    reset = reset.strip()
    if not 10 <= len(reset) <= 13 or not reset.isdigit():
        return None
    return float(reset) / 1000 if len(reset) == 13 else float(reset)


def _timestamp(reset: str) -> float | None:
    if reset[10:11] not in ("T", "t", " "):
        return None
    try:
        return datetime.fromisoformat(reset).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def _infer(
    counts: str, limit: int | None, remaining: int | None, reset: bytes, seconds: float | None
) -> str:
    """The axis of a header that does not name its period, "" if nothing proves one."""
    if not counts:
        return _by_calendar(reset, seconds)
    unit = "tp" if counts == "tokens" else "rp"
    if seconds is None:  # xAI; every vendor that counts tokens without a word means the minute
        return "tpm" if counts == "tokens" and limit is not None else ""
    if limit is not None and remaining is not None and remaining < limit and reset[-1:] == b"s":
        letter = _by_refill(limit, limit - remaining, seconds)
        if letter:
            return "" if letter == "?" else unit + letter
    return unit + "m" if seconds <= 60 else ""


def _by_calendar(reset: bytes, seconds: float | None) -> str:
    """OpenRouter's `x-ratelimit-reset`: free requests end with the UTC day or the minute."""
    moment = _epoch(reset)
    if moment is None or seconds is None:
        return ""
    if moment % 86_400 == 0:
        return "rpd"
    return "rpm" if seconds <= 60 else ""


def _by_refill(limit: int, used: int, seconds: float) -> str:
    """Letter of the period after which a bucket that refills evenly is full in `seconds`.

    Measured on recorded answers of Groq and OpenAI: reset x limit / used is 60 or 86,400.
    `used` is rounded up, so the period lies between that and reset x limit / (used - 1).
    "" if no period fits (the window is not refilled evenly), "?" if several but no minute do.
    """
    for period, letter in _LETTERS:
        due = period * used / limit
        if abs(seconds - due) <= _ALIKE * due + _ROUNDING:
            return letter
    shortest = (seconds - _ROUNDING) * limit / used
    longest = (seconds + _ROUNDING) * limit / (used - 1) if used > 1 else float("inf")
    fit = [letter for period, letter in _LETTERS if shortest <= period <= longest]
    if not fit or fit[0] == "m" or len(fit) == 1:
        return fit[0] if fit else ""
    return "?"


_LETTERS = ((60.0, "m"), (3600.0, "h"), (86_400.0, "d"))

_NAMED = re.compile(
    r"\([io]?(?P<what>[rt])p(?P<per>[smhd])\)"  # "(RPM)", "(ITPM)": Groq, OpenAI
    r"|(?:(?P<of>\d[\d,.]{0,14})\ )?(?:free\ model\ |api\ |input\ |output\ )?"
    r"(?P<what2>request|token|quer|call)[a-z]{0,6}\ ?(?:/|per)[\ -]?(?P<per2>sec|min|hour|day)"
    r"|models-per-(?P<per3>min|day)"  # OpenRouter
    r"|free_tier_(?P<per4>daily|min)"
    r"|(?P<what5>request|token)s?\ has\ exceeded\ your\ (?:per-)?(?P<per5>min|hour|da)"  # Anthropic
    r"|rate\ limit\ of\ (?P<of6>\d{1,12})\ per\ (?P<per6>1|60|3600|86400)s\b",  # GitHub Models
    re.IGNORECASE,
)
_LIMIT = re.compile(
    r"limit:? ?(\d[\d,]{0,20})(?:[^.\"]{0,40}?used:? (\d[\d,]{0,20}))?", re.IGNORECASE
)
_QUOTA = re.compile(
    r"quota_?(?P<field>id|value)[\"']?\s*:\s*[\"']?(?P<value>[^\"',}\s]{1,200})", re.IGNORECASE
)
_QUOTA_PERIOD = re.compile(r"per(second|minute|hour|day)", re.IGNORECASE)
_BODY_HEADER = re.compile(
    r"\"(x-ratelimit-(?:limit|remaining|reset))\"\s*:\s*\"?(\d{1,13})\b", re.IGNORECASE
)
_SECONDS = {"1": "s", "60": "m", "3600": "h", "86400": "d"}


def told_by_refusal(
    said: str, headers: Mapping[str, str], wall: float, *, requests: str = ""
) -> Allowance | None:
    """Which limit a 429 was about, None if the vendor only says "too many"; never raises.

    `said`: the whole body as text. Words name the limit before headers do; of several that
    Google names at once the longest period wins, because the shorter ones end sooner; of
    several spent ones in headers, too. `remaining` is what was left before the refused
    request, so it may be more than 0. For the time to wait see `waits.retry_after`.
    """
    said = said[:_LONGEST_TEXT].replace('\\"', '"')
    named = _by_quota_ids(said) or _by_words(said)
    told = _collect(_pairs(headers)) | _collect(_in_body(said))
    bare = named.axis if named is not None and named.axis.startswith("r") else requests
    stated = _allowances(told, _Now(headers, wall), requests, bare) if told else ()
    if named is None:
        spent = [one for one in stated if one.remaining == 0]
        return max(spent, key=_period, default=None)
    same = next((one for one in stated if one.axis == named.axis), named)
    limit = same.limit if named.limit is None else named.limit
    remaining = same.remaining if named.remaining is None else named.remaining
    if limit is not None and remaining is not None:
        remaining = min(limit, remaining)
    return Allowance(named.axis, limit, remaining, same.resets_in)


def _period(allowance: Allowance) -> float:
    return PERIODS[allowance.axis]


def _in_body(said: str) -> Iterator[tuple[bytes, bytes]]:
    """The headers that OpenRouter repeats in `metadata.headers` of the body."""
    for match in _BODY_HEADER.finditer(said):
        yield _bytes(match[1], match[2])


def _by_quota_ids(said: str) -> Allowance | None:
    """The violation with the longest period in Google's `QuotaFailure`."""
    found: list[Allowance] = []
    axis = ""
    for match in _QUOTA.finditer(said):
        if match["field"].lower() == "id":
            axis = _axis_of_quota(match["value"])
            if axis:
                found.append(Allowance(axis))
        elif axis:
            found[-1] = Allowance(axis, _count(match["value"]) or None)
    return max(found, key=_period, default=None)


def _axis_of_quota(quota_id: str) -> str:
    """`GenerateContentInputTokensPerModelPerMinute-FreeTier` is tpm."""
    period = _QUOTA_PERIOD.search(quota_id)
    if period is None:
        return ""
    return ("tp" if "token" in quota_id.lower() else "rp") + period[1][0].lower()


def _by_words(said: str) -> Allowance | None:
    match = _NAMED.search(said)
    if match is None:
        return None
    axis = _axis_of_words(match)
    of = match["of"] or match["of6"]
    if of:
        return Allowance(axis, _number(of))
    stated = _LIMIT.search(said, match.end(), match.end() + 80)
    if stated is None:
        return Allowance(axis)
    limit, used = _number(stated[1]), _number(stated[2] or "")
    left = max(limit - used, 0) if limit is not None and used is not None else None
    return Allowance(axis, limit, left)


def _axis_of_words(match: re.Match[str]) -> str:
    what = match["what"] or match["what2"] or match["what5"] or "r"
    per = match["per"] or match["per2"] or match["per3"] or match["per4"] or match["per5"]
    letter = per[0] if per else _SECONDS[match["per6"]]
    return f"{'t' if what[0] in 'tT' else 'r'}p{letter.lower()}"


def _number(digits: str) -> int | None:
    """A count in words, `30,000` or `6.0`; None for 0, which is no limit but a closed door."""
    return _count(digits.replace(",", "")) or None
