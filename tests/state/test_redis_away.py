"""Redis that is gone, hangs, says no, or starts again empty: the caller hears it soon."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from aio_llm import FakeClock
from aio_llm.state import Fact, Granted, Store, StoreDown
from tests.state.limits import WALL, claim
from tests.state.redis_server import RedisServer

PATIENCE = 0.4
"""Seconds; longer than what a busy machine needs to answer."""

SOON = 2.0
"""Seconds in which a busy machine gets to say that something is away."""


@pytest.fixture
def store(own_redis: RedisServer, clock: FakeClock) -> Iterator[Store]:
    """A store that rests in virtual time."""
    from aio_llm.state.redis import RedisStore  # an extra

    store = RedisStore(own_redis.url, clock="caller", patience=20.0, now=clock.now)
    yield store
    store.close()


@pytest.fixture
def impatient(own_redis: RedisServer, clock: FakeClock) -> Iterator[Store]:
    """One that gives up after `PATIENCE`."""
    from aio_llm.state.redis import RedisStore  # an extra

    store = RedisStore(own_redis.url, clock="caller", patience=PATIENCE, now=clock.now)
    yield store
    store.close()


def client_of(server: RedisServer) -> Any:
    """A plain client of the same server."""
    import redis  # an extra

    return redis.Redis.from_url(server.url)


def take(store: Store) -> float:
    """Reserve one; how many there are then."""
    answer = store.reserve([claim("sliding", 1000)], WALL)
    assert isinstance(answer, Granted)
    return answer.used[0]


def seconds_until_down(store: Store) -> float:
    """How long it takes to say so."""
    start = time.monotonic()
    with pytest.raises(StoreDown):
        take(store)
    return time.monotonic() - start


def test_a_server_that_dies_is_noticed_and_one_that_comes_back_is_used(
    store: Store, own_redis: RedisServer, clock: FakeClock
) -> None:
    take(store)
    own_redis.stop()
    waits = [seconds_until_down(store), seconds_until_down(store)]
    own_redis.start()
    with pytest.raises(StoreDown):
        take(store)
    clock.advance(5.1)

    assert take(store) == 1
    assert max(waits) < SOON


def test_a_server_that_hangs_costs_its_time_once(
    impatient: Store, store: Store, own_redis: RedisServer
) -> None:
    take(impatient)
    own_redis.freeze()
    first, second = seconds_until_down(impatient), seconds_until_down(impatient)
    own_redis.thaw()

    assert PATIENCE <= first < SOON
    assert second < PATIENCE / 2
    assert take(store) >= 2


def test_one_caller_looks_whether_it_is_back(
    impatient: Store, own_redis: RedisServer, clock: FakeClock
) -> None:
    """The others are not kept waiting with it."""
    own_redis.freeze()
    seconds_until_down(impatient)
    clock.advance(5.1)
    ready, waits = threading.Barrier(8), list[float]()

    def ask() -> None:
        ready.wait()
        waits.append(seconds_until_down(impatient))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    own_redis.thaw()

    assert len(waits) == 8
    assert sum(wait >= PATIENCE for wait in waits) == 1


def test_an_entry_from_before_a_restart_is_not_taken_off_what_came_after(
    store: Store, own_redis: RedisServer
) -> None:
    wanted = claim("sliding", 1000)
    old = store.reserve([wanted], WALL)
    assert isinstance(old, Granted)
    with client_of(own_redis) as client:
        client.flushall()
    take(store)
    store.settle([(wanted, old.entries[0], 0.0)], WALL)

    assert take(store) == 2


def test_facts_told_after_a_restart_are_heard(store: Store, own_redis: RedisServer) -> None:
    before = store.tell({"a": Fact(1, WALL + 60)})
    with client_of(own_redis) as client:
        client.flushall()
    after = store.tell({"b": Fact(2, WALL + 60)})

    assert after > before
    assert store.hear(before)[0] == {"b": Fact(2, WALL + 60)}


def test_scripts_a_server_has_forgotten_are_sent_again(
    store: Store, own_redis: RedisServer
) -> None:
    take(store)
    with client_of(own_redis) as client:
        client.script_flush()

    assert take(store) == 2


@pytest.mark.parametrize(
    ("setting", "value", "word"),
    [("replicaof", "127.0.0.1 1", "(?i)read.?only"), ("requirepass", "hunter2", "(?i)auth")],
)
def test_a_server_that_says_no_is_down(
    setting: str, value: str, word: str, store: Store, own_redis: RedisServer
) -> None:
    with client_of(own_redis) as client:
        if setting == "replicaof":
            client.execute_command("REPLICAOF", *value.split())
        else:
            client.config_set(setting, value)

    with pytest.raises(StoreDown, match=word):
        take(store)


def test_a_server_that_is_no_redis_is_down(clock: FakeClock) -> None:
    pytest.importorskip("redis")
    from aio_llm.state.redis import RedisStore  # an extra

    def answer() -> None:
        caller, _ = server.accept()
        with caller:
            caller.recv(65536)
            caller.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer)
        thread.start()
        port = server.getsockname()[1]
        store = RedisStore(f"redis://127.0.0.1:{port}", now=clock.now)
        with pytest.raises(StoreDown, match=str(port)):
            take(store)
        thread.join()
        store.close()


def test_the_password_is_in_no_message(own_redis: RedisServer) -> None:
    from aio_llm.state.redis import RedisStore  # an extra

    store = RedisStore(own_redis.url.replace("//", "//somebody:hunter2secret@"))
    with pytest.raises(StoreDown) as caught:
        take(store)
    store.close()

    assert "hunter2secret" not in f"{caught.value!r} {caught.value.__context__!r}"
    assert str(own_redis.port) in str(caught.value)


def test_one_call_costs_two_round_trips(store: Store, own_redis: RedisServer) -> None:
    wanted = [claim("bucket", 1e6, 100), claim("sliding", 1e6), claim("pacific", 1e6)]
    take(store)
    with client_of(own_redis) as client:
        before = client.info("commandstats")["cmdstat_evalsha"]["calls"]
        held = store.reserve(wanted, WALL)
        assert isinstance(held, Granted)
        amounts = zip(wanted, held.entries, (50.0, 1.0, 1.0), strict=True)
        store.settle(list(amounts), WALL + 1)
        after = client.info("commandstats")["cmdstat_evalsha"]["calls"]

    assert after - before == 2


def test_everything_in_redis_expires(store: Store, own_redis: RedisServer) -> None:
    """Two periods; what is in a bucket, a period after it is over; facts, an hour after them."""
    for rule in ("sliding", "bucket", "fixed", "pacific"):
        store.reserve([claim(rule, 1000)], WALL)
    store.tell({"a": Fact(1, WALL + 60), "b": Fact(2, float("inf"))})
    with client_of(own_redis) as client:
        left = {key: client.ttl(key) for key in client.keys("*")}

    assert len(left) == 8
    assert all(key.startswith(b"{aio_llm}:") for key in left)
    assert sorted(left.values())[:3] == pytest.approx([120, 120, 120], abs=10)
    assert max(left.values()) <= 366 * 86_400
    assert min(left.values()) > 0
