"""What the simulator has seen: requests and counters behind one condition variable."""

from __future__ import annotations

import threading
from collections.abc import Callable

from aio_llm.simulator.records import RecordedRequest


class Journal:
    """Counts events from the server thread and wakes whoever waits for them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiters = 0
        self.requests: list[RecordedRequest] = []
        self.trapped: list[RecordedRequest] = []
        self.connections = 0
        self.open_connections = 0
        self.active = 0
        self.aborted = 0

    def connected(self) -> int:
        """A connection was accepted; returns its number, from 1."""
        with self._changed:
            self.connections += 1
            self.open_connections += 1
            self._wake()
            return self.connections

    def disconnected(self) -> None:
        """A connection is gone."""
        with self._changed:
            self.open_connections -= 1
            self._wake()

    def arrived(self, request: RecordedRequest, counts: bool) -> None:
        """A request has fully arrived; `counts` when it is a chat request."""
        with self._changed:
            self.requests.append(request)
            self.active += counts
            self._wake()

    def trap(self, request: RecordedRequest) -> None:
        """A request has followed the redirect to the trap."""
        with self._changed:
            self.trapped.append(request)
            self._wake()

    def finished(self, aborted: bool) -> None:
        """A chat request was answered, or its client hung up before that."""
        with self._changed:
            self.active -= 1
            self.aborted += aborted
            self._wake()

    def renew(self) -> None:
        """In a forked child: a lock that no thread of the parent holds."""
        self._changed = threading.Condition()
        self._waiters = 0

    def forget(self) -> None:
        """Drop the requests seen so far; open connections stay counted."""
        with self._changed:
            self.requests = []
            self.trapped = []
            self.aborted = 0
            self._wake()

    def wait_for(self, predicate: Callable[[], bool], timeout: float) -> bool:
        """Wait at most `timeout` seconds until the predicate holds after some event."""
        with self._changed:
            self._waiters += 1
            try:
                return self._changed.wait_for(predicate, timeout)
            finally:
                self._waiters -= 1

    def snapshot(self) -> list[RecordedRequest]:
        """A copy of the requests seen so far."""
        with self._changed:
            return list(self.requests)

    def _wake(self) -> None:
        if self._waiters:
            self._changed.notify_all()
