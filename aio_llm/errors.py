"""The error tree.

    AIOError                        everything this library raises
    ├── ConfigError                 (also ValueError) a setting is wrong; nothing was sent
    ├── RateLimitError              every key is limited: retry_after, available_at
    ├── AuthenticationError         no key is accepted
    ├── InvalidRequestError         the request itself is refused
    │   ├── ContextLengthError      too long for every model
    │   ├── ContentFilterError      a safety filter stopped it
    │   ├── ModelNotFoundError      no such model
    │   └── UnsupportedFeatureError no configured model can do this
    ├── ServerError                 the vendor failed
    ├── NetworkError                no answer came
    │   └── RequestTimeoutError     (also TimeoutError) time ran out
    ├── StreamInterruptedError      a stream broke after output: partial
    ├── RequestCancelledError       somebody cancelled
    └── AllAttemptsFailedError      several targets failed in different ways

If every attempt failed in one way, that class is raised, so `except RateLimitError` works.
All are picklable and hold no key and nothing of a vendor's SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from aio_llm.faults import Category, ErrorInfo, Kind, Scope, redact

if TYPE_CHECKING:
    from aio_llm.types import Attempt


class AIOError(Exception):
    """Base of every error of this library.

    `attempts`: the trail, oldest first. `provider`, `model`, `status`, `code`: of the last
    failed attempt. `retry_after`: seconds, None if unknown.
    """

    kind: Kind = Kind.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        attempts: Sequence[Attempt] = (),
        retry_after: float | None = None,
        available_at: datetime | None = None,
        info: ErrorInfo | None = None,
        request_id: str | None = None,
    ) -> None:
        message = redact(message, limit=20_000)  # a key in the wrong argument is still a key
        super().__init__(message)
        self.message = message
        self.attempts = tuple(attempts)
        self.retry_after = retry_after
        self.available_at = available_at
        self.request_id = request_id
        self._info = info
        last = self.attempts[-1] if self.attempts else None
        self.provider = last.provider if last else None
        self.model = last.model if last else None
        self.status = info.status if info else None
        self.code = info.code if info else None

    @staticmethod
    def classify(exc: BaseException) -> ErrorInfo:
        """What `exc` means; pure, never raises, accepts vendor, HTTP and built-in errors too."""
        if isinstance(exc, AIOError):
            return exc._info or ErrorInfo.of(_default_fault(exc.kind, exc))
        from aio_llm.foreign import read_exception  # only needed here, and it loads json, ssl

        return ErrorInfo.of(read_exception(exc))

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.__dict__.copy())


P = ParamSpec("P")
R = TypeVar("R")


def bare_errors(door: Callable[P, R]) -> Callable[P, R]:
    """Let our errors leave `door` without the frames inside it.

    loguru's `diagnose=True`, its default, prints the values on the lines of a traceback; on
    the lines that read a configuration these are keys.
    """

    @wraps(door)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return door(*args, **kwargs)
        except AIOError as error:
            problem = error.with_traceback(None)
        raise problem

    return guarded


def _rebuild(cls: type[AIOError], message: str, state: dict[str, Any]) -> AIOError:
    error = cls(message)
    error.__dict__.update(state)
    return error


def _default_fault(kind: Kind, exc: AIOError) -> Any:
    from aio_llm.faults import Fault

    scope = Scope.REQUEST if isinstance(exc, InvalidRequestError | ConfigError) else Scope.PROVIDER
    return Fault(kind, scope, exc.message, retry_after=exc.retry_after)


class ConfigError(AIOError, ValueError):
    """A setting or argument is wrong; the message names it and says what would be right.
    `problems`: one line for each field of a configuration.
    """

    kind = Kind.BAD_REQUEST

    def __init__(self, message: str, *, problems: Sequence[str] = (), **more: Any) -> None:
        super().__init__(message, **more)
        self.problems = tuple(redact(line) for line in problems) or (self.message,)


class RateLimitError(AIOError):
    """Every usable key is limited. `retry_after` (seconds) and `available_at` (aware
    datetime, UTC) say when the first one is free again, None if nobody knows.
    """

    kind = Kind.MINUTE_LIMIT


class AuthenticationError(AIOError):
    """No configured key is accepted."""

    kind = Kind.BAD_KEY


class InvalidRequestError(AIOError):
    """The request is refused as it stands; the message names the field where it is known."""

    kind = Kind.BAD_REQUEST


class ContextLengthError(InvalidRequestError):
    """The conversation is longer than the model can read."""

    kind = Kind.CONTEXT_LENGTH


class ContentFilterError(InvalidRequestError):
    """A vendor's safety filter refused the prompt or cut the answer."""

    kind = Kind.CONTENT_FILTER


class ModelNotFoundError(InvalidRequestError):
    """The model is unknown to the vendor or to the configuration."""

    kind = Kind.MODEL_NOT_FOUND


class UnsupportedFeatureError(InvalidRequestError):
    """No target has a feature the request needs; raised before anything is sent."""

    kind = Kind.UNSUPPORTED


class ServerError(AIOError):
    """The vendor answered with a failure of its own, or with something unusable."""

    kind = Kind.SERVER


class NetworkError(AIOError):
    """No answer came: DNS, connection, TLS, reset, an edge that blocks this machine."""

    kind = Kind.NETWORK


class RequestTimeoutError(NetworkError, TimeoutError):
    """The time given for the call or the attempt ran out."""

    kind = Kind.TIMEOUT


class StreamInterruptedError(AIOError):
    """A stream broke after output had begun. `partial`: the text that had arrived."""

    kind = Kind.NETWORK
    partial: str = ""


class RequestCancelledError(AIOError):
    """The call was cancelled by a token, by `aio.cancel(...)`, or by closing its stream."""

    kind = Kind.CANCELLED


class AllAttemptsFailedError(AIOError):
    """Several targets failed in different ways; `attempts` has one line each."""


_BY_KIND: dict[Kind, type[AIOError]] = {
    Kind.CONTEXT_LENGTH: ContextLengthError,
    Kind.CONTENT_FILTER: ContentFilterError,
    Kind.MODEL_NOT_FOUND: ModelNotFoundError,
    Kind.UNSUPPORTED: UnsupportedFeatureError,
    Kind.TIMEOUT: RequestTimeoutError,
    Kind.CANCELLED: RequestCancelledError,
}
_BY_CATEGORY: dict[Category, type[AIOError]] = {
    Category.RATE_LIMIT: RateLimitError,
    Category.AUTH: AuthenticationError,
    Category.INVALID_REQUEST: InvalidRequestError,
    Category.SERVER: ServerError,
    Category.NETWORK: NetworkError,
    Category.UNKNOWN: AllAttemptsFailedError,
}


def error_class(kinds: Sequence[Kind], categories: Sequence[Category]) -> type[AIOError]:
    """The most telling class that fits every attempt: by kind, else by category, else all."""
    if len(set(kinds)) == 1 and kinds[0] in _BY_KIND:
        return _BY_KIND[kinds[0]]
    if len(set(categories)) == 1:
        return _BY_CATEGORY[categories[0]]
    return AllAttemptsFailedError
