"""`AIOError.classify` reads the vendors' own exceptions as our adapters do."""

from __future__ import annotations

import pickle

import groq
import httpx
import httpx2
import openai
import pytest
from google.genai import errors as google

from aio_llm import AIOError, CancelToken, ErrorInfo, RequestCancelledError
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO
from tests.simulator.callers import VENDORS, Caller

RAW = (openai.OpenAIError, groq.GroqError, google.APIError, httpx.HTTPError, httpx2.HTTPError,
       ValueError)  # fmt: skip

MEANINGS: dict[str, tuple[str, bool, bool | None]] = {
    "429": ("rate_limit", True, True),
    "429_retry_after": ("rate_limit", True, True),
    "429_vendor_reset": ("rate_limit", True, None),
    "429_day": ("rate_limit", True, None),
    "402": ("rate_limit", True, True),
    "insufficient_quota": ("rate_limit", True, True),
    "401": ("auth", False, True),
    "400": ("invalid_request", False, False),
    "422": ("invalid_request", False, False),
    "context_length": ("invalid_request", False, False),
    "413": ("invalid_request", False, False),
    "404": ("invalid_request", False, False),
    "decommissioned": ("invalid_request", False, False),
    "500": ("server", True, False),
    "502": ("server", True, False),
    "503": ("server", True, False),
    "529": ("server", True, None),
    "html_403": ("network", True, False),
    "reset": ("network", True, False),
    "close": ("network", True, False),
    "wrong_length": ("network", True, False),
}


def raised(caller: Caller, stream: bool) -> BaseException:
    """What the vendor's own SDK raises."""
    try:
        list(caller.stream()) if stream else caller.call()
    except RAW as error:
        return error
    raise AssertionError("the SDK raised nothing")


@pytest.mark.parametrize("stream", [False, True], ids=["call", "stream"])
@pytest.mark.parametrize("fault", MEANINGS)
@pytest.mark.parametrize("vendor", VENDORS)
def test_a_raw_exception_of_a_vendors_sdk_is_understood(
    vendor: str, fault: str, stream: bool, sim: Simulator
) -> None:
    sim.inject(fault)
    category, retryable, rotate = MEANINGS[fault]

    info = AIOError.classify(raised(Caller(sim, vendor), stream))

    assert isinstance(info, ErrorInfo)
    assert (info.category.value, info.is_retryable) == (category, retryable)
    assert rotate in (None, info.should_rotate_key)
    assert sim.count() == 1


@pytest.mark.parametrize("fault", MEANINGS)
@pytest.mark.parametrize("vendor", VENDORS)
def test_a_raw_exception_and_our_own_error_mean_the_same(
    vendor: str, fault: str, sim: Simulator, make_aio: MakeAIO
) -> None:
    sim.inject(fault)
    raw = AIOError.classify(raised(Caller(sim, vendor), stream=False))

    with pytest.raises(AIOError) as caught:
        make_aio(vendor, max_retries=0, max_wait=0).chat_completion("hello")

    ours = AIOError.classify(caught.value)
    assert (ours.kind, ours.scope, ours.status) == (raw.kind, raw.scope, raw.status)
    assert ours.should_rotate_key == raw.should_rotate_key


WAITS = {"groq": 432.5, "cerebras": 432.5, "google-ai": 432.5, "openrouter": 432.5}


@pytest.mark.parametrize("vendor", WAITS)
def test_the_vendors_own_hint_is_found(vendor: str, sim: Simulator) -> None:
    sim.inject("429_vendor_reset", seconds=WAITS[vendor])

    info = AIOError.classify(raised(Caller(sim, vendor), stream=False))

    assert info.retry_after == pytest.approx(WAITS[vendor], abs=1)


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_refused_connection_is_a_network_error(vendor: str, sim: Simulator) -> None:
    caller = Caller(sim, vendor)
    key = sim.keys(vendor)[0]
    caller.clients[key] = caller.build(key, sim.refused_url)

    info = AIOError.classify(raised(caller, stream=False))

    assert (info.category.value, info.status, info.should_rotate_key) == ("network", None, False)


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_timeout_of_an_sdk_is_a_network_error(vendor: str, sim: Simulator) -> None:
    sim.inject("hang")

    info = AIOError.classify(raised(Caller(sim, vendor, timeout=0.05), stream=False))

    assert (info.category.value, info.kind.value) == ("network", "timeout")


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_body_that_is_no_json_is_the_servers_fault(vendor: str, sim: Simulator) -> None:
    sim.inject("truncated_json")

    info = AIOError.classify(raised(Caller(sim, vendor), stream=False))

    assert info.category.value == "server"


def test_what_is_known_of_an_exception_is_plain_data(sim: Simulator) -> None:
    sim.inject("429")

    info = AIOError.classify(raised(Caller(sim, "groq"), stream=False))

    assert pickle.loads(pickle.dumps(info)) == info
    assert not any(key in repr(info) for key in sim.keys("groq"))


def test_a_cancelled_call_is_nobodys_fault(sim: Simulator, make_aio: MakeAIO) -> None:
    token = CancelToken()
    token.cancel()

    with pytest.raises(RequestCancelledError) as caught:
        make_aio("groq").chat_completion("hello", cancel=token)

    info = AIOError.classify(caught.value)
    assert (info.category.value, info.kind.value) == ("unknown", "cancelled")
    assert not info.is_retryable
    assert not info.should_rotate_key
    assert sim.requests == []
