"""One call on its way through the engine, and what it comes back with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from aio_llm.cancel import CancelScope
from aio_llm.core.key_state import Lease
from aio_llm.core.routing import Route
from aio_llm.core.trail import Trail
from aio_llm.faults import Fault

if TYPE_CHECKING:
    from aio_llm.types import Attempt, ChatRequest


class Answer(Protocol):
    """What a send gives: a completion, or a stream that has begun."""

    @property
    def is_empty(self) -> bool: ...


A = TypeVar("A", bound=Answer)


@dataclass(slots=True)
class Run:
    """One call: what it asks, whom, within which time (clock seconds; `began` is epoch seconds).

    `last`: the fault of its last attempt. `left_out`: how many targets it could not ask when it
    failed.
    """

    request: ChatRequest
    route: Route
    scope: CancelScope
    trail: Trail
    deadline: float
    max_wait: float
    began: float = 0.0
    last: Fault | None = None
    left_out: int = 0


@dataclass(slots=True)
class Won(Generic[A]):
    """The answer, its attempt, and the lease it was given under (None: already settled)."""

    answer: A
    lease: Lease | None
    step: Attempt
