"""Each error: the SDK's exception class, its status and what it says, for every vendor."""

from __future__ import annotations

import re
import time
from typing import Any

import groq
import openai
import pytest
from google.genai import errors as google

from aio_llm.simulator import Simulator
from tests.simulator.callers import REFUSED, VENDORS, Caller, status_of

CLASSES = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
}
STATUSES = {
    "429": 429, "429_retry_after": 429, "429_vendor_reset": 429, "429_day": 429,
    "insufficient_quota": 429, "402": 402, "401": 401, "403": 403, "400": 400, "422": 422,
    "context_length": 400, "413": 413, "404": 404, "decommissioned": 404, "500": 500, "502": 502,
    "503": 503, "529": 529, "html_403": 403, "content_filter": 400,
}  # fmt: skip
OTHERWISE = {
    ("google-ai", "401"): 400,
    ("openrouter", "404"): 404,
    ("groq", "decommissioned"): 400,
    ("openrouter", "content_filter"): 403,
}


def sdk_class(vendor: str, status: int) -> type[Exception]:
    """The exception that a vendor's SDK has for a status."""
    if vendor == "google-ai":
        return google.ClientError if status < 500 else google.ServerError
    sdk = groq if vendor == "groq" else openai
    name = CLASSES.get(status, "InternalServerError" if status >= 500 else "APIStatusError")
    found: type[Exception] = getattr(sdk, name)
    return found


def failure(caller: Caller, stream: bool = False) -> Any:
    """The exception of one request."""
    with pytest.raises(REFUSED) as caught:
        list(caller.stream()) if stream else caller.call()
    return caught.value


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("fault", STATUSES)
def test_an_error_has_the_sdks_class_and_status(
    fault: str, vendor: str, stream: bool, sim: Simulator
) -> None:
    if (vendor, fault) == ("google-ai", "content_filter"):
        pytest.skip("no error but a 200 without candidates")
    status = OTHERWISE.get((vendor, fault), STATUSES[fault])
    sim.inject(fault)

    error = failure(Caller(sim, vendor), stream)

    assert status_of(error) == status
    assert type(error) is sdk_class(vendor, status)
    assert sim.requests[0].status == status
    assert sim.requests[0].fault == fault


def test_google_blocks_a_prompt_without_an_error(sim: Simulator) -> None:
    sim.inject("content_filter")
    caller = Caller(sim, "google-ai")

    assert caller.call().prompt_feedback.block_reason == "PROHIBITED_CONTENT"
    assert [c.candidates for c in caller.stream()] == [None]


def test_an_unknown_key_gets_the_vendors_answer(caller: Caller) -> None:
    with pytest.raises(REFUSED) as caught:
        caller.call(key="wrong")

    assert status_of(caught.value) == (400 if caller.vendor == "google-ai" else 401)
    said = ("Invalid API Key", "Wrong API Key", "API key not valid", "User not found")
    assert any(words in str(caught.value) for words in said)


def test_an_unknown_model_gets_the_vendors_answer(caller: Caller) -> None:
    with pytest.raises(REFUSED) as caught:
        caller.call(model="gone")

    assert status_of(caught.value) == (400 if caller.vendor == "openrouter" else 404)
    assert "gone" in str(caught.value)


def test_an_unknown_path_is_a_404(caller: Caller) -> None:
    client = caller.client()
    ask, name = (
        (client.models.count_tokens, "contents")
        if caller.vendor == "google-ai"
        else (client.embeddings.create, "input")
    )

    with pytest.raises(REFUSED) as caught:
        ask(model="m", **{name: "x"})

    assert status_of(caught.value) == 404


@pytest.mark.parametrize("value", [0, -1, 10**9])
def test_absurd_token_limits_are_refused(value: int, caller: Caller) -> None:
    name = "max_output_tokens" if caller.vendor == "google-ai" else "max_tokens"
    options: dict[str, Any] = {name: value}

    with pytest.raises(REFUSED) as caught:
        caller.call(**options)

    assert status_of(caught.value) == 400


def test_groq_gives_one_answer_only(sim: Simulator) -> None:
    with pytest.raises(groq.BadRequestError):
        Caller(sim, "groq").call(n=2)


def test_a_plain_429_gives_no_hint(caller: Caller) -> None:
    caller.sim.inject("429")

    error = failure(caller)

    headers = {name for name in error.response.headers if "ratelimit" in name or "retry" in name}
    assert not headers
    assert not re.search(r"try again in|retry in|X-RateLimit-Reset", str(error))


@pytest.mark.parametrize("seconds", [30, 1.5])
def test_retry_after_is_a_header(seconds: float, caller: Caller) -> None:
    caller.sim.inject("429_retry_after", seconds=seconds)

    assert float(failure(caller).response.headers["retry-after"]) == seconds


def test_groq_tells_its_reset_in_text_and_header(sim: Simulator) -> None:
    sim.inject("429_vendor_reset")

    error = failure(Caller(sim, "groq"))

    assert "Please try again in 7m12.5s." in error.body["error"]["message"]
    assert error.response.headers["x-ratelimit-reset-tokens"] == "7m12.5s"
    assert error.response.headers["x-ratelimit-remaining-tokens"] == "0"


def test_cerebras_tells_its_reset_in_a_header(sim: Simulator) -> None:
    sim.inject("429_vendor_reset", seconds=11.25)

    error = failure(Caller(sim, "cerebras"))

    assert error.response.headers["x-ratelimit-reset-tokens-minute"] == "11.25"
    assert error.body["code"] == "token_quota_exceeded"


def test_google_tells_its_reset_in_details(sim: Simulator) -> None:
    sim.inject("429_vendor_reset")

    details = failure(Caller(sim, "google-ai")).details["error"]["details"]

    assert details[2]["retryDelay"] == "432.5s"
    assert "PerMinute" in details[1]["violations"][0]["quotaId"]


def test_openrouter_tells_its_reset_in_epoch_milliseconds(sim: Simulator) -> None:
    sim.inject("429_vendor_reset", seconds=100)

    error = failure(Caller(sim, "openrouter"))
    reset = int(error.body["metadata"]["headers"]["X-RateLimit-Reset"]) / 1000

    assert "free-models-per-min" in error.body["message"]
    assert 98 < reset - time.time() < 101


def test_a_spent_day_says_so(sim: Simulator) -> None:
    sim.inject("429_day")

    groq_error, cerebras = (failure(Caller(sim, "groq")), failure(Caller(sim, "cerebras")))
    details = failure(Caller(sim, "google-ai")).details["error"]
    router = failure(Caller(sim, "openrouter")).body

    assert "requests per day (RPD): Limit 1000, Used 1000" in str(groq_error)
    assert "Tokens per day limit exceeded" in str(cerebras)
    assert "x-ratelimit-reset-requests-day" in cerebras.response.headers
    assert "PerDay" in details["details"][1]["violations"][0]["quotaId"]
    assert "Please retry in 20s" in details["message"]
    assert "free-models-per-day" in router["message"]
    assert int(router["metadata"]["headers"]["X-RateLimit-Reset"]) % 86_400_000 == 0


def test_insufficient_quota_has_openais_code(sim: Simulator) -> None:
    sim.inject("insufficient_quota")

    assert failure(Caller(sim, "openrouter")).code == "insufficient_quota"
    assert failure(Caller(sim, "cerebras")).code == "insufficient_quota"
    assert failure(Caller(sim, "groq")).body["error"]["code"] == "insufficient_quota"


def test_the_edge_blocks_with_html(caller: Caller) -> None:
    caller.sim.inject("html_403")

    assert failure(caller).response.headers["content-type"].startswith("text/html")
