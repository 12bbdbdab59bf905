"""Every fault that is no error answer does what its name says, seen through the raw SDKs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import groq
import httpx
import httpx2
import openai
import pytest
from google.genai import errors as google

from aio_llm.simulator import Simulator
from aio_llm.simulator.faults import FAULTS
from tests.simulator.callers import VENDORS, Caller
from tests.simulator.test_errors import STATUSES

NETWORK = (openai.APIConnectionError, groq.APIConnectionError, httpx.HTTPError, httpx2.HTTPError)
TIMEOUT = (openai.APITimeoutError, groq.APITimeoutError, httpx.TimeoutException,
           httpx2.TimeoutException)  # fmt: skip
MALFORMED = (ValueError, openai.APIError, groq.APIError)
REPORTED = (openai.APIError, groq.APIError, google.APIError, ValueError)
AFTER_OUTPUT = ("cut", "cut_reset", "no_finish", "sse_error", "finish_error", "stall", "garbage",
                "bad_utf8", "cut_in_line")  # fmt: skip
Callers = Callable[[str], Caller]


def read(caller: Caller) -> tuple[str, Exception | None, bool]:
    """The text of a stream, what ended it, and whether a finish reason was seen."""
    text, finished = "", False
    try:
        for chunk in caller.stream():
            text += caller.text_of(chunk)
            finished = finished or bool(finish_of(chunk))
    except (*NETWORK, *REPORTED) as error:
        return text, error, finished
    return text, None, finished


def finish_of(chunk: Any) -> str | None:
    """The finish reason of a chunk."""
    choices = getattr(chunk, "candidates", None) or getattr(chunk, "choices", None)
    return choices[0].finish_reason if choices else None


def test_every_fault_is_tested() -> None:
    here = {*STATUSES, *AFTER_OUTPUT, *BEFORE_OUTPUT, "slow", "drip", "hang", "reset", "close",
            "html_200", "empty_200", "truncated_json", "no_choices", "empty_content", "redirect",
            "wrong_length", "error_in_200"}  # fmt: skip

    assert here == set(FAULTS)


BEFORE_OUTPUT = ("sse_error_first", "done_only", "json_instead_of_sse", "comments_then_error",
                 "role_then_cut")  # fmt: skip


@pytest.mark.parametrize("fault", ["reset", "close"])
def test_a_dropped_connection_is_a_network_error(fault: str, caller: Caller) -> None:
    caller.sim.inject(fault)

    with pytest.raises(NETWORK):
        caller.call()
    assert isinstance(read(caller)[1], NETWORK)
    assert [request.status for request in caller.sim.requests] == [fault, fault]


def test_a_hanging_vendor_notices_the_hang_up(caller: Caller) -> None:
    caller.sim.inject("hang")
    caller.timeout = 0.1

    with pytest.raises(TIMEOUT):
        caller.call()

    assert caller.sim.wait_for(lambda: caller.sim.aborted == 1)
    assert caller.sim.active == 0
    assert caller.sim.wait_for(lambda: caller.sim.open_connections == 0)


def test_a_drip_sends_one_byte_per_interval(sim: Simulator) -> None:
    sim.inject("drip", interval=0.00001)
    began = time.perf_counter()

    text = Caller(sim, "cerebras").text()

    assert text.endswith("says: hello")
    assert time.perf_counter() - began > 400 * 0.00001


def test_a_drip_goes_on_until_the_client_hangs_up(caller: Caller) -> None:
    caller.sim.inject("drip", interval=0.01)

    with httpx.stream("POST", plain_url(caller)) as response:
        pieces = response.iter_raw()
        assert [len(next(pieces)) for _ in range(3)] == [1, 1, 1]

    assert caller.sim.wait_for(lambda: caller.sim.aborted == 1)


def plain_url(caller: Caller) -> str:
    """The address of a plain call; without key and body, faults come first."""
    paths = {
        "groq": "/openai/v1/chat/completions",
        "google-ai": "/v1beta/models/gemini-2.5-flash:generateContent",
    }
    return caller.sim.base_url(caller.vendor) + paths.get(caller.vendor, "/chat/completions")


def test_a_slow_vendor_answers_after_all(caller: Caller) -> None:
    caller.sim.inject("slow", seconds=0.05)
    began = time.perf_counter()

    assert caller.text().endswith("hello")
    assert time.perf_counter() - began >= 0.05


def test_an_error_in_a_200_is_an_answer_without_choices(caller: Caller) -> None:
    caller.sim.inject("error_in_200")

    answer = caller.call()
    text, _, finished = read(caller)

    assert not getattr(answer, "choices", None)
    assert not getattr(answer, "candidates", None)
    assert (text, finished) == ("", False)


@pytest.mark.parametrize("fault", ["html_200", "empty_200", "truncated_json", "no_choices"])
def test_nothing_useful_comes_in_a_broken_200(fault: str, caller: Caller) -> None:
    caller.sim.inject(fault)

    try:
        answer = caller.call()
    except MALFORMED as error:
        answer = error
    text, _, finished = read(caller)

    assert not getattr(answer, "choices", None)
    assert not getattr(answer, "candidates", None)
    assert (text, finished) == ("", False)
    assert [request.status for request in caller.sim.requests] == [200, 200]


def test_truncated_json_is_no_json(caller: Caller) -> None:
    caller.sim.inject("truncated_json")

    with pytest.raises(json.JSONDecodeError):
        caller.call()


def test_empty_content_finishes_properly(caller: Caller) -> None:
    caller.sim.inject("empty_content")

    text, error, finished = read(caller)

    assert caller.text() == ""
    assert finish_of(caller.call()) in ("stop", "STOP")
    assert (text, error, finished) == ("", None, True)


def test_a_redirect_leads_into_the_trap(caller: Caller) -> None:
    caller.sim.inject("redirect")
    address = httpx.post(plain_url(caller)).headers["location"]

    httpx.post(address, headers={"x-secret": "key"})

    assert "127.0.0.1" not in address
    assert caller.sim.trapped[0].headers["x-secret"] == "key"
    assert caller.sim.requests[0].status == 307


def test_a_redirect_goes_where_it_is_told(caller: Caller) -> None:
    caller.sim.inject("redirect", to="http://elsewhere.invalid/")

    answer = httpx.post(plain_url(caller))

    assert answer.headers["location"] == "http://elsewhere.invalid/"


def test_a_wrong_length_is_a_network_error(caller: Caller) -> None:
    caller.sim.inject("wrong_length")

    with pytest.raises(NETWORK):
        caller.call()
    text, error, _ = read(caller)
    assert text == ""
    assert isinstance(error, NETWORK)


@pytest.mark.parametrize("fault", BEFORE_OUTPUT)
def test_a_stream_that_fails_early_has_no_text(fault: str, caller: Caller) -> None:
    params: dict[str, Any] = {"seconds": 0.02} if fault == "comments_then_error" else {}
    caller.sim.inject(fault, **params)

    text, error, finished = read(caller)

    assert (text, finished) == ("", False) or error is not None
    if fault in ("sse_error_first", "comments_then_error"):
        assert isinstance(error, REPORTED)
    if fault == "role_then_cut":
        assert isinstance(error, NETWORK)


@pytest.mark.parametrize("fault", BEFORE_OUTPUT)
def test_an_early_stream_fault_breaks_a_call_too(fault: str, caller: Caller) -> None:
    params: dict[str, Any] = {"seconds": 0.01} if fault == "comments_then_error" else {}
    caller.sim.inject(fault, **params)

    try:
        answer = caller.call()
    except NETWORK:
        return
    assert not getattr(answer, "choices", None)
    assert not getattr(answer, "candidates", None)


def ends_silently(fault: str, vendor: str) -> bool:
    """Whether the vendor's SDK takes the broken stream for a good one."""
    if vendor == "google-ai" and fault in ("cut_in_line", "bad_utf8"):
        return fault == "bad_utf8"
    return fault in ("no_finish", "finish_error", "cut_in_line")


@pytest.mark.parametrize("fault", AFTER_OUTPUT)
def test_a_stream_that_fails_late_has_some_text(fault: str, caller: Caller) -> None:
    caller.sim.inject(fault)
    caller.timeout = 0.2 if fault == "stall" else 5.0
    whole = f"{caller.vendor}/{caller.sim.models(caller.vendor)[0]} says: hello"

    text, error, finished = read(caller)

    assert whole.startswith(text)
    assert 0 < len(text) < len(whole)
    assert finished == (fault == "finish_error")
    assert (error is None) == ends_silently(fault, caller.vendor)


@pytest.mark.parametrize("fault", AFTER_OUTPUT)
def test_a_late_stream_fault_breaks_a_call_too(fault: str, caller: Caller) -> None:
    caller.sim.inject(fault)
    caller.timeout = 0.2

    try:
        answer = caller.call()
    except (*NETWORK, *MALFORMED):
        return
    choices = getattr(answer, "candidates", None) or getattr(answer, "choices", None)
    assert not choices or choices[0].finish_reason in (None, "error", "OTHER")


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("after", [1, 3])
def test_a_cut_comes_after_as_many_pieces_as_asked_for(
    after: int, vendor: str, sim: Simulator
) -> None:
    sim.inject("cut", after=after)
    caller = Caller(sim, vendor)
    whole = f"{vendor}/{sim.models(vendor)[0]} says: hello"

    text, error, _ = read(caller)

    assert isinstance(error, NETWORK)
    assert text == whole[: after * -(-len(whole) // 5)]


def test_a_fault_without_such_a_parameter_is_refused(sim: Simulator) -> None:
    with pytest.raises(ValueError, match="takes seconds"):
        sim.inject("slow", second=1)
    with pytest.raises(ValueError, match="no fault 'slwo'"):
        sim.inject("slwo")
    with pytest.raises(ValueError, match="no vendor 'grok'"):
        sim.inject("slow", vendor="grok")
