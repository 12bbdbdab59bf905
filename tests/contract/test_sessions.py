"""`session=`: a conversation goes on where it was answered last, for the vendor's prompt cache."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from aio_llm import AIO, FakeClock, InvalidRequestError
from aio_llm.core.rules import RULES
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO
from tests.contract.support import Place, explained, trail

BIG, SMALL, OSS = "llama-3.3-70b-versatile", "llama-3.1-8b-instant", "gpt-oss-120b"


def ask(aio: AIO, sim: Simulator, times: int = 1, **question: Any) -> list[Place]:
    """Where so many calls went."""
    before = len(sim.requests)
    for _ in range(times):
        aio.chat_completion("hello", **question)
    return trail(sim)[before:]


def moved(aio: AIO, sim: Simulator, **question: Any) -> list[Place]:
    """Let groq refuse the first call of the session "user-1", so that it begins elsewhere."""
    rule = sim.inject("429_retry_after", vendor="groq", seconds=5)
    places = ask(aio, sim, session="user-1", **question)
    rule.remove()
    return places


def test_calls_of_one_session_stay_on_one_key_and_others_use_the_rest(
    sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio("groq", keys=2)

    assert ask(aio, sim, 4, session="user-1") == [("groq", 1, BIG)] * 4
    assert ask(aio, sim, 4) == [("groq", 2, BIG)] * 4
    assert ask(aio, sim, 4, session="user-1") == [("groq", 1, BIG)] * 4


def test_every_session_has_a_place_of_its_own(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", keys=2)
    one, two = (ask(aio, sim, session=name) for name in ("user-1", "user-2"))
    for _ in range(3):
        assert ask(aio, sim, session="user-1") == one
        assert ask(aio, sim, session="user-2") == two

    assert one != two


def test_it_stays_where_it_is_when_a_better_target_is_free_again(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", "cerebras", clock=clock)
    moved(aio, sim)
    clock.advance(60)

    assert ask(aio, sim) == [("groq", 1, BIG)]
    assert ask(aio, sim, 2, session="user-1") == [("cerebras", 1, OSS)] * 2


def test_it_moves_on_if_its_target_refuses_and_then_stays_there(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", "cerebras", clock=clock)
    ask(aio, sim, session="user-1")

    assert [vendor for vendor, _, _ in moved(aio, sim)] == ["groq", "cerebras"]
    clock.advance(60)
    assert ask(aio, sim, session="user-1") == [("cerebras", 1, OSS)]


def test_a_key_that_is_disabled_or_used_up_loses_its_sessions(sim: Simulator) -> None:
    keys = [{"key": key, "daily_limit": 3} for key in sim.keys("groq")]
    entry = sim.provider("groq", api_keys=keys, models=[BIG])
    with AIO([entry], auto_mode=True) as aio:
        numbers = [key for _, key, _ in ask(aio, sim, 5, session="user-1")]
        aio.disable_key("groq", "1")
        aio.reset_daily_counters()
        numbers += [key for _, key, _ in ask(aio, sim, 1, session="user-1")]

    assert numbers == [1, 1, 1, 2, 2, 1]


def test_a_target_that_the_call_does_not_allow_is_not_asked(
    sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio("groq", "cerebras", models=2)
    ask(aio, sim, session="user-1")

    assert ask(aio, sim, session="user-1", model=SMALL) == [("groq", 1, SMALL)]
    assert ask(aio, sim, session="user-1", provider="cerebras") == [("cerebras", 1, OSS)]
    assert ask(aio, sim, session="user-1") == [("cerebras", 1, OSS)]


def test_it_comes_before_the_callers_own_order_as_long_as_it_is_in_it(
    sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio("groq", models=2)
    ask(aio, sim, session="user-1", model=SMALL)

    assert ask(aio, sim, session="user-1", model=[BIG, SMALL]) == [("groq", 1, SMALL)]
    assert ask(aio, sim, session="user-1", model=[BIG]) == [("groq", 1, BIG)]


@pytest.mark.parametrize("rule", ["priority", *RULES])
def test_it_comes_before_every_rule(rule: str, sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", "cerebras", "google-ai", keys=2, models=2, routing=rule)

    assert len(set(ask(aio, sim, 6, session="user-1"))) == 1


def test_after_an_hour_without_a_call_it_is_forgotten(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", "cerebras", clock=clock)
    moved(aio, sim)
    clock.advance(3590)
    within = ask(aio, sim, session="user-1")
    clock.advance(3590)
    again = ask(aio, sim, session="user-1")
    clock.advance(3610)

    assert within == again == [("cerebras", 1, OSS)]
    assert ask(aio, sim, session="user-1") == [("groq", 1, BIG)]


def test_a_stream_counts_from_its_first_output_even_if_it_is_left(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", "cerebras", clock=clock)
    sim.inject("429_retry_after", vendor="groq", seconds=5, times=1)
    with aio.chat_completion_stream("hello", session="user-1") as stream:
        next(stream)
        clock.advance(60)
        meanwhile = ask(aio, sim, session="user-1")

    assert meanwhile == [("cerebras", 1, OSS)]
    assert ask(aio, sim, session="user-1") == [("cerebras", 1, OSS)]


def test_a_call_without_an_answer_is_not_remembered(
    sim: Simulator, make_aio: MakeAIO, clock: FakeClock
) -> None:
    aio = make_aio("groq", keys=2, clock=clock)
    sim.inject("400", times=1)
    with pytest.raises(InvalidRequestError):
        aio.chat_completion("hello", session="user-1")

    assert ask(aio, sim, session="user-1") == [("groq", 2, BIG)]
    assert ask(aio, sim, session="user-1") == [("groq", 2, BIG)]


def test_many_threads_of_one_session_share_its_key(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", "cerebras", keys=2)
    place = ask(aio, sim, session="user-1")
    with ThreadPoolExecutor(8) as threads:
        for _ in range(40):
            threads.submit(aio.chat_completion, "hello", session="user-1")

    assert trail(sim) == place * 41


def test_each_aio_has_sessions_of_its_own(sim: Simulator, make_aio: MakeAIO) -> None:
    one, other = (make_aio("groq", "cerebras") for _ in range(2))
    ask(one, sim, session="user-1", provider="cerebras")

    assert ask(one, sim, session="user-1") == [("cerebras", 1, OSS)]
    assert ask(other, sim, session="user-1") == [("groq", 1, BIG)]


def test_it_is_explained_first_and_only_once(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq", "cerebras", keys=2)
    ask(aio, sim, session="user-1", provider="cerebras")
    groq = [("groq", 1, BIG), ("groq", 2, BIG)]
    one, two = (("cerebras", number, OSS) for number in (1, 2))

    assert explained(aio, sim, session="user-1") == [one, *groq, two]
    assert explained(aio, sim, session="user-2") == explained(aio, sim) == [*groq, two, one]
    assert len(sim.requests) == 1


@pytest.mark.parametrize("name", ["", 5, True, b"user-1", ["user-1"]], ids=repr)
def test_what_is_no_name_is_refused_before_anything_is_sent(
    name: Any, sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio("groq")

    with pytest.raises(InvalidRequestError, match="session"):
        aio.chat_completion("hello", session=name)
    with pytest.raises(InvalidRequestError, match="session"):
        aio.chat_completion_stream("hello", session=name)
    with pytest.raises(InvalidRequestError, match="session"):
        aio.explain(session=name)
    assert sim.requests == []
