"""What vendors tell of their limits: the headers of each, and everything junk may say instead."""

from __future__ import annotations

import httpx
import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aio_llm.allowances import PERIODS, Allowance, told_by_headers

WALL = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC
DATE = {"date": "Mon, 21 Sep 2026 14:13:20 GMT"}
MIDNIGHT = 1_790_035_200  # the next one in UTC
MOST = 10**12
Headers = dict[str, str]
Row = tuple[str, int | None, int | None, float | None]


def six(
    requests: tuple[object, object, object], tokens: tuple[object, object, object]
) -> dict[str, str]:
    """The six headers of Groq and OpenAI: limit, remaining and reset of each."""
    words = ("limit", "remaining", "reset")
    return {
        f"x-ratelimit-{word}-{what}": str(value)
        for what, values in (("requests", requests), ("tokens", tokens))
        for word, value in zip(words, values, strict=True)
    }


def rows(headers: Headers, requests: str = "") -> set[Row]:
    """What is told, in any order, times to the millisecond."""
    return {
        (one.axis, one.limit, one.remaining, None if one.resets_in is None else
         round(one.resets_in, 3))
        for one in told_by_headers(headers, WALL, requests=requests)
    }  # fmt: skip


VENDORS: dict[str, tuple[Headers, str, set[Row]]] = {
    "nobody": ({"content-type": "application/json"} | DATE, "", set()),
    "Groq": (
        six((14_400, 14_399, "6s"), (30_000, 29_987, "26ms")), "rpd",
        {("rpd", 14_400, 14_399, 6.0), ("tpm", 30_000, 29_987, 0.026)},
    ),
    "Groq, long since": (
        six((14_400, 14_370, "2m59.56s"), (6000, 0, "59.999999999s")), "rpd",
        {("rpd", 14_400, 14_370, 179.56), ("tpm", 6000, 0, 60.0)},
    ),
    "OpenAI, requests per minute": (
        six((10_000, 9999, "6ms"), (30_000_000, 29_999_977, "0s")), "",
        {("rpm", 10_000, 9999, 0.006), ("tpm", 30_000_000, 29_999_977, 0.0)},
    ),
    "OpenAI, requests per day": (
        six((200, 199, "7m12s"), (40_000, 39_000, "1.5s")), "",
        {("rpd", 200, 199, 432.0), ("tpm", 40_000, 39_000, 1.5)},
    ),
    "OpenAI, many requests of the day": (
        six((10_000, 9522, "1h8m49.92s"), (30_000, 63, "59.874s")), "",
        {("rpd", 10_000, 9522, 4129.92), ("tpm", 30_000, 63, 59.874)},
    ),
    "OpenAI, a project of its own": (
        six((5000, 4999, "12ms"), (800_000, 799_988, "0s"))
        | {"x-ratelimit-limit-project-tokens": "40000",
           "x-ratelimit-remaining-project-tokens": "39000",
           "x-ratelimit-reset-project-tokens": "1.5s"}, "",
        {("rpm", 5000, 4999, 0.012), ("tpm", 40_000, 39_000, 1.5)},
    ),
    "Cerebras": (
        {"x-ratelimit-limit-requests-day": "14400",
         "x-ratelimit-remaining-requests-day": "14311",
         "x-ratelimit-reset-requests-day": "33011.382867097855",
         "x-ratelimit-limit-tokens-minute": "60000",
         "x-ratelimit-remaining-tokens-minute": "51000",
         "x-ratelimit-reset-tokens-minute": "11.382867097854614"}, "",
        {("rpd", 14_400, 14_311, 33_011.383), ("tpm", 60_000, 51_000, 11.383)},
    ),
    "Cerebras, reported forms": (
        {"x-ratelimit-limit-requests-minute": "5", "x-ratelimit-remaining-requests-minute": "4",
         "x-ratelimit-limit-tokens-hour": "1000000", "x-ratelimit-limit-tokens-day": "1000000",
         "x-ratelimit-reset-tokens-day": "33011.4"}, "",
        {("rpm", 5, 4, None), ("tph", 1_000_000, None, None),
         ("tpd", 1_000_000, None, 33_011.4)},
    ),
    "OpenRouter, until midnight UTC": (
        {"X-RateLimit-Limit": "50", "X-RateLimit-Remaining": "0",
         "X-RateLimit-Reset": f"{MIDNIGHT}000"}, "", {("rpd", 50, 0, 35_200.0)},
    ),
    "OpenRouter, until the minute ends": (
        {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0",
         "X-RateLimit-Reset": f"{int(WALL) + 40}000"}, "", {("rpm", 20, 0, 40.0)},
    ),
    "Anthropic": (
        DATE | {
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "49",
            "anthropic-ratelimit-requests-reset": "2026-09-21T14:13:21Z",
            "anthropic-ratelimit-tokens-limit": "38000",
            "anthropic-ratelimit-tokens-remaining": "37000",
            "anthropic-ratelimit-tokens-reset": "2026-09-21T14:13:22Z",
            "anthropic-ratelimit-input-tokens-limit": "30000",
            "anthropic-ratelimit-input-tokens-remaining": "29000",
            "anthropic-ratelimit-input-tokens-reset": "2026-09-21T14:13:22+00:00",
            "anthropic-ratelimit-output-tokens-limit": "8000",
            "anthropic-ratelimit-output-tokens-remaining": "8000",
            "anthropic-ratelimit-output-tokens-reset": "2026-09-21T14:13:20Z",
        }, "", {("rpm", 50, 49, 1.0), ("tpm", 30_000, 29_000, 2.0)},
    ),
    "Mistral": (
        {"x-ratelimit-limit-req-minute": "5", "x-ratelimit-remaining-req-minute": "4",
         "x-ratelimit-limit-tokens-minute": "75000",
         "x-ratelimit-remaining-tokens-minute": "74932", "x-ratelimit-tokens-query-cost": "68",
         "x-ratelimit-limit-tokens-month": "1000000000",
         "x-ratelimit-limit-req-10-second": "10", "x-ratelimit-remaining-req-10-second": "9"}, "",
        {("rpm", 5, 4, None), ("tpm", 75_000, 74_932, None)},
    ),
    "Together": (
        {"x-ratelimit-limit": "2", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"},
        "rps", {("rps", 2, 0, 1.0)},
    ),
    "Together, not known to be it": (
        {"x-ratelimit-limit": "2", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1"},
        "", set(),
    ),
    "xAI": (
        {"x-ratelimit-limit-requests": "1800", "x-ratelimit-remaining-requests": "1799",
         "x-ratelimit-limit-tokens": "10000000", "x-ratelimit-remaining-tokens": "9999000"},
        "rpm", {("rpm", 1800, 1799, None), ("tpm", 10_000_000, 9_999_000, None)},
    ),
    "xAI, not known to be it": (
        {"x-ratelimit-limit-requests": "1800", "x-ratelimit-remaining-requests": "1799",
         "x-ratelimit-limit-tokens": "10000000", "x-ratelimit-remaining-tokens": "9999000"},
        "", {("tpm", 10_000_000, 9_999_000, None)},
    ),
    "Hugging Face, a window": (
        {"ratelimit-limit": "400", "ratelimit-reset": "19", "x-ratelimit-limit-minute": "400",
         "x-ratelimit-remaining-minute": "399", "ratelimit": '"api";r=999;t=295'}, "",
        {("rpm", 400, 399, None)},
    ),
    "Hugging Face, no limit of tokens": (
        {"x-ratelimit-remaining-requests-day": "2879998",
         "x-ratelimit-remaining-requests-hour": "119998",
         "x-ratelimit-remaining-requests-minute": "1998",
         "x-ratelimit-remaining-tokens-minute": "9223372036854767616"}, "",
        {("rpd", None, 2_879_998, None), ("rph", None, 119_998, None),
         ("rpm", None, 1998, None)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_vendors_headers_are_read(vendor: str) -> None:
    headers, requests, expected = VENDORS[vendor]

    assert rows(headers, requests) == expected


@pytest.mark.parametrize("library", [httpx, httpx2])
@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("spell", [str, str.lower, str.title], ids=["as sent", "lower", "title"])
def test_the_http_libraries_headers_are_read_alike(
    vendor: str, library: type[object], spell: type[str]
) -> None:
    headers, requests, expected = VENDORS[vendor]
    spelled = [(spell(name).encode(), value.encode()) for name, value in headers.items()]

    told = rows(library.Headers(spelled), requests)  # type: ignore[attr-defined]

    assert told == expected


PERIODS_PROVEN: list[tuple[int, int, str, str]] = [
    (10_000, 9999, "8.64s", "rpd"),  # one of a day
    (14_400, 14_399, "3s", "rpd"),  # one of a day, half of it back already
    (10_000, 9998, "9.5s", "rpd"),  # two of a day, one almost back
    (3600, 3590, "10s", "rph"),
    (60, 59, "1s", "rpm"),
    (60, 59, "0.02s", "rpm"),
    (500, 500, "0s", "rpm"),  # all there: nothing speaks against the usual
    (100, 50, "40s", "rpm"),  # a fixed window: no even refill, but it ends within a minute
    (90, 89, "40", "rpm"),  # without a unit: a fixed window, not one of an hour
    (10_000, 9999, "86ms", ""),  # an hour or a day, but no minute
    (1000, 500, "40000s", ""),  # a fixed window of some length
    (1000, 500, "40000", ""),
]


@pytest.mark.parametrize(("limit", "remaining", "reset", "axis"), PERIODS_PROVEN)
def test_a_hidden_period_is_measured_by_how_it_refills(
    limit: int, remaining: int, reset: str, axis: str
) -> None:
    told = told_by_headers(six((limit, remaining, reset), ("", "", "")), WALL)

    assert [one.axis for one in told] == [axis] * bool(axis)


@given(
    st.sampled_from([("rpm", 60.0), ("rpd", 86_400.0)]),
    st.integers(20, 100_000),
    st.floats(0.0, 1.0),
)
@example(("rpd", 86_400.0), 14_400, 0.0)
@example(("rpm", 60.0), 30, 1.0)
def test_an_evenly_refilled_window_is_never_taken_for_another(
    window: tuple[str, float], limit: int, part: float
) -> None:
    axis, period = window
    used = max(part * limit, 1.0)  # this very request, at least
    remaining = int(limit - used)
    reset = used * period / limit
    minutes, seconds = divmod(reset, 60)
    spelled = f"{minutes:.0f}m{seconds:.3f}s" if minutes else f"{seconds:.3f}s"

    told = told_by_headers(six((limit, remaining, spelled), ("", "", "")), WALL)

    assert [one.axis for one in told] == [axis]


@pytest.mark.parametrize("known", ["rpm", "rpd", "rph", "rps"])
def test_what_is_known_of_a_vendor_is_not_inferred(known: str) -> None:
    told = told_by_headers(six((14_400, 14_399, "6s"), ("", "", "")), WALL, requests=known)

    assert told == (Allowance(known, 14_400, 14_399, min(6.0, PERIODS[known])),)


JUNK = ("", " ", "nan", "inf", "-inf", "-5", "1e308", "soon", "9" * 400, "9" * 5000, "\x00", "²",
        "None", "{}", "0x10", "1,000", "1e400", "--1")  # fmt: skip


@pytest.mark.parametrize("junk", JUNK)
def test_a_senseless_limit_is_not_told(junk: str) -> None:
    headers = {"x-ratelimit-limit-tokens-minute": junk,
               "x-ratelimit-remaining-tokens-minute": "7"}  # fmt: skip

    assert rows(headers) == {("tpm", None, 7, None)}


@pytest.mark.parametrize("junk", JUNK)
def test_a_senseless_rest_is_not_told(junk: str) -> None:
    headers = {"x-ratelimit-limit-tokens-minute": "7",
               "x-ratelimit-remaining-tokens-minute": junk}  # fmt: skip

    assert rows(headers) == {("tpm", 7, None, None)}


@pytest.mark.parametrize("junk", [*JUNK, "2026-99-99T00:00:00Z", "9999-12-31T23:59:59Z", "40d"])
def test_a_senseless_reset_is_not_told(junk: str) -> None:
    headers = {"x-ratelimit-limit-tokens-minute": "7", "x-ratelimit-reset-tokens-minute": junk}

    assert rows(headers) == {("tpm", 7, None, None)}


CONTRADICTIONS: list[tuple[tuple[str, str, str], set[Row]]] = [
    (("100", "150", "5"), {("rpm", 100, 100, 5.0)}),
    (("0", "0", "0"), set()),  # OpenAI, of what does not apply to the model
    (("0", "7", ""), set()),
    (("100", "7", "3000"), {("rpm", 100, 7, 60.0)}),  # a minute is full again within a minute
    (("100.0", "7.0", "5"), {("rpm", 100, 7, 5.0)}),
    (("0.6", "", ""), set()),
    (("", "", "5"), {("rpm", None, None, 5.0)}),
    (("", "", ""), set()),
]


@pytest.mark.parametrize(("values", "expected"), CONTRADICTIONS)
def test_contradictions_are_resolved(values: tuple[str, str, str], expected: set[Row]) -> None:
    words = ("limit", "remaining", "reset")
    told = zip(words, values, strict=True)

    assert rows({f"x-ratelimit-{word}-requests-minute": value for word, value in told}) == expected


def test_the_vendors_clock_is_believed_before_ours() -> None:
    headers = {"anthropic-ratelimit-requests-limit": "50",
               "anthropic-ratelimit-requests-reset": "2020-01-01T00:00:30Z",
               "date": "Wed, 01 Jan 2020 00:00:20 GMT"}  # fmt: skip

    assert rows(headers) == {("rpm", 50, None, 10.0)}


def test_a_moment_that_is_past_is_now() -> None:
    headers = {"anthropic-ratelimit-requests-limit": "50",
               "anthropic-ratelimit-requests-reset": "2020-01-01T00:00:30Z"}  # fmt: skip

    assert rows(headers) == {("rpm", 50, None, 0.0)}


NAMES = [
    f"{start}{word}{end}"
    for word in ("limit", "remaining", "reset")
    for start, end in (
        ("x-ratelimit-", ""), ("x-ratelimit-", "-requests"), ("x-ratelimit-", "-tokens"),
        ("x-ratelimit-", "-tokens-minute"), ("x-ratelimit-", "-requests-day"),
        ("x-ratelimit-", "-req-second"), ("anthropic-ratelimit-tokens-", ""),
        ("anthropic-ratelimit-requests-", ""),
    )
] + ["date", "retry-after"]  # fmt: skip
VALUES = (
    st.text(st.characters(max_codepoint=255), max_size=20)
    | st.from_regex(r"-?[0-9.²]{1,14}(ms|[smhd]|e[0-9]{1,3})?", fullmatch=True)
    | st.integers(-1, 10**19).map(str)
    | st.datetimes().map(lambda when: when.isoformat() + "Z")
    | st.datetimes().map(lambda when: f"{when:%a, %d %b} {when.year} {when:%H:%M:%S} -0000")
)


def is_sound(one: Allowance) -> bool:
    """Nothing in it could mislead a meter."""
    counts = (one.limit, one.remaining)
    return (
        one.axis in PERIODS
        and all(count is None or 0 <= count <= MOST for count in counts)
        and one.limit != 0
        and (one.limit is None or one.remaining is None or one.remaining <= one.limit)
        and (one.resets_in is None or 0 <= one.resets_in <= PERIODS[one.axis])
    )


@given(
    st.dictionaries(st.sampled_from(NAMES), VALUES),
    st.sampled_from(["", "rpd", "rpm", "rps", "nonsense"]),
    st.floats(),
)
def test_header_soup_never_raises_and_tells_nothing_unsound(
    headers: Headers, requests: str, wall: float
) -> None:
    told = told_by_headers(headers, wall, requests=requests)

    assert all(is_sound(one) for one in told)
    assert len({one.axis for one in told}) == len(told)


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.binary(max_size=20)), max_size=12))
def test_bytes_off_the_wire_never_raise(pairs: list[tuple[str, bytes]]) -> None:
    headers = httpx.Headers([(name.encode(), value) for name, value in pairs])

    told = told_by_headers(headers, WALL)

    assert all(is_sound(one) for one in told)
