"""Stores to test, and the servers they need."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aio_llm.state import Store
from tests.state.limits import patient
from tests.state.redis_server import PROGRAM, RedisServer

MakeStore = Callable[[], Store]
"""Opens the same store once more."""


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server for all tests that do not stop it."""
    server = new_server(tmp_path_factory.mktemp("redis"))
    yield server.start()
    server.stop()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A server that a test may stop."""
    server = new_server(tmp_path)
    yield server.start()
    server.stop()


def new_server(folder: Path) -> RedisServer:
    """Skips where there is no Redis, but never where the tests must be complete."""
    if PROGRAM is None:
        missing = "there is no redis-server here (Debian: apt-get install redis-server)"
        if os.environ.get("AIO_LLM_REQUIRE_REDIS"):
            pytest.fail(missing)
        pytest.skip(missing)
    if not os.environ.get("AIO_LLM_REQUIRE_REDIS"):
        pytest.importorskip("redis", reason='pip install "aio-llm[redis]"')
    return RedisServer(folder)


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty store, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state.db'}"
    server: RedisServer = request.getfixturevalue("redis_server")
    empty(server)
    return server.url


def empty(server: RedisServer) -> None:
    """Forget everything that earlier tests have counted."""
    import redis  # an extra

    with redis.Redis.from_url(server.url) as client:
        client.flushall()


@pytest.fixture
def make_store(url: str) -> Iterator[MakeStore]:
    made: list[Store] = []

    def make() -> Store:
        made.append(patient(url))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def store(make_store: MakeStore) -> Store:
    """One store of each kind, counting in the time of the test."""
    return make_store()
