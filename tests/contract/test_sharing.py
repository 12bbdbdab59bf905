"""Two of us, one state: what one has used, found out or been told holds for the other too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from aio_llm import AIO, FakeClock, RateLimitError
from aio_llm.simulator import Quota, Simulator
from tests.state.conftest import redis_server, url

__all__ = ["redis_server", "url"]  # fixtures


@pytest.fixture
def five_a_minute() -> Iterator[Simulator]:
    """Groq lets five requests a minute pass, for each key."""
    with Simulator(quotas=[Quota("groq", rpm=5, window="bucket")], keys=2) as running:
        yield running


class Pair(Protocol):
    """Makes two of them on one state, each with a list of keys in an order of its own."""

    def __call__(
        self, sim: Simulator, state: str, keys: int = 1, **key: Any
    ) -> tuple[AIO, AIO]: ...


@pytest.fixture
def pair() -> Iterator[Pair]:
    made: list[AIO] = []
    clock = FakeClock()

    def make(sim: Simulator, state: str, keys: int = 1, **key: Any) -> tuple[AIO, AIO]:
        for order in (1, -1):
            entry = sim.provider("groq", models=sim.models("groq")[:1])
            texts = sim.keys("groq")[:keys][::order]
            entry["api_keys"] = [{"key": text, **key} for text in texts]
            made.append(AIO([entry], auto_mode=True, state=state, max_wait=0, clock=clock))
        return made[-2], made[-1]

    yield make
    for aio in made:
        aio.close()


def ask_in_turn(aios: tuple[AIO, AIO], times: int) -> int:
    """How many of so many calls were answered."""
    answered = 0
    for number in range(times):
        try:
            aios[number % 2].chat_completion("hello")
            answered += 1
        except RateLimitError:
            continue
    return answered


def test_a_learned_limit_is_used_up_together(
    five_a_minute: Simulator, url: str, pair: Pair
) -> None:
    aios = pair(five_a_minute, url)

    answered = ask_in_turn(aios, 10)
    refused = sum(request.status == 429 for request in five_a_minute.requests)

    assert answered == 5
    assert refused == 1  # the one that taught it


def test_a_day_is_counted_together_and_after_a_restart(
    sim: Simulator, url: str, pair: Pair
) -> None:
    aios = pair(sim, url, daily_limit=3)
    first = ask_in_turn(aios, 5)

    again = ask_in_turn(pair(sim, url, daily_limit=3), 2)

    assert (first, again) == (3, 0)
    assert sim.count("groq") == 3


def test_a_key_put_out_of_use_is_out_everywhere_and_so_is_its_return(
    sim: Simulator, url: str, pair: Pair
) -> None:
    one, other = pair(sim, url, keys=2)
    first, second = sim.keys("groq")[:2]
    ask_in_turn((one, other), 2)
    before = sim.count("groq", key=first)

    one.disable_key("groq", first)
    for _ in range(3):
        other.chat_completion("hello")
    while_out = sim.count("groq", key=first) - before
    one.enable_key("groq", first)
    one.disable_key("groq", second)
    other.chat_completion("hello")
    other.chat_completion("hello")

    assert while_out == 0
    assert sim.count("groq", key=first) > before


def test_a_rest_that_one_was_told_is_kept_by_the_other(
    sim: Simulator, url: str, pair: Pair
) -> None:
    one, other = pair(sim, url)
    other.chat_completion("hello")
    sim.inject("429_retry_after", seconds=30, times=1)
    with pytest.raises(RateLimitError):
        one.chat_completion("hello")

    with pytest.raises(RateLimitError) as caught:
        other.chat_completion("hello")

    assert caught.value.retry_after == pytest.approx(30.0, abs=1.0)
    assert sim.count("groq") == 2


def test_no_key_is_written_down(sim: Simulator, tmp_path: Path, pair: Pair) -> None:
    aios = pair(sim, f"sqlite:///{tmp_path / 'state.db'}", keys=2, daily_limit=5)
    ask_in_turn(aios, 4)
    aios[0].disable_key("groq", sim.keys("groq")[0])

    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())

    assert written
    assert not any(key.encode() in written for key in sim.keys("groq"))


def test_calls_go_on_when_the_state_is_gone_and_that_is_said_once(
    sim: Simulator, log: list[str], pair: Pair
) -> None:
    aios = pair(sim, "redis://:secret-of-redis@127.0.0.1:1/0")

    answered = ask_in_turn(aios, 6)
    said = [line for line in log if "state" in line and line.startswith("WARNING")]

    assert answered == 6
    assert len(said) == 2  # one for each of the two
    assert not any("secret-of-redis" in line for line in log)
    assert "secret-of-redis" not in repr(aios[0].get_config_summary())
