"""Cancel means now, wherever a call is stuck, and it is nobody's fault."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from aio_llm import AIO, CancelToken, RequestCancelledError
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO
from tests.faults.places import PLACES, Spot
from tests.faults.scene import ask, healthy_text, moved, partner, quickest
from tests.faults.stuck import WAKE, Stuck, TellingClock

Cancel = Callable[[AIO, CancelToken, str], object]

WAYS: dict[str, Cancel] = {
    "by its token": lambda aio, token, name: token.cancel(),
    "by its name": lambda aio, token, name: aio.cancel(name),
    "with all others": lambda aio, token, name: aio.cancel_all(),
    "by the end of the object": lambda aio, token, name: aio.close(),
}


@pytest.fixture
def spot(
    sim: Simulator, vendor: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Spot]:
    with contextlib.ExitStack() as cleanup:
        made = Spot(sim, vendor, TellingClock(), cleanup, monkeypatch)
        PLACES[place](made)
        yield made


@pytest.fixture
def aio(spot: Spot, make_aio: MakeAIO) -> AIO:
    there = {"base_url": moved(spot.sim, spot.vendor, spot.origin)}
    return make_aio(
        spot.vendor,
        partner(spot.vendor),
        overrides={spot.vendor: there},
        clock=spot.clock,
        retry_delay=60.0,
    )


def cancelled(spot: Spot, aio: AIO, mode: str, cancel: Cancel) -> float:
    """Seconds from the cancel to the end of a call that is stuck there."""
    token = CancelToken()
    options = {"provider": spot.vendor, "cancel": token, "request_id": "stuck"}
    stuck = Stuck(lambda: ask(aio, mode, "to be cancelled", **options))
    assert spot.reached()
    seconds = stuck.wakes_after(lambda: cancel(aio, token, "stuck"))
    assert isinstance(stuck.error, RequestCancelledError), stuck.error
    assert stuck.error.request_id == "stuck"
    return seconds


@pytest.mark.parametrize("place", PLACES)
def test_a_cancelled_call_wakes_hangs_up_and_blames_nobody(spot: Spot, aio: AIO, mode: str) -> None:
    woken = quickest(lambda: cancelled(spot, aio, mode, WAYS["by its token"]), enough=WAKE)
    gone = spot.left()
    refused = [one for one in spot.sim.requests if one.status in (429, 500)]
    rows = aio.get_key_stats(spot.vendor)["keys"]

    assert woken < WAKE
    assert gone
    assert [row["in_flight"] for row in rows] == [0]
    assert [row["errors_in_row"] for row in rows] == [0]
    assert [row["total_errors"] for row in rows] == [len(refused)]
    assert [row["total_usage"] for row in rows] == [spot.sim.count(spot.vendor)]
    assert refused or all(row["usable"] for row in aio.explain(provider=spot.vendor))


@pytest.mark.parametrize("place", ["waiting for capacity", "before the headers", "in the body"])
def test_a_cancelled_call_usually_wakes_within_five_milliseconds(
    spot: Spot, aio: AIO, mode: str
) -> None:
    def usually() -> float:
        by_token = WAYS["by its token"]
        return statistics.median(cancelled(spot, aio, mode, by_token) for _ in range(7))

    assert quickest(usually, enough=0.005) < 0.005


@pytest.mark.parametrize("place", PLACES)
def test_the_call_after_a_cancelled_one_works(spot: Spot, aio: AIO, mode: str) -> None:
    cancelled(spot, aio, mode, WAYS["by its token"])
    spot.sim.clear()

    elsewhere = ask(aio, mode, "again", provider=partner(spot.vendor))

    assert elsewhere.content == healthy_text(spot.sim, partner(spot.vendor), "again")


@pytest.mark.parametrize("place", ["before the headers", "in the body", "in back-off"])
def test_the_same_vendor_answers_after_a_cancel(spot: Spot, aio: AIO, mode: str) -> None:
    cancelled(spot, aio, mode, WAYS["by its token"])
    spot.sim.clear()

    answer = ask(aio, mode, "again", provider=spot.vendor)

    assert answer.content == healthy_text(spot.sim, spot.vendor, "again")
    assert len(answer.attempts) == 1


@pytest.mark.parametrize("vendor", ["groq", "google-ai"])
@pytest.mark.parametrize("place", ["waiting for capacity", "before the headers", "in the body"])
@pytest.mark.parametrize("way", WAYS)
def test_there_are_several_ways_to_cancel(way: str, spot: Spot, aio: AIO, mode: str) -> None:
    woken = quickest(lambda: cancelled(spot, aio, mode, WAYS[way]), enough=WAKE)

    assert woken < WAKE
    assert spot.left()


@pytest.mark.parametrize("place", ["waiting for capacity", "before the headers", "in the body"])
def test_a_token_may_cancel_later(spot: Spot, aio: AIO, mode: str) -> None:
    late = 0.05

    def cancel(aio: AIO, token: CancelToken, name: str) -> None:
        token.cancel_after(late)

    woken = quickest(lambda: cancelled(spot, aio, mode, cancel) - late, enough=WAKE)

    assert 0 <= woken < WAKE


def test_a_cancelled_token_sends_nothing(
    sim: Simulator, make_aio: MakeAIO, vendor: str, mode: str
) -> None:
    aio, token = make_aio(vendor), CancelToken()
    token.cancel()

    with pytest.raises(RequestCancelledError):
        ask(aio, mode, cancel=token)

    assert (sim.requests, sim.connections) == ([], 0)
    assert aio.get_key_stats()["total_usage"] == 0


@pytest.mark.parametrize("vendor", ["groq"])
def test_one_token_cancels_all_calls_it_was_given_to(
    sim: Simulator, make_aio: MakeAIO, vendor: str, mode: str
) -> None:
    aio, token = make_aio(vendor), CancelToken()
    sim.inject("hang", text="mine")
    mine = [Stuck(lambda: ask(aio, mode, "mine", cancel=token)) for _ in range(4)]
    assert sim.wait_for(lambda: sim.active == 4)

    token.cancel()
    for stuck in mine:
        stuck.wakes_after(token.cancel)

    assert all(isinstance(stuck.error, RequestCancelledError) for stuck in mine)
    assert ask(aio, mode, "yours").content == healthy_text(sim, vendor, "yours")
    assert sim.wait_for(lambda: sim.active == 0)


@pytest.mark.parametrize("vendor", ["groq"])
def test_a_name_cancels_only_its_own_call(
    sim: Simulator, make_aio: MakeAIO, vendor: str, mode: str
) -> None:
    aio = make_aio(vendor)
    sim.inject("hang")
    calls = {name: Stuck(partial(ask, aio, mode, name, request_id=name)) for name in ("one", "two")}
    assert sim.wait_for(lambda: sim.active == 2)

    assert aio.cancel("nobody") is False
    calls["one"].wakes_after(lambda: aio.cancel("one"))
    assert isinstance(calls["one"].error, RequestCancelledError)
    assert sim.wait_for(lambda: sim.active == 1)
    calls["two"].wakes_after(lambda: aio.cancel("two"))
    assert isinstance(calls["two"].error, RequestCancelledError)
    assert aio.cancel("one") is False


@pytest.mark.parametrize("vendor", ["groq"])
def test_cancel_all_says_how_many_there_were(
    sim: Simulator, make_aio: MakeAIO, vendor: str, mode: str
) -> None:
    aio = make_aio(vendor)
    sim.inject("hang")
    calls = [Stuck(lambda: ask(aio, mode)) for _ in range(3)]
    assert sim.wait_for(lambda: sim.active == 3)

    counts: list[int] = []
    calls[0].wakes_after(lambda: counts.append(aio.cancel_all()))

    assert counts == [3]
    assert all(call.wakes_after(lambda: None) < WAKE for call in calls)
    assert all(isinstance(call.error, RequestCancelledError) for call in calls)
    assert aio.cancel_all() == 0


def test_a_token_cancelled_after_the_answer_changes_nothing(
    sim: Simulator, make_aio: MakeAIO, vendor: str, mode: str
) -> None:
    aio, token = make_aio(vendor), CancelToken()
    ask(aio, mode, "one", cancel=token)

    token.cancel()
    answer = ask(aio, mode, "two")

    assert answer.content == healthy_text(sim, vendor, "two")
    assert sim.connections == 1
