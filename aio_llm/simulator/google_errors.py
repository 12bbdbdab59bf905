"""Google AI's errors: the table, and those with `details`."""

from __future__ import annotations

from collections.abc import Mapping

from aio_llm.simulator.records import Case, Json, Problem
from aio_llm.simulator.vendor import Row, Special, html_problem

_TYPE = "type.googleapis.com/google.rpc"
_METRIC = "generativelanguage.googleapis.com/generate_content_free_tier"
_QUOTAS = {
    "rpm": ("requests", "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"),
    "tpm": ("input_token_count", "GenerateContentInputTokensPerModelPerMinute-FreeTier"),
    "rpd": ("requests", "GenerateRequestsPerDayPerProjectPerModel-FreeTier"),
    "tpd": ("input_token_count", "GenerateContentInputTokensPerModelPerDay-FreeTier"),
    "rps": ("requests", "GenerateRequestsPerSecondPerProjectPerModel-FreeTier"),
    "tps": ("input_token_count", "GenerateContentInputTokensPerModelPerSecond-FreeTier"),
    "rph": ("requests", "GenerateRequestsPerHourPerProjectPerModel-FreeTier"),
    "tph": ("input_token_count", "GenerateContentInputTokensPerModelPerHour-FreeTier"),
}
_LIMITS = "https://ai.google.dev/gemini-api/docs/rate-limits"
_INVALID, _DENIED, _EXHAUSTED = ("INVALID_ARGUMENT", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED")
_DAY_HINT = 20.0  # seconds
_PREPAID = (
    "Your prepayment credits are depleted. Please go to AI Studio at "
    "https://ai.studio/projects to manage your project and billing."
)

ROWS: Mapping[str, Row] = {
    "no_path": Row(404, "Requested entity was not found.", "NOT_FOUND"),
    "no_key": Row(403, "Method doesn't allow unregistered callers (callers without established "
                  "identity). Please use API Key or other form of API consumer identity to call "
                  "this API.", _DENIED),
    "no_model": Row(404, "models/{model} is not found for API version v1beta, or is not supported "
                    "for generateContent. Call ListModels to see the list of available models and "
                    "their supported methods.", "NOT_FOUND"),
    "400": Row(400, "* GenerateContentRequest.contents: contents is not specified", _INVALID),
    "bad_max_tokens": Row(400, "Unable to submit request because it has a maxOutputTokens value "
                          "out of range. Update the value and try again.", _INVALID),
    "bad_n": Row(400, "Invalid candidateCount: only values from 1 to 8 are supported", _INVALID),
    "insufficient_quota": Row(429, _PREPAID, _EXHAUSTED),
    "402": Row(402, _PREPAID, _EXHAUSTED),
    "403": Row(403, "The caller does not have permission", _DENIED),
    "422": Row(422, "The request could not be processed.", _INVALID),
    "context_length": Row(400, "The input token count (1200000) exceeds the maximum number of "
                          "tokens allowed (1048576).", _INVALID),
    "decommissioned": Row(404, "This model models/{model} is no longer available. Please update "
                          "your code to use a newer model for the latest features and "
                          "improvements.", "NOT_FOUND"),
    "500": Row(500, "An internal error has occurred. Please retry or report in "
               "https://developers.generativeai.google/guide/troubleshooting", "INTERNAL"),
    "503": Row(503, "The model is overloaded. Please try again later.", "UNAVAILABLE"),
    "529": Row(529, "The service is overloaded. Please try again later.", "UNAVAILABLE"),
}  # fmt: skip


def limit_problem(case: Case) -> Problem:
    """A 429: without a waiting time there are no details, else quota and RetryInfo.

    A spent day, too, says to come back in seconds; only `quotaId` tells the truth.
    """
    if case.wait is None:
        message = (
            "Resource exhausted. Please try again later. Please refer to "
            "https://cloud.google.com/vertex-ai/generative-ai/docs/error-code-429 for more details."
        )
        return Problem(429, _error(429, message, _EXHAUSTED))
    shown = min(case.wait, _DAY_HINT) if case.axis.endswith("d") else case.wait
    metric = f"{_METRIC}_{_QUOTAS[case.axis][0]}"
    message = (
        "You exceeded your current quota, please check your plan and billing details. For more "
        f"information on this error, head to: {_LIMITS}. To monitor your current usage, head to: "
        f"https://ai.dev/rate-limit. \n* Quota exceeded for metric: {metric}, limit: {case.limit}, "
        f"model: {case.model}\nPlease retry in {shown:.9g}s."
    )
    body = _error(429, message, _EXHAUSTED)
    body["error"]["details"] = _quota_details(case, metric, shown)
    return Problem(429, body)


def _quota_details(case: Case, metric: str, wait: float) -> list[Json]:
    link = {"description": "Learn more about Gemini API quotas", "url": _LIMITS}
    violation = {
        "quotaMetric": metric,
        "quotaId": _QUOTAS[case.axis][1],
        "quotaDimensions": {"location": "global", "model": case.model},
        "quotaValue": str(case.limit),
    }
    return [
        {"@type": f"{_TYPE}.Help", "links": [link]},
        {"@type": f"{_TYPE}.QuotaFailure", "violations": [violation]},
        {"@type": f"{_TYPE}.RetryInfo", "retryDelay": f"{wait:.9g}s"},
    ]


def bad_key(case: Case) -> Problem:
    """A wrong key is a 400 with API_KEY_INVALID."""
    message = "API key not valid. Please pass a valid API key."
    body = _error(400, message, _INVALID)
    service = {"service": "generativelanguage.googleapis.com"}
    info = {"reason": "API_KEY_INVALID", "domain": "googleapis.com", "metadata": service}
    body["error"]["details"] = [
        {"@type": f"{_TYPE}.ErrorInfo"} | info,
        {"@type": f"{_TYPE}.LocalizedMessage", "locale": "en-US", "message": message},
    ]
    return Problem(400, body)


def blocked(case: Case) -> Problem:
    """A blocked prompt is a 200 without candidates."""
    usage = {"promptTokenCount": 7, "totalTokenCount": 7}
    feedback = {"blockReason": "PROHIBITED_CONTENT"}
    return Problem(
        200, {"promptFeedback": feedback, "usageMetadata": usage, "modelVersion": case.model}
    )


def _error(code: int, message: str, status: str) -> Json:
    return {"error": {"code": code, "message": message, "status": status}}


def _page(status: int, name: str, text: str) -> Special:
    page = (
        f"<!DOCTYPE html>\n<html lang=en>\n<title>Error {status} ({name})!!1</title>\n"
        f"<p><b>{status}.</b> <ins>That\u2019s an error.</ins>\n<p>{text}  "
        "<ins>That\u2019s all we know.</ins>\n"
    )
    return lambda case: html_problem(status, page)


SPECIAL: Mapping[str, Special] = {
    "limit": limit_problem,
    "bad_key": bad_key,
    "content_filter": blocked,
    "413": _page(413, "Request Entity Too Large",
                 "Your client issued a request that was too large."),
    "502": _page(502, "Server Error", "The server encountered a temporary error and could not "
                 "complete your request.<p>Please try again in 30 seconds."),
    "html_403": _page(403, "Forbidden", "Your client does not have permission to get this URL "
                      "from this server."),
}  # fmt: skip
