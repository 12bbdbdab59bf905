"""What handlers of `aio.on` are given: one frozen record per event, plain data, no key in it.

Loaded when the first one is told: a program that listens to nothing does not pay for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class EventRecord:
    """Base of all events: plain data without a key in it. `name`: what `aio.on` takes."""

    name: ClassVar[str] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptFailed(EventRecord):
    """One attempt at one target failed.

    `key` is masked. `attempt`: which one of its call, from 1. `kind`: the finer reason within
    `category`. `status`: HTTP, None where no answer came. `latency`, `retry_after` (what the
    vendor asked for) and `cooled_for` (how long the target rests) in seconds.
    """

    name: ClassVar[str] = "attempt_failed"
    request_id: str
    provider: str
    model: str
    key: str
    category: str
    kind: str
    attempt: int = 1
    status: int | None = None
    message: str = ""
    latency: float = 0.0
    retry_after: float | None = None
    cooled_for: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCompleted(EventRecord):
    """A call has its whole answer; a stream has been read to its end.

    `key` is masked. `latency`, `first_token` (streams) and `waited` (for capacity) in seconds.
    `attempts` includes the one that answered. `fallback`: another target was asked first.
    `cost`: USD as stated by the vendor. `metadata`: the caller's own.
    """

    name: ClassVar[str] = "request_completed"
    request_id: str
    provider: str
    model: str
    key: str
    latency: float
    attempts: int = 1
    waited: float = 0.0
    fallback: bool = False
    stream: bool = False
    first_token: float | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFailed(EventRecord):
    """A call ended without its whole answer.

    `error`: the name of the class that is raised. `cancelled`: because the caller wanted it.
    `latency` and `waited` (for capacity) in seconds. `metadata`: the caller's own.
    """

    name: ClassVar[str] = "request_failed"
    request_id: str
    category: str
    error: str
    message: str
    latency: float
    attempts: int = 0
    waited: float = 0.0
    cancelled: bool = False
    stream: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDisabled(EventRecord):
    """A key (masked) is not used again until `enable_key()`."""

    name: ClassVar[str] = "key_disabled"
    provider: str
    key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitOpened(EventRecord):
    """So many failures in a row: nobody is sent there for `open_for` seconds, then a probe. Told
    once until it closes.

    `model` is None where the whole provider is meant.
    """

    name: ClassVar[str] = "circuit_opened"
    provider: str
    model: str | None
    failures: int
    open_for: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitClosed(EventRecord):
    """The probes were answered. `model` is None where the whole provider is meant."""

    name: ClassVar[str] = "circuit_closed"
    provider: str
    model: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert(EventRecord):
    """Something a person should look at; told once, and again only after it had passed.

    `kind`: error_rate, daily_limit, slow or all_down. `value` is above `threshold`: a share of
    1 for the first two, seconds for slow; all_down has neither. `provider`, `model`, `key`
    (masked): what it is about, None for all.
    """

    name: ClassVar[str] = "alert"
    kind: str
    message: str
    provider: str | None = None
    model: str | None = None
    key: str | None = None
    value: float | None = None
    threshold: float | None = None
