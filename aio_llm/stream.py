"""A streamed answer as an object: iterate it, leave it, cancel it from any thread.

A plain generator cannot be stopped from another thread while it is blocked; this can. The
request was sent, and fell over to other targets if it had to, before this object existed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from aio_llm.cancel import CallAborted
from aio_llm.core.engine import Engine, Run, Won, aborted_fault
from aio_llm.core.keys import Lease
from aio_llm.errors import AIOError, RequestCancelledError, StreamInterruptedError
from aio_llm.faults import ErrorInfo, Fault, Kind, Scope, without_secret
from aio_llm.options import OnInterrupt
from aio_llm.providers.base import BaseProvider, Call
from aio_llm.types import (
    Attempt,
    ChatCompletion,
    ChatMessage,
    ChatRequest,
    Choice,
    StreamChunk,
    ToolCall,
    Usage,
)


class OpenedStream:
    """A stream whose first output has arrived; what a stream's "send" gives the engine."""

    def __init__(self, adapter: BaseProvider, request: ChatRequest, call: Call) -> None:
        self.adapter = adapter
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
        self._ended = False
        self._closed = False
        self._time = run.deadline - run.trail.started
        self._begin(won)

    def _begin(self, won: Won[OpenedStream]) -> None:
        self._opened = won.answer
        self._lease: Lease | None = won.lease
        self._head = list(won.answer.head)
        self._texts: dict[int, list[str]] = {}
        self._thoughts: dict[int, list[str]] = {}
        self._calls: dict[int, list[ToolCall]] = {}
        self._last: StreamChunk | None = None
        self._run.scope.deadline = float("inf")
        self._run.scope.pause = self._idle

    def __iter__(self) -> ChatStream:
        return self

    def __next__(self) -> StreamChunk:
        if self._ended:
            raise StopIteration
        with self._reading:
            outcome = self._read()
        if isinstance(outcome, StreamChunk):
            return outcome
        if outcome is None:
            raise StopIteration
        return self._broken(outcome)

    def _read(self) -> StreamChunk | Fault | None:
        """The next chunk, the fault that ended the stream, or None after its end."""
        if self._ended:
            return None
        if self._run.scope.cancelled:
            return Fault(Kind.CANCELLED, Scope.REQUEST)
        try:
            if self._head:
                return self._taken(self._head.pop(0))
            with self._run.scope:
                chunk = next(self._opened.chunks)
            return self._taken(chunk)
        except StopIteration:
            self._end(None)
            return None
        except CallAborted as aborted:
            return aborted_fault(aborted)
        except Exception as error:  # as in the engine: anything may come out of an SDK
            fault = self._opened.adapter.classify(error)
            return without_secret(fault, self._lease.key.secret) if self._lease else fault
        except BaseException:
            self._opened.adapter.reset()
            self._abandon()
            raise

    def _taken(self, chunk: StreamChunk) -> StreamChunk:
        if chunk.content:
            self._texts.setdefault(chunk.index, []).append(chunk.content)
        if chunk.reasoning:
            self._thoughts.setdefault(chunk.index, []).append(chunk.reasoning)
        if chunk.tool_calls:
            _assemble(self._calls.setdefault(chunk.index, []), chunk.tool_calls)
        if chunk.done:
            self._last = chunk
            # Whatever is left on the wire is read now, so that the connection lives on.
            with self._run.scope:
                for _ in self._opened.chunks:
                    pass
            self._end(None)
        return chunk

    def _broken(self, fault: Fault) -> StreamChunk:
        """The stream broke: cancelled, or interrupted; start again if that was asked for."""
        cancelled = fault.kind is Kind.CANCELLED or self._run.scope.cancelled
        if cancelled:
            self._abandon()
            raise RequestCancelledError(
                f"request {self._run.request.request_id} was cancelled",
                attempts=self._run.trail.attempts,
                request_id=self._run.request.request_id,
            )
        self._settle(fault)
        if self._on_interrupt == "restart":
            return self._restart(fault)
        self._over()
        raise self._interrupted(fault)

    def _settle(self, fault: Fault) -> None:
        """The attempt that looked good has failed after all."""
        self._opened.close()
        lease, self._lease = self._lease, None
        if lease is None:
            return
        verdict = self._engine.scheduler.settle(lease, fault, self._run.trail, sent=True)
        step = self._run.trail.attempts[-1]
        step.outcome, step.kind, step.category = fault.kind.value, fault.kind, fault.category
        step.message, step.status = fault.message, fault.status
        step.cooled_for = verdict.rests or None

    def _restart(self, fault: Fault) -> StreamChunk:
        """Another target begins from the start; the marker chunk says so."""
        run = self._run
        run.scope.pause = float("inf")
        run.deadline = self._engine.clock.now() + self._time
        failed: AIOError | None = None
        try:
            won = self._engine.perform(run, OpenedStream)
        except AIOError as error:
            failed = error
        if failed is not None:
            self._over()
            if isinstance(failed, RequestCancelledError):
                raise failed
            raise self._interrupted(fault)
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

    def _end(self, fault: Fault | None) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            self._engine.scheduler.succeed(lease)
        self._over()

    def _abandon(self) -> None:
        """Left before the end: hang up, nobody's fault."""
        self._opened.close()
        lease, self._lease = self._lease, None
        if lease is not None:
            self._engine.scheduler.give_up(lease, sent=True)
        self._over()

    def _over(self) -> None:
        if not self._ended:
            self._ended = True
            self._finish()

    def cancel(self) -> None:
        """Stop now, from any thread; a reader blocked in `next()` gets RequestCancelledError."""
        self._run.scope.cancel()
        self.close()

    def close(self) -> None:
        """Stop and hang up; idempotent, from any thread."""
        if self._ended:
            return
        self._run.scope.cancel()
        if self._reading.acquire(blocking=False):
            try:
                if not self._ended:
                    self._abandon()
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
        if hasattr(self, "_ended"):
            self.close()

    @property
    def text(self) -> str:
        """The text of the first choice so far."""
        return "".join(self._texts.get(0, ()))

    @property
    def reasoning(self) -> str:
        """The thinking of the first choice so far."""
        return "".join(self._thoughts.get(0, ()))

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
        return self.attempts[-1].provider

    @property
    def model(self) -> str:
        """Which model answers."""
        return self.attempts[-1].model

    @property
    def key(self) -> str:
        """Which key is used, masked."""
        return self.attempts[-1].key

    @property
    def request_id(self) -> str:
        """The name this call can be cancelled by."""
        return self._run.request.request_id

    @property
    def response(self) -> ChatCompletion:
        """The whole answer; reads the rest of the stream first if there is any."""
        for _ in self:
            pass
        indexes = sorted({0, *self._texts, *self._thoughts, *self._calls})
        return ChatCompletion(
            id=self.request_id,
            created=int(self._run.began),
            model=self.model,
            provider=self.provider,
            key=self.key,
            choices=[self._choice(index) for index in indexes],
            usage=self.usage,
            attempts=self.attempts,
            latency=self._engine.clock.now() - self._run.trail.started,
            request_id=self.request_id,
        )

    def _choice(self, index: int) -> Choice:
        message = ChatMessage(
            content="".join(self._texts.get(index, ())),
            reasoning="".join(self._thoughts.get(index, ())) or None,
            tool_calls=self._calls.get(index),
        )
        last = self._last
        return Choice(
            index=index,
            message=message,
            finish_reason=last.finish_reason if last else None,
            native_finish_reason=last.native_finish_reason if last else None,
        )

    def text_chunks(self) -> Iterator[str]:
        """Only the pieces of text."""
        for chunk in self:
            if chunk.content:
                yield chunk.content

    def __repr__(self) -> str:
        state = "ended" if self._ended else "open"
        return f"ChatStream({self.provider}/{self.model}, {state}, {len(self.text)} characters)"


def _assemble(calls: list[ToolCall], pieces: list[ToolCall]) -> None:
    """Put pieces of tool calls together by index, by id where a vendor sends no index."""
    for piece in pieces:
        known = _find(calls, piece)
        if known is None:
            made: dict[str, Any] = piece.model_dump()
            made["index"] = len(calls) if piece.index is None else piece.index
            calls.append(ToolCall.model_validate(made))
            continue
        known.function.name = known.function.name or piece.function.name
        known.function.arguments += piece.function.arguments
        known.id = known.id or piece.id


def _find(calls: list[ToolCall], piece: ToolCall) -> ToolCall | None:
    for call in calls:
        same_id = piece.id is None or call.id is None or call.id == piece.id
        if piece.index is None:
            if piece.id is not None and call.id == piece.id:
                return call
        elif call.index == piece.index and same_id:
            return call
    if piece.index is None and piece.id is None and calls and not piece.function.name:
        return calls[-1]
    return None
