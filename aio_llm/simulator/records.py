"""The records that travel through the simulator. No behaviour, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One complete HTTP/1.1 request; header names are lower-case."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class RecordedRequest:
    """One request as it arrived; `at` is in seconds of the monotonic clock."""

    vendor: str
    key: str
    model: str
    stream: bool
    path: str
    method: str
    headers: dict[str, str]
    body: Json | None
    status: int | str
    fault: str | None
    at: float
    connection: int


@dataclass(frozen=True, slots=True)
class Route:
    """Where a path leads at a vendor: `kind` is chat, models, key or unknown."""

    kind: str
    model: str = ""
    stream: bool = False


@dataclass(slots=True)
class Ask:
    """What a chat request asks for, the same for every vendor; sizes in tokens."""

    vendor: str
    key: str
    model: str
    stream: bool
    path: str
    serial: int
    text: str = ""
    prompt_tokens: int = 1
    max_tokens: int | None = None
    n: int = 1
    tools: tuple[str, ...] = ()
    logprobs: bool = False
    include_usage: bool = False
    json_mode: bool = False
    readable: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says, the same for every vendor; sizes in tokens."""

    ask: Ask
    created: int
    pieces: tuple[str, ...]
    reasoning: str
    tool: str
    tool_arguments: str
    finish: str
    completion_tokens: int
    reasoning_tokens: int

    @property
    def text(self) -> str:
        """The whole text of the answer."""
        return "".join(self.pieces)

    @property
    def total_tokens(self) -> int:
        """Prompt and completion, in tokens."""
        return self.ask.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Case:
    """What a vendor's error message mentions; `wait` is in seconds, None when it gives no hint."""

    model: str = ""
    key: str = ""
    path: str = ""
    serial: int = 0
    axis: str = "rpm"
    limit: int = 30
    used: int = 30
    requested: int = 1
    wait: float | None = None
    retry_after: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """A vendor's error: status, JSON (or ready bytes) and the headers that belong to it."""

    status: int
    body: Json | bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event as bytes; `kind` is comment, role, content, finish, usage or done."""

    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer before framing: a body, or events when it is a stream."""

    status: int
    headers: bytes
    body: bytes = b""
    events: tuple[Event, ...] | None = None


class End(Enum):
    """What happens to the connection after the last step."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"
    HANG = "hang"


@dataclass(slots=True)
class Play:
    """What a connection does: bytes are written, floats are waited for (seconds)."""

    status: int | str
    steps: Iterable[bytes | float]
    end: End = End.KEEP
    fault: str | None = None
