"""`get_metrics()`: what arrived at the vendors and what became of the calls, exactly."""

from __future__ import annotations

import json
import pickle
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from aio_llm import (
    AIO,
    AIOError,
    CancelToken,
    ChatCompletion,
    FakeClock,
    RateLimitError,
    RequestCancelledError,
    StreamInterruptedError,
)
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO
from tests.contract.support import VENDORS

FIELDS = {
    "requests", "successes", "failures", "failures_by_category", "cancelled", "success_rate",
    "attempts", "retries", "fallbacks", "rate_limited", "tokens", "cost", "latency",
    "first_token", "waits", "since", "providers", "models", "keys",
}  # fmt: skip
ROW = FIELDS - {"attempts", "retries", "since", "providers", "models", "keys"} | {"answers"}
SWIFT: dict[str, Any] = {"retry_delay": 0.01, "max_delay": 0.05}


def cancelled(aio: AIO, sim: Simulator, text: str = "hello") -> None:
    """A call that hangs at the vendor until it is cancelled."""
    rule = sim.inject("hang", text=text)
    before = sim.active
    token = CancelToken()

    def cancel() -> None:
        sim.wait_for(lambda: sim.active > before)
        token.cancel()

    stop = threading.Thread(target=cancel)
    stop.start()
    with pytest.raises(RequestCancelledError):
        aio.chat_completion(text, cancel=token)
    stop.join()
    rule.remove()


def streamed(aio: AIO, text: str = "hello", **options: Any) -> ChatCompletion:
    """The whole answer of a stream."""
    with aio.chat_completion_stream(text, **options) as stream:
        for _ in stream:
            pass
    return stream.response


def masked(key: str) -> str:
    """A key as people may see it."""
    return f"{key[:4]}…{key[-4:]}"


def asked(figures: dict[str, Any], part: str) -> dict[str, int]:
    """How many attempts there were at each."""
    return {name: row["requests"] for name, row in figures[part].items()}


def arrived(sim: Simulator) -> dict[str, dict[str, int]]:
    """How many requests each provider, model and key of the simulator has seen."""
    return {
        "providers": Counter(r.vendor for r in sim.requests),
        "models": Counter(f"{r.vendor}/{r.model}" for r in sim.requests),
        "keys": Counter(f"{r.vendor}/{masked(r.key)}" for r in sim.requests),
    }


def adds_up(figures: dict[str, Any]) -> bool:
    """Every call and every attempt ended in exactly one way."""
    rows = [figures, *(row for p in ("providers", "models", "keys") for row in figures[p].values())]
    return all(
        row["requests"] == row["successes"] + row["failures"] + row["cancelled"] for row in rows
    )


def test_a_fresh_object_has_all_fields_and_no_figures(make_aio: MakeAIO) -> None:
    figures = make_aio("groq").get_metrics()

    assert set(figures) >= FIELDS
    assert (figures["requests"], figures["attempts"], figures["success_rate"]) == (0, 0, None)
    assert figures["latency"] == {"count": 0, "p50": None, "p95": None, "p99": None}


def test_each_provider_model_and_key_has_its_row(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", "cerebras", keys=2, models=2)
    sim.inject("503", vendor="groq")

    aio.chat_completion("hello")
    figures = aio.get_metrics()

    assert {part: asked(figures, part) for part in ("providers", "models", "keys")} == arrived(sim)
    assert all(
        set(row) >= ROW for p in ("providers", "models", "keys") for row in figures[p].values()
    )


def test_a_mix_of_everything_is_counted_as_it_arrived(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", "cerebras", "openrouter", keys=2, **SWIFT)
    sim.inject("429_retry_after", vendor="groq", text="limited", seconds=0.05, times=1)
    sim.inject("500", vendor="groq", text="down", times=1)
    sim.inject("500", text="hopeless")
    sim.inject("400", text="refused")

    answers = [aio.chat_completion("plain"), aio.chat_completion("limited")]
    answers += [streamed(aio, "plain stream"), aio.chat_completion("down")]
    for text in ("hopeless", "refused"):
        with pytest.raises(AIOError):
            aio.chat_completion(text)
    cancelled(aio, sim)
    answers.append(streamed(aio, "the last"))

    figures, statuses = aio.get_metrics(), Counter(r.status for r in sim.requests)
    assert adds_up(figures)
    assert {part: asked(figures, part) for part in ("providers", "models", "keys")} == arrived(sim)
    assert (figures["attempts"], figures["rate_limited"]) == (sim.count(), statuses[429])
    assert (figures["successes"], figures["failures"], figures["cancelled"]) == (5, 2, 1)
    assert figures["failures_by_category"] == {"server": 1, "invalid_request": 1}
    assert figures["success_rate"] == 5 / 7
    categories: Counter[str] = Counter()
    for row in figures["models"].values():
        categories.update(row["failures_by_category"])
    assert categories == {
        "rate_limit": statuses[429], "server": statuses[500], "invalid_request": statuses[400],
    }  # fmt: skip
    used = [answer.usage for answer in answers if answer.usage]
    assert figures["tokens"]["prompt"] == sum(usage.prompt_tokens for usage in used)
    assert figures["tokens"]["completion"] == sum(usage.completion_tokens for usage in used)
    assert (figures["latency"]["count"], figures["first_token"]["count"]) == (5, 2)


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("ask", [AIO.chat_completion, streamed])
def test_tokens_and_cost_are_those_of_the_answers(
    vendor: str, ask: Callable[[AIO, str], ChatCompletion], make_aio: MakeAIO
) -> None:
    aio = make_aio(vendor)

    answers = [ask(aio, "one"), ask(aio, "another question")]

    figures = aio.get_metrics()
    costs = [answer.cost for answer in answers if answer.cost is not None]
    assert figures["tokens"]["prompt"] == sum(a.usage.prompt_tokens for a in answers if a.usage) > 0
    assert figures["tokens"]["completion"] == sum(
        answer.usage.completion_tokens for answer in answers if answer.usage
    )
    assert figures["cost"] == (sum(costs) if costs else None)
    assert figures["providers"][vendor]["tokens"] == figures["tokens"]


def test_another_target_is_a_fallback_and_the_same_again_is_not(
    sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio("groq", "cerebras", **SWIFT)
    sim.inject("500", vendor="groq", times=1)
    aio.chat_completion("elsewhere")
    first = aio.get_metrics()
    aio.reset_metrics()
    sim.inject("500", vendor="cerebras", times=1)

    aio.chat_completion("the same again", provider="cerebras")

    second = aio.get_metrics()
    assert (first["attempts"], first["retries"], first["fallbacks"]) == (2, 1, 1)
    assert first["providers"]["cerebras"]["fallbacks"] == 1
    assert (second["attempts"], second["retries"], second["fallbacks"]) == (2, 1, 0)


def test_a_wait_for_capacity_is_counted_and_timed(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", clock=clock)
    sim.inject("429_retry_after", seconds=20, times=1)

    aio.chat_completion("hello")
    aio.chat_completion("hello")

    figures = aio.get_metrics()
    assert figures["waits"]["count"] == 1
    assert figures["waits"]["seconds"] == pytest.approx(20, abs=1)
    assert figures["waits"]["p99"] == pytest.approx(20, rel=0.1)
    assert figures["latency"]["p99"] == pytest.approx(20, rel=0.1)
    assert figures["models"][f"groq/{sim.models('groq')[0]}"]["latency"]["p99"] < 20


def test_latencies_are_those_of_the_vendor(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", "cerebras")
    sim.inject("slow", vendor="groq", seconds=0.15)

    aio.chat_completion("hello", provider="groq")
    aio.chat_completion("hello", provider="cerebras")

    figures = aio.get_metrics()
    assert 0.14 < figures["providers"]["groq"]["latency"]["p50"] < 5
    assert figures["latency"]["p99"] > 0.14
    assert figures["latency"]["p50"] <= figures["latency"]["p95"] <= figures["latency"]["p99"]


def test_a_stream_tells_its_first_token_from_its_end(make_aio: MakeAIO) -> None:
    with Simulator(chunk_delay=0.03, chunks=6) as sim:
        aio = AIO([sim.provider("groq", api_keys=sim.keys("groq")[:1])], auto_mode=True)
        with aio:
            streamed(aio)
            figures = aio.get_metrics()

    assert 0 < figures["first_token"]["p50"] < figures["latency"]["p50"]


def test_a_stream_that_is_left_is_cancelled_at_both_ends(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq")

    with aio.chat_completion_stream("hello") as stream:
        next(stream)
    figures = aio.get_metrics()

    assert (figures["requests"], figures["cancelled"], figures["success_rate"]) == (1, 1, None)
    assert [row["cancelled"] for row in figures["models"].values()] == [1]
    assert sim.count() == figures["attempts"] == 1


def test_a_stream_that_breaks_is_a_failure(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    sim.inject("cut", times=1)

    with pytest.raises(StreamInterruptedError):
        streamed(aio)

    figures = aio.get_metrics()
    assert (figures["requests"], figures["failures"], figures["attempts"]) == (1, 1, 1)
    assert figures["failures_by_category"] == {"network": 1}
    assert figures["providers"]["groq"]["failures_by_category"] == {"network": 1}


def test_a_stream_that_starts_again_is_one_answer_of_two_attempts(
    sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio("groq", "cerebras")
    sim.inject("cut", vendor="groq", times=1)

    streamed(aio, on_interrupt="restart")

    figures = aio.get_metrics()
    assert (figures["requests"], figures["successes"], figures["attempts"]) == (1, 1, 2)
    assert (figures["retries"], figures["fallbacks"]) == (1, 1)
    assert figures["providers"]["groq"]["failures"] == 1
    assert figures["providers"]["cerebras"]["answers"] == 1


def test_a_call_that_asked_nobody_counts_as_a_call_only(sim: Simulator, make_aio: MakeAIO) -> None:
    key = {"key": sim.keys("groq")[0], "daily_limit": 1}
    aio = make_aio("groq", overrides={"groq": {"api_keys": [key]}}, max_wait=0)
    token = CancelToken()
    token.cancel()
    aio.chat_completion("hello")

    with pytest.raises(RateLimitError):
        aio.chat_completion("hello")
    with pytest.raises(RequestCancelledError):
        aio.chat_completion("hello", cancel=token)

    figures = aio.get_metrics()
    assert (figures["requests"], figures["attempts"], figures["retries"]) == (3, 1, 0)
    assert figures["failures_by_category"] == {"rate_limit": 1}
    assert figures["cancelled"] == 1
    assert sim.count() == 1


def test_a_reset_begins_at_zero_and_keeps_the_keys_counters(make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    aio.chat_completion("hello")
    before = aio.get_metrics()["since"]

    aio.reset_metrics()

    figures = aio.get_metrics()
    assert (figures["requests"], figures["attempts"], figures["models"]) == (0, 0, {})
    assert figures["since"] >= before
    assert aio.get_key_stats()["total_usage"] == 1


def test_two_objects_count_apart_and_a_copy_begins_at_zero(make_aio: MakeAIO) -> None:
    aio, neighbour = make_aio("groq"), make_aio("groq")
    aio.chat_completion("hello")

    with pickle.loads(pickle.dumps(aio)) as twin:
        assert twin.get_metrics()["requests"] == 0
    assert neighbour.get_metrics()["requests"] == 0
    assert aio.get_metrics()["requests"] == 1


def test_figures_can_be_written_as_json_and_show_no_key(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", "cerebras", keys=2)
    sim.inject("500", vendor="groq", times=1)
    aio.chat_completion("hello")

    text = json.dumps(aio.get_metrics(), allow_nan=False)

    assert json.loads(text) == aio.get_metrics()
    assert not any(key in text for vendor in VENDORS for key in sim.keys(vendor))


def test_a_reading_is_nobodys_to_change(make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    aio.chat_completion("hello")

    aio.get_metrics()["models"].clear()
    aio.get_metrics()["tokens"]["prompt"] = -1

    assert aio.get_metrics()["models"]
    assert aio.get_metrics()["tokens"]["prompt"] > 0


THREADS = 32
CALLS = 6
WEATHER = ("fine", "fine", "limited", "down", "cut", "stream", "left")


def one_call(aio: AIO, number: int) -> None:
    """A call or a stream in its own weather; what it raises is its own affair."""
    weather = WEATHER[number % len(WEATHER)]
    with suppress(AIOError):
        if weather in ("fine", "limited", "down"):
            aio.chat_completion(f"{weather} {number}")
            return
        with aio.chat_completion_stream(f"{weather} {number}") as stream:
            for _ in stream:
                if weather == "left":
                    break


def test_figures_are_exact_under_many_threads(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio(*VENDORS, keys=2, max_wait=1.0, timeout=10.0, **SWIFT)
    sim.inject("429_retry_after", text="limited", seconds=0.05, times=20)
    sim.inject("500", text="down", times=20)
    sim.inject("cut", text="cut", times=20)

    def work(thread: int) -> None:
        for call in range(CALLS):
            one_call(aio, thread * CALLS + call)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    figures = aio.get_metrics()
    assert adds_up(figures)
    assert figures["requests"] == THREADS * CALLS
    assert {part: asked(figures, part) for part in ("providers", "models", "keys")} == arrived(sim)
    assert figures["rate_limited"] == sum(r.status == 429 for r in sim.requests) > 0
    for part in ("providers", "models", "keys"):
        assert sum(row["answers"] for row in figures[part].values()) == figures["successes"]
        assert sum(row["cancelled"] for row in figures[part].values()) == figures["cancelled"]
    assert (
        sum(row["failures"] for row in figures["keys"].values())
        == (aio.get_key_stats()["total_errors"])
    )
