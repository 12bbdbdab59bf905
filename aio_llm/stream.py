"""A streamed answer as an object: iterate it, leave it, cancel it from any thread.

A plain generator cannot be stopped from another thread while it is blocked; this can. The
request was sent, and fell over to other targets if it had to, before this object existed.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TypeVar

from aio_llm.assembly import Assembly
from aio_llm.cancel import CallAborted
from aio_llm.core.availability import Place
from aio_llm.core.engine import Engine, aborted_fault, read_fault, tokens_used
from aio_llm.core.key_state import Lease
from aio_llm.core.run import Run, Won
from aio_llm.errors import AIOError, RequestCancelledError, StreamInterruptedError
from aio_llm.faults import ErrorInfo, Fault, Kind, Scope
from aio_llm.options import OnInterrupt
from aio_llm.providers.base import BaseProvider, Call
from aio_llm.types import (
    Attempt,
    ChatCompletion,
    ChatRequest,
    StreamChunk,
    Usage,
)

E = TypeVar("E", bound=BaseException)


class OpenedStream:
    """A stream whose first output has arrived; what a stream's "send" gives the engine."""

    def __init__(self, adapter: BaseProvider, request: ChatRequest, call: Call) -> None:
        self.adapter = adapter
        self.target = call.target
        self.chunks = adapter.stream(request, call)
        self.head: list[StreamChunk] = []
        for chunk in self.chunks:
            self.head.append(chunk)
            if chunk.is_output or chunk.done:
                break

    @property
    def is_empty(self) -> bool:
        """It ended without any output, and not because of a limit or a filter."""
        last = self.head[-1] if self.head else None
        ended = last is None or (last.done and last.finish_reason in ("stop", None))
        return ended and not any(chunk.is_output for chunk in self.head)

    def close(self) -> None:
        """Hang up."""
        close = getattr(self.chunks, "close", None)
        if close is not None:
            close()


class ChatStream:
    """Chunks of one answer. Iterate it once; a context manager; `close()` and `cancel()` may be
    called from any thread. Raises `StreamInterruptedError` if it breaks after output.
    """

    _ended = True

    def __init__(
        self,
        engine: Engine,
        run: Run,
        won: Won[OpenedStream],
        *,
        idle_timeout: float,
        on_interrupt: OnInterrupt,
        finish: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._run = run
        self._idle = idle_timeout
        self._on_interrupt = on_interrupt
        self._finish = finish
        self._reading = threading.Lock()
        self._time = run.deadline - run.trail.started
        self._first_token = engine.clock.now() - run.trail.started
        self._begin(won)
        self._ended = False

    def _begin(self, won: Won[OpenedStream]) -> None:
        self._won = won
        self._opened = won.answer
        self._lease: Lease | None = won.lease
        self._head = list(won.answer.head)
        self._choices: dict[int, Assembly] = {0: Assembly(0)}
        self._last: StreamChunk | None = None
        self._run.scope.deadline = math.inf

    def __iter__(self) -> ChatStream:
        return self

    def __next__(self) -> StreamChunk:
        if self._ended:
            raise StopIteration
        with self._reading:  # all of it: closing from another thread must find it in order
            outcome = self._read()
            if isinstance(outcome, Fault):
                outcome = self._broken(outcome)
        if outcome is None:
            raise StopIteration
        return outcome

    def _read(self) -> StreamChunk | Fault | None:
        """The next chunk, the fault that ended the stream, or None after its end."""
        if self._ended:
            return None
        if self._run.scope.cancelled:
            return Fault(Kind.CANCELLED, Scope.REQUEST)
        scope = self._run.scope
        try:
            if self._head:
                return self._taken(self._head.pop(0))
            scope.deadline = scope.now() + self._idle  # comments and pings are no chunk
            with scope:
                chunk = next(self._opened.chunks)
            return self._taken(chunk)
        except StopIteration:
            self._end()
            return None
        except CallAborted as aborted:
            return aborted_fault(aborted)
        except Exception as error:  # as in the engine: anything may come out of an SDK
            return read_fault(self._opened.adapter, error, self._opened.target.secret, sent=True)
        except BaseException as error:
            if not self._ended:  # else it came out of a handler, after the end
                self._opened.adapter.reset()
                self._abandon(error)
            raise

    def _taken(self, chunk: StreamChunk) -> StreamChunk:
        choice = self._choices.get(chunk.index)
        if choice is None:
            choice = self._choices[chunk.index] = Assembly(chunk.index)
        choice.add(chunk)
        if chunk.done:
            self._last = chunk
            # Whatever is left on the wire is read now, so that the connection lives on.
            with self._run.scope:
                for _ in self._opened.chunks:
                    pass
            self._end()
        return chunk

    def _broken(self, fault: Fault) -> StreamChunk:
        """The stream broke: cancelled, or interrupted; start again if that was asked for."""
        cancelled = fault.kind is Kind.CANCELLED or self._run.scope.cancelled
        if cancelled:
            error = RequestCancelledError(
                f"request {self._run.request.request_id} was cancelled",
                attempts=self._run.trail.attempts,
                request_id=self._run.request.request_id,
            )
            self._abandon(error)
            raise error
        self._settle(fault)
        if self._on_interrupt == "restart":
            return self._restart(fault)
        raise self._failed(self._interrupted(fault))

    def _settle(self, fault: Fault) -> None:
        """The attempt that looked good has failed after all."""
        self._opened.close()
        lease, self._lease = self._lease, None
        if lease is None:
            return
        verdict = self._engine.scheduler.settle(lease, fault, self._run.trail, sent=True)
        step = self._won.step
        step.latency = self._engine.clock.now() - lease.at
        self._engine.note(self._run, lease, step, fault, verdict)

    def _restart(self, fault: Fault) -> StreamChunk:
        """Another target begins from the start; the marker chunk says so."""
        run = self._run
        run.deadline = self._engine.clock.now() + self._time
        failed: AIOError | None = None
        try:
            won = self._engine.perform(run, OpenedStream)
        except AIOError as error:
            failed = error
        except BaseException as error:
            self._failed(error)
            raise
        if failed is not None:
            is_cancelled = isinstance(failed, RequestCancelledError)
            raise self._failed(failed if is_cancelled else self._interrupted(fault))
        self._begin(won)
        marker = StreamChunk()
        marker.restarted = True
        return marker

    def _interrupted(self, fault: Fault) -> StreamInterruptedError:
        error = StreamInterruptedError(
            f"the stream of {self.provider}/{self.model} broke after {len(self.text)} characters"
            f" ({fault.kind.value}: {fault.message}); the text so far is in .partial",
            attempts=self._run.trail.attempts,
            info=ErrorInfo.of(fault),
            request_id=self._run.request.request_id,
        )
        error.partial = self.text
        return error

    def _failed(self, error: E) -> E:
        self._over()
        self._engine.report.ended(self._run, error)
        return error

    def _end(self) -> None:
        lease, self._lease = self._lease, None
        closed: tuple[Place, ...] = ()
        if lease is not None:
            closed = self._engine.scheduler.succeed(lease, tokens_used(self.usage))
        self._over()
        self._engine.report.answered(
            self._run, self._won, self.usage, closed=closed, first_token=self._first_token
        )

    def _abandon(self, error: BaseException | None, *, quiet: bool = False) -> None:
        """Left before the end: hang up, nobody's fault."""
        self._opened.close()
        lease, self._lease = self._lease, None
        if lease is not None:
            self._engine.scheduler.give_up(lease, sent=True)
            self._engine.report.left(lease)
        self._over()
        self._engine.report.ended(self._run, error, quiet=quiet)

    def _over(self) -> None:
        self._ended = True
        self._finish()

    def cancel(self) -> None:
        """Stop now, from any thread; a reader blocked in `next()` gets RequestCancelledError."""
        self._run.scope.cancel()
        self.close()

    def close(self) -> None:
        """Stop and hang up; idempotent, from any thread."""
        self._leave()

    def _leave(self, *, quiet: bool = False) -> None:
        if self._ended:
            return
        self._run.scope.cancel()
        if self._reading.acquire(blocking=False):
            try:
                if not self._ended:
                    self._abandon(None, quiet=quiet)
            finally:
                self._reading.release()

    def __enter__(self) -> ChatStream:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # It may run while its thread holds any lock: nobody is told then.
        self._leave(quiet=True)

    @property
    def text(self) -> str:
        """The text of the first choice so far."""
        return "".join(self._choices[0].texts)

    @property
    def reasoning(self) -> str:
        """The thinking of the first choice so far."""
        return "".join(self._choices[0].thoughts)

    @property
    def usage(self) -> Usage | None:
        """Tokens, once the stream has ended; None if the vendor does not say."""
        return self._last.usage if self._last else None

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ended, None before the end."""
        return self._last.finish_reason if self._last else None

    @property
    def attempts(self) -> list[Attempt]:
        """The trail, the target that answers last."""
        return self._run.trail.attempts

    @property
    def provider(self) -> str:
        """Who answers."""
        return self._opened.target.provider

    @property
    def model(self) -> str:
        """Which model answers."""
        return self._opened.target.model

    @property
    def key(self) -> str:
        """Which key is used, masked."""
        return self._opened.target.key

    @property
    def request_id(self) -> str:
        """The name this call can be cancelled by."""
        return self._run.request.request_id

    @property
    def response(self) -> ChatCompletion:
        """The whole answer; reads the rest of the stream first if there is any."""
        for _ in self:
            pass
        served = (self._last.vendor or {}) if self._last else {}
        whole = {
            "id": self.request_id,
            "created": int(self._run.began),
            "model": self.model,
            "provider": self.provider,
            "key": self.key,
            "choices": [self._choices[i].choice(self._last) for i in sorted(self._choices)],
            "usage": self.usage,
            "attempts": self.attempts,
            "latency": self._engine.clock.now() - self._run.trail.started,
            "request_id": self.request_id,
            "served_model": served.get("served_model"),
        }
        return ChatCompletion.model_validate(whole)

    def text_chunks(self) -> Iterator[str]:
        """Only the pieces of text."""
        for chunk in self:
            if chunk.content:
                yield chunk.content

    def __repr__(self) -> str:
        state = "ended" if self._ended else "open"
        return f"ChatStream({self.provider}/{self.model}, {state}, {len(self.text)} characters)"
