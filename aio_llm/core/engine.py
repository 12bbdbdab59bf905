"""THE loop. Calls and streams are the same loop; a stream's "send" waits for its first output.

    take the best target that is free now -> send -> settle -> answer, or the next target

The engine alone decides, waits and counts; adapters translate. It sleeps only when nothing is
free, until the earliest target is, and is woken by cancel or by a call that frees something.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from aio_llm.cancel import CallAborted, CancelScope
from aio_llm.clock import Clock
from aio_llm.config import Settings
from aio_llm.core.events import tell
from aio_llm.core.failure import failure
from aio_llm.core.keys import Lease
from aio_llm.core.policy import Next
from aio_llm.core.routing import Route
from aio_llm.core.scheduler import Scheduler, Verdict, Wait
from aio_llm.core.trail import Trail
from aio_llm.errors import (
    AIOError,
    RequestCancelledError,
    RequestTimeoutError,
    UnsupportedFeatureError,
)
from aio_llm.faults import Fault, Kind, Scope, without_secret
from aio_llm.providers.base import BaseProvider, Call, Target

if TYPE_CHECKING:
    from aio_llm.types import Attempt, ChatRequest


class Answer(Protocol):
    """What a send gives: a completion, or a stream that has begun."""

    @property
    def is_empty(self) -> bool: ...


A = TypeVar("A", bound=Answer)
Send = Callable[[BaseProvider, "ChatRequest", Call], A]


@dataclass(slots=True)
class Run:
    """One call on its way: what it asks, whom, within which time (clock seconds; `began` is
    epoch seconds).
    """

    request: ChatRequest
    route: Route
    scope: CancelScope
    trail: Trail
    deadline: float
    max_wait: float
    began: float = 0.0
    last: Fault | None = None


@dataclass(slots=True)
class Won(Generic[A]):
    """The answer, and the lease it was given under (None: already settled)."""

    answer: A
    lease: Lease | None


class Engine:
    """Runs calls against the adapters of one configuration. Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        adapters: Mapping[str, BaseProvider],
        scheduler: Scheduler,
        clock: Clock,
    ) -> None:
        self.scheduler = scheduler
        self.clock = clock
        self._adapters = adapters
        self._timeouts = {p.label: p.timeout for p in settings.providers}
        self._said: set[tuple[str, str]] = set()

    def perform(self, run: Run, send: Send[A]) -> Won[A]:
        """Get an answer from the best target that has one; raises `AIOError`."""
        self._leave_out_who_lacks_it(run)
        spare: list[A] = []
        try:
            while True:
                self._still_wanted(run)
                step = self.scheduler.take(run.route, run.trail, run.scope)
                if isinstance(step, Lease):
                    won = self._attempt(run, step, send, spare)
                    if won is not None:
                        return won
                elif spare:
                    break
                else:
                    self._wait(run, step)
        except AIOError as error:
            if not spare or isinstance(error, RequestCancelledError):
                raise
        finally:
            self.scheduler.leave(run.route, run.scope)
        return Won(spare[0], None)  # nobody did better than an empty answer

    def _leave_out_who_lacks_it(self, run: Run) -> None:
        """Targets without a feature the request needs are not asked at all."""
        if not run.request.options:
            return
        lacking = {}
        for label in dict.fromkeys(lane.provider for lane in run.route.lanes):
            missing = self._adapters[label].unsupported(run.request)
            if missing is not None:
                lacking[label] = missing
        run.trail.excluded.update(lane for lane in run.route.lanes if lane.provider in lacking)
        if len(run.trail.excluded) == len(run.route.lanes):
            words = ", ".join(f"{label} has no {field!r}" for label, field in lacking.items())
            raise UnsupportedFeatureError(
                f"no target can do this: {words}; nothing was sent",
                request_id=run.request.request_id,
            )

    def _still_wanted(self, run: Run) -> None:
        if run.scope.cancelled:
            raise self._cancelled(run)
        if self.clock.now() >= run.deadline:
            raise self._timed_out(run)

    def _wait(self, run: Run, step: Wait) -> None:
        """Sleep until something is free; raise at once if that is too far away."""
        now = self.clock.now()
        budget = run.deadline - now
        if not step.retry:
            budget = min(budget, run.max_wait - run.trail.waited)
        away = budget if step.behind else step.until - now
        if away > budget or budget <= 0 or away == math.inf:
            raise self._failed(run, step.until)
        run.scope.deadline = run.deadline
        self.clock.sleep(away, run.scope)
        if not step.retry:
            run.trail.waited += self.clock.now() - now

    def _attempt(self, run: Run, lease: Lease, send: Send[A], spare: list[A]) -> Won[A] | None:
        """One attempt at one target; None if the call goes on elsewhere."""
        started = self.clock.now()
        outcome = self._send(run, lease, send)
        if not isinstance(outcome, Fault):
            if not outcome.is_empty:
                run.trail.attempts.append(self._step(lease, started))
                return Won(outcome, lease)
            spare.append(outcome)
            outcome = Fault(Kind.EMPTY, Scope.MODEL, "an empty answer", 200)
        if outcome.kind is Kind.CANCELLED or self._is_over(run, outcome):
            self.scheduler.give_up(lease, sent=run.scope.sent)
            self._note(run, lease, outcome, started, None)
            raise self._cancelled(run) if run.scope.cancelled else self._timed_out(run)
        verdict = self.scheduler.settle(lease, outcome, run.trail, sent=run.scope.sent)
        self._note(run, lease, outcome, started, verdict)
        run.last = outcome
        if verdict.rule.next is Next.STOP:
            raise self._failed(run, math.inf, stopped=True)
        return None

    def _is_over(self, run: Run, outcome: Fault) -> bool:
        return outcome.kind is Kind.TIMEOUT and self.clock.now() >= run.deadline

    def _send(self, run: Run, lease: Lease, send: Send[A]) -> A | Fault:
        """Ask the target; whatever goes wrong comes back as a value."""
        lane, key = lease.lane, lease.key
        adapter = self._adapter(lease)
        target = Target(lane.provider, lane.model, key.masked, key.secret)
        run.scope.sent = False
        run.scope.deadline = self.clock.now() + self._attempt_time(run, lease)
        try:
            with run.scope:
                return send(adapter, run.request, Call(target, run.scope))
        except CallAborted as aborted:
            return aborted_fault(aborted)
        except Exception as error:  # the one place where anything may come out of an SDK
            return read_fault(adapter, error, key.secret, sent=run.scope.sent)
        except BaseException:
            # Ctrl-C inside an SDK call: its connections may be in any state.
            adapter.reset()
            self.scheduler.give_up(lease, sent=run.scope.sent)
            raise

    def _adapter(self, lease: Lease) -> BaseProvider:
        try:
            return self._adapters[lease.lane.provider]
        except BaseException:  # a third party's factory; its lease must not be lost
            self.scheduler.give_up(lease, sent=False)
            raise

    def _attempt_time(self, run: Run, lease: Lease) -> float:
        """Seconds for one attempt: as configured, else half while there is somebody else."""
        left = run.deadline - self.clock.now()
        configured = self._timeouts[lease.lane.provider]
        if configured is not None:
            return min(configured, left)
        excluded = run.trail.excluded
        others = any(
            lane is not lease.lane and lane not in excluded and lane not in run.trail.setbacks
            for lane in run.route.lanes
        )
        return left / 2 if others else left

    def _step(
        self, lease: Lease, started: float, fault: Fault | None = None, rests: float | None = None
    ) -> Attempt:
        from aio_llm.types import Attempt  # answers' models load with the first answer

        lane = lease.lane
        latency = self.clock.now() - started
        step = Attempt(
            provider=lane.provider, model=lane.model, key=lease.key.masked, latency=latency
        )
        if fault is not None:
            step.outcome = fault.kind.value
            step.category, step.kind = fault.category, fault.kind
            step.status, step.message = fault.status, fault.message
            step.retry_after, step.cooled_for = fault.retry_after, rests or None
        return step

    def _note(
        self, run: Run, lease: Lease, fault: Fault, started: float, verdict: Verdict | None
    ) -> None:
        """Put a failed attempt into the trail and into the log."""
        rests = verdict.rests if verdict else None
        step = self._step(lease, started, fault, rests)
        run.trail.attempts.append(step)
        fields: dict[str, Any] = {
            "provider": step.provider,
            "model": step.model,
            "key_id": step.key,
            "category": fault.category.value,
            "latency": round(step.latency, 4),
            "attempt": len(run.trail.attempts),
            "request_id": run.request.request_id,
        }
        tell("WARNING", f"attempt failed: {step}", **fields)
        if verdict is None:
            return
        if verdict.disabled:
            tell("ERROR", f"key {step.key} is disabled: {verdict.disabled}", **fields)
        if verdict.sister:
            self._say_once(
                f"{step.provider}/{step.key}",
                f"keys {verdict.sister} and {step.key} share one quota; one group from now on",
                fields,
            )
        if fault.kind is Kind.MODEL_NOT_FOUND:
            self._say_once(
                f"{step.provider}/{step.model}", "this model is not there; out of use", fields
            )

    def _say_once(self, about: str, words: str, fields: dict[str, Any]) -> None:
        if (about, words) not in self._said:
            self._said.add((about, words))
            tell("ERROR", f"{about}: {words}", **fields)

    def _failed(self, run: Run, until: float, *, stopped: bool = False) -> AIOError:
        failed = [a for a in run.trail.attempts if a.kind is not None]
        skipped = [] if stopped else self.scheduler.skipped(run.route, run.trail)
        tried = {(a.provider, a.model, a.key) for a in failed}
        return failure(
            run.trail.attempts,
            [s for s in skipped if (s.lane.provider, s.lane.model, s.key) not in tried],
            now=self.clock.now(),
            wall=self.clock.wall(),
            request_id=run.request.request_id,
            last=run.last,
            until=min([until, *(s.until for s in skipped)]),
            stopped=stopped,
        )

    def _cancelled(self, run: Run) -> RequestCancelledError:
        return RequestCancelledError(
            f"request {run.request.request_id} was cancelled",
            attempts=run.trail.attempts,
            request_id=run.request.request_id,
        )

    def _timed_out(self, run: Run) -> RequestTimeoutError:
        spent = self.clock.now() - run.trail.started
        return RequestTimeoutError(
            f"no answer within {spent:.1f} s ({len(run.trail.attempts)} attempts)",
            attempts=run.trail.attempts,
            request_id=run.request.request_id,
        )


def read_fault(adapter: BaseProvider, error: BaseException, secret: str, *, sent: bool) -> Fault:
    """What came out of an adapter, without the key. What stumbled over an answer has met a bad
    answer; only before anything was sent can the request be at fault.
    """
    fault = without_secret(adapter.classify(error), secret)
    if sent and fault.status is None and fault.kind in (Kind.BAD_REQUEST, Kind.UNKNOWN):
        return replace(fault, kind=Kind.BAD_RESPONSE, scope=Scope.MODEL)
    return fault


def aborted_fault(aborted: CallAborted) -> Fault:
    """What the end of a call's scope means: cancelled, or out of time."""
    if aborted.reason == "cancelled":
        return Fault(Kind.CANCELLED, Scope.REQUEST, "cancelled")
    return Fault(Kind.TIMEOUT, Scope.PROVIDER, "no answer in the time given")
