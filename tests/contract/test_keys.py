"""What happens to a key: three errors of its own disable it, other people's never do."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Any

import pytest

from aio_llm import AIO, AIOError, AuthenticationError, ConfigError, FakeClock, RateLimitError
from aio_llm.config import read_settings
from aio_llm.core.key_state import Lease
from aio_llm.core.keys import STRIKES_TO_DISABLE, KeyManager
from aio_llm.core.routing import Router
from aio_llm.faults import Fault, Kind, Scope
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO
from tests.contract.support import trail

VENDORS = ("groq", "cerebras", "google-ai", "openrouter")
HOUR = 3600.0


def states(aio: AIO) -> list[str]:
    """The state of each key."""
    return [row["state"] for row in aio.get_key_stats()["keys"]]


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_bad_key_is_set_aside_at_once(vendor: str, sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio(vendor, keys=2)
    sim.inject("401", key=sim.keys(vendor)[0])

    for _ in range(3):
        aio.chat_completion("hello")

    assert [key for _, key, _ in trail(sim)] == [1, 2, 2, 2]
    assert states(aio) == ["cooling", "active"]


@pytest.mark.parametrize("vendor", VENDORS)
def test_three_key_errors_in_a_row_disable_a_key(
    vendor: str, sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio(vendor, clock=clock)
    sim.inject("401")
    for _ in range(STRIKES_TO_DISABLE):
        with pytest.raises(AuthenticationError):
            aio.chat_completion("hello")
        clock.advance(2 * HOUR)

    with pytest.raises(AuthenticationError, match="disabled"):
        aio.chat_completion("hello")

    stats = aio.get_key_stats()
    assert sim.count() == STRIKES_TO_DISABLE == 3
    assert (stats["active"], stats["disabled"]) == (0, 1)
    assert "bad_key" in stats["keys"][0]["reason"]


def test_an_answer_in_between_begins_the_count_anew(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", clock=clock)
    for _ in range(3):
        sim.inject("401", times=2)
        for _ in range(2):
            with pytest.raises(AuthenticationError):
                aio.chat_completion("hello")
            clock.advance(2 * HOUR)
        aio.chat_completion("hello")

    assert states(aio) == ["active"]
    assert aio.get_key_stats()["keys"][0]["errors_in_row"] == 0


NEVER = (
    "429",
    "429_retry_after",
    "429_vendor_reset",
    "429_day",
    "400",
    "422",
    "context_length",
    "413",
    "404",
    "500",
    "502",
    "503",
    "529",
    "html_403",
    "reset",
    "close",
    "html_200",
    "empty_200",
    "no_choices",
    "error_in_200",
    "content_filter",
)


@pytest.mark.parametrize("fault", NEVER)
def test_nothing_but_its_own_errors_disables_a_key(
    fault: str, sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", clock=clock, max_retries=0, max_wait=0)
    sim.inject(fault)

    for _ in range(8):
        with suppress(AIOError):
            aio.chat_completion("hello")
        clock.advance(25 * HOUR)

    stats = aio.get_key_stats()
    assert sim.count() >= 1
    assert (stats["disabled"], stats["keys"][0]["errors_in_row"]) == (0, 0)


def test_a_key_that_may_not_use_one_model_is_used_for_the_others(
    sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio("cerebras", models=2)
    sim.inject("403", model="gpt-oss-120b")

    first, second = aio.chat_completion("hello"), aio.chat_completion("hello")

    assert first.model == second.model == "llama3.1-8b"
    assert [model for _, _, model in trail(sim)] == ["gpt-oss-120b", "llama3.1-8b", "llama3.1-8b"]


def test_a_model_blocked_for_one_organisation_is_asked_with_a_key_of_another(
    sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio("groq", keys=2)
    sim.inject("403", key=sim.keys("groq")[0])

    answer = aio.chat_completion("hello")

    assert answer.attempts[0].status == 403
    assert [key for _, key, _ in trail(sim)] == [1, 2]


SPELLINGS = (lambda key: key, lambda key: f"{key[:4]}…{key[-4:]}", lambda key: "0")


@pytest.mark.parametrize("spelling", SPELLINGS, ids=["text", "masked", "number"])
def test_a_key_is_switched_off_and_on_by_hand(
    spelling: Any, sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio("groq")
    name = spelling(sim.keys("groq")[0])

    aio.disable_key("groq", name, "leaked on a forum")
    with pytest.raises(AuthenticationError, match="leaked on a forum"):
        aio.chat_completion("hello")

    assert sim.requests == []
    assert aio.get_key_stats()["keys"][0]["reason"] == "leaked on a forum"
    aio.enable_key("groq", name)
    assert aio.chat_completion("hello").content


def test_switching_a_key_on_forgives_what_it_did(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", clock=clock)
    rule = sim.inject("401")
    for _ in range(STRIKES_TO_DISABLE):
        with pytest.raises(AuthenticationError):
            aio.chat_completion("hello")
        clock.advance(2 * HOUR)
    rule.remove()

    aio.enable_key("groq", "0")

    assert aio.chat_completion("hello").content
    assert states(aio) == ["active"]


def test_a_disabled_key_stays_disabled_when_the_day_ends(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", clock=clock)
    aio.disable_key("groq", "0")
    clock.advance(48 * HOUR)

    with pytest.raises(AuthenticationError):
        aio.chat_completion("hello")

    assert sim.requests == []


@pytest.mark.parametrize("name", ["gsk_unknown", "7", "", "-1"])
def test_a_key_that_is_not_there_cannot_be_switched(name: str, make_aio: MakeAIO) -> None:
    aio = make_aio("groq")

    with pytest.raises(ConfigError, match="key: no such key"):
        aio.disable_key("groq", name)
    with pytest.raises(ConfigError, match="provider 'grok'"):
        aio.enable_key("grok", "0")


def test_a_wait_ends_when_a_key_is_switched_on(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", keys=2)
    aio.disable_key("groq", "1")
    sim.inject("429_retry_after", key=sim.keys("groq")[0], seconds=50)
    answers: list[str] = []
    caller = threading.Thread(target=lambda: answers.append(aio.chat_completion("hi").content))

    caller.start()
    assert sim.wait_for(lambda: sim.count() == 1)
    aio.enable_key("groq", "1")
    caller.join(5)

    assert len(answers) == 1
    assert [key for _, key, _ in trail(sim)] == [1, 2]


def manager(**key: Any) -> tuple[KeyManager, Router]:
    """A manager of two keys, and the lanes they drive on."""
    keys = [{"key": f"key-number-{n}", **key} for n in range(2)]
    settings = read_settings(
        {"providers": [{"provider": "groq", "api_keys": keys, "models": ["a", "b"]}]}
    )
    return KeyManager(settings.providers, FakeClock()), Router(settings)


def take(keys: KeyManager, router: Router, number: int) -> Lease | None:
    """A lease on one of the lanes, None if no key is free."""
    lane = router.lanes[number % 2]
    with keys.lock:
        key = keys.pool(lane, 0.0).pick(0.0)
        return None if key is None else keys.grant(lane, key, 0.0)


ENDS = ("succeed", "fail", "refund", "twice")


def end(keys: KeyManager, lease: Lease, how: str) -> None:
    """Give a lease back in one of the ways a call ends."""
    if how == "fail":
        keys.fail(lease, Fault(Kind.SERVER, Scope.MODEL), 0.0, sent=True, strike=False)
    elif how == "refund":
        keys.give_up(lease, 0.0, sent=False)
    else:
        keys.succeed(lease, 0.0)
    if how == "twice":
        keys.give_up(lease, 0.0, sent=False)


def hammer(keys: KeyManager, router: Router, threads: int, calls: int) -> list[int]:
    """Take and give back from many threads at once; how many leases each thread got."""
    start = threading.Barrier(threads)
    taken = [0] * threads

    def work(number: int) -> None:
        start.wait()
        for call in range(calls):
            lease = take(keys, router, number)
            if lease is not None:
                taken[number] += 1
                end(keys, lease, ENDS[call % len(ENDS)])

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return taken


def test_counts_are_exact_under_64_threads() -> None:
    keys, router = manager()

    taken = hammer(keys, router, threads=64, calls=40)

    sent = 64 * 40 * 3 // 4
    assert sum(taken) == 64 * 40
    states = list(keys.keys())
    assert [key.in_flight for key in states] == [0, 0]
    assert sum(key.requests for key in states) == sent
    assert sum(key.total for key in states) == sent
    assert sum(key.errors for key in states) == 64 * 10


def test_a_daily_limit_is_exact_under_64_threads(sim: Simulator) -> None:
    limited = [{"key": key, "daily_limit": 10} for key in sim.keys("groq")]
    entry = sim.provider("groq", api_keys=limited)
    start = threading.Barrier(64)
    outcomes: list[str] = []

    def call(aio: AIO) -> None:
        start.wait()
        try:
            outcomes.append(aio.chat_completion("hello").provider)
        except RateLimitError:
            outcomes.append("limited")

    with AIO([entry], auto_mode=True) as aio:
        callers = [threading.Thread(target=call, args=(aio,)) for _ in range(64)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()

    assert sorted(outcomes) == ["groq"] * 20 + ["limited"] * 44
    assert [sim.count(key=key) for key in sim.keys("groq")] == [10, 10]
