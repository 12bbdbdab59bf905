"""Whether the shared store answers: who asks, who does not for a while, and what is said of it."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import TypeVar

from aio_llm.clock import Clock
from aio_llm.fork import renew_after_fork
from aio_llm.state.base import SILENCE, StoreDown

T = TypeVar("T")

Tell = Callable[..., None]
"""Writes one log record: level, words."""


class Contact:
    """Asks a store. Thread-safe. Once it has not answered nobody asks for `SILENCE` seconds, so
    that a call is held up once at most. Going away and coming back are said once each.

    `losses`: how often it went away. `changed` is called when it has gone or come back.
    """

    def __init__(self, clock: Clock, tell: Tell, changed: Callable[[], None]) -> None:
        self._clock = clock
        self._tell = tell
        self._changed = changed
        self._quiet_until = -math.inf
        self.is_away = False
        self.losses = 0
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """A lock of its own."""
        self._lock = threading.Lock()

    @property
    def is_quiet(self) -> bool:
        """Whether nobody asks now."""
        return self._clock.now() < self._quiet_until

    def ask(self, question: Callable[[], T]) -> T | None:
        """The answer of the store; None while it is away."""
        was_away = self.is_away
        if self.is_quiet:
            return None
        try:
            answer = question()
        except StoreDown as error:
            self._lost(str(error))
            return None
        if was_away:  # an answer to what was asked before it went away proves nothing
            self._found()
        return answer

    def _lost(self, reason: str) -> None:
        with self._lock:
            if self._quiet_until == math.inf:
                return
            is_news, self.is_away = not self.is_away, True
            self.losses += 1
            self._quiet_until = self._clock.now() + SILENCE
        if is_news:
            self._changed()
            words = "shared state is away, calls go on with what this process knows"
            self._tell("WARNING", f"{words}: {reason}")

    def _found(self) -> None:
        with self._lock:
            is_news, self.is_away = self.is_away, False
        if is_news:
            self._changed()
            self._tell("INFO", "shared state is back")

    def leave(self) -> None:
        """Nobody asks any more."""
        with self._lock:
            self._quiet_until = math.inf
