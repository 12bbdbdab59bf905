"""OpenRouter's wire format: keep-alive comments and blank lines, usage with cost, numeric codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from aio_llm.simulator.answers import blank
from aio_llm.simulator.openai_like import OpenAILike
from aio_llm.simulator.records import Answer, Ask, Case, Event, Json, Problem, Route
from aio_llm.simulator.vendor import Row, Special, cloudflare_block, retry_after

PROCESSING = Event("comment", b": OPENROUTER PROCESSING\n\n")
_BLANKS = b"\n         " * 3 + b"\n"
_PROVIDER = "Parasail"
_USER = "user_2simulated0000000000000"
_DAY = "free-models-per-day. Add 10 credits to unlock 1000 free model requests per day"
_MINUTE = "free-models-per-min. "
_WINDOWS = {
    "rps": (_MINUTE, 1),
    "tps": (_MINUTE, 1),
    "rpm": (_MINUTE, 60),
    "tpm": (_MINUTE, 60),
    "rph": (_MINUTE, 3_600),
    "tph": (_MINUTE, 3_600),
    "rpd": (_DAY, 86_400),
    "tpd": (_DAY, 86_400),
}


def limit_problem(case: Case) -> Problem:
    """A 429 whose reset is in the body, in epoch milliseconds; a day ends at midnight UTC."""
    if case.wait is None:
        return Problem(429, {"error": {"message": "Rate limit exceeded", "code": 429}})
    window, span = _WINDOWS[case.axis]
    now = case.at
    reset = now + case.wait if case.wait >= 0 else (now // span + 1) * span
    headers = {
        "X-RateLimit-Limit": str(case.limit),
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": str(round(reset * 1000)),
    }
    error: Json = {"message": f"Rate limit exceeded: {window}", "code": 429}
    error["metadata"] = {"headers": headers, "provider_name": None}
    return retry_after(Problem(429, {"error": error, "user_id": _USER}), case)


def moderation(case: Case) -> Problem:
    """A 403 that says what was flagged."""
    message = (
        f'{case.model} requires moderation on {_PROVIDER}. Your input was flagged for "violence". '
        "No credits were charged."
    )
    metadata = {
        "reasons": ["violence"],
        "flagged_input": "some flagged text ...",
        "provider_name": _PROVIDER,
        "model_slug": case.model,
    }
    return Problem(403, {"error": {"message": message, "code": 403, "metadata": metadata}})


def upstream(status: int, raw: str) -> Problem:
    """An error of the provider behind OpenRouter."""
    metadata = {"raw": raw, "provider_name": _PROVIDER, "is_byok": False}
    error = {"message": "Provider returned error", "code": status, "metadata": metadata}
    return Problem(status, {"error": error, "user_id": _USER})


class OpenRouter(OpenAILike):
    """OpenRouter."""

    name = "openrouter"
    base = "/openrouter/api/v1"
    api = "/api/v1"
    priority = 70
    models = ("meta-llama/llama-3.3-70b-instruct:free", "openai/gpt-oss-20b:free")
    key_prefix = "sk-or-v1-"
    key_alphabet = "0123456789abcdef"
    key_length = 73
    day_wait = -1.0
    rows: ClassVar[Mapping[str, Row]] = {
        "no_path": Row(404, "Not Found"),
        "no_key": Row(401, "Missing Authentication header"),
        "bad_key": Row(401, "User not found."),
        "no_model": Row(400, "{model} is not a valid model ID"),
        "404": Row(404, "No endpoints found for {model}."),
        "400": Row(400, 'Input required: specify "prompt" or "messages"'),
        "bad_max_tokens": Row(400, "max_tokens: Number must be greater than or equal to 1 and "
                              "within the model's context"),
        "bad_n": Row(400, "n: Number must be between 1 and 128"),
        "insufficient_quota": Row(429, "You exceeded your current quota, please check your plan "
                                  "and billing details.", "insufficient_quota",
                                  "insufficient_quota"),
        "402": Row(402, "This request requires more credits, or fewer max_tokens. You requested "
                   "up to 32000 tokens, but can only afford 0. To increase, visit "
                   "https://openrouter.ai/settings/credits and upgrade to a paid account"),
        "403": Row(403, "This key is not allowed to use {model}."),
        "413": Row(413, "Request payload is too large"),
        "422": Row(422, "Unprocessable request"),
        "context_length": Row(400, "This endpoint's maximum context length is 131072 tokens. "
                              "However, you requested about 250002 tokens (250002 of text "
                              "input). Please reduce the length of either one, or use the "
                              "context-compression plugin to compress your prompt "
                              "automatically."),
        "decommissioned": Row(404, "No endpoints found for {model}."),
        "500": Row(500, "Internal Server Error"),
        "503": Row(503, "No instances available for {model}"),
    }  # fmt: skip
    special: Mapping[str, Special] = {
        "limit": limit_problem,
        "content_filter": moderation,
        "502": lambda case: upstream(502, "upstream connect error"),
        "529": lambda case: upstream(529, "Overloaded"),
        "html_403": cloudflare_block("openrouter.ai"),
    }

    def route(self, method: str, path: str) -> Route:
        """As the others, and the key's own state."""
        if method == "GET" and path in ("/api/v1/key", "/api/v1/auth/key"):
            return Route("key")
        return super().route(method, path)

    def from_row(self, row: Row, case: Case) -> Problem:
        """`{"error": {"message", "code"}}`; the code is the status."""
        error: Json = {"message": row.message.format(model=case.model), "code": row.status}
        if row.code is not None:
            error |= {"code": row.code, "type": row.type}
        body: Json = {"error": error}
        return Problem(row.status, body if row.status == 401 else body | {"user_id": _USER})

    def headers(self, content_type: str, serial: int) -> bytes:
        """Cloudflare's and OpenRouter's own."""
        cache = "cache-control: no-cache\r\n" if "event" in content_type else ""
        return (
            f"date: {self.date()}\r\ncontent-type: {content_type}\r\nconnection: keep-alive\r\n"
            f"{cache}access-control-allow-origin: *\r\nvary: Accept-Encoding\r\n"
            'permissions-policy: payment=(self "https://checkout.stripe.com")\r\n'
            "referrer-policy: no-referrer, strict-origin-when-cross-origin\r\n"
            f"x-content-type-options: nosniff\r\nx-generation-id: {_generation(serial)}\r\n"
            "strict-transport-security: max-age=31536000\r\ncf-cache-status: DYNAMIC\r\n"
            f"set-cookie: __cf_bm={serial:043x}-1.0.1.1; path=/; domain=.openrouter.ai; "
            "HttpOnly; Secure; SameSite=None\r\nserver: cloudflare\r\n"
            f"cf-ray: {serial:016x}-ORD\r\n"
            'alt-svc: h3=":443"; ma=86400\r\n'
        ).encode()

    def padding(self) -> bytes:
        """Blank lines while the provider works."""
        return _BLANKS

    def opening(self, answer: Answer) -> list[Event]:
        """Comments while the provider works."""
        return [PROCESSING, PROCESSING]

    def envelope(self, answer: Answer, kind: str, choices: list[Json]) -> Json:
        """OpenRouter's object around the choices."""
        return {
            "id": _generation(answer.ask.serial),
            "provider": _PROVIDER,
            "model": answer.ask.model,
            "object": kind,
            "created": answer.created,
            "choices": choices,
        }

    def ending(self, finish: str | None, logprobs: Json | None) -> Json:
        """The finish reason twice: OpenRouter's and the provider's."""
        return {"finish_reason": finish, "native_finish_reason": finish, "logprobs": logprobs}

    def thinking(self, text: str) -> Json:
        """Reasoning as text and as details."""
        detail = {"type": "reasoning.text", "text": text, "format": "unknown", "index": 0}
        return {"reasoning": text, "reasoning_details": [detail]}

    def closing(self, answer: Answer) -> Json:
        """Usage with its cost in US dollars."""
        cost = 0.0 if answer.ask.model.endswith(":free") else answer.total_tokens * 1e-7
        usage: Json = {
            "prompt_tokens": answer.ask.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "total_tokens": answer.total_tokens,
            "cost": cost,
            "is_byok": False,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "cost_details": {"upstream_inference_cost": None},
            "completion_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
        }
        return {"usage": usage}

    def usage_events(self, answer: Answer) -> list[Event]:
        """Always sent; the chunk repeats the finish reason."""
        delta = {"delta": {"role": "assistant", "content": ""}}
        choice: Json = {"index": 0} | delta | self.ending(answer.finish, None)
        body = self.envelope(answer, "chat.completion.chunk", [choice]) | self.closing(answer)
        return [Event("usage", self.sse(body))]

    def stream_error(self, ask: Ask, problem: Problem) -> bytes:
        """A chunk with the error and a choice that ends with it."""
        if not isinstance(problem.body, dict):
            return b""
        answer = blank(ask, "error")
        choice = {"index": 0, "delta": {"content": ""}, "finish_reason": "error"}
        body = self.envelope(answer, "chat.completion.chunk", [choice])
        return self.sse(body | {"error": problem.body["error"]})

    def model_entry(self, model: str) -> Json:
        """OpenRouter's entry of a model."""
        pricing = {"prompt": "0", "completion": "0", "request": "0", "image": "0"}
        entry: Json = {"id": model, "canonical_slug": model.partition(":")[0], "name": model}
        return entry | {"created": 1733506137, "context_length": 131072, "pricing": pricing}

    def key_state(self, key: str) -> Json:
        """What `GET /api/v1/key` says about a key; money in US dollars."""
        rates = {"requests": -1, "interval": "10s", "note": "This field is deprecated."}
        spent = dict.fromkeys(("usage", "usage_daily", "usage_weekly", "usage_monthly"), 0)
        limits = {"limit": None, "limit_remaining": None, "limit_reset": None}
        label = {"label": f"{key[:12]}...{key[-3:]}", "is_free_tier": True}
        kind = {"is_provisioning_key": False, "is_management_key": False, "expires_at": None}
        return {"data": label | kind | limits | spent | {"rate_limit": rates}}


def _generation(serial: int) -> str:
    return f"gen-1766949546-{serial:020x}"
