"""The records that travel through the simulator. No behaviour, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Size:
    """What a request is made of, in tokens: its prompt, prompt and completion, and prompt and
    `max_tokens`.
    """

    input: int
    total: int
    reserved: int

    def amount(self, axis: str, tokens: str) -> int:
        """What counts on an axis: one request, or the tokens that a quota counts."""
        return int(getattr(self, tokens)) if axis.startswith("t") else 1


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
    """One request as it arrived; `at` is in seconds of the monotonic clock.

    `moment`: the same on the simulator's clock. `size`: its tokens, None if it came to no answer.
    `counted`: it has spent quota. `limited`: a quota refused it.
    """

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
    moment: float = 0.0
    size: Size | None = None
    counted: bool = False
    limited: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """Where a path leads at a vendor: `kind` is chat, models, key or unknown."""

    kind: str
    model: str = ""
    stream: bool = False


@dataclass(slots=True)
class Ask:
    """What a chat request asks for, the same for every vendor; sizes in tokens.

    `at`: when it arrived, on the simulator's clock. The last three are what became of it.
    """

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
    at: float = 0.0
    size: Size | None = None
    counted: bool = False
    limited: bool = False


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

    @property
    def size(self) -> Size:
        """What a quota may count of it."""
        prompt, most = self.ask.prompt_tokens, self.ask.max_tokens
        reserved = prompt + self.completion_tokens if most is None else prompt + most * self.ask.n
        return Size(prompt, self.total_tokens, reserved)


@dataclass(frozen=True, slots=True)
class Case:
    """What a vendor's error message mentions; `wait` is in seconds, None when it gives no hint.

    `at`: seconds on the simulator's clock.
    """

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
    at: float = 0.0


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
    """What a connection does: bytes are written, floats are waited for (seconds of the
    simulator's clock; `RealSeconds` are what they say). `ended` is called after all.
    """

    status: int | str
    steps: Iterable[bytes | float]
    end: End = End.KEEP
    fault: str | None = None
    ended: Callable[[], None] | None = None


class RealSeconds(float):
    """Seconds that pass at their own pace, however fast the simulator's clock is."""
