"""Vendors of one's own: OpenAI's wire format, and limits that are told or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest

from aio_llm import AIO
from aio_llm.simulator import CustomVendor, Quota, Simulator
from aio_llm.simulator.custom import TELLS
from tests.simulator.callers import Caller, spend
from tests.simulator.clocks import Clock

ACME = "acme"


def refusal(tells: str) -> openai.RateLimitError:
    """What a second call within the minute is told by a vendor that allows one."""
    clock, vendor = Clock(), CustomVendor(ACME, ("one", "two"), tells)
    with Simulator(quotas=[Quota(ACME, rpm=1)], clock=clock, custom=[vendor]) as sim:
        caller = Caller(sim, ACME)
        caller.call()
        clock.now += 12.5
        with pytest.raises(openai.RateLimitError) as caught:
            caller.call()
    return caught.value


def hints(tells: str) -> tuple[bool, bool, bool]:
    """Whether a refusal has Retry-After, the limit in its text, the limit in a header."""
    error = refusal(tells)
    headers = error.response.headers
    return (
        headers.get("retry-after") == "48",
        "Limit 1, Used 1, Requested 1. Please try again in 47.5s" in str(error),
        headers.get("x-ratelimit-limit-requests") == "1",
    )


@pytest.mark.parametrize(
    ("tells", "told"),
    [
        ("nothing", (False, False, False)),
        ("retry_after", (True, False, False)),
        ("text", (False, True, False)),
        ("headers", (True, True, True)),
    ],
)
def test_a_refusal_tells_what_it_is_told_to(tells: str, told: tuple[bool, ...]) -> None:
    assert tells in TELLS
    assert hints(tells) == told


def test_headers_tell_what_is_left_after_every_answer() -> None:
    quota, vendor = Quota(ACME, rpm=10, tpm=1_000), CustomVendor(ACME, tells="headers")
    with Simulator(quotas=[quota], clock=Clock(), custom=[vendor]) as sim:
        caller = Caller(sim, ACME)
        message: Any = {"role": "user", "content": "[answer 97]"}
        raw = caller.client().chat.completions.with_raw_response
        headers = raw.create(model="large", messages=[message]).headers

    assert headers["x-ratelimit-limit-requests"] == "10"
    assert headers["x-ratelimit-remaining-requests"] == "9"
    assert headers["x-ratelimit-remaining-tokens"] == "900"
    assert headers["x-ratelimit-reset-requests"] == "1m0s"


def test_it_streams_and_calls_tools_like_the_others() -> None:
    with Simulator() as sim:
        caller = Caller(sim, "custom")
        text = caller.text("hello")
        call = caller.call("[tool]", tools=[{"type": "function", "function": {"name": "f"}}])

        assert "".join(caller.texts("hello")) == text
        assert call.choices[0].message.tool_calls[0].function.name == "f"


@pytest.mark.parametrize(
    ("fault", "status"), [("401", 401), ("404", 404), ("503", 503), ("context_length", 400)]
)
def test_its_errors_are_openais(fault: str, status: int) -> None:
    with Simulator() as sim:
        sim.inject(fault, vendor="custom")
        with pytest.raises(openai.APIStatusError) as caught:
            Caller(sim, "custom").call()

    assert caught.value.status_code == status
    assert caught.value.type


def test_several_of_them_live_side_by_side() -> None:
    vendors = [CustomVendor("first"), CustomVendor("second")]
    with Simulator(custom=vendors, quotas=[Quota("first", rpm=1)], clock=Clock()) as sim:
        assert spend(Caller(sim, "first"), 2) == [True, False]
        assert spend(Caller(sim, "second"), 2) == [True, True]
        assert sim.keys("first") != sim.keys("second")


def test_an_aio_takes_it_as_it_is_offered() -> None:
    with Simulator(custom=[CustomVendor(ACME)]) as sim, AIO(**sim.config(ACME)) as aio:
        answer = aio.chat_completion("hello")

        assert (answer.provider, answer.model) == (ACME, "large")
        assert sim.count(ACME) == 1


def test_famous_vendors_can_have_other_models() -> None:
    with Simulator(models={"groq": ["mine"]}) as sim:
        assert "groq/mine says" in Caller(sim, "groq").text("hello", model="mine")
        with pytest.raises(openai.NotFoundError):
            Caller(sim, "custom").call(model="mine")
        assert sim.models("groq") == ["mine"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: CustomVendor("a/b"), "letters, digits and hyphens"),
        (lambda: CustomVendor("ü"), "letters, digits and hyphens"),
        (lambda: CustomVendor(tells="all"), "nothing, retry_after, text, headers"),
    ],
)
def test_what_it_cannot_be_is_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()
