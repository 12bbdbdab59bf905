"""The error tree: what each is, what it carries, and that it survives a pickle."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

import aio_llm
from aio_llm import (
    AIOError,
    AllAttemptsFailedError,
    Attempt,
    AuthenticationError,
    ConfigError,
    ContentFilterError,
    ContextLengthError,
    ErrorInfo,
    InvalidRequestError,
    ModelNotFoundError,
    NetworkError,
    RateLimitError,
    RequestTimeoutError,
    ServerError,
    StreamInterruptedError,
    UnsupportedFeatureError,
)
from aio_llm.faults import Fault, Kind, Scope
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO

VENDORS = ("groq", "cerebras", "google-ai", "openrouter")
PUBLIC = [getattr(aio_llm, name) for name in aio_llm.__all__]
ERRORS = [thing for thing in PUBLIC if isinstance(thing, type) and issubclass(thing, BaseException)]

PARENTS: dict[type[AIOError], type[Exception]] = {
    ConfigError: ValueError,
    RequestTimeoutError: TimeoutError,
    ContextLengthError: InvalidRequestError,
    ContentFilterError: InvalidRequestError,
    ModelNotFoundError: InvalidRequestError,
    UnsupportedFeatureError: InvalidRequestError,
}


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_is_ours(error: type[BaseException]) -> None:
    assert issubclass(error, AIOError)
    assert len(ERRORS) == 15


@pytest.mark.parametrize("error", PARENTS)
def test_errors_are_also_what_python_calls_them(error: type[AIOError]) -> None:
    assert issubclass(error, PARENTS[error])
    assert issubclass(RequestTimeoutError, NetworkError)


def full(cls: type[AIOError]) -> AIOError:
    """An error with everything an error can carry."""
    fault = Fault(Kind.MINUTE_LIMIT, Scope.GROUP, "slow down", 429, 7.0, True, "rate_limited")
    step = Attempt(provider="groq", model="m", key="gsk_…abcd", kind=Kind.MINUTE_LIMIT, status=429)
    error = cls(
        "it did not work",
        attempts=[step, step],
        retry_after=7.0,
        available_at=datetime(2026, 11, 20, tzinfo=UTC),
        info=ErrorInfo.of(fault),
        request_id="mine",
    )
    if isinstance(error, StreamInterruptedError):
        error.partial = "so far"
    return error


def facts(error: AIOError) -> dict[str, Any]:
    """All that an error carries."""
    return {**vars(error), "class": type(error), "words": str(error), "args": error.args}


@pytest.mark.parametrize("again", [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy,
                                   copy.copy], ids=["pickle", "deepcopy", "copy"])  # fmt: skip
@pytest.mark.parametrize("cls", ERRORS)
def test_every_error_survives_with_all_it_carries(cls: type[AIOError], again: Any) -> None:
    error = full(cls)

    assert facts(again(error)) == facts(error)
    assert AIOError.classify(again(error)) == AIOError.classify(error)


RAISED: dict[str, tuple[type[AIOError], int | None]] = {
    "429": (RateLimitError, 429),
    "429_retry_after": (RateLimitError, 429),
    "429_day": (RateLimitError, 429),
    "402": (RateLimitError, None),
    "401": (AuthenticationError, None),
    "400": (InvalidRequestError, 400),
    "422": (InvalidRequestError, 422),
    "context_length": (ContextLengthError, 400),
    "404": (ModelNotFoundError, None),
    "content_filter": (ContentFilterError, None),
    "500": (ServerError, 500),
    "503": (ServerError, 503),
    "html_403": (NetworkError, 403),
    "reset": (NetworkError, None),
    "empty_200": (ServerError, 200),
    "html_200": (ServerError, 200),
    "no_choices": (ServerError, 200),
    "error_in_200": (ServerError, None),
    "redirect": (ServerError, 307),
}


@pytest.mark.parametrize("fault", RAISED)
@pytest.mark.parametrize("vendor", VENDORS)
def test_if_every_attempt_failed_in_one_way_that_class_is_raised(
    vendor: str, fault: str, sim: Simulator, make_aio: MakeAIO
) -> None:
    cls, status = RAISED[fault]
    aio = make_aio(vendor, max_retries=0, max_wait=0)
    sim.inject(fault)

    with pytest.raises(AIOError) as caught:
        aio.chat_completion("hello", request_id="mine")

    error = caught.value
    last = error.attempts[-1]
    assert type(error) is cls
    assert status in (None, error.status)
    assert (error.provider, error.model, error.request_id) == (
        vendor, sim.models(vendor)[0], "mine",
    )  # fmt: skip
    assert last.message or fault in ("reset", "empty_200")
    assert len(error.attempts) == sim.count()
    assert facts(pickle.loads(pickle.dumps(error))) == facts(error)


def test_if_attempts_failed_in_different_ways_all_are_told(
    sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio("groq", "cerebras", "google-ai", max_retries=0, max_wait=0)
    sim.inject("401", vendor="groq")
    sim.inject("500", vendor="cerebras")
    sim.inject("429_retry_after", vendor="google-ai")

    with pytest.raises(AllAttemptsFailedError) as caught:
        aio.chat_completion("hello")

    told = str(caught.value)
    assert [a.provider for a in caught.value.attempts] == ["groq", "cerebras", "google-ai"]
    assert all(
        words in told for words in ("groq/", "bad_key 401", "server 500", "minute_limit 429")
    )
    assert facts(pickle.loads(pickle.dumps(caught.value))) == facts(caught.value)


def test_two_kinds_of_one_category_are_that_category(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", "cerebras", max_wait=0)
    sim.inject("402", vendor="groq")
    sim.inject("429_day", vendor="cerebras")

    with pytest.raises(RateLimitError) as caught:
        aio.chat_completion("hello")

    assert caught.value.retry_after is not None
    assert caught.value.available_at is not None
    assert caught.value.available_at.tzinfo is not None


def test_an_interrupted_stream_keeps_what_had_arrived(sim: Simulator, make_aio: MakeAIO) -> None:
    sim.inject("cut", after=2)
    stream = make_aio("groq").chat_completion_stream("hello")

    with pytest.raises(StreamInterruptedError) as caught:
        list(stream)

    error = caught.value
    assert error.partial == stream.text != ""
    assert "groq/llama-3.3-70b-versatile says: hello".startswith(error.partial)
    assert pickle.loads(pickle.dumps(error)).partial == error.partial
    assert error.attempts[-1].provider == "groq"


def test_nothing_of_a_vendors_sdk_hangs_on_an_error(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", max_retries=0)
    sim.inject("400")

    with pytest.raises(InvalidRequestError) as caught:
        aio.chat_completion("hello")

    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_field_that_a_vendor_lacks_is_refused_before_anything_is_sent(
    sim: Simulator, make_aio: MakeAIO
) -> None:
    with pytest.raises(UnsupportedFeatureError, match="n"):
        make_aio("groq").chat_completion("hello", n=2)

    assert sim.requests == []
