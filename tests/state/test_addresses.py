"""What `state=` may say; every mistake is told, with what would be right."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aio_llm import ConfigError
from aio_llm.state import Granted, open_store
from tests.state.limits import WALL, claim


def test_memory_is_no_store() -> None:
    assert open_store("memory") is None


@pytest.mark.parametrize("form", ["absolute", "relative"])
def test_a_file_is_named_by_its_path(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/state.db" if form == "absolute" else "sqlite:///state.db"
    store = open_store(url)
    assert store is not None
    answer = store.reserve([claim()], WALL)
    store.close()

    assert isinstance(answer, Granted)
    assert os.listdir(tmp_path) == ["state.db"]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("sqlite://state.db", "sqlite:///state.db"),
        ("sqlite:state.db", "sqlite:///state.db"),
        ("sqllite:///state.db", "sqlite:///state.db"),
        ("state.db", "sqlite:///state.db"),
        ("Memory", "memory"),
        ("memroy", "memory"),
        ("redis", "redis://localhost:6379/0"),
        ("reddis://cache:6380/1", "redis://cache:6380/1"),
        ("REDIS://cache", "redis://cache"),
        ("valkey:cache", "valkey://cache"),
    ],
)
def test_what_was_meant_is_guessed(wrong: str, right: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_store(wrong)

    assert "state" in str(caught.value)
    assert f"did you mean '{right}'?" in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "sqlite://", "sqlite:///", "postgres://host/db", "sqlite:///:memory:", "://"]
)
def test_what_nobody_can_guess_lists_what_there_is(url: str) -> None:
    with pytest.raises(ConfigError, match="memory"):
        open_store(url)


@pytest.mark.parametrize(
    "url",
    [
        "redis://host:port", "redis://host:99999999", "redis://host/0?no_such_option=1",
        "redis://host?socket_timeout=soon",
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_meant_is_refused_at_once(url: str) -> None:
    pytest.importorskip("redis")

    with pytest.raises(ConfigError, match="state: not a usable address"):
        open_store(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgres://user:hunter2secret@host/db",
        "redis://user:hunter2secret@host:port/0",
        "redis:user:hunter2secret@host",
    ],
)
def test_no_message_shows_a_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_store(url)

    assert "hunter2secret" not in str(caught.value)


def test_nothing_is_sent_when_a_store_is_opened() -> None:
    pytest.importorskip("redis")
    store = open_store("redis://127.0.0.1:1/0")

    assert store is not None
    store.close()
