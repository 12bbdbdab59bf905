"""Which limit a 429 was about: the words of every vendor, and everything junk may say instead."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_llm.allowances import PERIODS, Allowance, told_by_refusal

WALL = 1_790_000_000.0  # 2026-09-21 14:13:20 UTC
METRIC = "generativelanguage.googleapis.com/generate_content_free_tier"
RPM = "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"
RPD = "GenerateRequestsPerDayPerProjectPerModel-FreeTier"
TPM = "GenerateContentInputTokensPerModelPerMinute-FreeTier"
TPD = "GenerateContentInputTokensPerModelPerDay-FreeTier"
PAID = "GenerateContentPaidTierInputTokensPerModelPerMinute"


def groq(window: str, limit: int, used: int, asked: int) -> str:
    """Groq's words, and OpenAI's."""
    message = (
        "Rate limit reached for model `llama-3.3-70b-versatile` in organization `org_x` service "
        f"tier `on_demand` on {window}: Limit {limit}, Used {used}, Requested {asked}. Please try "
        "again in 2.3s. Need more tokens? Upgrade to Dev Tier today at https://console.groq.com/"
    )
    return json.dumps({"error": {"message": message, "code": "rate_limit_exceeded"}})


def google(*violations: tuple[str, str | None]) -> str:
    """Google's words: violations as (quotaId, quotaValue)."""
    rows = [
        {"quotaMetric": METRIC, "quotaId": name, "quotaDimensions": {"model": "gemini-2.5-flash"}}
        | ({} if value is None else {"quotaValue": value})
        for name, value in violations
    ]
    message = f"You exceeded your current quota.\n* Quota exceeded for metric: {METRIC}, limit: 7"
    details = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": rows},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "27s"},
    ]
    return json.dumps({"error": {"code": 429, "message": message, "details": details}})


def openrouter(reason: str, limit: str, reset: str) -> str:
    """OpenRouter's words, the headers repeated in the body."""
    told = {"X-RateLimit-Limit": limit, "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset}
    message = (
        f"Rate limit exceeded: {reason}. Add 10 credits to unlock 1000 free model requests per day"
    )
    return json.dumps({"error": {"message": message, "metadata": {"headers": told}}})


def said(message: str) -> str:
    """Plain words in an error object."""
    return json.dumps({"error": {"message": message}})


MIDNIGHT = "1790035200000"
DIRTY = f"""{{"error": {{"code": 429, "details": [ {{" @type": "type.googleapis.com/QuotaFailure",
 "violations": [ {{"quotaId": "{RPM}",
 "quotaValue": "2"}} ] }}, {{ ] }} """

REFUSALS: dict[str, tuple[str, dict[str, str], Allowance | None]] = {
    "Groq, requests per minute": (
        groq("requests per minute (RPM)", 12, 12, 1), {}, Allowance("rpm", 12, 0)),
    "Groq, requests per day": (
        groq("requests per day (RPD)", 1000, 1000, 1), {"retry-after": "87"},
        Allowance("rpd", 1000, 0)),
    "Groq, tokens per day": (
        groq("tokens per day (TPD)", 100_000, 97_050, 3619), {},
        Allowance("tpd", 100_000, 2950)),
    "Groq, tokens per minute, with headers": (
        groq("tokens per minute (TPM)", 12_000, 4437, 9854),
        {"x-ratelimit-limit-requests": "1000", "x-ratelimit-remaining-requests": "987",
         "x-ratelimit-reset-requests": "18m43.2s", "x-ratelimit-limit-tokens": "12000",
         "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "11.455s"},
        Allowance("tpm", 12_000, 7563, 11.455)),
    "Groq, input tokens": (
        groq("input tokens per minute (ITPM)", 6000, 6000, 9), {}, Allowance("tpm", 6000, 0)),
    "OpenAI": (
        said("Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM): Limit "
             "30000, Used 29937, Requested 385. Please try again in 644ms."),
        {"x-ratelimit-reset-tokens": "644ms"}, Allowance("tpm", 30_000, 63, 0.644)),
    "OpenAI, older": (
        said("Rate limit reached for default-text-davinci-003 in organization org-x on requests "
             "per min. Limit: 3 / min. Please try again in 20s."), {}, Allowance("rpm", 3)),
    "OpenAI, older, per day": (
        said("Rate limit reached for gpt-4 on requests per day. Limit: 200 / day."), {},
        Allowance("rpd", 200)),
    "Cerebras": (
        said("Tokens per minute limit exceeded - too many tokens processed."),
        {"x-ratelimit-reset-tokens-minute": "11.25"}, Allowance("tpm", resets_in=11.25)),
    "Cerebras, another header": (
        said("Tokens per day limit exceeded - too many tokens processed."),
        {"x-ratelimit-reset-requests-day": "33011.3"}, Allowance("tpd")),
    "Google, requests of the day": (google((RPD, "20")), {}, Allowance("rpd", 20)),
    "Google, requests of the minute": (google((RPM, "5")), {}, Allowance("rpm", 5)),
    "Google, tokens of the minute": (google((TPM, "250000")), {}, Allowance("tpm", 250_000)),
    "Google, paid": (google((PAID, "1000000")), {}, Allowance("tpm", 1_000_000)),
    "Google, several at once": (
        google((TPM, None), (RPM, "5"), (RPD, "20"), (PAID, None)), {}, Allowance("rpd", 20)),
    "Google, without values": (google((TPM, None), (TPD, None)), {}, Allowance("tpd")),
    "Google, not for this tier": (google((RPD, "0")), {}, Allowance("rpd")),
    "Google, of no known period": (google(("SomethingPerMoon", "3")), {}, None),
    "Google, broken JSON": (DIRTY, {}, Allowance("rpm", 2)),
    "Google, as its SDK prints it": (
        str({"quotaId": RPD, "quotaDimensions": {"location": "global"}, "quotaValue": "20"}), {},
        Allowance("rpd", 20)),
    "Google, words only": (
        said("Quota exceeded for quota metric 'Generate Content API requests per minute' and "
             "limit 'GenerateContent request limit per minute for a region'"), {},
        Allowance("rpm")),
    "OpenRouter, per minute": (
        openrouter("free-models-per-min", "20", "1790000040000"), {},
        Allowance("rpm", 20, 0, 40.0)),
    "OpenRouter, per day": (
        openrouter("free-models-per-day", "50", MIDNIGHT), {},
        Allowance("rpd", 50, 0, 35_200.0)),
    "OpenRouter, after the minute": (
        openrouter("free-models-per-min", "20", "1789999999000"), {},
        Allowance("rpm", 20, 0, 0.0)),
    "OpenRouter, a field": (
        json.dumps({"error": {"message": "Rate limit exceeded", "metadata":
                              {"limit_source": "openrouter_free_tier_daily"}}}),
        {"x-ratelimit-limit": "1000", "x-ratelimit-remaining": "0",
         "x-ratelimit-reset": MIDNIGHT}, Allowance("rpd", 1000, 0, 35_200.0)),
    "Anthropic": (
        said("This request would exceed your organization's rate limit of 30,000 input tokens "
             "per minute. For details, refer to: https://docs.claude.com/en/api/rate-limits."),
        {"anthropic-ratelimit-input-tokens-limit": "30000",
         "anthropic-ratelimit-input-tokens-remaining": "12000",
         "anthropic-ratelimit-input-tokens-reset": "2026-09-21T14:13:56Z"},
        Allowance("tpm", 30_000, 12_000, 36.0)),
    "Anthropic, older": (
        said("Number of request tokens has exceeded your per-minute rate limit."), {},
        Allowance("tpm")),
    "Anthropic, older, the day": (
        said("Number of requests has exceeded your daily rate limit."), {}, Allowance("rpd")),
    "Together": (
        said("You have reached the rate limit specific to this model. The maximum rate limit for "
             "this model is 6.0 queries per minute."),
        {"x-ratelimit-limit": "6", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "10"},
        Allowance("rpm", 6, 0, 10.0)),
    "Cohere": (
        json.dumps({"message": "You are using a Trial key, which is limited to 40 API calls / "
                               "minute."}), {}, Allowance("rpm", 40)),
    "GitHub Models": (
        said("Rate limit of 150 per 86400s exceeded for UserByModelByDay."), {},
        Allowance("rpd", 150)),
    "only too many, a spent header": (
        said("Too many requests"),
        {"x-ratelimit-limit-requests-minute": "5", "x-ratelimit-remaining-requests-minute": "0"},
        Allowance("rpm", 5, 0)),
    "only too many, two spent headers": (
        said("Too many requests"),
        {"x-ratelimit-remaining-requests-minute": "0", "x-ratelimit-remaining-tokens-day": "0"},
        Allowance("tpd", None, 0)),
    "only too many, nothing spent": (
        said("Too many requests"), {"x-ratelimit-remaining-requests-minute": "1"}, None),
    "only too many": (said("Too many requests"), {"retry-after": "1e308"}, None),
    "no words": ("", {}, None),
    "a page": ("<html><body><h1>429 Too Many Requests</h1></body></html>", {}, None),
    "escaped in another body": (
        said(groq("tokens per minute (TPM)", 6000, 6000, 9)), {}, Allowance("tpm", 6000, 0)),
    "more used than there is": (
        groq("requests per minute (RPM)", 30, 31, 1), {}, Allowance("rpm", 30, 0)),
    "a limit of nothing": (
        groq("requests per minute (RPM)", 0, 0, 1), {}, Allowance("rpm")),
}  # fmt: skip


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_names_its_limit(refusal: str) -> None:
    body, headers, expected = REFUSALS[refusal]

    told = told_by_refusal(body, headers, WALL)

    assert told == expected


def test_a_limit_per_minute_does_not_take_the_daily_headers_for_its_own() -> None:
    headers = {"x-ratelimit-limit-requests": "14400", "x-ratelimit-remaining-requests": "9000",
               "x-ratelimit-reset-requests": "9h0m0s"}  # fmt: skip

    told = told_by_refusal(
        groq("requests per minute (RPM)", 30, 30, 1), headers, WALL, requests="rpd"
    )

    assert told == Allowance("rpm", 30, 0)


LONG = ("9" * 200_000, "9," * 100_000, "token" * 40_000, "free model " * 20_000,
        "limit: 9" * 30_000, '"quotaId": "' + "a" * 200_000, "quotaid " * 30_000,
        '\\"' * 100_000, "x-ratelimit-limit" * 10_000, "(" * 200_000)  # fmt: skip


@pytest.mark.parametrize("text", LONG, ids=[text[:8] for text in LONG])
def test_a_huge_refusal_costs_no_time(text: str) -> None:

    assert told_by_refusal(text, {}, WALL) is None


PIECES = st.sampled_from(
    ["requests per minute (RPM)", "tokens per day", "Limit ", "Used ", "limit: ", '"quotaId": "',
     '"quotaValue": "', RPM, TPD, "free-models-per-day", '"X-RateLimit-Reset": "',
     '"X-RateLimit-Limit": ', "rate limit of ", " per 86400s", " queries per minute", "(TPM): ",
     "nan", "-5", "1e308", "9" * 30, "²", "\x00", '"', "}", ", ", " ", "0", "7", "1,000", MIDNIGHT]
)  # fmt: skip
HEADERS = st.dictionaries(
    st.sampled_from(["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset",
                     "x-ratelimit-remaining-tokens", "x-ratelimit-limit-requests-day", "date"]),
    PIECES | st.text(max_size=10),
)  # fmt: skip


def is_sound(one: Allowance) -> bool:
    """Nothing in it could mislead a meter."""
    return (
        one.axis in PERIODS
        and (one.limit is None or 0 < one.limit <= 10**12)
        and (one.limit is None or one.remaining is None or one.remaining <= one.limit)
        and (one.remaining is None or one.remaining >= 0)
        and (one.resets_in is None or 0 <= one.resets_in <= PERIODS[one.axis])
    )


@given(st.lists(PIECES | st.text(max_size=5), max_size=12).map("".join), HEADERS, st.floats())
def test_refusal_soup_never_raises_and_tells_nothing_unsound(
    body: str, headers: dict[str, str], wall: float
) -> None:
    told = told_by_refusal(body, headers, wall)

    assert told is None or is_sound(told)
