"""What every store does: all claims or none, corrections, facts; and with whom it shares them."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest

from aio_llm.quota.shapes import Shape
from aio_llm.state import Claim, Fact, Granted, Refused, Store, StoreDown, hashed
from tests.state.conftest import MakeStore
from tests.state.limits import DAY, SHAPES, WALL, claim

LONG = WALL + 3600.0


def granted(answer: Granted | Refused) -> Granted:
    """The answer, which must be a yes."""
    assert isinstance(answer, Granted), answer
    return answer


def used(store: Store, wanted: Claim, wall: float = WALL) -> float:
    """How much of a limit counts now."""
    nothing = Claim(wanted.name, wanted.shape, wanted.limit, wanted.period, 0.0)
    return granted(store.reserve([nothing], wall)).used[0]


def test_all_claims_are_counted_or_none(store: Store) -> None:
    requests, tokens = claim("sliding", 10, 1), claim("bucket", 100, 60)
    first = store.reserve([requests, tokens], WALL)
    second = store.reserve([requests, tokens], WALL)

    assert granted(first).used == pytest.approx((1, 60.3), abs=0.3)
    assert isinstance(second, Refused)
    assert second.which == 1
    assert used(store, requests) == 1


def test_the_claim_that_waits_longest_is_named(store: Store) -> None:
    free, soon, later = claim("fixed", 6), claim("bucket", 6, 5), claim("sliding", 6, 6)
    granted(store.reserve([soon, later], WALL))
    answer = store.reserve([free, later, soon], WALL)

    assert isinstance(answer, Refused)
    assert answer.which == 1
    assert answer.wait == pytest.approx(60.3)


def test_a_call_without_limits_is_granted(store: Store) -> None:
    assert granted(store.reserve([], WALL)).entries == ()


@pytest.mark.parametrize("rule", SHAPES)
def test_settling_gives_back_what_was_not_used(store: Store, rule: str) -> None:
    wanted = claim(rule, 1000, 80)
    held = granted(store.reserve([wanted], WALL))
    before = used(store, wanted)
    store.settle([(wanted, held.entries[0], 30.0)], WALL, arrived=WALL + 0.3)

    assert before - used(store, wanted) == pytest.approx(50.0)


@pytest.mark.parametrize("rule", SHAPES)
def test_settling_takes_what_was_used_beyond_the_estimate(store: Store, rule: str) -> None:
    wanted = claim(rule, 1000, 20)
    held = granted(store.reserve([wanted], WALL))
    before = used(store, wanted)
    store.settle([(wanted, held.entries[0], 70.0)], WALL, arrived=WALL + 0.3)

    assert used(store, wanted) - before == pytest.approx(50.0)


def test_several_calls_are_settled_at_once(store: Store) -> None:
    wanted = claim("sliding", 1000, 100)
    calls = [granted(store.reserve([wanted], WALL)) for _ in range(3)]
    real = (10.0, 20.0, 30.0)
    pairs = zip(calls, real, strict=True)
    store.settle([(wanted, call.entries[0], amount) for call, amount in pairs], WALL)

    assert used(store, wanted) == sum(real)


@pytest.mark.parametrize("amount", [math.nan, math.inf, -1.0])
def test_what_is_no_amount_leaves_the_reservation_as_it_was(store: Store, amount: float) -> None:
    wanted = claim("sliding", 10, 4)
    held = granted(store.reserve([wanted], WALL))
    store.settle([(wanted, held.entries[0], amount)], WALL)

    assert used(store, wanted) == 4


@pytest.mark.parametrize(
    "numbers",
    [
        {"limit": 0.0}, {"limit": -5.0}, {"limit": math.nan}, {"limit": math.inf},
        {"period": 0.0}, {"period": math.nan}, {"amount": -1.0}, {"amount": math.nan},
        {"amount": math.inf},
    ],
)  # fmt: skip
def test_what_is_no_quantity_never_gets_into_a_store(numbers: dict[str, float]) -> None:
    good = {"limit": 10.0, "period": 60.0, "amount": 1.0}

    with pytest.raises(ValueError, match="not a"):
        Claim(hashed("x"), Shape(), **(good | numbers))


def test_what_one_process_reserves_the_next_one_sees(make_store: MakeStore) -> None:
    wanted = claim("pacific", 10, 4)
    granted(make_store().reserve([wanted], WALL))

    assert used(make_store(), wanted) == 4


def test_what_was_used_is_known_after_a_restart(make_store: MakeStore) -> None:
    wanted = claim("pacific", 10, 4)
    before = make_store()
    held = granted(before.reserve([wanted], WALL))
    before.close()
    after = make_store()
    after.settle([(wanted, held.entries[0], 7.0)], WALL + 1)

    assert used(after, wanted, WALL + 2) == 7


def test_an_entry_of_an_earlier_life_is_not_taken_off_a_later_one(store: Store) -> None:
    """Somebody has learned another rule meanwhile: what was used was carried over as it stood."""
    as_was, as_is = claim("sliding", 10, 4, "it"), claim("fixed", 10, 1, "it")
    held = granted(store.reserve([as_was], WALL))
    carried = granted(store.reserve([as_is], WALL)).used
    store.settle([(as_was, held.entries[0], 0.0)], WALL + 1)
    again = used(store, as_was, WALL + 1)
    store.settle([(as_was, held.entries[0], 0.0)], WALL + 1)

    assert carried == (5.0,)
    assert again == 5
    assert used(store, as_was, WALL + 1) == 5


def test_another_limit_keeps_what_was_used(store: Store) -> None:
    for rule in SHAPES:
        granted(store.reserve([claim(rule, 100, 4)], WALL))

        assert used(store, claim(rule, 50)) == pytest.approx(4.0, abs=0.6), rule


def test_a_clock_that_is_set_back_lets_no_window_stay_shut(store: Store) -> None:
    """An hour back: the limit is free again after its own period, not after an hour."""
    for rule in ("bucket", "sliding"):
        wanted = claim(rule, 4, 4)
        granted(store.reserve([wanted], WALL))
        answer = store.reserve([wanted], WALL - 3600.0)

        assert isinstance(answer, Refused), rule
        assert answer.wait == pytest.approx(60.3), rule


def test_two_threads_that_see_the_time_in_the_wrong_order_count_as_one(store: Store) -> None:
    wanted = claim("sliding", 4, 2)
    granted(store.reserve([wanted], WALL + 1.0))
    granted(store.reserve([wanted], WALL + 0.9))
    answer = store.reserve([wanted], WALL + 60.9)

    assert isinstance(answer, Refused)


def test_threads_never_get_more_than_there_is(store: Store) -> None:
    wanted, answers = claim("sliding", 50), list[Any]()
    ready = threading.Barrier(8)

    def take() -> None:
        ready.wait()
        answers.extend(store.reserve([wanted], WALL) for _ in range(20))

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(isinstance(answer, Granted) for answer in answers) == 50
    assert len(answers) == 160


# Facts


def test_facts_are_heard_by_everybody_once(make_store: MakeStore) -> None:
    here, there = make_store(), make_store()
    told = here.tell({"a": Fact({"cooling": "30 s"}, LONG), "b": Fact(None, math.inf)})
    facts, version = there.hear(0)

    assert facts == {"a": Fact({"cooling": "30 s"}, LONG), "b": Fact(None, math.inf)}
    assert version == told
    assert there.hear(version) == ({}, version)


def test_the_last_one_to_tell_wins(make_store: MakeStore) -> None:
    here, there = make_store(), make_store()
    first = here.tell({"a": Fact(1, LONG), "b": Fact(1, LONG)})
    second = there.tell({"a": Fact(2, LONG)})

    assert second > first
    assert here.hear(first) == ({"a": Fact(2, LONG)}, second)


def test_every_answer_says_which_version_of_the_facts_there_is(make_store: MakeStore) -> None:
    here, there = make_store(), make_store()
    wanted = claim("sliding", 2, 2)
    before = granted(there.reserve([wanted], WALL))
    version = here.tell({"a": Fact(1, LONG)})
    refused = there.reserve([wanted], WALL)
    settled = there.settle([(wanted, before.entries[0], 1.0)], WALL)
    again = granted(there.reserve([claim("sliding", 2, 1)], WALL))

    assert before.version == 0
    assert (refused.version, settled, again.version) == (version, version, version)


def test_a_fact_that_has_ended_is_forgotten(make_store: MakeStore) -> None:
    here = make_store()
    here.tell({"short": Fact(1, WALL + 1), "long": Fact(2, LONG)})
    granted(here.reserve([claim()], WALL + 2))

    assert set(here.hear(0)[0]) == {"long"}


def test_what_is_taken_back_is_heard(make_store: MakeStore) -> None:
    """A key is enabled again: told as a fact that has ended."""
    here, there = make_store(), make_store()
    granted(here.reserve([claim()], WALL))
    version = there.tell({"a": Fact("disabled", math.inf)})
    here.tell({"a": Fact(None, WALL - 1)})

    assert there.hear(version)[0] == {"a": Fact(None, WALL - 1)}


def test_long_ended_facts_do_not_pile_up(make_store: MakeStore) -> None:
    here = make_store()
    old = here.tell({str(number): Fact(number, WALL + 1) for number in range(20)})
    granted(here.reserve([claim()], WALL + DAY))
    here.tell({"new": Fact(1, WALL + 2 * DAY)})

    assert set(here.hear(old - 1)[0]) == {"new"}


def test_a_fact_must_end_at_some_time() -> None:
    with pytest.raises(ValueError, match="end"):
        Fact(1, math.nan)


def test_a_closed_store_is_down_and_closing_again_does_nothing(store: Store) -> None:
    granted(store.reserve([claim()], WALL))
    store.close()
    store.close()

    with pytest.raises(StoreDown, match="closed"):
        store.reserve([claim()], WALL)


def test_names_are_hashes_that_differ_where_their_parts_differ() -> None:
    names = {hashed("ab", "c"), hashed("a", "bc"), hashed("abc"), hashed("abc", "")}

    assert len(names) == 4
    assert all(len(name) == 32 and int(name, 16) >= 0 for name in names)
