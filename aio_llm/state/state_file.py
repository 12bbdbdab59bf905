"""The SQLite file of a store: found or made, checked, and one transaction at a time.

What is not ours is only looked at, never written to, and no file is left beside it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import sqlite3
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from aio_llm.errors import ConfigError
from aio_llm.fork import renew_after_fork
from aio_llm.state.base import PATIENCE, SILENCE, Silence, StoreDown

OURS = 0x61696F4C
"""The application id in the header of our files ("aioL")."""

VERSION = 1
"""Of the tables, as `PRAGMA user_version`."""

LOOK = 0.5
"""Seconds after which is looked whether the file is still the same one."""

TABLES = (
    f"PRAGMA application_id = {OURS}",
    f"PRAGMA user_version = {VERSION}",
    """CREATE TABLE IF NOT EXISTS windows(
        name TEXT PRIMARY KEY, form TEXT NOT NULL, record NOT NULL, until REAL NOT NULL
    )""",  # records are too long for WITHOUT ROWID
    """CREATE TABLE IF NOT EXISTS facts(
        name TEXT PRIMARY KEY, value TEXT NOT NULL, until REAL NOT NULL, version INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "INSERT OR IGNORE INTO windows VALUES('', '', 0, 9e999)",  # the version of the facts
)


class StateFile:
    """One connection, used by one thread at a time; `with` it: a transaction. `lost`: called when
    what was read before may not be true any more. `now`: a monotonic clock. Raises `ConfigError`
    for what no waiting cures: a folder, a foreign file, one of a later version.
    """

    def __init__(
        self,
        path: str,
        lost: Callable[[], None],
        *,
        patience: float = PATIENCE,
        silence: float = SILENCE,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = os.path.abspath(path)
        self._lost = lost
        self._patience = patience
        self._make_silence: Callable[[], Silence] = lambda: Silence(silence, now)
        self._now = now
        self._closed = False
        self._start()
        renew_after_fork(self)
        _files.add(self)
        with contextlib.suppress(StoreDown, sqlite3.Error, OSError), self._lock:
            self._connected()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._silence = self._make_silence()
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)
        self._look_at = 0.0

    def before_fork(self) -> bool:
        """No connection may be carried into a child: SQLite would take the locks of the parent
        for its own (sqlite.org/howtocorrupt.html, 2.6). True if the lock was taken.
        """
        taken = self._lock.acquire(timeout=4 * self._patience)
        if taken:
            self._disconnect()
        return taken

    def go_on(self) -> None:
        """The fork is over."""
        self._lock.release()

    def after_fork(self) -> None:
        """A child opens the file anew; one that was forked out of a transaction never can."""
        if self._connection is not None:
            self._closed = True
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))
        self._start()
        self._lost()

    def close(self) -> None:
        """Let go of the file; a second time does nothing."""
        with self._lock:
            self._closed = True
            self._disconnect()

    # What a transaction does

    def __enter__(self) -> sqlite3.Connection:
        """Wait for the turn of this thread, then for that of this process."""
        if not self._lock.acquire(timeout=4 * self._patience):
            raise StoreDown(f"{self.path} takes too long")
        try:
            self._silence.check()
            connection = self._connected()
            self._begin(connection)
        except BaseException as error:
            problem = self._undo(error)
            self._lock.release()
            raise problem from None
        return connection

    def _begin(self, connection: sqlite3.Connection) -> None:
        """SQLite itself asks a dozen times in this time, and so starves where many write."""
        end = None
        while True:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                now = time.monotonic()
                end = end or now + self._patience
                if now >= end or not _is_busy(error):
                    raise
            else:
                return
            time.sleep(random.uniform(0.0002, 0.001))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Commit; or undo, if there was an error, and raise what it means."""
        try:
            if error is None and self._connection is not None:
                self._connection.execute("COMMIT")
                self._silence.end()
        except sqlite3.Error as failed:
            error = failed
        problem = self._undo(error) if error is not None else None
        self._lock.release()
        if problem is not None and problem is not error:
            raise problem from None

    def _undo(self, error: BaseException) -> BaseException:
        """Roll back; an error of the file becomes a `StoreDown`."""
        self._lost()
        with contextlib.suppress(sqlite3.Error):
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        if not isinstance(error, sqlite3.Error | OSError | ConfigError):
            return error
        if not _is_busy(error):
            self._disconnect()
        return self._silence.begin(f"{self.path}: {error}")

    # The connection

    def _connected(self) -> sqlite3.Connection:
        """The connection to the file that is there now; it may have been deleted or replaced."""
        if self._closed:
            raise StoreDown(f"{self.path} is closed")
        known, now = self._connection, self._now()
        if known is not None and now < self._look_at:
            return known
        self._look_at = now + LOOK
        if known is not None and _identity(self.path) == self._identity:
            return known
        self._disconnect()
        if _is_there(self.path):
            return self._open()
        with _alone(os.path.dirname(self.path), self._patience):
            if not _is_there(self.path):
                _remove_leftovers(self.path)
            return self._open()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=self._patience, isolation_level=None, check_same_thread=False
        )
        with contextlib.ExitStack() as opening:
            opening.callback(connection.close)
            self._prepare(connection)
            opening.pop_all()
        self._connection, self._identity = connection, _identity(self.path)
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise _wrong(self.path, "was written by a later version of aio_llm")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA trusted_schema = OFF")
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        if version < VERSION or mode != "wal":
            connection.execute("BEGIN IMMEDIATE")
            for statement in TABLES:
                connection.execute(statement)
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA busy_timeout = 0")

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._lost()
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()


_files: weakref.WeakSet[StateFile] = weakref.WeakSet()

_held: list[StateFile] = []
"""Those whose lock the forking thread has."""


def _before_fork() -> None:
    _held.extend(file for file in list(_files) if file.before_fork())


def _after_fork_in_parent() -> None:
    while _held:
        _held.pop().go_on()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_held.clear
    )


def _identity(path: str) -> tuple[int, int]:
    """Which file it is; another one if it was deleted and made again."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return (0, 0)
    return found.st_dev, found.st_ino


def _is_there(path: str) -> bool:
    """False if the file is missing or empty. Looks at its header without a lock or a trace, and
    through SQLite: to close the file any other way would drop the locks of this process.
    """
    if not os.path.isdir(os.path.dirname(path)):
        raise _wrong(path, "is in a folder that does not exist")
    if not os.path.exists(path):
        return False
    if not os.path.isfile(path):
        raise _wrong(path, "is a folder" if os.path.isdir(path) else "is not a file")
    uri = f"{Path(path).as_uri()}?immutable=1"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
        try:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            (owner,) = connection.execute("PRAGMA application_id").fetchone()
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
                raise
            raise _wrong(path, "is not an SQLite file") from None
    if pages and owner != OURS:
        raise _wrong(path, "is an SQLite file of another program")
    return bool(pages)


def _wrong(path: str, what: str) -> ConfigError:
    return ConfigError(f"state: {path} {what}; it was left as it is. Name another file.")


def _is_busy(error: BaseException) -> bool:
    """Somebody holds the lock; the connection is as good as before."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _remove_leftovers(path: str) -> None:
    """A deleted file may have left its log; it must not become that of the next one."""
    for end in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path + end)


@contextlib.contextmanager
def _alone(folder: str, patience: float) -> Iterator[None]:
    """One process at a time makes files here. A system without `flock` does not let an open file
    be deleted either.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        end = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise StoreDown(f"{folder} is locked") from None
                time.sleep(0.002)
        yield
    finally:
        os.close(handle)
