"""What an adapter is: it translates between a `ChatRequest` and one vendor's SDK, no more.

It never retries, sleeps, logs, picks keys or remembers anything between calls but its SDK
clients. It is called inside the call's cancel scope, by many threads at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from aio_llm.allowances import Allowance
from aio_llm.cancel import CancelScope
from aio_llm.config import ProviderConfig
from aio_llm.faults import Fault

if TYPE_CHECKING:
    from aio_llm.types import ChatCompletion, ChatRequest, StreamChunk


@dataclass(frozen=True, slots=True)
class Target:
    """Who is asked: a provider (by its label), a model, a key. `key` is the masked one."""

    provider: str
    model: str
    key: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """One attempt: its target, and the scope that carries its cancel signal and deadline."""

    target: Target
    scope: CancelScope

    @property
    def deadline(self) -> float:
        """When this attempt is over, on the clock of the engine (seconds)."""
        return self.scope.deadline


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """Whether a vendor accepts a key. Truthy only if `status` is "valid"; `latency` seconds."""

    status: Literal["valid", "invalid", "unknown"]
    provider: str
    key: str
    reason: str = ""
    latency: float = 0.0

    def __bool__(self) -> bool:
        return self.status == "valid"


class BaseProvider(ABC):
    """One configured provider. Thread-safe; SDKs are imported at the first call."""

    def __init__(self, config: ProviderConfig) -> None:
        self.config = config

    @abstractmethod
    def chat(self, request: ChatRequest, call: Call) -> ChatCompletion:
        """The whole answer; raises what the SDK raises, or `FaultError`."""

    @abstractmethod
    def stream(self, request: ChatRequest, call: Call) -> Iterator[StreamChunk]:
        """The answer in pieces, the last one `done`; sending happens at the first `next()`."""

    @abstractmethod
    def check_key(self, call: Call) -> None:
        """Ask the vendor something that costs no tokens; raises if it refuses."""

    def allowances(self, call: Call, wall: float) -> tuple[Allowance, ...]:
        """What the answer to `call` says of the vendor's limits. `wall`: now, epoch seconds."""
        return ()

    def classify(self, exc: BaseException) -> Fault:
        """What `exc`, raised by this adapter, means; pure."""
        from aio_llm.foreign import read_exception  # its tables are needed at the first fault

        return read_exception(exc)

    def unsupported(self, request: ChatRequest) -> str | None:
        """The name of a field of `request` this vendor does not have, None if it has all."""
        return None

    def warm_up(self) -> None:  # noqa: B027 - having nothing to do is fine
        """Import the SDK now, so that the first call does not pay for it."""

    def reset(self) -> None:  # noqa: B027 - having nothing to do is fine
        """Drop connections that an interrupt may have left in any state."""

    def close(self) -> None:  # noqa: B027 - having nothing to do is fine
        """Close idle connections."""
