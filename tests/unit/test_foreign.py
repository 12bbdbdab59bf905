"""Other people's exceptions: every one is read, none is kept."""

from __future__ import annotations

import json
import socket
import ssl
from typing import Any

import httpx
import httpx2
import pytest

from aio_llm import AIOError
from aio_llm.faults import Category, Fault, FaultError, Kind, Scope
from aio_llm.foreign import read_exception, read_inner_error

ASKED = httpx.Request("POST", "https://api.test/v1/chat?key=AIzaT3stT3stT3stT3stT3stT3st")
LATE = Kind.TIMEOUT
GONE = Kind.NETWORK
WRONG = Kind.BAD_RESPONSE

EXCEPTIONS: dict[str, tuple[BaseException, Kind]] = {
    "timeout": (TimeoutError("timed out"), LATE),
    "socket timeout": (socket.timeout("timed out"), LATE),  # noqa: UP041
    "httpx connect timeout": (httpx.ConnectTimeout("x"), LATE),
    "httpx read timeout": (httpx.ReadTimeout("x"), LATE),
    "httpx pool timeout": (httpx.PoolTimeout("x"), LATE),
    "httpx2 read timeout": (httpx2.ReadTimeout("x"), LATE),
    "httpx connect": (httpx.ConnectError("x"), GONE),
    "httpx2 connect": (httpx2.ConnectError("x"), GONE),
    "httpx read": (httpx.ReadError("x"), GONE),
    "httpx protocol": (httpx.RemoteProtocolError("x"), GONE),
    "httpx proxy": (httpx.ProxyError("x"), GONE),
    "reset": (ConnectionResetError("x"), GONE),
    "refused": (ConnectionRefusedError("x"), GONE),
    "broken pipe": (BrokenPipeError("x"), GONE),
    "dns": (socket.gaierror(-2, "Name or service not known"), GONE),
    "tls": (ssl.SSLError("handshake failure"), GONE),
    "certificate": (ssl.SSLCertVerificationError("self-signed"), GONE),
    "json": (json.JSONDecodeError("Expecting value", "<html>", 0), WRONG),
    "utf-8": (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), WRONG),
    "a value": (ValueError("contents must not be empty"), Kind.BAD_REQUEST),
    "a type": (TypeError("bad argument"), Kind.BAD_REQUEST),
    "anything": (RuntimeError("surprise"), Kind.UNKNOWN),
    "not even an error": (KeyboardInterrupt(), Kind.UNKNOWN),
}


@pytest.mark.parametrize("case", EXCEPTIONS)
def test_an_exception_without_a_status_is_read_by_its_kind(case: str) -> None:
    exception, kind = EXCEPTIONS[case]

    assert read_exception(exception).kind is kind
    assert AIOError.classify(exception).kind is kind


@pytest.mark.parametrize("case", EXCEPTIONS)
def test_the_cause_says_what_the_wrapper_hides(case: str) -> None:
    exception, kind = EXCEPTIONS[case]
    wrapper = RuntimeError("request failed")
    wrapper.__cause__ = exception
    hidden = kind in (Kind.BAD_REQUEST, Kind.UNKNOWN)

    assert read_exception(wrapper).kind is (Kind.UNKNOWN if hidden else kind)


STATUSES = {
    401: (Category.AUTH, Scope.KEY),
    403: (Category.AUTH, Scope.KEY_MODEL),
    429: (Category.RATE_LIMIT, Scope.GROUP_MODEL),
    400: (Category.INVALID_REQUEST, Scope.REQUEST),
    404: (Category.INVALID_REQUEST, Scope.MODEL),
    500: (Category.SERVER, Scope.PROVIDER),
}


@pytest.mark.parametrize("status", STATUSES)
def test_an_exception_with_an_answer_is_read_by_the_answer(status: int) -> None:
    answer = httpx.Response(status, json={"error": {"message": "no"}}, request=ASKED)

    info = AIOError.classify(httpx.HTTPStatusError("no", request=ASKED, response=answer))

    assert (info.category, info.scope) == STATUSES[status]
    assert (info.status, info.message) == (status, "no")


def test_an_unread_answer_still_has_its_status() -> None:
    answer = httpx.Response(503, stream=httpx.ByteStream(b"x"), request=ASKED)

    info = AIOError.classify(httpx.HTTPStatusError("no", request=ASKED, response=answer))

    assert (info.category, info.status) == (Category.SERVER, 503)


def test_retry_after_is_read_from_the_answer() -> None:
    answer = httpx.Response(429, headers={"Retry-After": "30"}, text="slow down", request=ASKED)

    info = AIOError.classify(httpx.HTTPStatusError("no", request=ASKED, response=answer))

    assert info.retry_after == 30
    assert info.should_rotate_key
    assert info.is_retryable


def test_a_key_in_the_words_of_an_exception_is_taken_out() -> None:
    fault = read_exception(httpx.ConnectError(f"cannot reach {ASKED.url}"))

    assert "AIza" not in fault.message


def test_a_chain_that_bites_its_tail_is_read_once() -> None:
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first

    assert read_exception(first).kind is Kind.UNKNOWN


def test_our_own_fault_is_handed_through() -> None:
    fault = Fault(Kind.EMPTY, Scope.MODEL)

    assert read_exception(FaultError(fault)) is fault


class Rude(Exception):
    """Nothing about it works."""

    @property
    def response(self) -> object:
        """Raises instead of answering."""
        raise OSError("no")

    def __str__(self) -> str:
        return "rude"


class Mute(Exception):
    """Has no words."""

    def __str__(self) -> str:
        raise ValueError("no")


@pytest.mark.parametrize("exception", [Rude(), Mute()], ids=["rude", "mute"])
def test_an_exception_that_raises_when_asked_is_read_all_the_same(exception: Exception) -> None:

    assert AIOError.classify(exception).category is Category.UNKNOWN


@pytest.mark.parametrize("body", ["[" * 100_000, '{"error":' * 100_000, "9" * 100_000, "\ud800"])
def test_an_answer_that_cannot_be_parsed_is_read_by_its_status(body: str) -> None:
    answer = httpx.Response(500, content=body.encode("utf-8", "surrogatepass"), request=ASKED)

    info = AIOError.classify(httpx.HTTPStatusError("no", request=ASKED, response=answer))

    assert (info.category, info.status) == (Category.SERVER, 500)


INNER: dict[str, tuple[dict[str, Any], Kind]] = {
    "a code": ({"code": 429, "message": "x"}, Kind.MINUTE_LIMIT),
    "a code in words": ({"code": "400", "message": "x"}, Kind.BAD_REQUEST),
    "a status": ({"status_code": 503, "message": "x"}, Kind.SERVER),
    "words": ({"message": "x", "code": "insufficient_quota"}, Kind.BILLING),
    "nothing": ({"message": "x"}, Kind.SERVER),
}


@pytest.mark.parametrize("case", INNER)
def test_an_error_inside_a_200_is_read_by_what_it_claims(case: str) -> None:
    error, kind = INNER[case]

    assert read_inner_error(error, json.dumps({"error": error})).kind is kind
