"""Events of a call, and who wants to hear of them: `aio.on("attempt_failed", print)`.

    attempt_failed      a target refused or broke; the call may go on elsewhere
    request_completed   a call has its answer
    request_failed      a call ended in an error, or was cancelled
    key_disabled        a key is out until `enable_key()`
    circuit_opened      a model of a provider is left alone for a while
    circuit_closed      it is used again
    alert               something a person should look at (core/alerts.py)

Not a plug-in system and not a queue: a handler is a plain function, called at once, in the
thread of the call, while no lock is held. What it raises is counted and logged once, and the
call goes on; while it runs, that call waits. It may use the `AIO` itself: what happens in its
thread until it returns is not told to the same handler again.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from aio_llm.config import did_you_mean
from aio_llm.errors import ConfigError
from aio_llm.fork import renew_after_fork

if TYPE_CHECKING:
    from aio_llm.event_records import EventRecord

EVENTS = (
    "attempt_failed", "request_completed", "request_failed", "key_disabled", "circuit_opened",
    "circuit_closed", "alert",
)  # fmt: skip
"""What `aio.on` takes; event_records.py has one record for each."""

Handler = Callable[[Any], object]


class Tell(Protocol):
    """Writes one log record; `core.events.tell` is one."""

    def __call__(self, level: str, message: str, **fields: Any) -> None: ...


class _Subscription:
    """One `on()`: the handler, and how often it has failed."""

    __slots__ = ("errors", "handler")

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.errors = 0


class _Running(threading.local):
    """The subscriptions whose handlers are running in this thread."""

    subscriptions: tuple[_Subscription, ...] = ()


class Hooks:
    """The handlers of one `AIO`. Thread-safe; telling takes no lock.

    `tell`: where a handler's failure is logged.
    """

    def __init__(self, tell: Tell) -> None:
        self._subscriptions: dict[str, tuple[_Subscription, ...]] = dict.fromkeys(EVENTS, ())
        self._running = _Running()
        self._tell = tell
        self._errors = 0
        self._lock = threading.RLock()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """The handlers go with the child, the parent's lock does not."""
        self._lock = threading.RLock()

    def on(self, event: str, handler: Handler) -> Callable[[], None]:
        """Call `handler(record)` at every `event` from now on; returns what ends that.

        Raises `ConfigError` for an unknown event and for what cannot be called like a function.
        """
        if event not in EVENTS:
            raise ConfigError(f"event {event!r}: unknown event{did_you_mean(str(event), EVENTS)}")
        _check_handler(handler)
        subscription = _Subscription(handler)
        with self._lock:
            self._subscriptions[event] += (subscription,)

        def unsubscribe() -> None:
            """Idempotent; a call in progress may still tell the handler once."""
            with self._lock:
                old = self._subscriptions[event]
                self._subscriptions[event] = tuple(s for s in old if s is not subscription)

        return unsubscribe

    def listens(self, name: str) -> bool:
        """Somebody wants to hear of this event: only then is its record worth making."""
        return bool(self._subscriptions[name])

    def emit(self, event: EventRecord) -> None:
        """Tell everybody who listens, in the order they came; hold no lock when you call this.

        Raises only what ends a thread (KeyboardInterrupt, SystemExit).
        """
        for subscription in self._subscriptions[event.name]:
            outer = self._running.subscriptions
            if subscription in outer:
                continue
            self._running.subscriptions = (*outer, subscription)
            try:
                subscription.handler(event)
            except Exception as error:  # a stranger's code must not end our caller's call
                self._failed(subscription, event.name, error)
            finally:
                self._running.subscriptions = outer

    @property
    def errors(self) -> int:
        """How often handlers have raised so far."""
        return self._errors

    def _failed(self, subscription: _Subscription, name: str, error: Exception) -> None:
        with self._lock:
            self._errors += 1
            subscription.errors += 1
            is_first = subscription.errors == 1
        if is_first:
            import traceback  # only when something is wrong

            what = "".join(traceback.format_exception_only(error)).strip()
            words = f"a handler of {name!r} raised {what}; it stays, and this is said once"
            self._tell("ERROR", words, event=name)


def _check_handler(handler: Handler) -> None:
    if not callable(handler):
        raise ConfigError(f"handler: must be a function, not {type(handler).__name__}")
    call = getattr(handler, "__call__", handler)  # noqa: B004 (a class may have an async one)
    if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call):
        raise ConfigError("handler: must be a plain function; nobody would await an async one")
