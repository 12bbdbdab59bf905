"""Alerts: when something has become bad enough that a person should look.

| kind | begins when | ends when |
|---|---|---|
| error_rate | more than this share of the last attempts failed | half of it or less did |
| daily_limit | a key has used more than this share of its day | it is below, after a reset |
| slow | an answer took longer than this many seconds | that model was in time 5 times in a row |
| all_down | a call found nobody who could be asked | any call is answered |

Between its begin and its end an alert is told once, as an event and as a WARNING in the log.
What ends an alert is further away than what begins it, so that a value that swings about its
threshold is no row of alerts. Not a monitoring system: for history, export the metrics.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aio_llm.config import Alerts
from aio_llm.core.events import tell
from aio_llm.fork import renew_after_fork

if TYPE_CHECKING:
    from aio_llm.event_records import Alert

CALM = 5
"""Answers in time, in a row, after which a model is no longer slow."""


class AlertWatch:
    """Which alerts of one `AIO` are on. Thread-safe; call it while holding no lock.

    `emit` is given each alert when it begins; keys are masked, times in seconds.
    """

    def __init__(self, thresholds: Alerts, emit: Callable[[Alert], None]) -> None:
        self._thresholds = thresholds
        self._window = max(thresholds.window, thresholds.min_requests, 1)
        self._emit = emit
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """A fresh lock; a child watches its own calls."""
        # Re-entrant: a stream that is garbage-collected while this thread holds it reports too.
        self._lock = threading.RLock()
        self._recent: deque[tuple[str, str] | None] = deque()
        self._failed = 0
        self._failing = False
        self._spent: set[tuple[str, str]] = set()
        self._slow: dict[tuple[str, str], int] = {}
        self._down = False

    def attempt(
        self,
        provider: str,
        model: str,
        key: str,
        *,
        outcome: str,
        category: str | None,
        latency: float,
    ) -> None:
        """One attempt is over; arguments as for `Metrics.attempt`. A cancelled one is no news."""
        if self._thresholds.error_rate is None or outcome == "cancelled":
            return
        with self._lock:
            self._remember(None if outcome == "ok" else (provider, outcome))
            alert = self._error_rate() if self._failed or self._failing else None
        if alert:
            self._tell("error_rate", **alert)

    def _remember(self, fault: tuple[str, str] | None) -> None:
        self._recent.append(fault)
        self._failed += fault is not None
        if len(self._recent) > self._window:
            oldest = self._recent.popleft()
            self._failed -= oldest is not None

    def _error_rate(self) -> dict[str, Any] | None:
        threshold, seen = self._thresholds.error_rate, len(self._recent)
        if threshold is None or seen < self._thresholds.min_requests:
            return None
        rate = self._failed / seen
        if self._failing:
            self._failing = rate > threshold / 2
        elif rate > threshold:
            self._failing = True
            ((provider, outcome), times), *_ = Counter(filter(None, self._recent)).most_common(1)
            words = f"{self._failed} of the last {seen} attempts failed"
            words += f", {times} of them at {provider} ({outcome})"
            return {"message": words, "value": rate, "threshold": threshold}
        return None

    def answer(
        self,
        provider: str,
        model: str,
        key: str,
        *,
        latency: float,
        first_token: float | None = None,
        attempts: int = 1,
        waited: float = 0.0,
    ) -> None:
        """A call has its answer; arguments as for `Metrics.answer`."""
        self._down = False
        threshold = self._thresholds.slow
        if threshold is None:
            return
        took = latency if first_token is None else first_token
        if not self._is_slow_news((provider, model), is_slow=took > threshold):
            return
        what = "answer" if first_token is None else "first output"
        words = f"{provider}/{model}: the {what} took {took:.1f} s"
        if attempts > 1 or waited > 0:
            words += f" ({attempts} attempts, {waited:.1f} s waiting for capacity)"
        about = {"provider": provider, "model": model, "key": key}
        self._tell("slow", words, value=took, threshold=threshold, **about)

    def _is_slow_news(self, target: tuple[str, str], *, is_slow: bool) -> bool:
        """Note one answer of `target`; True if it has just become slow."""
        if not is_slow and target not in self._slow:
            return False
        with self._lock:
            was_slow = target in self._slow
            if is_slow:
                self._slow[target] = 0
                return not was_slow
            if was_slow:
                self._slow[target] += 1
                if self._slow[target] >= CALM:
                    del self._slow[target]
        return False

    def key_used(self, provider: str, key: str, used: int, limit: float | None) -> None:
        """`key` has made `used` of the `limit` requests of its day (None or inf: no limit)."""
        threshold = self._thresholds.daily_limit
        if threshold is None or limit is None or limit <= 0:
            return
        share, label = used / limit, (provider, key)
        if (share > threshold) == (label in self._spent):
            return
        with self._lock:
            is_news = share > threshold and label not in self._spent
            if share > threshold:
                self._spent.add(label)
            else:
                self._spent.discard(label)
        if is_news:
            words = f"key {key} of {provider} has made {used} of its {limit:.0f} requests today"
            self._tell(
                "daily_limit", words, value=share, threshold=threshold, provider=provider, key=key
            )

    def all_down(self, *, targets: int, free_in: float | None = None) -> None:
        """A call found none of its `targets` usable; the first may be in `free_in` seconds."""
        with self._lock:
            is_news = not self._down
            self._down = True
        if is_news:
            when = "" if free_in is None else f"; the first one may be in {free_in:.1f} s"
            self._tell("all_down", f"none of {targets} targets can be asked now{when}")

    def _tell(self, kind: str, message: str, **fields: Any) -> None:
        from aio_llm.event_records import Alert  # loads with the first alert

        about = {name: fields.get(name) for name in ("provider", "model")}
        tell("WARNING", f"alert {kind}: {message}", alert=kind, key_id=fields.get("key"), **about)
        self._emit(Alert(kind=kind, message=message, **fields))
