"""A store in one SQLite file: for the processes of one machine, and for the next start.

Not for network drives: SQLite needs the locks and the shared memory of one system
(sqlite.org/wal.html). One connection per process, behind a lock: threads that waited for each
other inside SQLite would poll. Every reservation is one transaction. A killed process loses
nothing; after a power cut the last moments may be missing.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic_core import from_json, to_json

from aio_llm.quota.windows import ALWAYS
from aio_llm.state.base import (
    KEEP_TOLD,
    PATIENCE,
    SILENCE,
    Claim,
    Entry,
    Fact,
    Granted,
    Refused,
    Store,
    corrections,
)
from aio_llm.state.ledger import Ledger, Page, Row
from aio_llm.state.state_file import StateFile

WRITE = """INSERT INTO windows VALUES(?, ?, ?, ?) ON CONFLICT(name) DO UPDATE
SET form = excluded.form, record = excluded.record, until = excluded.until"""

TELL = "INSERT OR REPLACE INTO facts VALUES(?, ?, ?, ?)"

HEAR = "SELECT name, value, until FROM facts WHERE version > ? AND until >= ?"

SWEEP = 4096
"""Reservations after which what is over is deleted."""


class SqliteStore(Store):
    """`path`: of the file; its folder exists. `patience`: seconds to wait for other processes.
    `now`: a monotonic clock. Raises `ConfigError` for a folder, a foreign file, a later version.
    """

    def __init__(
        self,
        path: str,
        *,
        patience: float = PATIENCE,
        silence: float = SILENCE,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = Ledger()
        self._version = 0
        self._wall = ALWAYS
        self._turns = 0
        self._file = StateFile(path, self._forget, patience=patience, silence=silence, now=now)

    def _forget(self) -> None:
        self._ledger = Ledger()

    def reserve(self, claims: Sequence[Claim], wall: float) -> Granted | Refused:
        """See `Store`."""
        with self._file as connection:
            rows = self._read(connection, [claim.name for claim in claims])
            pages = [self._ledger.page(c, rows.get(c.name), wall) for c in claims]
            refused = self._no_room(claims, pages, wall)
            if refused is not None:
                return refused
            entries = [_take(c, page, wall) for c, page in zip(claims, pages, strict=True)]
            used = [page.window.used(page.now) for page in pages]
            self._write(connection, [c.name for c in claims], pages, wall)
            return Granted(tuple(entries), self._version, tuple(used))

    def _no_room(self, claims: Sequence[Claim], pages: list[Page], wall: float) -> Refused | None:
        latest, which = ALWAYS, 0
        for i, page in enumerate(pages):
            at = page.window.ready_at(page.now, claims[i].amount)
            if at > latest:
                latest, which = at, i
        return None if latest == ALWAYS else Refused(latest - wall, self._version, which)

    def settle(
        self,
        settlements: Sequence[tuple[Claim, Any, float]],
        wall: float,
        arrived: float | None = None,
    ) -> int:
        """See `Store`. What was right as reserved costs nothing."""
        changed = corrections(settlements, wall, arrived)
        if not changed:
            return self._version
        with self._file as connection:
            rows = self._read(connection, list({each[0].name for each in changed}))
            pages = {}
            for each in changed:
                name = each[0].name
                page = self._ledger.settled(each, rows.get(name), wall)
                if page is not None:
                    pages[name] = page
                    rows[name] = page.form, page.write()
            self._write(connection, list(pages), list(pages.values()), wall)
            return self._version

    def tell(self, facts: Mapping[str, Fact]) -> int:
        """See `Store`."""
        told = [(name, to_json(fact.value).decode(), fact.until) for name, fact in facts.items()]
        with self._file as connection:
            self._read(connection, [])
            version = self._version + 1 if self._version else time.time_ns() // 1000
            connection.execute("UPDATE windows SET record = ? WHERE name = ''", (version,))
            connection.executemany(TELL, [(*row, version) for row in told])
            connection.execute("DELETE FROM facts WHERE until < ?", (self._wall - KEEP_TOLD,))
            self._version = version
            return version

    def hear(self, since: int) -> tuple[dict[str, Fact], int]:
        """See `Store`."""
        with self._file as connection:
            self._read(connection, [])
            rows = connection.execute(HEAR, (since, ALWAYS if since else self._wall)).fetchall()
            facts = {name: Fact(from_json(value), until) for name, value, until in rows}
            return facts, self._version

    def close(self) -> None:
        """See `Store`."""
        self._file.close()

    def _read(self, connection: sqlite3.Connection, names: list[str]) -> dict[str, Row]:
        """Rows by name; the version is read along."""
        rows = connection.execute(_select(len(names)), names).fetchall()
        found = {name: (form, record) for name, form, record in rows}
        self._version = found[""][1]
        return found

    def _write(
        self, connection: sqlite3.Connection, names: list[str], pages: list[Page], wall: float
    ) -> None:
        rows = [
            (name, page.form, page.write(), page.until())
            for name, page in zip(names, pages, strict=True)
        ]
        connection.executemany(WRITE, rows)
        self._wall = max(self._wall, wall)
        self._turns += 1
        if self._turns % SWEEP == 1:
            connection.execute("DELETE FROM windows WHERE until < ?", (wall,))


@lru_cache
def _select(count: int) -> str:
    """Rows of so many names, and the one that holds the version."""
    marks = "?, " * count
    return f"SELECT name, form, record FROM windows WHERE name IN ({marks}'')"  # noqa: S608


def _take(claim: Claim, page: Page, wall: float) -> Entry:
    window = page.window
    return Entry(page.life, page.now, wall, window.note(window.take(page.now, claim.amount)))
