"""One attempt is one request, and connections are used again."""

from __future__ import annotations

import socket
import threading

import pytest

from aio_llm import AIOError, FakeClock
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO
from tests.faults.scene import ask, healthy_text

FAULTS = [
    "429", "429_retry_after", "401", "402", "403", "400", "422", "404", "413", "500", "502",
    "503", "529", "reset", "close", "html_200", "empty_200", "truncated_json", "no_choices",
    "error_in_200", "redirect", "wrong_length",
]  # fmt: skip
KEEP_OPEN = [
    "429", "401", "402", "403", "400", "404", "413", "500", "503", "529", "error_in_200",
    "no_choices", "empty_content",
]  # fmt: skip


def test_ten_answers_in_a_row_need_one_connection(
    sim: Simulator, make_aio: MakeAIO, vendor: str, mode: str
) -> None:
    aio = make_aio(vendor)

    texts = [ask(aio, mode, f"question {number}").content for number in range(10)]

    assert texts == [healthy_text(sim, vendor, f"question {n}") for n in range(10)]
    assert sim.connections == 1
    assert {request.connection for request in sim.requests} == {1}


def test_all_keys_of_a_vendor_share_the_connections(
    sim: Simulator, make_aio: MakeAIO, vendor: str, mode: str
) -> None:
    aio = make_aio(vendor, keys=2)

    for _ in range(6):
        ask(aio, mode)

    assert {request.key for request in sim.requests} == set(sim.keys(vendor))
    assert sim.connections == 1


def test_calls_and_streams_share_the_connections(
    sim: Simulator, make_aio: MakeAIO, vendor: str
) -> None:
    aio = make_aio(vendor)

    for mode in ("call", "stream") * 3:
        ask(aio, mode)

    assert sim.connections == 1


@pytest.mark.parametrize("fault", KEEP_OPEN)
def test_an_error_answer_does_not_cost_the_connection(
    fault: str, sim: Simulator, make_aio: MakeAIO, vendor: str, mode: str, clock: FakeClock
) -> None:
    aio = make_aio(vendor, clock=clock, max_retries=0)
    rule = sim.inject(fault)
    try:
        ask(aio, mode)
    except AIOError:
        rule.remove()
    for key in sim.keys(vendor)[:1]:
        aio.enable_key(vendor, key)
    clock.advance(7200)

    connections = {request.connection for request in sim.requests}

    assert connections == {1}
    assert sim.connections == 1


@pytest.mark.parametrize("fault", FAULTS)
def test_one_attempt_is_one_request(
    fault: str, sim: Simulator, make_aio: MakeAIO, vendor: str, mode: str
) -> None:
    aio = make_aio(vendor, max_retries=0, max_wait=0)
    sim.inject(fault)

    with pytest.raises(AIOError) as caught:
        ask(aio, mode)

    assert len(caught.value.attempts) == 1
    assert sim.count() == 1
    assert sim.connections == 1


@pytest.mark.parametrize("retries", [1, 3])
def test_retries_are_counted_by_us_alone(
    retries: int, sim: Simulator, make_aio: MakeAIO, vendor: str, mode: str, clock: FakeClock
) -> None:
    aio = make_aio(vendor, max_retries=retries, clock=clock)
    sim.inject("500")

    with pytest.raises(AIOError) as caught:
        ask(aio, mode)

    assert sim.count() == len(caught.value.attempts) == retries + 1
    assert aio.get_key_stats()["total_usage"] == retries + 1
    assert len(clock.slept) == retries


def test_a_connection_the_vendor_has_closed_is_not_used_again(
    make_aio: MakeAIO, vendor: str, mode: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Simulator(port=port) as first:
        aio = make_aio(vendor, overrides={vendor: {"base_url": first.base_url(vendor)}})
        ask(aio, mode)
    with Simulator(port=port) as second:
        answer = ask(aio, mode, "again")

        assert answer.content == healthy_text(second, vendor, "again")
        assert len(answer.attempts) == 1


def test_as_many_connections_as_calls_at_a_time(make_aio: MakeAIO, vendor: str, mode: str) -> None:
    with Simulator(latency=0.05) as slow:
        aio = make_aio(vendor, overrides={vendor: {"base_url": slow.base_url(vendor)}})
        for _ in range(2):
            callers = [threading.Thread(target=ask, args=(aio, mode)) for _ in range(8)]
            for caller in callers:
                caller.start()
            for caller in callers:
                caller.join()

        assert slow.count() == 16
        assert slow.connections == 8


def test_closing_closes_every_connection(
    sim: Simulator, make_aio: MakeAIO, vendor: str, mode: str
) -> None:
    aio = make_aio(vendor)
    ask(aio, mode)

    aio.close()

    assert sim.wait_for(lambda: sim.open_connections == 0)
