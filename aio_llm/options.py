"""The keywords of a call, in one place: their names, types and meaning."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar

from aio_llm.config import Routing, did_you_mean
from aio_llm.errors import InvalidRequestError

if TYPE_CHECKING:
    from aio_llm.cancel import CancelToken

OnInterrupt = Literal["raise", "restart"]


class SamplingOptions(TypedDict, total=False):
    """What goes to the vendor, under OpenAI's names; a vendor that has no such field is skipped."""

    temperature: float | None
    max_tokens: int | None
    top_p: float | None
    stop: str | Sequence[str] | None
    seed: int | None
    n: int | None
    logprobs: bool | None
    top_logprobs: int | None
    presence_penalty: float | None
    frequency_penalty: float | None
    logit_bias: Mapping[str, float] | None
    user: str | None
    tools: Sequence[Any] | None
    tool_choice: Any
    parallel_tool_calls: bool | None
    response_format: Any
    reasoning_effort: str | None


class ChatOptions(SamplingOptions, total=False):
    """Every keyword of `chat_completion`.

    `model`: "model", "provider/model", or a list in the caller's own order; none: by priority
    (auto mode). `fallback`: after the named model, all others. `routing`: what decides among
    those that may be asked, instead of priority; a list of models keeps its order. `session`:
    a name for a conversation, which goes on at the model and key that answered it last, for an
    hour and where they are free. `timeout`: seconds for the whole call; `max_wait`: seconds it
    may wait for capacity. `cancel`, `request_id`: ways to cancel it. `extra_body`,
    `extra_headers`: sent as they are.
    """

    model: str | Sequence[str] | None
    provider: str | None
    auto_mode: bool | None
    fallback: bool
    routing: Routing | None
    session: str | None
    timeout: float | None
    max_wait: float | None
    cancel: CancelToken | None
    request_id: str | None
    metadata: Mapping[str, Any] | None
    extra_body: Mapping[str, Any] | None
    extra_headers: Mapping[str, str] | None


class StreamOptions(ChatOptions, total=False):
    """Every keyword of `chat_completion_stream`.

    `timeout`: seconds until the first output. `idle_timeout`: seconds between chunks.
    `on_interrupt`: "raise" `StreamInterruptedError` if the stream breaks after output, or
    "restart" it at another target, announced by a chunk with `restarted`.
    """

    idle_timeout: float | None
    on_interrupt: OnInterrupt


SAMPLING = tuple(SamplingOptions.__annotations__)

_F = TypeVar("_F", bound=Callable[..., Any])


def takes(options: Any) -> Callable[[_F], _F]:
    """Give a function its keywords as a signature, for `help()` and completion."""

    def sign(function: _F) -> _F:
        named = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=getattr(kind, "__forward_arg__", kind),
            )
            for name, kind in options.__annotations__.items()
        ]
        plain = inspect.signature(function)
        kept = [p for p in plain.parameters.values() if p.kind is not p.VAR_KEYWORD]
        function.__signature__ = plain.replace(parameters=kept + named)  # type: ignore[attr-defined]
        return function

    return sign


def check_keywords(function: str, given: Iterable[str], options: Any) -> None:
    """Raise TypeError for a keyword `function` does not have, before anything is sent."""
    known = options.__annotations__
    for name in given:
        if name not in known:
            raise TypeError(
                f"{function}() got an unexpected keyword argument {name!r}"
                f"{did_you_mean(name, known)}"
            )


_LONGEST = 1e9


def seconds(name: str, value: Any, default: float, *, zero: bool = False) -> float:
    """`value` as seconds, None for the default; raises `InvalidRequestError` naming it."""
    if value is None:
        return default
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not (value > 0 or (zero and value == 0)) or value > _LONGEST:
        least = "0 or more" if zero else "more than 0"
        raise InvalidRequestError(f"{name}: must be {least} seconds, got {value!r}")
    return float(value)
