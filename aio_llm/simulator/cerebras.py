"""Cerebras's wire format: flat error bodies, four rate-limit headers in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from aio_llm.simulator.openai_like import OpenAILike, completion_id, seconds_text
from aio_llm.simulator.quotas import Meter
from aio_llm.simulator.records import Answer, Ask, Case, Json, Problem
from aio_llm.simulator.vendor import Row, Special, cloudflare_block

INVALID = "invalid_request_error"
_WINDOWS = {
    "rpm": ("Requests per minute", "requests-minute"),
    "tpm": ("Tokens per minute", "tokens-minute"),
    "rpd": ("Requests per day", "requests-day"),
    "tpd": ("Tokens per day", "tokens-day"),
    "rps": ("Requests per second", "requests-second"),
    "tps": ("Tokens per second", "tokens-second"),
    "rph": ("Requests per hour", "requests-hour"),
    "tph": ("Tokens per hour", "tokens-hour"),
    "concurrent": ("Concurrent requests", ""),
}
_DAILY = Meter(1_440_000, 1_439_999, 33011.382867097855)
_PER_MINUTE = 1_000_000


def limit_problem(case: Case) -> Problem:
    """A 429; its waiting time is in a header only."""
    window, header = _WINDOWS[case.axis]
    thing = "tokens" if case.axis.startswith("t") else "requests"
    code = "token_quota_exceeded" if thing == "tokens" else "request_quota_exceeded"
    message = f"{window} limit exceeded - too many {thing} {_done(thing)}."
    body = {"message": message, "type": f"too_many_{thing}_error", "param": "quota", "code": code}
    if case.wait is None:
        return Problem(429, body)
    names = {header, "requests-day"} if case.axis == "tpd" else {header}
    headers = {f"x-ratelimit-reset-{name}": seconds_text(case.wait) for name in sorted(names)}
    return Problem(429, body, headers)


def _done(thing: str) -> str:
    return "processed" if thing == "tokens" else "sent"


class Cerebras(OpenAILike):
    """Cerebras."""

    name = "cerebras"
    base = "/cerebras/v1"
    api = "/v1"
    priority = 90
    models = ("gpt-oss-120b", "llama3.1-8b")
    key_prefix = "csk-"
    key_alphabet = "abcdefghjkmnprtvwxy2345689"
    key_length = 52
    day_wait = 33011.382867097855
    rows: ClassVar[Mapping[str, Row]] = {
        "no_path": Row(404, "Not Found", "not_found_error", "not_found"),
        "no_key": Row(401, "Missing API Key", INVALID, "missing_api_key", "api_key"),
        "bad_key": Row(401, "Wrong API Key", INVALID, "wrong_api_key", "api_key"),
        "no_model": Row(404, "Model {model} does not exist or you do not have access to it.",
                        "not_found_error", "model_not_found", "model"),
        "400": Row(400, "messages: field required", INVALID, "wrong_api_format", "messages"),
        "bad_max_tokens": Row(400, "max_completion_tokens must be positive and within the "
                              "model's limit", INVALID, "wrong_api_format",
                              "max_completion_tokens"),
        "bad_n": Row(400, "n must be between 1 and 128", INVALID, "wrong_api_format", "n"),
        "insufficient_quota": Row(429, "You exceeded your current quota, please check your plan "
                                  "and billing details.", "insufficient_quota",
                                  "insufficient_quota", "quota"),
        "402": Row(402, "Payment required", "payment_required_error", "payment_required"),
        "403": Row(403, "You do not have access to this resource.", "permission_denied_error",
                   "permission_denied"),
        "413": Row(413, "Request entity too large", INVALID, "request_too_large"),
        "422": Row(422, "Unable to process the request.", INVALID, "unprocessable_entity"),
        "context_length": Row(400, "Please reduce the length of the messages or completion. "
                              "Current length is 9005 while limit is 8192", INVALID,
                              "context_length_exceeded", "messages"),
        "decommissioned": Row(404, "Model {model} has been deprecated and is no longer "
                              "available.", "not_found_error", "model_not_found", "model"),
        "content_filter": Row(400, "The request was rejected by the content filter.", INVALID,
                              "content_filter", "messages"),
        "500": Row(500, "Encountered a server error, please try again.", "server_error",
                   "internal_server_error"),
        "502": Row(502, "Bad gateway", "server_error"),
        "503": Row(503, "Service unavailable", "server_error"),
        "529": Row(529, "We're experiencing high traffic right now! Please try again soon.",
                   "too_many_requests_error", "queue_exceeded", "queue"),
    }  # fmt: skip
    special: Mapping[str, Special] = {
        "limit": limit_problem,
        "html_403": cloudflare_block("api.cerebras.ai"),
    }

    def from_row(self, row: Row, case: Case) -> Problem:
        """Flat: message, type, param, code."""
        message = row.message.format(model=case.model, path=case.path)
        body = {"message": message, "type": row.type, "param": row.param, "code": row.code}
        return Problem(row.status, body)

    def headers(self, content_type: str, serial: int) -> bytes:
        """Cloudflare's and Cerebras's own."""
        return (
            f"date: {self.date()}\r\ncontent-type: {content_type}\r\nconnection: keep-alive\r\n"
            f"cf-ray: {serial:016x}-SJC\r\ncf-cache-status: DYNAMIC\r\n"
            f"inference-id: {completion_id(serial)}\r\nx-request-id: {serial:032x}\r\n"
            "referrer-policy: strict-origin-when-cross-origin\r\nserver: cloudflare\r\n"
            "strict-transport-security: max-age=3600; includeSubDomains\r\n"
            "x-content-type-options: nosniff\r\nvary: Accept-Encoding\r\n"
            f"set-cookie: __cf_bm={serial:043x}-1.0.1.1; path=/; domain=.cerebras.ai; HttpOnly; "
            'Secure; SameSite=None\r\nalt-svc: h3=":443"; ma=86400\r\n'
        ).encode()

    def rate_headers(self, meters: Mapping[str, Meter], tokens: int) -> dict[str, str]:
        """Requests per day and tokens per minute; generous ones when no quota is set."""
        spent = Meter(_PER_MINUTE, _PER_MINUTE - tokens, 11.382867097854614)
        day, minute = meters.get("rpd", _DAILY), meters.get("tpm", spent)
        return {
            "x-ratelimit-limit-requests-day": str(day.limit),
            "x-ratelimit-limit-tokens-minute": str(minute.limit),
            "x-ratelimit-remaining-requests-day": str(day.remaining),
            "x-ratelimit-remaining-tokens-minute": str(minute.remaining),
            "x-ratelimit-reset-requests-day": seconds_text(day.reset),
            "x-ratelimit-reset-tokens-minute": seconds_text(minute.reset),
        }

    def spent_headers(self, meters: Mapping[str, Meter]) -> dict[str, str]:
        """Limits and what remains; the resets come with the refusal itself."""
        found = self.rate_headers(meters, 0) if meters else {}
        return {name: value for name, value in found.items() if "reset" not in name}

    def envelope(self, answer: Answer, kind: str, choices: list[Json]) -> Json:
        """Cerebras's object around the choices."""
        return {
            "id": completion_id(answer.ask.serial),
            "choices": choices,
            "created": answer.created,
            "model": answer.ask.model,
            "system_fingerprint": "fp_46358675aa6b1ba4d98d",
            "object": kind,
        }

    def role(self) -> Json:
        """The first chunk has no content."""
        return {"role": "assistant"}

    def ending(self, finish: str | None, logprobs: Json | None) -> Json:
        """No empty fields but the finish reason."""
        found: Json = {"finish_reason": finish}
        return found | {"logprobs": logprobs} if logprobs else found

    def closing(self, answer: Answer) -> Json:
        """Usage and `time_info`."""
        usage: Json = {
            "prompt_tokens": answer.ask.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "total_tokens": answer.total_tokens,
            "prompt_tokens_details": {"cached_tokens": 0},
        }
        if answer.reasoning_tokens:
            usage["completion_tokens_details"] = {"reasoning_tokens": answer.reasoning_tokens}
        times = {"queue_time": 0.008763, "prompt_time": 0.002785, "completion_time": 0.017747}
        times |= {"total_time": 0.03152, "created": float(answer.created)}
        return {"usage": usage, "time_info": times}

    def stream_error(self, ask: Ask, problem: Problem) -> bytes:
        """The flat error inside an `error` object, beside its status."""
        return self.sse({"error": problem.body, "status_code": problem.status})

    def model_entry(self, model: str) -> Json:
        """Cerebras's entry of a model."""
        return {"id": model, "object": "model", "created": 0, "owned_by": "Cerebras"}
