"""What is said: requests, answers, chunks and the trail of attempts.

Answers have OpenAI's field names, so code written for its client reads them unchanged, plus
who answered and why. Nothing in here belongs to a vendor's SDK.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict

from aio_llm.faults import Category, Kind


class Record(BaseModel):
    """Base of everything an answer is made of; keeps fields a vendor adds."""

    model_config = ConfigDict(
        extra="allow", defer_build=True, protected_namespaces=(), ser_json_inf_nan="constants"
    )


class FunctionCall(Record):
    """What the model wants called; `arguments` is JSON text as the model wrote it."""

    name: str = ""
    arguments: str = "{}"


class ToolCall(Record):
    """One tool call of the model."""

    id: str | None = None
    type: str = "function"
    function: FunctionCall = FunctionCall.model_construct(name="", arguments="{}")
    index: int | None = None


class ChatMessage(Record):
    """One message of the model. `reasoning` is its thinking, never part of `content`."""

    role: str = "assistant"
    content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[ToolCall] | None = None


class TokenDetails(Record):
    """Parts of a token count; None where the vendor does not say."""

    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None


class Usage(Record):
    """Tokens of one answer. `cost` is USD as stated by the vendor, None if it states none."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_tokens_details: TokenDetails | None = None
    completion_tokens_details: TokenDetails | None = None
    cost: float | None = None


class Choice(Record):
    """One alternative. `finish_reason`: stop, length, tool_calls, content_filter or the
    vendor's own word; `native_finish_reason` is always the vendor's.
    """

    index: int = 0
    message: ChatMessage
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    logprobs: Any = None


class Attempt(Record):
    """One step of the trail: a target that was tried.

    `key` is masked. `latency` in seconds. `status` HTTP, None where no answer came.
    `outcome`: "ok" or the kind of fault; `cooled_for`: seconds the target rests because of it.
    """

    provider: str
    model: str
    key: str
    outcome: str = "ok"
    category: Category | None = None
    kind: Kind | None = None
    status: int | None = None
    message: str = ""
    latency: float = 0.0
    retry_after: float | None = None
    cooled_for: float | None = None

    def __str__(self) -> str:
        status = f" {self.status}" if self.status else ""
        rest = f", rests {self.cooled_for:.1f} s" if self.cooled_for else ""
        words = f": {self.message[:200]}" if self.message else ""
        return (
            f"{self.provider}/{self.model} {self.key} {self.outcome}{status}"
            f" ({self.latency:.2f} s{rest}){words}"
        )


class ChatCompletion(Record):
    """A whole answer, and who gave it.

    `provider`, `model`, `key` (masked): who answered. `attempts`: the trail, the answer last.
    `latency`: seconds of the whole call. `cost`: USD as stated by the vendor, None if unknown.
    """

    id: str = ""
    object: str = "chat.completion"
    created: int = 0
    model: str = ""
    choices: list[Choice]
    usage: Usage | None = None
    provider: str = ""
    key: str = ""
    attempts: list[Attempt] = []
    latency: float = 0.0
    request_id: str | None = None

    @property
    def content(self) -> str:
        """The text of the first choice; "" if it has none."""
        return (self.choices[0].message.content or "") if self.choices else ""

    @property
    def text(self) -> str:
        """The same as `content`."""
        return self.content

    @property
    def reasoning(self) -> str | None:
        """The thinking of the first choice, None if the vendor sent none."""
        return self.choices[0].message.reasoning if self.choices else None

    @property
    def tool_calls(self) -> list[ToolCall]:
        """The tool calls of the first choice."""
        return (self.choices[0].message.tool_calls or []) if self.choices else []

    @property
    def finish_reason(self) -> str | None:
        """Why the first choice ended."""
        return self.choices[0].finish_reason if self.choices else None

    @property
    def is_empty(self) -> bool:
        """Nothing was said at all: no text, no tool call, and not because of a limit."""
        return all(
            choice.finish_reason == "stop"
            and not choice.message.content
            and not choice.message.tool_calls
            and not choice.message.refusal
            and not (choice.message.model_extra or {}).get("vendor_parts")
            for choice in self.choices
        )

    @property
    def cost(self) -> float | None:
        """USD as stated by the vendor, None if it states none."""
        return self.usage.cost if self.usage else None

    def __str__(self) -> str:
        return self.content


class Delta(Record):
    """What a chunk adds to the message."""

    role: str | None = None
    content: str | None = None
    reasoning: str | None = None
    tool_calls: list[ToolCall] | None = None


class ChunkChoice(Record):
    """One alternative of a chunk."""

    index: int = 0
    delta: Delta
    finish_reason: str | None = None


class StreamChunk:
    """One piece of a streamed answer.

    `content` and `reasoning` are what this piece adds ("" if nothing). `done` is True on the
    last one, which carries `finish_reason` and `usage`. `restarted` is True on the piece that
    says: another target starts again from the beginning, forget the text so far.
    """

    __slots__ = (
        "content", "done", "finish_reason", "index", "logprobs", "native_finish_reason",
        "reasoning", "restarted", "tool_calls", "usage", "vendor",
    )  # fmt: skip

    def __init__(
        self,
        content: str = "",
        reasoning: str = "",
        finish_reason: str | None = None,
        index: int = 0,
    ) -> None:
        self.content = content
        self.reasoning = reasoning
        self.finish_reason = finish_reason
        self.index = index
        self.tool_calls: list[ToolCall] | None = None
        self.native_finish_reason: str | None = None
        self.logprobs: Any = None
        self.usage: Usage | None = None
        self.done = False
        self.restarted = False
        self.vendor: dict[str, Any] | None = None

    @property
    def choices(self) -> list[ChunkChoice]:
        """The piece in OpenAI's shape; empty for a piece that only says `restarted`."""
        if self.restarted:
            return []
        delta = Delta(
            content=self.content or None,
            reasoning=self.reasoning or None,
            tool_calls=self.tool_calls,
        )
        return [ChunkChoice(index=self.index, delta=delta, finish_reason=self.finish_reason)]

    @property
    def is_output(self) -> bool:
        """The caller would see something of this piece."""
        return bool(self.content or self.reasoning or self.tool_calls)

    def __repr__(self) -> str:
        parts = [f"content={self.content!r}"]
        parts += [f"{n}=True" for n in ("done", "restarted") if getattr(self, n)]
        return f"StreamChunk({', '.join(parts)})"


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One call, validated and frozen: the same for every target it is offered to.

    `messages`: OpenAI-shaped dicts. `options`: sampling and tool fields under OpenAI's names,
    only those given. `extra_body`: sent as it is. `messages_json`: the messages encoded once.
    """

    messages: tuple[dict[str, Any], ...]
    messages_json: bytes
    options: Mapping[str, Any] = field(default_factory=dict)
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    extra_headers: Mapping[str, str] = field(default_factory=dict)
    request_id: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    stream: bool = False
    made: dict[str, Any] = field(default_factory=dict, repr=False)
