"""How vendors say that something went wrong: one table, first row that fits wins.

Status codes lie (a good key gets 403 for a model it may not use, a bad key gets 400 from
Google, a spent day looks like "retry in 20 s"), so rows look at the words first and at the
status last. Adding a vendor's way of saying something is adding a row.

Sources: the vendors' error references (console.groq.com/docs/errors, openrouter.ai/docs/api/
reference/errors, ai.google.dev/gemini-api/docs/troubleshooting, inference-docs.cerebras.ai)
and recorded answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from aio_llm.allowances import told_by_refusal
from aio_llm.faults import Fault, Kind, Scope, redact
from aio_llm.waits import retry_after


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is not a completion, as it came: `body` parsed if it was JSON."""

    status: int
    headers: Mapping[str, str]
    body: object
    text: str

    @property
    def is_page(self) -> bool:
        """A proxy or an edge answered with HTML or a bare line instead of the API."""
        start = self.text.lstrip()[:20].lower()
        return not isinstance(self.body, dict | list) and (
            start.startswith(("<!doctype", "<html", "<head", "error code"))
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One way of saying one kind of fault."""

    kind: Kind
    scope: Scope
    rotate: bool = False
    status: range | tuple[int, ...] | None = None
    words: str = ""
    page: bool = False

    def fits(self, refusal: Refusal, said: str) -> bool:
        """This row is about that refusal. Patterns compile (and are kept) at first use."""
        if self.status is not None and refusal.status not in self.status:
            return False
        if self.page and not refusal.is_page:
            return False
        return not self.words or bool(_pattern(self.words).search(said))


@cache
def _pattern(words: str) -> re.Pattern[str]:
    return re.compile(words, re.IGNORECASE | re.DOTALL)


_ANY_5XX = range(500, 600)

# fmt: off
ROWS: tuple[Row, ...] = (
    Row(Kind.BLOCKED, Scope.PROVIDER, status=(403, 429), page=True),
    Row(Kind.BLOCKED, Scope.PROVIDER, words=(r"^error code: 10\d\d")),
    Row(Kind.BAD_KEY, Scope.KEY, rotate=True, words=(
        r"api_key_invalid|api_key_service_blocked|reported as leaked|incorrect api key"
        r"|invalid_api_key|wrong_api_key")),
    Row(Kind.ACCOUNT_DISABLED, Scope.GROUP, rotate=True, words=(
        r"organization_restricted|service_disabled|account_deactivated")),
    Row(Kind.BAD_KEY, Scope.KEY, rotate=True, status=(401,)),
    Row(Kind.MINUTE_LIMIT, Scope.GROUP, words=(r"in_flight_budget")),
    Row(Kind.BILLING, Scope.KEY, rotate=True, words=(
        r"settings/keys|openrouter_key_limit|limit_source\W+\w*key_(?:limit|budget)")),
    Row(Kind.BILLING, Scope.GROUP, rotate=True, words=(
        r"insufficient_quota|insufficient balance|credit_balance_exhausted|spend_limit_exceeded"
        r"|enforced_spend_limit|prepayment credits|credits are depleted"
        r"|credit balance is too low|specified api usage limits"
        r"|organization_usage_limit_exceeded|payment_required\b(?!.*in_flight)")),
    Row(Kind.BILLING, Scope.GROUP, rotate=True, status=(402,)),
    Row(Kind.TOO_LARGE, Scope.GROUP_MODEL, words=(r"request too large")),
    Row(Kind.CONTEXT_LENGTH, Scope.MODEL, status=(400, 413, 422), words=(
        r"context_length_exceeded|context length|prompt is too long|input token count"
        r"|too_many_tokens|too many tokens|reduce the length of|exceeds the (?:model|context)")),
    Row(Kind.TOO_LARGE, Scope.GROUP_MODEL, status=(413,)),
    Row(Kind.MODEL_NOT_FOUND, Scope.GROUP_MODEL, rotate=True, words=(
        r"model_permission_blocked|limit: 0\b|quotavalue\W+0\W")),
    Row(Kind.DAY_LIMIT, Scope.GROUP, words=(r"free-models-per-day|free_tier_daily")),
    Row(Kind.DAY_LIMIT, Scope.GROUP_MODEL, rotate=True, status=(429, 200), words=(
        r"perday|per day|\(rpd\)|\(tpd\)|limit_source\W+\w*daily|_day_limit|daily limit")),
    Row(Kind.MINUTE_LIMIT, Scope.GROUP, words=(r"free-models-per-min")),
    Row(Kind.UPSTREAM_LIMIT, Scope.MODEL, status=(429,), words=(
        r"upstream|capacity_exhausted|queue_exceeded|provider_name\W+\w|\"provider\": ?\"\w")),
    Row(Kind.MINUTE_LIMIT, Scope.GROUP_MODEL, rotate=True, status=(429,)),
    Row(Kind.MINUTE_LIMIT, Scope.GROUP_MODEL, rotate=True, status=(200, 400, 403, 503),
        words=(r"rate_limit_exceeded|rate limit exceeded|resource_exhausted")),
    Row(Kind.CONTENT_FILTER, Scope.REQUEST, words=(
        r"content_filter|content_policy|moderation|flagged|blockreason|safety system")),
    Row(Kind.GENERATION_FAILED, Scope.REQUEST, words=(
        r"json_validate_failed|tool_use_failed|failed_generation")),
    Row(Kind.UNSUPPORTED, Scope.MODEL, status=(400, 404, 422), words=(
        r"unsupported_parameter|no endpoints found that support"
        r"|does not support (?:tool|image|vision|audio|json|response|structured|reason)")),
    Row(Kind.MODEL_NOT_FOUND, Scope.MODEL, status=(400, 404, 410), words=(
        r"model_not_found|model_decommissioned|not a valid model id|decommissioned"
        r"|model\W.{0,80}does not exist")),
    Row(Kind.MODEL_NOT_FOUND, Scope.MODEL, status=(404, 410)),
    Row(Kind.BLOCKED, Scope.PROVIDER, status=(400, 403), words=(
        r"country|\bregion\b|territor|location is not supported")),
    Row(Kind.FORBIDDEN, Scope.KEY_MODEL, rotate=True, status=(403,)),
    Row(Kind.REDIRECT, Scope.PROVIDER, status=range(300, 400)),
    Row(Kind.SERVER, Scope.MODEL, status=(408, 498, 499)),
    Row(Kind.SERVER, Scope.MODEL, status=_ANY_5XX, words=(
        r"provider_name\W+\w|over capacity|provider_unavailable")),
    Row(Kind.SERVER, Scope.PROVIDER, status=_ANY_5XX),
    Row(Kind.BAD_REQUEST, Scope.REQUEST, status=range(400, 500)),
)
# fmt: on

_TOO_BIG = re.compile(r"limit:? (\d+).{0,80}?requested:? (\d+)", re.IGNORECASE | re.DOTALL)
_NO_PROVIDER = re.compile(r'"provider_name": ?null', re.IGNORECASE)


def read_refusal(refusal: Refusal, wall: float, secrets: tuple[str, ...] = ()) -> Fault:
    """The fault an answer stands for. `wall`: now in epoch seconds. Pure; never raises."""
    said = _everything_said(refusal)
    message = redact(_message(refusal), secrets)
    code = _code(refusal)
    row = _first_row(refusal, said)
    if row is None:
        return Fault(Kind.UNKNOWN, Scope.PROVIDER, message, refusal.status, code=code)
    wait = None
    if row.kind in (Kind.MINUTE_LIMIT, Kind.DAY_LIMIT, Kind.UPSTREAM_LIMIT, Kind.SERVER):
        day = row.kind is Kind.DAY_LIMIT
        wait = retry_after(refusal.headers, refusal.body, said, wall, day=day)
    named = None
    if row.kind in (Kind.MINUTE_LIMIT, Kind.DAY_LIMIT):
        named = told_by_refusal(said, refusal.headers, wall)
    return Fault(row.kind, row.scope, message, refusal.status, wait, row.rotate, code, named)


def _first_row(refusal: Refusal, said: str) -> Row | None:
    larger = _TOO_BIG.search(said)
    if larger and int(larger[2]) > int(larger[1]):
        return Row(Kind.TOO_LARGE, Scope.GROUP_MODEL)
    return next((row for row in ROWS if row.fits(refusal, said)), None)


def _everything_said(refusal: Refusal) -> str:
    """All the words of a refusal in one line; a null provider name says nothing."""
    return _NO_PROVIDER.sub("", refusal.text[:20_000]).replace('\\"', '"')


def inner_error(body: object) -> dict[str, Any]:
    """The error object itself out of the seven shapes vendors wrap it in; {} if none."""
    if isinstance(body, list):
        body = body[0] if body else {}
    if not isinstance(body, dict):
        return {}
    error = body.get("error")
    if isinstance(error, dict):
        return error
    if isinstance(error, str):
        return {**body, "message": error}
    return body


def _message(refusal: Refusal) -> str:
    error = inner_error(refusal.body)
    raw = next(_raw_reasons(error), None)
    message = error.get("message") or error.get("detail")
    if isinstance(message, str) and message:
        return f"{message}: {raw}" if raw else message
    return f"HTTP {refusal.status}" if refusal.is_page else refusal.text[:300]


def _raw_reasons(error: dict[str, Any]) -> Iterator[str]:
    """OpenRouter puts the upstream's own words into metadata.raw (text, JSON or object)."""
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    if isinstance(raw, dict):
        raw = inner_error(raw).get("message")
    if isinstance(raw, str) and raw:
        yield raw[:500]


def _code(refusal: Refusal) -> str | None:
    error = inner_error(refusal.body)
    for field in ("code", "status", "type"):
        value = error.get(field)
        if isinstance(value, str) and value:
            return value
    return None
