"""A streamed answer put together: the same message a plain call would have given."""

from __future__ import annotations

from typing import Any

from aio_llm.types import ChatMessage, Choice, StreamChunk, ToolCall


class Assembly:
    """One choice of a streamed answer so far."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self._calls: list[ToolCall] = []
        self._logprobs: list[Any] = []
        self._vendor: dict[str, list[Any]] = {}

    def add(self, chunk: StreamChunk) -> None:
        """Put `chunk` at the end."""
        if chunk.content:
            self.texts.append(chunk.content)
        if chunk.reasoning:
            self.thoughts.append(chunk.reasoning)
        if chunk.tool_calls:
            _add_calls(self._calls, chunk.tool_calls)
        if chunk.logprobs:
            self._logprobs.append(chunk.logprobs)
        for name, items in (chunk.vendor or {}).items():
            if isinstance(items, list):
                self._vendor.setdefault(name, []).extend(items)

    def choice(self, ending: StreamChunk | None) -> Choice:
        """The choice as a plain call would have it. `ending`: the last chunk, if it came."""
        text = "".join(self.texts)
        message: dict[str, Any] = {
            "role": "assistant",
            "content": None if self._calls and not text else text,
            "reasoning": "".join(self.thoughts) or None,
            "tool_calls": self._calls or None,
            **self._vendor,
        }
        return Choice(
            index=self.index,
            message=ChatMessage.model_validate(message),
            finish_reason=ending.finish_reason if ending else None,
            native_finish_reason=ending.native_finish_reason if ending else None,
            logprobs=_join(self._logprobs),
        )


def _join(pieces: list[Any]) -> Any:
    """Log probabilities of all pieces in one, list by list."""
    joined: dict[str, Any] = {}
    for piece in pieces:
        if not isinstance(piece, dict):
            return pieces
        for name, value in piece.items():
            if isinstance(value, list):
                joined.setdefault(name, []).extend(value)
            else:
                joined.setdefault(name, value)
    return joined or None


def _add_calls(calls: list[ToolCall], pieces: list[ToolCall]) -> None:
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
