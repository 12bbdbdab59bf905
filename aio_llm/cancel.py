"""Cancel means now: a token a person holds, and the scope of one call that it ends.

Not here: sockets are opened and read in transport.py. A scope only knows which socket is
busy for its call and shuts it down, which wakes a blocked read within a millisecond.
`response.close()` from another thread does not wake a reader, and under TLS can steal
bytes of another connection; therefore nothing is ever closed from outside.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Protocol

from aio_llm import fork

_LONGEST = 1e9


class Cancellable(Protocol):
    """What a token can cancel."""

    def cancel(self) -> None: ...


class CallAborted(BaseException):
    """The call was cancelled or ran out of time.

    A BaseException, so that no vendor SDK's `except Exception` swallows, wraps or retries
    it; the engine turns it into a public error.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CancelToken:
    """Cancels every call it was handed to, from any thread. Thread-safe, one-way, reusable
    by any number of calls; a call given a cancelled token sends nothing.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may cancel within its own call
        self._calls: set[Cancellable] = set()
        self._cancelled = False
        self._expires = math.inf
        fork.renew_after_fork(self)

    def cancel(self) -> None:
        """Cancel now; calls in progress raise `RequestCancelledError` within milliseconds."""
        with self._lock:
            self._cancelled = True
            calls = list(self._calls)
        for call in calls:
            call.cancel()

    def cancel_after(self, seconds: float) -> None:
        """Cancel `seconds` from now unless cancelled earlier; raises ValueError if negative.

        Costs no thread, unless calls that have the token are in progress already: they do not
        know of the new end, and a timer tells them.
        """
        if not 0 <= seconds <= _LONGEST:
            raise ValueError(f"cancel_after: must be 0 to {_LONGEST:.0e} seconds, got {seconds!r}")
        with self._lock:
            self._expires = min(self._expires, time.monotonic() + seconds)
            is_late = bool(self._calls)
        if seconds == 0:
            self.cancel()
        elif is_late:
            timer = threading.Timer(seconds, self.cancel)
            timer.daemon = True
            timer.start()

    @property
    def left(self) -> float:
        """Seconds until it cancels by itself; inf if it does not, 0 if it is cancelled."""
        if self._cancelled:
            return 0.0
        return max(0.0, self._expires - time.monotonic()) if self._expires < math.inf else math.inf

    def after_fork(self) -> None:
        """The parent's calls are not this process's to cancel."""
        self._lock = threading.RLock()
        self._calls = set()

    @property
    def cancelled(self) -> bool:
        """True once `cancel()` was called or the time of `cancel_after()` has come."""
        return self._cancelled or time.monotonic() >= self._expires

    def __repr__(self) -> str:
        return f"CancelToken(cancelled={self.cancelled})"

    def __getstate__(self) -> dict[str, float]:
        return {"left": self.left}

    def __setstate__(self, state: dict[str, float]) -> None:
        CancelToken.__init__(self)
        self._cancelled = state["left"] == 0
        self._expires = time.monotonic() + state["left"]

    def attach(self, call: Cancellable) -> None:
        """Cancel `call` when this token is cancelled, at once if it already is."""
        with self._lock:
            self._calls.add(call)
            cancelled = self._cancelled
        if cancelled or self.cancelled:
            call.cancel()

    def detach(self, call: Cancellable) -> None:
        """Forget `call`; unknown ones are ignored."""
        with self._lock:
            self._calls.discard(call)


_here = threading.local()


def current_scope() -> CancelScope | None:
    """The scope entered on this thread, None outside of any call."""
    return getattr(_here, "scope", None)


class CancelScope:
    """The life of one call: its cancel signal, its deadline, the socket that is busy for it.

    `deadline` and the values of `now()` are seconds of one monotonic clock, of which `rate` pass
    in a real second. `pause` bounds a single read (seconds). `resent`: how often the request was
    sent once more. Thread-safe; entered (`with scope:`) on the thread that blocks.
    """

    __slots__ = (
        "_cancelled", "_generation", "_lock", "_outer", "_socket", "_token", "_wake",
        "answer", "deadline", "detach_body", "headers", "now", "pause", "rate", "resent", "sent_at",
    )  # fmt: skip

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        deadline: float = math.inf,
        rate: float = 1.0,
    ):
        self.now = now
        self.rate = rate
        self.deadline = deadline
        self.pause = math.inf
        self.sent_at: float | None = None
        self.resent = 0
        self.detach_body = False
        self.answer: Any = None
        self.headers: Mapping[str, str] = {}
        self._cancelled = False
        self._generation = fork.generation
        self._lock = threading.RLock()  # as in the token
        self._socket: socket.socket | None = None
        self._token: CancelToken | None = None
        self._wake: threading.Event | None = None
        self._outer: CancelScope | None = None

    @property
    def sent(self) -> bool:
        """Something of the request has left."""
        return self.sent_at is not None

    @sent.setter
    def sent(self, left: bool) -> None:
        self.sent_at = self.now() if left else None

    def watch(self, token: CancelToken) -> None:
        """Be cancelled when `token` is."""
        self._token = token
        token.attach(self)

    def close(self) -> None:
        """Stop listening to the token; idempotent."""
        if self._token is not None:
            self._token.detach(self)
            self._token = None

    def cancel(self) -> None:
        """Abort whatever this call is blocked in; from any thread, idempotent.

        A forked child has a copy of the call, but the connection is its parent's.
        """
        if self._generation != fork.generation:
            self._cancelled = True
            return
        with self._lock:
            self._cancelled = True
            if self._socket is not None:
                # The plain socket's method: SSLSocket.shutdown() drops the TLS object
                # under the thread that is reading from it.
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        self.nudge()

    @property
    def cancelled(self) -> bool:
        """True once cancelled (running out of time does not count)."""
        return self._cancelled or (self._token is not None and self._token.cancelled)

    def check(self) -> None:
        """Raise `CallAborted` if cancelled or past the deadline."""
        if self.cancelled:
            raise CallAborted("cancelled")
        if self.now() >= self.deadline:
            raise CallAborted("deadline")

    def budget(self, limit: float = math.inf) -> float | None:
        """Seconds a blocking operation may take now, None for no bound; raises `CallAborted`."""
        self.check()
        left = min((self.deadline - self.now()) / self.rate, self.pause, limit)
        if self._token is not None:
            left = min(left, self._token.left)
        return None if left == math.inf else max(left, 1e-4)

    def hold(self, sock: socket.socket) -> None:
        """`sock` now works for this call only; raises `CallAborted` if already cancelled."""
        with self._lock:
            self._socket = sock
            if self._cancelled:  # asked last: a signal may have come between
                self._socket = None
                raise CallAborted("cancelled")

    def release(self, sock: socket.socket) -> None:
        """`sock` no longer belongs to this call: a late cancel cannot hit it."""
        with self._lock:
            if self._socket is sock:
                self._socket = None

    def expect_nudge(self) -> None:
        """From here on a `nudge()` is remembered until the next `wait()` has seen it."""
        if self._wake is None:
            self._wake = threading.Event()
        self._wake.clear()

    def wait(self, seconds: float) -> bool:
        """Sleep until cancelled, nudged or `seconds` are over; True if woken early."""
        if self._wake is None:
            self._wake = threading.Event()
        if self._cancelled:
            return True
        if self._token is not None:
            seconds = min(seconds, self._token.left)
        return self._wake.wait(None if seconds == math.inf else max(seconds, 0.0))

    def nudge(self) -> None:
        """Wake a `wait()` so that its caller looks again."""
        if self._wake is not None:
            self._wake.set()

    @property
    def nudged(self) -> bool:
        """A `wait()` would return at once."""
        return self._cancelled or (self._wake is not None and self._wake.is_set())

    def __enter__(self) -> CancelScope:
        self._outer = getattr(_here, "scope", None)
        _here.scope = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _here.scope = self._outer
        self._outer = None
