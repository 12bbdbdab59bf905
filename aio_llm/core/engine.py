"""THE loop. Calls and streams are the same loop; a stream's "send" waits for its first output.

    take the best target that is free now -> send -> settle -> answer, or the next target

The engine alone decides, waits and counts; adapters translate. It sleeps only when nothing is
free, until the earliest target is, and is woken by cancel or by a call that frees something.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from aio_llm.cancel import CallAborted
from aio_llm.clock import Clock
from aio_llm.config import Settings
from aio_llm.core.choosing import Wait
from aio_llm.core.failure import failure
from aio_llm.core.key_state import Lease
from aio_llm.core.limits import ON_RELEASE
from aio_llm.core.policy import Next
from aio_llm.core.report import Report
from aio_llm.core.run import A, Run, Won
from aio_llm.core.scheduler import Scheduler, Verdict
from aio_llm.core.skips import skipped
from aio_llm.errors import (
    AIOError,
    RequestCancelledError,
    RequestTimeoutError,
    UnsupportedFeatureError,
)
from aio_llm.faults import Fault, Kind, Scope, without_secret
from aio_llm.providers.base import BaseProvider, Call, Target

if TYPE_CHECKING:
    from aio_llm.types import Attempt, ChatRequest, Usage


Send = Callable[[BaseProvider, "ChatRequest", Call], A]


class Engine:
    """Runs calls against the adapters of one configuration. Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        adapters: Mapping[str, BaseProvider],
        scheduler: Scheduler,
        clock: Clock,
        report: Report,
    ) -> None:
        self.report = report
        self.scheduler = scheduler
        self.clock = clock
        self._adapters = adapters
        self._timeouts = {p.label: p.timeout for p in settings.providers}

    def perform(self, run: Run, send: Send[A]) -> Won[A]:
        """Get an answer from the best target that has one; raises `AIOError`."""
        self._leave_out_who_lacks_it(run)
        spare: list[Won[A]] = []
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
        return spare[0]  # nobody did better than an empty answer

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
        is_for_capacity = not step.retry and not step.outage
        if is_for_capacity:
            budget = min(budget, run.max_wait - run.trail.waited)
        is_open_ended = step.behind or step.until == ON_RELEASE
        away = budget if is_open_ended else step.until - now
        if away > budget or budget <= 0 or away == math.inf:
            raise self._failed(run, now if is_open_ended else step.until)
        run.scope.deadline = run.deadline
        self.clock.sleep(min(step.wakes - now, budget), run.scope)
        if is_for_capacity:
            run.trail.waited += self.clock.now() - now

    def _attempt(self, run: Run, lease: Lease, send: Send[A], spare: list[Won[A]]) -> Won[A] | None:
        """One attempt at one target; None if the call goes on elsewhere."""
        if not self.scheduler.confirm(lease, run.route, run.trail, run.scope):
            return None  # other processes have used up what it needs
        started = self.clock.now()
        outcome = self._send(run, lease, send)
        step = _step(lease, self.clock.now() - started)
        lease.sent_at, lease.resent = run.scope.sent_at, run.scope.resent
        run.trail.attempts.append(step)
        if not isinstance(outcome, Fault):
            self._listen(run, lease)
            if not outcome.is_empty:
                if run.request.stream:
                    self.scheduler.begun(lease)
                return Won(outcome, lease, step)
            spare.append(Won(outcome, None, step))
            outcome = Fault(Kind.EMPTY, Scope.MODEL, "an empty answer", 200)
        if outcome.kind is Kind.CANCELLED or self._is_over(run, outcome):
            self.scheduler.give_up(lease, sent=run.scope.sent)
            self.note(run, lease, step, outcome, None)
            raise self._cancelled(run) if run.scope.cancelled else self._timed_out(run)
        verdict = self.scheduler.settle(lease, outcome, run.trail, sent=run.scope.sent)
        self._listen(run, lease)
        self.note(run, lease, step, outcome, verdict)
        run.last = outcome
        if verdict.rule.next is Next.STOP:
            raise self._failed(run, math.inf, stopped=True)
        return None

    def _listen(self, run: Run, lease: Lease) -> None:
        """Vendors say beside their answers how much of their limits is left."""
        if run.scope.answer is None:
            return
        target = self._target(lease)
        adapter = self._adapters[lease.lane.provider]
        said = adapter.allowances(Call(target, run.scope), self.clock.wall())
        if said:
            self.scheduler.hear(lease, said)

    @staticmethod
    def _target(lease: Lease) -> Target:
        return Target(lease.lane.provider, lease.lane.model, lease.key.masked, lease.key.secret)

    def _is_over(self, run: Run, outcome: Fault) -> bool:
        return outcome.kind is Kind.TIMEOUT and self.clock.now() >= run.deadline

    def _send(self, run: Run, lease: Lease, send: Send[A]) -> A | Fault:
        """Ask the target; whatever goes wrong comes back as a value."""
        key, target = lease.key, self._target(lease)
        adapter = self._adapter(lease)
        run.scope.sent, run.scope.resent, run.scope.answer = False, 0, None
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
            self.report.left(lease)
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

    def note(
        self, run: Run, lease: Lease, step: Attempt, fault: Fault, verdict: Verdict | None
    ) -> None:
        """Put what became of a failed attempt into the trail, and tell it."""
        step.outcome, step.kind, step.category = fault.kind.value, fault.kind, fault.category
        step.status, step.message, step.retry_after = fault.status, fault.message, fault.retry_after
        step.cooled_for = (verdict.rests or None) if verdict else None
        self.report.failed(run, lease, step, verdict)

    def _failed(self, run: Run, until: float, *, stopped: bool = False) -> AIOError:
        failed = [a for a in run.trail.attempts if a.kind is not None]
        now = self.clock.now()
        left_out = [] if stopped else skipped(self.scheduler, run.route, run.trail, now)
        run.left_out = len(left_out)
        tried = {(a.provider, a.model, a.key) for a in failed}
        return failure(
            run.trail.attempts,
            [s for s in left_out if (s.lane.provider, s.lane.model, s.key) not in tried],
            now=now,
            wall=self.clock.wall(),
            request_id=run.request.request_id,
            last=run.last,
            until=min([until, *(s.until for s in left_out)]),
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


def _step(lease: Lease, latency: float) -> Attempt:
    from aio_llm.types import Attempt  # answers' models load with the first answer

    lane = lease.lane
    return Attempt(provider=lane.provider, model=lane.model, key=lease.key.masked, latency=latency)


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


def tokens_used(usage: Usage | None) -> tuple[int, int] | None:
    """Tokens of the prompt and of the answer; None if the vendor does not say."""
    if usage is None or not usage.prompt_tokens:
        return None
    written = max(usage.completion_tokens, usage.total_tokens - usage.prompt_tokens)
    return usage.prompt_tokens, written
