"""A server may close a resting connection while the next request is on its way to it."""

from __future__ import annotations

from collections.abc import Iterable

import httpx
import pytest

from aio_llm.transport import ConnectionPool, lean_client
from tests.replay.server import Asked, Server, plain


def closes_the_second_time(server: list[Asked]) -> Iterable[bytes]:
    """An answer to every odd request; even ones find the connection closed."""
    if len(server) % 2 == 0:
        raise ConnectionResetError
    return plain(200, b"{}")


def ask(pool: ConnectionPool, server: Server, times: int) -> None:
    """Requests one after the other over one pool."""
    client = lean_client(httpx, pool)
    for _ in range(times):
        client.send(client.build_request("POST", server.url, content=b"x"))


def test_a_connection_that_rested_too_long_is_replaced_once() -> None:
    pool = ConnectionPool(stale_after=0.0)
    with Server(lambda _: closes_the_second_time(server.asked)) as server:
        ask(pool, server, 2)
        pool.close()

    assert len(server.asked) == 3
    assert pool.opened == 2


def test_a_connection_in_steady_use_is_not_asked_twice() -> None:
    pool = ConnectionPool(stale_after=3600.0)
    with Server(lambda _: closes_the_second_time(server.asked)) as server:
        with pytest.raises(httpx.TransportError):
            ask(pool, server, 2)
        pool.close()

    assert len(server.asked) == 2


def test_a_new_connection_is_not_asked_twice() -> None:
    pool = ConnectionPool(stale_after=0.0)
    with Server(lambda _: closes_the_second_time(["first", *server.asked])) as server:  # type: ignore[list-item]
        with pytest.raises(httpx.TransportError):
            ask(pool, server, 1)
        pool.close()

    assert len(server.asked) == 1
