"""Handlers: told in order, never in each other's way, and never in the way of a call."""

from __future__ import annotations

import dataclasses
import os
import pickle
import signal
import threading
import time
import warnings
from typing import Any

import pytest

from aio_llm import ConfigError, event_records
from aio_llm.event_records import Alert, CircuitClosed, EventRecord, KeyDisabled, RequestCompleted
from aio_llm.hooks import EVENTS, Hooks
from tests.unit.records import cpu_each

CLOSED = CircuitClosed(provider="groq", model="llama")
DISABLED = KeyDisabled(provider="groq", key="gsk_…9fQ2", reason="3 key errors in a row")
COMPLETED = RequestCompleted(
    request_id="mine", provider="groq", model="llama", key="gsk_…9fQ2", latency=0.5
)
RECORDS = [
    kind
    for kind in vars(event_records).values()
    if isinstance(kind, type) and issubclass(kind, EventRecord) and kind is not EventRecord
]


class Log:
    """What was logged."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def __call__(self, level: str, message: str, **fields: Any) -> None:
        self.lines.append((level, message))


def fail(event: object) -> None:
    """A handler that is broken."""
    raise ValueError("the handler is broken")


def test_there_is_one_record_for_each_event() -> None:
    assert sorted(record.name for record in RECORDS) == sorted(EVENTS)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.name)
def test_a_record_cannot_be_changed(record: type[EventRecord]) -> None:
    blank: Any = record(**{f.name: None for f in dataclasses.fields(record)})

    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(blank, dataclasses.fields(record)[0].name, "changed")


@pytest.mark.parametrize("record", [CLOSED, DISABLED, COMPLETED], ids=lambda record: record.name)
def test_a_record_is_plain_data(record: EventRecord) -> None:
    assert pickle.loads(pickle.dumps(record)) == record
    assert type(record)(**dataclasses.asdict(record)) == record


def test_handlers_of_an_event_are_told_in_the_order_they_came() -> None:
    hooks, told = Hooks(Log()), list[tuple[str, object]]()
    hooks.on("circuit_closed", lambda event: told.append(("first", event)))
    hooks.on("key_disabled", lambda event: told.append(("another", event)))
    hooks.on("circuit_closed", lambda event: told.append(("second", event)))

    hooks.emit(CLOSED)

    assert told == [("first", CLOSED), ("second", CLOSED)]


def test_only_what_somebody_listens_to_is_listened_to() -> None:
    hooks = Hooks(Log())
    stop = hooks.on("alert", print)

    during = [name for name in EVENTS if hooks.listens(name)]
    stop()

    assert during == ["alert"]
    assert not hooks.listens("alert")


def test_each_subscription_ends_by_itself_and_only_once() -> None:
    hooks, told = Hooks(Log()), list[object]()
    stops = [hooks.on("circuit_closed", told.append) for _ in range(3)]

    stops[1]()
    stops[1]()
    hooks.emit(CLOSED)

    assert told == [CLOSED, CLOSED]


def test_a_handler_may_unsubscribe_and_subscribe_while_it_is_told() -> None:
    hooks, told = Hooks(Log()), list[object]()

    def once(event: object) -> None:
        told.append(event)
        stop()
        hooks.on("circuit_closed", told.append)

    stop = hooks.on("circuit_closed", once)
    hooks.emit(CLOSED)
    hooks.emit(CLOSED)

    assert told == [CLOSED, CLOSED]


UNKNOWN: list[tuple[Any, str]] = [
    ("request_complete", "did you mean 'request_completed'"), ("keyDisabled", "'key_disabled'"),
    ("zzz", "known: alert, attempt_failed"), ("", "known"), (None, "known"), (["alert"], "event"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "words"), UNKNOWN)
def test_an_unknown_event_is_refused_with_a_hint(name: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Hooks(Log()).on(name, print)


async def later(event: object) -> None:
    """Nobody would await this."""


class AsyncHandler:
    """Nor this."""

    async def __call__(self, event: object) -> None: ...


@pytest.mark.parametrize("handler", [None, "print", later, AsyncHandler()])
def test_what_cannot_be_called_like_a_function_is_refused(handler: Any) -> None:
    with pytest.raises(ConfigError, match="handler: must be"):
        Hooks(Log()).on("alert", handler)


def test_a_handler_that_raises_harms_nobody_and_is_logged_once() -> None:
    log, told = Log(), list[object]()
    hooks = Hooks(log)
    hooks.on("circuit_closed", fail)
    hooks.on("circuit_closed", told.append)

    for _ in range(5):
        hooks.emit(CLOSED)

    assert told == [CLOSED] * 5
    assert hooks.errors == 5
    ((level, words),) = log.lines
    assert level == "ERROR"
    assert "'circuit_closed' raised ValueError: the handler is broken" in words


def test_each_broken_handler_is_logged() -> None:
    log = Log()
    hooks = Hooks(log)
    for event in ("circuit_closed", "circuit_closed", "key_disabled"):
        hooks.on(event, fail)

    hooks.emit(CLOSED)
    hooks.emit(DISABLED)

    assert len(log.lines) == hooks.errors == 3


class UnspeakableError(Exception):
    """An error that cannot even be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_error_that_cannot_be_shown_harms_nobody_either() -> None:
    log = Log()
    hooks = Hooks(log)

    def speechless(event: object) -> None:
        raise UnspeakableError

    hooks.on("circuit_closed", speechless)
    hooks.emit(CLOSED)

    assert "UnspeakableError" in log.lines[0][1]


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_what_ends_a_program_goes_through_a_handler(end: type[BaseException]) -> None:
    hooks = Hooks(Log())

    def leave(event: object) -> None:
        raise end

    hooks.on("circuit_closed", leave)
    with pytest.raises(end):
        hooks.emit(CLOSED)
    told: list[object] = []
    hooks.on("key_disabled", told.append)
    hooks.emit(DISABLED)

    assert told == [DISABLED]


def test_a_handler_that_causes_its_own_event_is_not_told_again() -> None:
    hooks, first, second = Hooks(Log()), list[object](), list[object]()

    def again(event: object) -> None:
        first.append(event)
        hooks.emit(CLOSED)

    hooks.on("circuit_closed", again)
    hooks.on("circuit_closed", second.append)
    hooks.emit(CLOSED)

    assert len(first) == 1
    assert len(second) == 2


def test_two_handlers_that_cause_each_others_event_come_to_an_end() -> None:
    hooks, told = Hooks(Log()), list[str]()

    def to_and_fro(event: EventRecord) -> None:
        told.append(event.name)
        hooks.emit(DISABLED if event is CLOSED else CLOSED)

    hooks.on("circuit_closed", to_and_fro)
    hooks.on("key_disabled", to_and_fro)
    hooks.emit(CLOSED)
    hooks.emit(CLOSED)

    assert told == ["circuit_closed", "key_disabled"] * 2


def test_a_handler_that_has_failed_once_is_told_the_next_time() -> None:
    hooks, told = Hooks(Log()), list[object]()

    def weak(event: object) -> None:
        told.append(event)
        raise ValueError

    hooks.on("circuit_closed", weak)
    hooks.emit(CLOSED)
    hooks.emit(CLOSED)

    assert told == [CLOSED, CLOSED]


def test_a_slow_handler_holds_up_no_other_thread() -> None:
    hooks, busy, go_on = Hooks(Log()), threading.Event(), threading.Event()
    told: list[object] = []

    def slow(event: object) -> None:
        busy.set()
        go_on.wait(10)

    hooks.on("circuit_closed", slow)
    thread = threading.Thread(target=hooks.emit, args=(CLOSED,))
    thread.start()
    assert busy.wait(5)
    hooks.on("key_disabled", told.append)
    hooks.emit(DISABLED)
    is_held_up = not thread.is_alive()
    go_on.set()
    thread.join()

    assert told == [DISABLED]
    assert not is_held_up


def test_a_handler_is_told_by_all_threads_at_once() -> None:
    hooks, meeting = Hooks(Log()), threading.Barrier(8)
    hooks.on("circuit_closed", lambda event: meeting.wait(5))
    threads = [threading.Thread(target=hooks.emit, args=(CLOSED,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert hooks.errors == 0


def test_64_threads_that_come_and_go_leave_no_handler_and_count_every_error() -> None:
    log = Log()
    hooks, rounds = Hooks(log), 50
    hooks.on("circuit_closed", fail)

    def come_and_go() -> None:
        for _ in range(rounds):
            told: list[object] = []
            stop = hooks.on("circuit_closed", told.append)
            hooks.emit(CLOSED)
            stop()
            assert CLOSED in told

    threads = [threading.Thread(target=come_and_go) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told: list[object] = []
    hooks.on("key_disabled", told.append)

    assert hooks.errors == 64 * rounds
    assert len(log.lines) == 1
    assert [name for name in EVENTS if hooks.listens(name)] == ["key_disabled", "circuit_closed"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_forked_inside_a_handler_keeps_the_handlers() -> None:
    hooks, told, codes = Hooks(Log()), list[object](), list[int]()

    def fork(event: object) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # from 3.12 on, where other tests left threads
            child = os.fork()
        if child:
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
            return
        try:
            signal.alarm(10)
            hooks.on("circuit_closed", told.append)
            hooks.emit(CLOSED)
            hooks.emit(DISABLED)
        finally:
            os._exit(len(told))

    hooks.on("key_disabled", told.append)
    hooks.on("circuit_closed", fork)
    hooks.emit(CLOSED)

    assert codes == [2]
    assert told == []


def test_telling_nobody_costs_no_more_than_a_few_dictionary_writes() -> None:
    hooks, there = Hooks(Log()), dict[str, float]()
    alert = Alert(kind="slow", message="slow")

    told = cpu_each(lambda: hooks.emit(alert))

    assert told < 8 * cpu_each(lambda: there.update(a=time.monotonic()))
