"""The fault table row by row: how each vendor says it, and what it means."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_llm.fault_table import ROWS, Refusal, read_refusal
from aio_llm.faults import Fault, Kind, Scope

WALL = 1_790_000_000.0
CLOUDFLARE = '<!DOCTYPE html><html lang="en-US"><head><title>Attention Required! | Cloudflare'
GROQ_MODEL = "in organization `org_x` service tier `on_demand` on"


def says(status: int, body: object, headers: dict[str, str] | None = None) -> Fault:
    """The fault of an answer with this body; text stands for itself."""
    text = body if isinstance(body, str) else json.dumps(body)
    parsed = None if isinstance(body, str) else body
    return read_refusal(Refusal(status, headers or {}, parsed, text), WALL)


def error(message: str, **more: object) -> dict[str, object]:
    """OpenAI's shape of an error."""
    return {"error": {"message": message, **more}}


def google(code: int, message: str, reason: str = "", status: str = "X") -> dict[str, object]:
    """Google's shape of an error."""
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]
    return {"error": {"code": code, "message": message, "status": status, "details": details}}


# fmt: off
SAID: dict[str, tuple[int, object, Kind, Scope, bool]] = {
    "Cloudflare's page": (403, CLOUDFLARE, Kind.BLOCKED, Scope.PROVIDER, False),
    "Cloudflare's line": (429, "error code: 1015", Kind.BLOCKED, Scope.PROVIDER, False),
    "OpenAI 401": (401, error("Incorrect API key provided"), Kind.BAD_KEY, Scope.KEY, True),
    "any 401": (401, "", Kind.BAD_KEY, Scope.KEY, True),
    "Google 400 invalid key": (
        400, google(400, "API key not valid.", "API_KEY_INVALID"), Kind.BAD_KEY, Scope.KEY, True),
    "Google 403 leaked key": (
        403, google(403, "Your API key was reported as leaked."), Kind.BAD_KEY, Scope.KEY, True),
    "Google 403 service off": (
        403, google(403, "It is disabled.", "SERVICE_DISABLED"),
        Kind.ACCOUNT_DISABLED, Scope.GROUP, True),
    "Groq 400 restricted": (
        400, error("Organization has been restricted.", code="organization_restricted"),
        Kind.ACCOUNT_DISABLED, Scope.GROUP, True),
    "OpenRouter 402 in flight": (
        402, error("x", metadata={"limit_source": "openrouter_in_flight_budget"}),
        Kind.MINUTE_LIMIT, Scope.GROUP, False),
    "OpenRouter 402 key limit": (
        402, error("visit https://openrouter.ai/settings/keys"), Kind.BILLING, Scope.KEY, True),
    "402": (402, error("Payment required"), Kind.BILLING, Scope.GROUP, True),
    "OpenAI 429 no money": (
        429, error("You exceeded your current quota", code="insufficient_quota"),
        Kind.BILLING, Scope.GROUP, True),
    "Groq 413 tokens": (
        413, error("Request too large for model `m`: Limit 6000, Requested 9001"),
        Kind.TOO_LARGE, Scope.GROUP_MODEL, False),
    "Groq 429 larger than the limit": (
        429, error("Limit 6000, Used 0, Requested 9001."),
        Kind.TOO_LARGE, Scope.GROUP_MODEL, False),
    "413": (413, "<html>too large</html>", Kind.TOO_LARGE, Scope.GROUP_MODEL, False),
    "OpenAI 400 context": (
        400, error("x", code="context_length_exceeded"), Kind.CONTEXT_LENGTH, Scope.MODEL, False),
    "Google 400 context": (
        400, google(400, "The input token count (9) exceeds the maximum number of tokens (8)."),
        Kind.CONTEXT_LENGTH, Scope.MODEL, False),
    "Google 429 limit 0": (
        429, google(429, "Quota exceeded for metric: m, limit: 0, model: x. Please retry in 20s."),
        Kind.MODEL_NOT_FOUND, Scope.GROUP_MODEL, True),
    "Groq 403 blocked model": (
        403, error("The model is blocked.", code="model_permission_blocked_org"),
        Kind.MODEL_NOT_FOUND, Scope.GROUP_MODEL, True),
    "OpenRouter free day": (
        429, error("Rate limit exceeded: free-models-per-day."),
        Kind.DAY_LIMIT, Scope.GROUP, False),
    "OpenRouter free minute": (
        429, error("Rate limit exceeded: free-models-per-min."),
        Kind.MINUTE_LIMIT, Scope.GROUP, False),
    "Google day": (
        429, google(429, "quotaId: GenerateRequestsPerDayPerProjectPerModel-FreeTier"),
        Kind.DAY_LIMIT, Scope.GROUP_MODEL, True),
    "Groq day": (
        429, error(f"Rate limit reached {GROQ_MODEL} tokens per day (TPD): Limit 5, Used 5"),
        Kind.DAY_LIMIT, Scope.GROUP_MODEL, True),
    "upstream": (
        429, error("Provider returned error", metadata={"raw": "limited", "provider_name": "X"}),
        Kind.UPSTREAM_LIMIT, Scope.MODEL, False),
    "no upstream": (
        429, error("Rate limit exceeded", metadata={"provider_name": None}),
        Kind.MINUTE_LIMIT, Scope.GROUP_MODEL, True),
    "Cerebras queue": (
        429, {"message": "high traffic", "code": "queue_exceeded"},
        Kind.UPSTREAM_LIMIT, Scope.MODEL, False),
    "429": (429, "slow down", Kind.MINUTE_LIMIT, Scope.GROUP_MODEL, True),
    "a limit inside a 200": (
        200, error("x", code="rate_limit_exceeded"), Kind.MINUTE_LIMIT, Scope.GROUP_MODEL, True),
    "moderation": (
        403, error("requires moderation. Your input was flagged"),
        Kind.CONTENT_FILTER, Scope.REQUEST, False),
    "Azure's filter": (
        400, error("x", code="content_filter"), Kind.CONTENT_FILTER, Scope.REQUEST, False),
    "a broken tool call": (
        400, error("Failed to call a function.", code="tool_use_failed"),
        Kind.GENERATION_FAILED, Scope.REQUEST, False),
    "no tools": (
        404, error("No endpoints found that support tool use."),
        Kind.UNSUPPORTED, Scope.MODEL, False),
    "model gone": (
        400, error("x", code="model_decommissioned"), Kind.MODEL_NOT_FOUND, Scope.MODEL, False),
    "404": (404, error("nothing here"), Kind.MODEL_NOT_FOUND, Scope.MODEL, False),
    "a region": (
        400, google(400, "User location is not supported for the API use."),
        Kind.BLOCKED, Scope.PROVIDER, False),
    "403": (403, error("not for you"), Kind.FORBIDDEN, Scope.KEY_MODEL, True),
    "307": (307, "", Kind.REDIRECT, Scope.PROVIDER, False),
    "499": (499, "", Kind.SERVER, Scope.MODEL, False),
    "Groq 498": (498, error("capacity"), Kind.SERVER, Scope.MODEL, False),
    "an upstream 502": (
        502, error("Provider returned error", metadata={"provider_name": "X"}),
        Kind.SERVER, Scope.MODEL, False),
    "over capacity": (503, error("m is currently over capacity."), Kind.SERVER, Scope.MODEL, False),
    "500": (500, "oops", Kind.SERVER, Scope.PROVIDER, False),
    "529": (529, "", Kind.SERVER, Scope.PROVIDER, False),
    "plain 400": (400, error("messages: field required"), Kind.BAD_REQUEST, Scope.REQUEST, False),
    "422": (422, {"detail": "Unprocessable"}, Kind.BAD_REQUEST, Scope.REQUEST, False),
    "a strange status": (999, "?", Kind.UNKNOWN, Scope.PROVIDER, False),
}
# fmt: on


@pytest.mark.parametrize("case", SAID)
def test_a_refusal_means_what_its_vendor_means_by_it(case: str) -> None:
    status, body, kind, scope, rotate = SAID[case]

    fault = says(status, body)

    assert (fault.kind, fault.scope, fault.rotate) == (kind, scope, rotate)
    assert fault.status == status


def test_every_row_of_the_table_is_said_here() -> None:
    said = {(kind, scope) for _, _, kind, scope, _ in SAID.values()}

    assert {(row.kind, row.scope) for row in ROWS} <= said


WRAPPED: dict[str, object] = {
    "an object": error("the words"),
    "a list of one": [error("the words")],
    "flat": {"message": "the words"},
    "a string": {"error": "the words"},
    "detail": {"detail": "the words"},
    "text": "the words",
}


@pytest.mark.parametrize("shape", WRAPPED)
def test_the_words_are_found_in_every_shape(shape: str) -> None:

    assert says(400, WRAPPED[shape]).message == "the words"


RAWS: tuple[object, ...] = ("overloaded", '{"message": "overloaded"}', {"message": "overloaded"},
                            {"error": {"message": "overloaded"}})  # fmt: skip


@pytest.mark.parametrize("raw", RAWS)
def test_the_words_of_the_upstream_are_kept(raw: object) -> None:
    fault = says(502, error("Provider returned error", metadata={"raw": raw}))

    assert fault.message.startswith("Provider returned error: ")
    assert "overloaded" in fault.message


def test_a_page_is_not_repeated() -> None:

    assert says(403, CLOUDFLARE).message == "HTTP 403"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_a_hint_on_what_is_no_limit_is_ignored_or_bounded(status: int) -> None:
    fault = says(status, error("no"), {"retry-after": "7"})

    assert fault.retry_after == (7 if status == 500 else None)


def test_a_day_dressed_as_seconds_is_a_day() -> None:
    body = google(429, "Please retry in 20s.", status="RESOURCE_EXHAUSTED")
    violation = {"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}
    body["error"]["details"] = [violation, {"retryDelay": "20s"}]  # type: ignore[index]

    fault = says(429, body)

    assert (fault.kind, fault.retry_after) == (Kind.DAY_LIMIT, None)


def test_a_key_in_the_words_of_a_vendor_is_taken_out() -> None:
    secret = "my own kind of key"
    refusal = Refusal(401, {}, error(f"bad key {secret}"), json.dumps(error(f"bad key {secret}")))

    assert secret not in read_refusal(refusal, WALL, (secret,)).message


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(("error", "message", "code", "metadata", "raw", "details", "status")),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(st.integers(100, 999), JSONISH, st.dictionaries(st.text(max_size=5), st.text(max_size=5)))
def test_no_answer_is_too_strange_to_be_read(
    status: int, body: object, headers: dict[str, str]
) -> None:
    fault = read_refusal(Refusal(status, headers, body, json.dumps(body)), WALL)

    assert fault.status == status
    assert isinstance(fault.message, str)
