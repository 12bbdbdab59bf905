"""Google AI's wire format: candidates and parts, CRLF between events, no [DONE]."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import parse_qs, unquote

from aio_llm.simulator.answers import blank, pieces, tokens
from aio_llm.simulator.google_errors import ROWS, SPECIAL
from aio_llm.simulator.records import Answer, Ask, Case, Event, HttpRequest, Json, Problem, Route
from aio_llm.simulator.vendor import Row, Special, Vendor, token_limit_is_sane

_PATH = re.compile(r"/(?:v1|v1beta|v1alpha)/models(?:/([^:]+)(?::(\w+))?)?")
_METHODS = {"generateContent": False, "streamGenerateContent": True}
_MOST_CANDIDATES = 8
_FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP"}


class GoogleAI(Vendor):
    """Google AI (Gemini API)."""

    name = "google-ai"
    base = "/google-ai"
    priority = 80
    models = ("gemini-2.5-flash", "gemini-2.5-flash-lite")
    key_prefix = "AIza"
    key_length = 39
    day_wait = 20.0
    rows: ClassVar[Mapping[str, Row]] = ROWS
    special: Mapping[str, Special] = SPECIAL

    def route(self, method: str, path: str) -> Route:
        """generateContent, streamGenerateContent and the list of models."""
        found = _PATH.fullmatch(path)
        if found is None:
            return Route("unknown")
        model, verb = unquote(found[1] or ""), found[2]
        if method == "GET" and not verb:
            return Route("models", model)
        if method == "POST" and verb in _METHODS:
            return Route("chat", model, _METHODS[verb])
        return Route("unknown")

    def key_of(self, request: HttpRequest) -> str:
        """The header, or `key=` in the query."""
        key = request.headers.get("x-goog-api-key", "")
        return key or parse_qs(request.query).get("key", [""])[0]

    def read(self, ask: Ask, body: Json) -> None:
        """Texts and options; model and streaming are in the path."""
        contents = body.get("contents")
        ask.readable = isinstance(contents, list) and bool(contents)
        turns = [turn for turn in contents or () if isinstance(turn, dict)]
        system = _text(body.get("systemInstruction") or {})
        texts = [(turn.get("role", "user"), _text(turn)) for turn in turns]
        ask.text = next((text for role, text in reversed(texts) if role == "user"), "")
        ask.prompt_tokens = tokens(system + "".join(text for _, text in texts))
        ask.tools = tuple(_tool_names(body.get("tools") or []))
        config = body.get("generationConfig") or {}
        ask.max_tokens = config.get("maxOutputTokens")
        ask.n = config.get("candidateCount", 1)
        ask.logprobs = bool(config.get("responseLogprobs"))
        ask.json_mode = config.get("responseMimeType") == "application/json"

    def complaint(self, ask: Ask) -> str | None:
        """Missing contents and options out of range."""
        if not ask.readable:
            return "400"
        if not token_limit_is_sane(ask.max_tokens):
            return "bad_max_tokens"
        return None if isinstance(ask.n, int) and 1 <= ask.n <= _MOST_CANDIDATES else "bad_n"

    def from_row(self, row: Row, case: Case) -> Problem:
        """`{"error": {"code", "message", "status"}}`."""
        message = row.message.format(model=case.model, path=case.path)
        return Problem(
            row.status, {"error": {"code": row.status, "message": message, "status": row.type}}
        )

    def encode(self, body: Json) -> bytes:
        """Google indents its JSON."""
        return (json.dumps(body, ensure_ascii=False, indent=2) + "\n").encode("utf-8", "replace")

    def headers(self, content_type: str, serial: int) -> bytes:
        """Google's own."""
        kind = f"{content_type}; charset=UTF-8" if content_type.endswith("json") else content_type
        inline = "content-disposition: attachment\r\n" if "event" in content_type else ""
        return (
            f"content-type: {kind}\r\n{inline}vary: Origin\r\nvary: X-Origin\r\nvary: Referer\r\n"
            f"date: {self.date()}\r\nserver: scaffolding on HTTPServer2\r\n"
            "x-xss-protection: 0\r\nx-frame-options: SAMEORIGIN\r\n"
            "x-content-type-options: nosniff\r\nserver-timing: gfet4t7; dur=392\r\n"
            'x-gemini-service-tier: standard\r\nalt-svc: h3=":443"; ma=2592000\r\n'
        ).encode()

    def body(self, answer: Answer) -> Json:
        """Candidates with all their parts."""
        parts = _thoughts(answer, 1) + _texts(answer.text) + _calls(answer)
        finish = _FINISH[answer.finish]
        candidates = [self._candidate(i, parts, finish, answer) for i in range(answer.ask.n)]
        return self._envelope(answer, candidates, answer.completion_tokens)

    def _candidate(self, index: int, parts: list[Json], finish: str | None, answer: Answer) -> Json:
        content: Json = {"parts": parts, "role": "model"} if parts else {"role": "model"}
        candidate: Json = {"content": content}
        if finish:
            candidate["finishReason"] = finish
        if answer.ask.logprobs:
            candidate |= _logprobs(answer.pieces)
        return candidate | {"index": index}

    def events(self, answer: Answer) -> list[Event]:
        """One event per piece, the finish reason in an event of its own, nothing after it."""
        parts = _thoughts(answer, 2) + [{"text": part} for part in answer.pieces] + _calls(answer)
        share = answer.completion_tokens // max(1, len(parts))
        events = [
            self._event("content", answer, index, [part], None, share * (number + 1))
            for index in range(answer.ask.n)
            for number, part in enumerate(parts or [{"text": ""}])
        ]
        finish, spent = _FINISH.get(answer.finish), answer.completion_tokens
        for index in range(answer.ask.n):
            events.append(self._event("finish", answer, index, [{"text": ""}], finish, spent))
        return events

    def _event(
        self, kind: str, answer: Answer, index: int, parts: list[Json], finish: str | None,
        spent: int,
    ) -> Event:  # fmt: skip
        candidate = self._candidate(index, parts, finish, answer)
        return Event(kind, self.sse(self._envelope(answer, [candidate], spent)))

    def _envelope(self, answer: Answer, candidates: list[Json], spent: int) -> Json:
        return {
            "candidates": candidates,
            "usageMetadata": _usage(answer, spent),
            "modelVersion": answer.ask.model,
            "responseId": f"{answer.ask.serial:023x}",
        }

    def sse(self, body: Json) -> bytes:
        """`data:` and an empty line, with CRLF."""
        return b"data: %b\r\n\r\n" % json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")

    def stream_error(self, ask: Ask, problem: Problem) -> bytes:
        """The error's body as an event."""
        return self.sse(problem.body) if isinstance(problem.body, dict) else b""

    def finish_error(self, ask: Ask) -> Json:
        """A candidate that ends with a reason nobody can go on from."""
        answer = blank(ask, "stop")
        parts = [] if ask.stream else [{"text": "partial output"}]
        candidate = self._candidate(0, parts, "OTHER", answer)
        return self._envelope(answer, [candidate], 0)

    def model_list(self) -> Json:
        """Google's list shape."""
        return {"models": [self.model_entry(model) for model in self.models]}

    def model_entry(self, model: str) -> Json:
        """Google's entry of a model."""
        methods = ["generateContent", "countTokens", "streamGenerateContent"]
        entry: Json = {"name": f"models/{model}", "version": "001", "displayName": model}
        limits = {"inputTokenLimit": 1048576, "outputTokenLimit": 65536}
        return entry | limits | {"supportedGenerationMethods": methods}


def _text(content: object) -> str:
    parts = content.get("parts") if isinstance(content, dict) else None
    found = [part for part in parts or () if isinstance(part, dict)]
    return "".join(str(part.get("text", "")) for part in found)


def _tool_names(tools: list[Json]) -> list[str]:
    declared = [tool.get("functionDeclarations") or [] for tool in tools]
    return [str(function.get("name", "")) for group in declared for function in group]


def _texts(text: str) -> list[Json]:
    return [{"text": text}] if text else []


def _thoughts(answer: Answer, count: int) -> list[Json]:
    return [{"text": part, "thought": True} for part in pieces(answer.reasoning, count)]


def _calls(answer: Answer) -> list[Json]:
    if not answer.tool:
        return []
    return [{"functionCall": {"name": answer.tool, "args": json.loads(answer.tool_arguments)}}]


def _usage(answer: Answer, spent: int) -> Json:
    prompt, thoughts = answer.ask.prompt_tokens, answer.reasoning_tokens
    usage: Json = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": max(0, spent - thoughts),
        "totalTokenCount": prompt + max(spent, thoughts),
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
    }
    return usage | {"thoughtsTokenCount": thoughts} if thoughts else usage


def _logprobs(parts: tuple[str, ...]) -> Json:
    chosen = [{"token": part, "tokenId": 7, "logProbability": -0.125} for part in parts]
    top = [{"candidates": [one]} for one in chosen]
    return {
        "avgLogprobs": -0.125,
        "logprobsResult": {"topCandidates": top, "chosenCandidates": chosen},
    }
