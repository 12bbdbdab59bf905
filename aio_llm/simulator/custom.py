"""A vendor of one's own: OpenAI's wire format, and about its limits what it is told to tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aio_llm.simulator.http1 import header_block
from aio_llm.simulator.openai_like import OpenAILike, completion_id
from aio_llm.simulator.quotas import Meter
from aio_llm.simulator.records import Answer, Case, Json, Problem
from aio_llm.simulator.vendor import Row, Special, duration, retry_after

INVALID = "invalid_request_error"
TELLS = ("nothing", "retry_after", "text", "headers")
_WINDOWS = {
    "rps": "requests per second (RPS)",
    "rpm": "requests per min (RPM)",
    "rph": "requests per hour (RPH)",
    "rpd": "requests per day (RPD)",
    "tps": "tokens per second (TPS)",
    "tpm": "tokens per min (TPM)",
    "tph": "tokens per hour (TPH)",
    "tpd": "tokens per day (TPD)",
    "concurrent": "concurrent requests",
}
_ROWS: Mapping[str, Row] = {
    "no_path": Row(404, "Not Found", INVALID),
    "no_key": Row(401, "You didn't provide an API key.", INVALID),
    "bad_key": Row(401, "Incorrect API key provided.", INVALID, "invalid_api_key"),
    "no_model": Row(404, "The model `{model}` does not exist or you do not have access to it.",
                    INVALID, "model_not_found"),
    "400": Row(400, "Missing required parameter: 'messages'.", INVALID,
               "missing_required_parameter", "messages"),
    "bad_max_tokens": Row(400, "max_tokens is too large or less than 1.", INVALID, None,
                          "max_tokens"),
    "bad_n": Row(400, "Invalid 'n': expected a value between 1 and 128.", INVALID, None, "n"),
    "insufficient_quota": Row(429, "You exceeded your current quota, please check your plan and "
                              "billing details.", "insufficient_quota", "insufficient_quota"),
    "402": Row(402, "Payment required", "billing_error", "payment_required"),
    "403": Row(403, "You have insufficient permissions for this operation.", INVALID),
    "413": Row(413, "Request entity too large", INVALID),
    "422": Row(422, "Unprocessable request", INVALID),
    "context_length": Row(400, "This model's maximum context length is 8192 tokens. However, your "
                          "messages resulted in 9005 tokens. Please reduce the length of the "
                          "messages.", INVALID, "context_length_exceeded", "messages"),
    "decommissioned": Row(404, "The model `{model}` has been deprecated.", INVALID,
                          "model_not_found"),
    "content_filter": Row(400, "The response was filtered.", INVALID, "content_filter"),
    "500": Row(500, "The server had an error while processing your request.", "server_error"),
    "502": Row(502, "Bad gateway", "server_error"),
    "503": Row(503, "The server is overloaded or not ready yet.", "server_error"),
    "529": Row(529, "The server is overloaded.", "server_error"),
}  # fmt: skip


class CustomVendor(OpenAILike):
    """An OpenAI-compatible vendor below `/<name>/v1`.

    `tells`: what it says about its limits: "nothing"; "retry_after", a header on refusals;
    "text", limit and waiting time in the refusal's message; "headers", besides that OpenAI's
    `x-ratelimit-*-requests` and `-tokens` on every answer (OpenAI's rate-limit guide).
    """

    api = "/v1"
    priority = 60
    key_prefix = "sk-"
    key_length = 48
    day_wait = 8_640.0
    rows = _ROWS

    def __init__(
        self,
        name: str = "custom",
        models: Sequence[str] = ("large", "small"),
        tells: str = "nothing",
    ) -> None:
        if not name.isascii() or not name.replace("-", "").isalnum():
            raise ValueError(f"name must be letters, digits and hyphens, not {name!r}")
        if tells not in TELLS:
            raise ValueError(f"tells must be one of {', '.join(TELLS)}, not {tells!r}")
        self.name = name
        self.base = f"/{name}/v1"
        self.models = tuple(models)
        self.tells = tells
        self.special: Mapping[str, Special] = {"limit": self._limit}

    def _limit(self, case: Case) -> Problem:
        error: Json = {"message": self._words(case), "type": "rate_limit_exceeded"}
        error |= {"param": None, "code": "rate_limit_exceeded"}
        problem = Problem(429, {"error": error})
        return problem if self.tells in ("nothing", "text") else retry_after(problem, case)

    def _words(self, case: Case) -> str:
        if self.tells in ("nothing", "retry_after") or case.wait is None:
            return "Too Many Requests"
        return (
            f"Rate limit reached for {case.model} on {_WINDOWS[case.axis]}: Limit {case.limit}, "
            f"Used {case.used}, Requested {case.requested}. Please try again in "
            f"{duration(case.wait)}."
        )

    def from_row(self, row: Row, case: Case) -> Problem:
        """OpenAI's error object."""
        message = row.message.format(model=case.model)
        error = {"message": message, "type": row.type, "param": row.param, "code": row.code}
        return Problem(row.status, {"error": error})

    def headers(self, content_type: str, serial: int) -> bytes:
        """The bare minimum."""
        own = {"date": self.date(), "content-type": content_type}
        return header_block(own | {"x-request-id": f"req_{serial:032x}"})

    def rate_headers(self, meters: Mapping[str, Meter], tokens: int) -> dict[str, str]:
        """OpenAI's six headers, as far as there are limits and it tells them."""
        if self.tells != "headers":
            return {}
        found: dict[str, str] = {}
        for thing, axes in (("requests", ("rpm", "rpd")), ("tokens", ("tpm", "tpd"))):
            meter = next((meters[axis] for axis in axes if axis in meters), None)
            if meter is not None:
                found[f"x-ratelimit-limit-{thing}"] = str(meter.limit)
                found[f"x-ratelimit-remaining-{thing}"] = str(meter.remaining)
                found[f"x-ratelimit-reset-{thing}"] = duration(meter.reset)
        return found

    def envelope(self, answer: Answer, kind: str, choices: list[Json]) -> Json:
        """OpenAI's object around the choices."""
        return {
            "id": completion_id(answer.ask.serial),
            "object": kind,
            "created": answer.created,
            "model": answer.ask.model,
            "choices": choices,
        }

    def closing(self, answer: Answer) -> Json:
        """Usage."""
        usage: Json = {
            "prompt_tokens": answer.ask.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "total_tokens": answer.total_tokens,
        }
        if answer.reasoning_tokens:
            usage["completion_tokens_details"] = {"reasoning_tokens": answer.reasoning_tokens}
        return {"usage": usage}

    def ending(self, finish: str | None, logprobs: Json | None) -> Json:
        """Finish reason and log-probabilities, always there."""
        return {"logprobs": logprobs, "finish_reason": finish}

    def model_entry(self, model: str) -> Json:
        """OpenAI's entry of a model."""
        return {"id": model, "object": "model", "created": 1733447754, "owned_by": self.name}
