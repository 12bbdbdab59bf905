"""What an `AIO` tells of its calls: figures, events, alerts and the log.

The engine says what has happened, once per attempt and once per call; here it is passed on to
whom it concerns. Nothing is decided here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from aio_llm.clock import Clock
from aio_llm.config import Alerts
from aio_llm.core.alerts import AlertWatch
from aio_llm.core.availability import Place
from aio_llm.core.events import tell
from aio_llm.core.key_state import Lease
from aio_llm.core.metrics import Metrics
from aio_llm.core.run import Run, Won
from aio_llm.core.scheduler import Verdict
from aio_llm.errors import AIOError, RequestCancelledError
from aio_llm.faults import Kind, Scope, redact
from aio_llm.hooks import Hooks

if TYPE_CHECKING:
    from aio_llm.types import Attempt, Usage


class Report:
    """Thread-safe. Call it while holding no lock that others wait for: handlers are told at once,
    in the thread of the call. Only `left` and a quiet `ended` may come from anywhere.
    """

    def __init__(self, thresholds: Alerts, clock: Clock) -> None:
        self.metrics = Metrics(clock.wall)
        self.hooks = Hooks(tell)
        self._alerts = AlertWatch(thresholds, self.hooks.emit)
        self._clock = clock
        self._said: set[tuple[str, str]] = set()

    def answered(
        self,
        run: Run,
        won: Won[Any],
        usage: Usage | None,
        *,
        closed: Iterable[Place] = (),
        first_token: float | None = None,
    ) -> float:
        """A call has its whole answer; returns how long that took. `closed`: breakers that its
        attempt has closed. `first_token`: seconds until the first output of a stream.
        """
        now, trail, step = self._clock.now(), run.trail, won.step
        if won.lease is not None:
            took = step.latency if first_token is None else now - won.lease.at
            self._attempt(won.lease, "ok", None, took)
        latency = now - trail.started
        about: dict[str, Any] = {
            "latency": latency,
            "first_token": first_token,
            "prompt_tokens": usage.prompt_tokens if usage else 0,
            "completion_tokens": usage.completion_tokens if usage else 0,
            "cost": usage.cost if usage else None,
            "attempts": len(trail.attempts),
            "waited": trail.waited,
            "fallback": trail.attempts[0] is not step and _is_elsewhere(trail.attempts[0], step),
        }
        self.metrics.answer(step.provider, step.model, step.key, **about)
        self._alerts.answer(
            step.provider,
            step.model,
            step.key,
            latency=latency,
            first_token=first_token,
            attempts=len(trail.attempts),
            waited=trail.waited,
        )
        for place in closed:
            self._closed(place)
        if self.hooks.listens("request_completed"):
            self._completed(run, step, about)
        return latency

    def _attempt(self, lease: Lease, outcome: str, category: str | None, latency: float) -> None:
        provider, model, key = lease.lane.provider, lease.lane.model, lease.key
        self.metrics.attempt(
            provider, model, key.masked, outcome=outcome, category=category, latency=latency
        )
        self._alerts.attempt(
            provider, model, key.masked, outcome=outcome, category=category, latency=latency
        )
        if key.limit < math.inf:
            self._alerts.key_used(provider, key.masked, key.requests, key.limit)

    def _completed(self, run: Run, step: Attempt, about: dict[str, Any]) -> None:
        from aio_llm.event_records import RequestCompleted  # loads with the first one

        self.hooks.emit(
            RequestCompleted(
                request_id=run.request.request_id,
                provider=step.provider,
                model=step.model,
                key=step.key,
                stream=run.request.stream,
                metadata=run.request.metadata,
                **about,
            )
        )

    def failed(self, run: Run, lease: Lease, step: Attempt, verdict: Verdict | None) -> None:
        """An attempt has failed. Without a `verdict`: the call was cancelled, or its time is up."""
        self._attempt(lease, step.outcome, step.category, step.latency)
        number, category = len(run.trail.attempts), step.category.value if step.category else ""
        fields = {
            "provider": step.provider,
            "model": step.model,
            "key_id": step.key,
            "category": category,
            "latency": round(step.latency, 4),
            "attempt": number,
            "request_id": run.request.request_id,
        }
        tell("WARNING", f"attempt failed: {step}", **fields)
        if step.kind is not Kind.CANCELLED and self.hooks.listens("attempt_failed"):
            self._attempt_failed(run.request.request_id, step, category, number)
        if verdict is not None:
            self._changed(step, verdict, fields)

    def _attempt_failed(self, request_id: str, step: Attempt, category: str, number: int) -> None:
        from aio_llm.event_records import AttemptFailed

        self.hooks.emit(
            AttemptFailed(
                request_id=request_id,
                provider=step.provider,
                model=step.model,
                key=step.key,
                category=category,
                kind=step.outcome,
                attempt=number,
                status=step.status,
                message=step.message,
                latency=step.latency,
                retry_after=step.retry_after,
                cooled_for=step.cooled_for,
            )
        )

    def _changed(self, step: Attempt, verdict: Verdict, fields: dict[str, Any]) -> None:
        """What a fault has changed for all calls."""
        if verdict.disabled:
            tell("ERROR", f"key {step.key} is disabled: {verdict.disabled}", **fields)
            self._disabled(step, verdict.disabled)
        if verdict.sister:
            self._say_once(
                f"{step.provider}/{step.key}",
                f"keys {verdict.sister} and {step.key} share one quota; one group from now on",
                fields,
            )
        if step.kind is Kind.MODEL_NOT_FOUND:
            self._say_once(
                f"{step.provider}/{step.model}", "this model is not there; out of use", fields
            )
        if verdict.opened:
            self._opened(verdict)
        for place in verdict.closed:
            self._closed(place)

    def _say_once(self, about: str, words: str, fields: dict[str, Any]) -> None:
        if (about, words) not in self._said:
            self._said.add((about, words))
            tell("ERROR", f"{about}: {words}", **fields)

    def _disabled(self, step: Attempt, reason: str) -> None:
        if self.hooks.listens("key_disabled"):
            from aio_llm.event_records import KeyDisabled

            self.hooks.emit(KeyDisabled(provider=step.provider, key=step.key, reason=reason))

    def _opened(self, verdict: Verdict) -> None:
        provider, model = _names(verdict.opened)
        about = f"{provider}/{model}" if model else provider
        words = f"{verdict.failures} failures in a row; left alone for {verdict.rests:.1f} s"
        tell("WARNING", f"circuit of {about} opened: {words}", provider=provider, model=model)
        if self.hooks.listens("circuit_opened"):
            from aio_llm.event_records import CircuitOpened

            self.hooks.emit(
                CircuitOpened(
                    provider=provider,
                    model=model,
                    failures=verdict.failures,
                    open_for=verdict.rests,
                )
            )

    def _closed(self, place: Place) -> None:
        provider, model = _names(place)
        about = f"{provider}/{model}" if model else provider
        tell("INFO", f"circuit of {about} closed", provider=provider, model=model)
        if self.hooks.listens("circuit_closed"):
            from aio_llm.event_records import CircuitClosed

            self.hooks.emit(CircuitClosed(provider=provider, model=model))

    def left(self, lease: Lease) -> None:
        """An attempt was left before its end, and is nobody's fault."""
        lane = lease.lane
        self.metrics.attempt(
            lane.provider, lane.model, lease.key.masked,
            outcome="cancelled", category=None, latency=self._clock.now() - lease.at,
        )  # fmt: skip

    def ended(self, run: Run, error: BaseException | None, *, quiet: bool = False) -> None:
        """A call has ended without its whole answer: in `error`, None for a stream that was left.
        `quiet`: only count it.
        """
        latency = self._clock.now() - run.trail.started
        cancelled = not isinstance(error, Exception) or isinstance(error, RequestCancelledError)
        category = "unknown"
        if error is not None and not cancelled:
            category = AIOError.classify(error).category.value
        self.metrics.failure(
            category,
            attempts=len(run.trail.attempts),
            waited=run.trail.waited,
            latency=latency,
            cancelled=cancelled,
        )
        if quiet:
            return
        if run.left_out and not run.trail.attempts:
            wait = error.retry_after if isinstance(error, AIOError) else None
            self._alerts.all_down(targets=run.left_out, free_in=wait)
        if self.hooks.listens("request_failed"):
            self._request_failed(run, error, category, latency, cancelled=cancelled)

    def _request_failed(
        self,
        run: Run,
        error: BaseException | None,
        category: str,
        latency: float,
        *,
        cancelled: bool,
    ) -> None:
        from aio_llm.event_records import RequestFailed

        self.hooks.emit(
            RequestFailed(
                request_id=run.request.request_id,
                category=category,
                error="" if error is None else type(error).__name__,
                message="left before its end"
                if error is None
                else redact(str(error), limit=20_000),
                latency=latency,
                attempts=len(run.trail.attempts),
                waited=run.trail.waited,
                cancelled=cancelled,
                stream=run.request.stream,
                metadata=run.request.metadata,
            )
        )


def _is_elsewhere(one: Attempt, other: Attempt) -> bool:
    return (one.provider, one.model, one.key) != (other.provider, other.model, other.key)


def _names(place: Place) -> tuple[str, str | None]:
    """The provider, and the model if the place is only one of its."""
    return place[1], place[2] if place[0] == Scope.MODEL.value else None
