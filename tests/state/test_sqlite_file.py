"""Files that are not what they should be: a clear word, and never written over."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from aio_llm import ConfigError, FakeClock
from aio_llm.state import Fact, Granted, Store, StoreDown, open_store
from aio_llm.state.sqlite import SqliteStore
from aio_llm.state.state_file import LOOK
from tests.state.limits import WALL, claim

QUICK = 0.01


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def store(path: Path, clock: FakeClock) -> Iterator[SqliteStore]:
    """A store with one reservation in it, that gives up soon and rests in virtual time."""
    store = SqliteStore(str(path), patience=QUICK, now=clock.now)
    take(store)
    yield store
    store.close()


def take(store: Store) -> float:
    """Reserve one; how many there are then."""
    answer = store.reserve([claim("sliding", 1000)], WALL)
    assert isinstance(answer, Granted)
    return answer.used[0]


def make_folder(path: Path) -> None:
    path.mkdir()


def make_text(path: Path) -> None:
    path.write_text("This is my novel. " * 100)


def make_stump(path: Path) -> None:
    path.write_bytes(b"SQLite")


def make_foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes(name)")
        connection.commit()


def make_later(path: Path) -> None:
    SqliteStore(str(path)).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")


def make_pipe(path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (make_folder, "is a folder"),
        (make_text, "is not an SQLite file"),
        (make_stump, "is not an SQLite file"),
        (make_foreign, "is an SQLite file of another program"),
        (make_later, "was written by a later version"),
        (make_pipe, "is not a file"),
    ],
)
def test_what_is_not_a_state_file_is_refused_and_left_as_it_is(
    make: object, word: str, path: Path
) -> None:
    assert callable(make)
    make(path)
    before = path.read_bytes() if path.is_file() else b""

    with pytest.raises(ConfigError, match=word) as caught:
        open_store(f"sqlite:///{path}")

    assert str(caught.value).startswith("state: ")
    assert os.listdir(path.parent) == ["state.db"]
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_folder_that_does_not_exist_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        open_store(f"sqlite:///{tmp_path}/no/state.db")

    assert os.listdir(tmp_path) == []


def test_an_empty_file_is_as_good_as_none(path: Path) -> None:
    path.touch()
    store = SqliteStore(str(path))

    assert take(store) == 1
    store.close()


def test_a_torn_file_is_down_and_left_as_it_is(path: Path, clock: FakeClock) -> None:
    whole = SqliteStore(str(path))
    whole.tell({str(number): Fact("x" * 1000, WALL) for number in range(100)})
    take(whole)
    whole.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))
    torn = path.read_bytes()
    store = open_store(f"sqlite:///{path}")
    assert store is not None

    with pytest.raises(StoreDown, match="malformed"):
        take(store)
    store.close()

    assert path.read_bytes() == torn


def test_a_damaged_record_is_down_alone(store: SqliteStore, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE windows SET record = substr(record, 1, 9) WHERE name != ''")
        connection.commit()

    with pytest.raises(StoreDown, match="damaged"):
        take(store)

    assert isinstance(store.reserve([claim("bucket")], WALL), Granted)


def test_a_locked_file_is_down_at_once_until_it_has_rested(
    store: SqliteStore, path: Path, clock: FakeClock
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreDown, match="locked"):
            take(store)
        somebody.execute("COMMIT")
    with pytest.raises(StoreDown, match="locked"):
        take(store)
    clock.advance(5.1)

    assert take(store) == 2


def test_opening_a_locked_file_is_no_error(path: Path, clock: FakeClock) -> None:
    SqliteStore(str(path)).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as somebody:
        somebody.execute("PRAGMA locking_mode = EXCLUSIVE")
        somebody.execute("BEGIN EXCLUSIVE")
        store = SqliteStore(str(path), patience=QUICK, now=clock.now)
        with pytest.raises(StoreDown, match="locked"):
            take(store)
    clock.advance(5.1)

    assert take(store) == 1
    store.close()


def test_a_file_that_is_deleted_is_made_anew(
    store: SqliteStore, path: Path, clock: FakeClock
) -> None:
    old = store.reserve([claim("sliding", 1000)], WALL)
    assert isinstance(old, Granted)
    path.unlink()
    clock.advance(2 * LOOK)
    fresh = take(store)
    store.settle([(claim("sliding", 1000), old.entries[0], 0.0)], WALL)

    assert fresh == 1
    assert take(store) == 2


def test_all_who_use_a_deleted_file_meet_in_the_next_one(path: Path, clock: FakeClock) -> None:
    stores = [SqliteStore(str(path), now=clock.now) for _ in range(3)]
    for store in stores:
        take(store)
    path.unlink()
    clock.advance(2 * LOOK)
    counts = [take(store) for store in stores for _ in range(2)]
    for store in stores:
        store.close()
    with closing(sqlite3.connect(path)) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()

    assert counts == [1, 2, 3, 4, 5, 6]
    assert verdict == "ok"


def test_a_folder_that_is_gone_is_down_and_its_return_is_noticed(
    tmp_path: Path, clock: FakeClock
) -> None:
    folder = tmp_path / "usb stick"
    folder.mkdir()
    store = SqliteStore(str(folder / "state.db"), now=clock.now)
    take(store)
    folder.rename(tmp_path / "elsewhere")
    clock.advance(2 * LOOK)
    with pytest.raises(StoreDown, match="does not exist"):
        take(store)
    (tmp_path / "elsewhere").rename(folder)
    clock.advance(5.1)

    assert take(store) == 2
    store.close()


def test_a_full_disk_is_down_and_counts_nothing(path: Path, clock: FakeClock) -> None:
    """As much as a quota of the system allows, and then no more."""
    resource = pytest.importorskip("resource")
    store = SqliteStore(str(path), now=clock.now)
    take(store)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
    try:
        with pytest.raises(StoreDown):
            store.tell({"much": Fact("x" * 50_000, WALL)})
        with pytest.raises(StoreDown):
            take(store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    clock.advance(5.1)

    assert take(store) == 2
    store.close()


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """One that anybody may look into."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture
def nobody() -> Iterator[None]:
    """The tests may run as root, for whom nothing is read-only."""
    if not hasattr(os, "geteuid"):
        pytest.skip("this system has other permissions")
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(65534)
    yield
    if mine == 0:
        os.seteuid(mine)


@pytest.mark.parametrize("exists", [True, False])
def test_a_read_only_place_is_down(
    exists: bool, shared_folder: Path, request: pytest.FixtureRequest
) -> None:
    path = shared_folder / "state.db"
    if exists:
        SqliteStore(str(path)).close()
        path.chmod(0o444)
    shared_folder.chmod(0o555)
    request.getfixturevalue("nobody")
    store = open_store(f"sqlite:///{path}")
    assert store is not None

    with pytest.raises(StoreDown, match=r"readonly|unable to open"):
        take(store)
    store.close()


def test_two_objects_of_one_process_share_a_file(path: Path) -> None:
    """To close one must not take the locks of the other (sqlite.org/howtocorrupt.html, 2.2)."""
    first, second = SqliteStore(str(path)), SqliteStore(str(path))
    counts = [take(first), take(second)]
    first.close()
    SqliteStore(str(path)).close()

    assert [*counts, take(second)] == [1, 2, 3]
    second.close()
