"""The chat-completions format that OpenRouter, Groq and Cerebras share."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

from aio_llm.simulator.answers import blank, pieces, tokens
from aio_llm.simulator.http1 import compact_json
from aio_llm.simulator.records import Answer, Ask, Event, HttpRequest, Json, Problem, Route
from aio_llm.simulator.vendor import Vendor, token_limit_is_sane

DONE = Event("done", b"data: [DONE]\n\n")
CHUNK = "chat.completion.chunk"


class OpenAILike(Vendor):
    """Reads requests and builds bodies and events; vendors override the details."""

    api: ClassVar[str]
    most_answers: ClassVar[int] = 128
    has_logprobs: ClassVar[bool] = True

    def route(self, method: str, path: str) -> Route:
        """Chat completions and the list of models."""
        if method == "POST" and path == f"{self.api}/chat/completions":
            return Route("chat")
        if method == "GET" and path == f"{self.api}/models":
            return Route("models")
        return Route("unknown")

    def key_of(self, request: HttpRequest) -> str:
        """The bearer token."""
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        return key.strip() if scheme.lower() == "bearer" else ""

    def read(self, ask: Ask, body: Json) -> None:
        """Model, texts and options of a chat request."""
        ask.model = str(body.get("model") or "")
        ask.stream = body.get("stream") is True
        messages = body.get("messages")
        ask.readable = isinstance(messages, list) and bool(messages)
        texts = [(m.get("role"), _text(m.get("content"))) for m in _records(messages)]
        ask.text = next((text for role, text in reversed(texts) if role == "user"), "")
        ask.prompt_tokens = tokens("".join(text for _, text in texts))
        ask.max_tokens = body.get("max_completion_tokens", body.get("max_tokens"))
        ask.n = 1 if body.get("n") is None else body["n"]
        ask.tools = tuple(_tool_names(body.get("tools")))
        ask.logprobs = bool(body.get("logprobs"))
        ask.include_usage = bool((body.get("stream_options") or {}).get("include_usage"))
        kind = (body.get("response_format") or {}).get("type", "text")
        ask.json_mode = kind in ("json_object", "json_schema")

    def complaint(self, ask: Ask) -> str | None:
        """Missing messages and options out of range."""
        if not ask.readable:
            return "400"
        if not token_limit_is_sane(ask.max_tokens):
            return "bad_max_tokens"
        if not isinstance(ask.n, int) or not 1 <= ask.n <= self.most_answers:
            return "bad_n"
        return "bad_logprobs" if ask.logprobs and not self.has_logprobs else None

    def sse(self, body: Json) -> bytes:
        """`data:` and an empty line."""
        return b"data: %b\n\n" % compact_json(body)

    def model_list(self) -> Json:
        """OpenAI's list shape."""
        return {"object": "list", "data": [self.model_entry(model) for model in self.models]}

    def body(self, answer: Answer) -> Json:
        """A chat.completion."""
        choices = [self.choice(answer, index) for index in range(answer.ask.n)]
        return self.envelope(answer, "chat.completion", choices) | self.closing(answer)

    def choice(self, answer: Answer, index: int) -> Json:
        """One choice of a plain answer."""
        message: Json = {"role": "assistant", "content": answer.text or None}
        message |= self.thinking(answer.reasoning) if answer.reasoning else {}
        if answer.tool:
            call = {"name": answer.tool, "arguments": answer.tool_arguments}
            identity = tool_id(answer, index)
            message["tool_calls"] = [{"id": identity, "type": "function", "function": call}]
        logprobs = _logprobs(answer.pieces) if answer.ask.logprobs else None
        return {"index": index, "message": message} | self.ending(answer.finish, logprobs)

    def events(self, answer: Answer) -> list[Event]:
        """Opening, role, reasoning, text or tool call, finish, usage, terminator."""
        events = [self._event("role", answer, i, self.role()) for i in range(answer.ask.n)]
        for index in range(answer.ask.n):
            events += self._output(answer, index)
        events += [self.finish_event(answer, index) for index in range(answer.ask.n)]
        return [*self.opening(answer), *events, *self.usage_events(answer), DONE]

    def _output(self, answer: Answer, index: int) -> list[Event]:
        thoughts = [self.thinking(part) for part in pieces(answer.reasoning, 2)]
        deltas = [*thoughts, *self._tool_deltas(answer, index)]
        events = [self._event("content", answer, index, delta) for delta in deltas]
        for part in answer.pieces:
            logprobs = _logprobs((part,)) if answer.ask.logprobs else None
            events.append(self._event("content", answer, index, {"content": part}, logprobs))
        return events

    def _tool_deltas(self, answer: Answer, index: int) -> list[Json]:
        if not answer.tool:
            return []
        start = {"name": answer.tool, "arguments": ""}
        first: Json = {"index": 0, "id": tool_id(answer, index), "type": "function"}
        calls = [first | {"function": start}]
        parts = pieces(answer.tool_arguments, 3)
        calls += [{"index": 0, "function": {"arguments": part}} for part in parts]
        return [{"tool_calls": [call]} for call in calls]

    def _event(
        self, kind: str, answer: Answer, index: int, delta: Json, logprobs: Json | None = None
    ) -> Event:
        choice = {"index": index, "delta": delta} | self.ending(None, logprobs)
        extra = self.first_extra(answer) if kind == "role" else {}
        return Event(kind, self.sse(self.envelope(answer, CHUNK, [choice]) | extra))

    def finish_event(self, answer: Answer, index: int) -> Event:
        """The chunk with the finish reason."""
        choice: Json = {"index": index, "delta": {}} | self.ending(answer.finish, None)
        extra = self.finish_extra(answer)
        return Event("finish", self.sse(self.envelope(answer, CHUNK, [choice]) | extra))

    def usage_events(self, answer: Answer) -> list[Event]:
        """The chunk without choices, when it was asked for."""
        if not answer.ask.include_usage:
            return []
        body = self.envelope(answer, CHUNK, []) | self.closing(answer)
        return [Event("usage", self.sse(body))]

    def stream_error(self, ask: Ask, problem: Problem) -> bytes:
        """The error's body as an event."""
        return self.sse(problem.body) if isinstance(problem.body, dict) else b""

    def finish_error(self, ask: Ask) -> Json:
        """A choice that ends with `finish_reason: "error"`."""
        answer = blank(ask, "error")
        part = {"delta": {"content": ""}}
        if not ask.stream:
            part = {"message": {"role": "assistant", "content": "partial output"}}
        error = {"code": 502, "message": "Provider disconnected mid-stream"}
        error |= {"metadata": {"error_type": "provider_unavailable"}}
        choice = {"index": 0} | part | self.ending("error", None) | {"error": error}
        return self.envelope(answer, CHUNK if ask.stream else "chat.completion", [choice])

    def opening(self, answer: Answer) -> list[Event]:
        """Events before the first chunk."""
        return []

    def role(self) -> Json:
        """The delta of the first chunk."""
        return {"role": "assistant", "content": ""}

    def first_extra(self, answer: Answer) -> Json:
        """What the first chunk carries besides its choice."""
        return {}

    def finish_extra(self, answer: Answer) -> Json:
        """What the finish chunk carries besides its choice."""
        return {}

    def thinking(self, text: str) -> Json:
        """Reasoning as fields of a message or delta."""
        return {"reasoning": text}

    @abstractmethod
    def envelope(self, answer: Answer, kind: str, choices: list[Json]) -> Json:
        """The object around the choices."""

    @abstractmethod
    def closing(self, answer: Answer) -> Json:
        """Usage and what else the vendor puts at the end."""

    @abstractmethod
    def ending(self, finish: str | None, logprobs: Json | None) -> Json:
        """Finish reason and log-probabilities of a choice."""

    @abstractmethod
    def model_entry(self, model: str) -> Json:
        """One entry of the list of models."""


def tool_id(answer: Answer, index: int) -> str:
    """An id for the tool call of one choice."""
    return f"call_{answer.ask.serial:x}_{index}"


def completion_id(serial: int) -> str:
    """An id in the form `chatcmpl-<uuid>`."""
    return f"chatcmpl-{serial:08x}-5151-4a2e-a4e4-{serial:012x}"


def _records(value: object) -> list[Json]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    return "".join(str(part.get("text", "")) for part in _records(content))


def _tool_names(tools: object) -> list[str]:
    return [str((tool.get("function") or {}).get("name", "")) for tool in _records(tools)]


def _logprobs(parts: tuple[str, ...]) -> Json:
    content: list[dict[str, Any]] = [
        {
            "token": part,
            "bytes": list(part.encode()),
            "logprob": -0.125 * (number + 1),
            "top_logprobs": [{"token": part, "bytes": list(part.encode()), "logprob": -0.125}],
        }
        for number, part in enumerate(parts)
    ]
    return {"content": content, "refusal": None}


def seconds_text(wait: float) -> str:
    """A header value in seconds with all its digits."""
    return repr(float(wait)) if math.isfinite(wait) else "0"
