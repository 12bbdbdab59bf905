"""Groq's wire format: `error` objects with type and code, rate-limit headers on every answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from aio_llm.simulator.openai_like import OpenAILike, completion_id
from aio_llm.simulator.quotas import Meter
from aio_llm.simulator.records import Answer, Ask, Case, Json, Problem
from aio_llm.simulator.vendor import (
    Row,
    Special,
    cloudflare_block,
    duration,
    retry_after,
)

INVALID = "invalid_request_error"
_UPGRADE = (
    "Need more tokens? Upgrade to Dev Tier today at https://console.groq.com/settings/billing"
)
_WINDOWS = {
    "rpm": ("requests", "requests per minute (RPM)"),
    "tpm": ("tokens", "tokens per minute (TPM)"),
    "rpd": ("requests", "requests per day (RPD)"),
    "tpd": ("tokens", "tokens per day (TPD)"),
    "rps": ("requests", "requests per second (RPS)"),
    "tps": ("tokens", "tokens per second (TPS)"),
    "rph": ("requests", "requests per hour (RPH)"),
    "tph": ("tokens", "tokens per hour (TPH)"),
    "concurrent": ("requests", "concurrent requests"),
}
_DAILY = Meter(500_000, 499_999, 0.1728)
_PER_MINUTE = 300_000


def limit_problem(case: Case) -> Problem:
    """A 429 that names the window; its waiting time is in the text."""
    kind, window = _WINDOWS[case.axis]
    hint = "" if case.wait is None else f" Please try again in {duration(case.wait)}."
    message = (
        f"Rate limit reached for model `{case.model}` in organization `org_01simulated` service "
        f"tier `on_demand` on {window}: Limit {case.limit}, Used {case.used}, Requested "
        f"{case.requested}.{hint} {_UPGRADE}"
    )
    body = {"error": {"message": message, "type": kind, "code": "rate_limit_exceeded"}}
    headers = {} if case.wait is None else _limit_headers(case)
    return retry_after(Problem(429, body, headers), case)


def _limit_headers(case: Case) -> dict[str, str]:
    wait = case.wait or 0.0
    requests, tokens = Meter(1000, 987, 1123.2), Meter(12_000, 11_400, 3.0)
    if case.axis == "rpd":
        requests = Meter(case.limit, 0, wait)
    if case.axis == "tpm":
        tokens = Meter(case.limit, 0, wait)
    return _rate_headers(requests, tokens)


def _rate_headers(requests: Meter, tokens: Meter) -> dict[str, str]:
    return {
        "x-ratelimit-limit-requests": str(requests.limit),
        "x-ratelimit-limit-tokens": str(tokens.limit),
        "x-ratelimit-remaining-requests": str(requests.remaining),
        "x-ratelimit-remaining-tokens": str(tokens.remaining),
        "x-ratelimit-reset-requests": duration(requests.reset),
        "x-ratelimit-reset-tokens": duration(tokens.reset),
    }


def too_large(case: Case) -> Problem:
    """A 413: the request alone is bigger than the limit."""
    window = _WINDOWS[case.axis if case.axis.startswith("t") else "tpm"][1]
    message = (
        f"Request too large for model `{case.model}` in organization `org_01simulated` service "
        f"tier `on_demand` on {window}: Limit {case.limit}, Requested {case.requested}, please "
        f"reduce your message size and try again. {_UPGRADE}"
    )
    return Problem(
        413, {"error": {"message": message, "type": "tokens", "code": "rate_limit_exceeded"}}
    )


class Groq(OpenAILike):
    """Groq."""

    name = "groq"
    base = "/groq"
    api = "/openai/v1"
    priority = 100
    models = ("llama-3.3-70b-versatile", "llama-3.1-8b-instant")
    key_prefix = "gsk_"
    key_length = 56
    most_answers = 1
    has_logprobs = False
    day_wait = 86.4
    rows: ClassVar[Mapping[str, Row]] = {
        "no_path": Row(404, "Unknown request URL: {path}. Please check the URL for typos, or see "
                       "the docs at https://console.groq.com/docs/", INVALID, "unknown_url"),
        "no_key": Row(401, "Invalid API Key", INVALID, "invalid_api_key"),
        "bad_key": Row(401, "Invalid API Key", INVALID, "invalid_api_key"),
        "no_model": Row(404, "The model `{model}` does not exist or you do not have access to it.",
                        INVALID, "model_not_found"),
        "400": Row(400, "'messages' : minimum number of items is 1", INVALID, None, "messages"),
        "bad_max_tokens": Row(400, "`max_tokens` must be less than or equal to `32768` and at "
                              "least `1`", INVALID, None, "max_tokens"),
        "bad_n": Row(400, "'n' : number must be at most 1", INVALID, None, "n"),
        "bad_logprobs": Row(400, "`logprobs` is not supported with this model", INVALID),
        "insufficient_quota": Row(429, "You exceeded your current quota, please check your plan "
                                  "and billing details.", "insufficient_quota",
                                  "insufficient_quota"),
        "402": Row(402, "Payment required. Please add a payment method at "
                   "https://console.groq.com/settings/billing", "billing_error",
                   "payment_required"),
        "403": Row(403, "The model `{model}` is blocked at the organization level. Please have "
                   "the org admin enable this model in the org settings at "
                   "https://console.groq.com/settings/limits", "permissions_error",
                   "model_permission_blocked_org"),
        "422": Row(422, "The request was well-formed but could not be followed due to semantic "
                   "errors.", INVALID),
        "context_length": Row(400, "Please reduce the length of the messages or completion.",
                              INVALID, "context_length_exceeded", "messages"),
        "decommissioned": Row(400, "The model `{model}` has been decommissioned and is no longer "
                              "supported. Please refer to "
                              "https://console.groq.com/docs/deprecations for a recommendation "
                              "on which model to use instead.", INVALID, "model_decommissioned"),
        "content_filter": Row(400, "The request was rejected by the content filter.", INVALID,
                              "content_filter"),
        "500": Row(500, "Internal Server Error", "internal_server_error"),
        "502": Row(502, "Bad Gateway", "internal_server_error"),
        "503": Row(503, "{model} is currently over capacity. Please try again and back off "
                   "exponentially. Visit https://groqstatus.com to see if there is an active "
                   "incident.", "internal_server_error"),
        "529": Row(529, "{model} is overloaded. Please try again later.", "internal_server_error"),
    }  # fmt: skip
    special: Mapping[str, Special] = {
        "limit": limit_problem,
        "413": too_large,
        "html_403": cloudflare_block("groq.com"),
    }

    def from_row(self, row: Row, case: Case) -> Problem:
        """`{"error": {...}}` without empty fields."""
        message = row.message.format(model=case.model, path=case.path)
        error = {"message": message, "type": row.type, "code": row.code, "param": row.param}
        return Problem(row.status, {"error": {k: v for k, v in error.items() if v is not None}})

    def headers(self, content_type: str, serial: int) -> bytes:
        """Cloudflare's and Groq's own."""
        cache = "no-cache" if "event" in content_type else "private, max-age=0, no-store"
        return (
            f"date: {self.date()}\r\ncontent-type: {content_type}\r\nconnection: keep-alive\r\n"
            f"cache-control: {cache}\r\nvary: Origin\r\nvia: 1.1 google\r\nx-groq-region: dls\r\n"
            f"x-request-id: req_{serial:026x}\r\ncf-cache-status: DYNAMIC\r\n"
            f"set-cookie: __cf_bm={serial:043x}-1.0.1.1; path=/; domain=.groq.com; HttpOnly; "
            "Secure; SameSite=None\r\nserver: cloudflare\r\n"
            f"strict-transport-security: max-age=15552000\r\ncf-ray: {serial:016x}-HFA\r\n"
            'alt-svc: h3=":443"; ma=86400\r\n'
        ).encode()

    def rate_headers(self, meters: Mapping[str, Meter], tokens: int) -> dict[str, str]:
        """Requests per day and tokens per minute; generous ones when no quota is set."""
        spent = Meter(_PER_MINUTE, _PER_MINUTE - tokens, tokens * 60 / _PER_MINUTE)
        return _rate_headers(meters.get("rpd", _DAILY), meters.get("tpm", spent))

    def envelope(self, answer: Answer, kind: str, choices: list[Json]) -> Json:
        """Groq's object around the choices."""
        return {
            "id": completion_id(answer.ask.serial),
            "object": kind,
            "created": answer.created,
            "model": answer.ask.model,
            "system_fingerprint": "fp_179b0f92c9",
            "choices": choices,
        }

    def ending(self, finish: str | None, logprobs: Json | None) -> Json:
        """Groq always has a `logprobs` field."""
        return {"logprobs": logprobs, "finish_reason": finish}

    def closing(self, answer: Answer) -> Json:
        """Usage, tier and, in a plain answer, `x_groq`."""
        mark = {} if answer.ask.stream else {"x_groq": {"id": _request_id(answer.ask)}}
        return {"usage": _usage(answer), "service_tier": "on_demand"} | mark

    def first_extra(self, answer: Answer) -> Json:
        """The request id."""
        return {"x_groq": {"id": _request_id(answer.ask), "seed": answer.ask.serial}}

    def finish_extra(self, answer: Answer) -> Json:
        """Usage in `x_groq`, and a second time when it was asked for."""
        usage = _usage(answer)
        extra: Json = {"x_groq": {"id": _request_id(answer.ask), "usage": usage}}
        return extra | {"usage": usage} if answer.ask.include_usage else extra

    def stream_error(self, ask: Ask, problem: Problem) -> bytes:
        """A named event whose error carries the status."""
        if not isinstance(problem.body, dict):
            return b""
        error = {**problem.body["error"], "status_code": problem.status}
        return b"event: error\n" + self.sse({"error": error})

    def model_entry(self, model: str) -> Json:
        """Groq's entry of a model."""
        entry: Json = {"id": model, "object": "model", "created": 1733447754, "owned_by": "Meta"}
        window = {"context_window": 131072, "max_completion_tokens": 32768}
        return entry | {"active": True, "public_apps": None} | window


def _request_id(ask: Ask) -> str:
    return f"req_{ask.serial:026x}"


def _usage(answer: Answer) -> Json:
    usage: Json = {
        "queue_time": 0.011991,
        "prompt_tokens": answer.ask.prompt_tokens,
        "prompt_time": 0.002202,
        "completion_tokens": answer.completion_tokens,
        "completion_time": 0.021667,
        "total_tokens": answer.total_tokens,
        "total_time": 0.023869,
    }
    if answer.reasoning_tokens:
        usage["completion_tokens_details"] = {"reasoning_tokens": answer.reasoning_tokens}
    return usage
