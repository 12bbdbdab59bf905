"""No key in anything that comes out of a call that goes wrong, whatever goes wrong."""

from __future__ import annotations

import time
from typing import Any

import pytest
from loguru import logger

from aio_llm import AIO, AIOError
from aio_llm.simulator import Simulator
from tests.secrets.scan import everything, rendered, shown

VENDORS = ("groq", "cerebras", "google-ai", "openrouter")
FAULTS = (
    "401", "400", "402", "403", "404", "422", "429", "429_day", "500", "529", "html_403", "reset",
    "close", "hang", "redirect", "error_in_200", "html_200", "empty_200", "truncated_json",
    "no_choices", "empty_content", "wrong_length", "content_filter", "context_length",
)  # fmt: skip
LATE = ("cut", "cut_reset", "sse_error", "finish_error", "garbage", "bad_utf8", "no_finish",
        "cut_in_line", "stall")  # fmt: skip


def keys_of(sim: Simulator) -> list[str]:
    """All keys of the test."""
    return [key for vendor in VENDORS for key in sim.keys(vendor)]


def call(aio: AIO, stream: bool) -> Any:
    """One call read to its end; what came, or the error, logged as badly as possible."""
    try:
        if stream:
            return aio.chat_completion_stream("hello", idle_timeout=0.05).response
        return aio.chat_completion("hello")
    except AIOError as error:
        logger.exception("it failed")
        return error


def everything_said(aio: AIO, outcome: Any, careless: list[str], logged: str) -> str:
    """All that the library has shown so far, in one text."""
    stats = [aio.get_key_stats(), aio.get_config_summary(), aio.explain()]
    shown_itself = [rendered(thing) for thing in (aio, aio.settings, *aio.settings.providers)]
    return "\n".join([everything(outcome), everything(stats), *shown_itself, *careless, logged])


def searched(
    sim: Simulator, aio: AIO, stream: bool, careless: list[str], caplog: pytest.LogCaptureFixture
) -> list[str]:
    """Call, and say which keys were shown by it."""
    outcome = call(aio, stream)
    said = everything_said(aio, outcome, careless, caplog.text)

    assert sim.count() >= 1
    return shown(said, keys_of(sim))


@pytest.mark.parametrize("stream", [False, True], ids=["call", "stream"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("vendor", VENDORS)
def test_a_call_that_fails_shows_no_key(
    vendor: str, fault: str, stream: bool, sim: Simulator, careless: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    sim.inject(fault)
    entry = sim.provider(vendor, timeout=0.05 if fault == "hang" else 5)
    with AIO([entry], auto_mode=True, max_retries=0, max_wait=0) as aio:
        assert searched(sim, aio, stream, careless, caplog) == []
    assert any("aio_llm" in line for line in careless) or fault == "empty_content"


@pytest.mark.parametrize("fault", LATE)
@pytest.mark.parametrize("vendor", VENDORS)
def test_a_stream_that_breaks_shows_no_key(
    vendor: str, fault: str, sim: Simulator, careless: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    sim.inject(fault)
    with AIO(**sim.config(vendor), max_retries=0, max_wait=0) as aio:
        assert searched(sim, aio, True, careless, caplog) == []
    assert "it failed" in "".join(careless)


@pytest.mark.parametrize("where", ["refused_url", "silent_url"])
@pytest.mark.parametrize("vendor", VENDORS)
def test_a_vendor_that_cannot_be_reached_shows_no_key(
    vendor: str, where: str, sim: Simulator, careless: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    entry = sim.provider(vendor, base_url=getattr(sim, where), timeout=0.05)
    with AIO([entry], auto_mode=True, max_retries=0, max_wait=0) as aio:
        outcome = call(aio, stream=False)
        said = everything_said(aio, outcome, careless, caplog.text)

    assert isinstance(outcome, AIOError)
    assert shown(said, keys_of(sim)) == []


@pytest.mark.parametrize("stream", [False, True], ids=["call", "stream"])
@pytest.mark.parametrize("vendor", VENDORS)
def test_a_good_answer_shows_no_key(
    vendor: str, stream: bool, sim: Simulator, careless: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with AIO(**sim.config(vendor)) as aio:
        assert searched(sim, aio, stream, careless, caplog) == []


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_checked_key_is_not_shown(
    vendor: str, sim: Simulator, careless: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    wrong = sim.keys(vendor)[0][:-5] + "wrong"
    with AIO(**sim.config(vendor)) as aio:
        checks = [aio.validate_api_key(vendor, wrong), *aio.validate_config()]

    said = "\n".join([everything(checks), *careless, caplog.text])
    assert [check.status for check in checks] == ["invalid", "valid", "valid"]
    assert shown(said, [wrong, *keys_of(sim)]) == []


def test_nothing_is_printed(sim: Simulator, capfd: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    sim.inject("401", vendor="groq")
    with AIO(**sim.config()) as aio:
        aio.chat_completion("hello")

    assert capfd.readouterr() == ("", "")
    assert time.monotonic() > began
