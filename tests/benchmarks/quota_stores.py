"""Where processes share what they know of the quotas: an SQLite file, a Redis server of our own."""

from __future__ import annotations

import contextlib
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

REDIS = "redis-server"


class Store(Protocol):
    """`url` is what `AIO(state=...)` takes; `kill` puts it out of order for good."""

    url: str

    def kill(self) -> None: ...

    def close(self) -> None: ...


class SqliteStore:
    """A file; killed by somebody who locks it and does not let go."""

    def __init__(self, folder: str) -> None:
        self._path = Path(folder) / "state.db"
        self.url = f"sqlite:///{self._path}"
        self._thief: sqlite3.Connection | None = None

    def kill(self) -> None:
        """Lock it."""
        self._thief = sqlite3.connect(self._path, timeout=30, check_same_thread=False)
        self._thief.isolation_level = None
        self._thief.execute("BEGIN EXCLUSIVE")

    def close(self) -> None:
        """Let go."""
        if self._thief is not None:
            self._thief.close()


class RedisStore:
    """A server on a free port of loopback, without anything on disk."""

    def __init__(self, folder: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"redis://127.0.0.1:{port}"
        command = [REDIS, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder]
        nothing_kept = ["--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen([*command, *nothing_kept], stdout=subprocess.DEVNULL)
        _until_it_listens(port)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def _until_it_listens(port: int) -> None:
    ends = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > ends:
                raise
            time.sleep(0.02)
        else:
            return


KINDS: Mapping[str, Callable[[str], Store]] = {"sqlite": SqliteStore, "redis": RedisStore}


def is_there(kind: str) -> bool:
    """Whether such a store can be had on this machine."""
    if kind != "redis":
        return True
    return find_spec("redis") is not None and shutil.which(REDIS) is not None


@contextlib.contextmanager
def store(kind: str | None) -> Iterator[Store | None]:
    """A fresh store of that kind, gone afterwards."""
    if kind is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        made = KINDS[kind](folder)
        try:
            yield made
        finally:
            made.close()
