"""The OpenAI wire shape, read and written: bytes to our models and back. No SDK, no I/O.

Most vendors speak it, each with oddities that recorded traffic shows: content that is null
or a list, choices that are missing, usage in `x_groq`, two finish reasons, tool calls
without an index, errors inside a 200 in four places. All of them end here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json, to_json

from aio_llm.faults import Fault, FaultError, Kind, Scope
from aio_llm.foreign import read_inner_error
from aio_llm.providers.base import Target
from aio_llm.providers.sse import NotEvents, read_events
from aio_llm.types import ChatCompletion, ChatRequest, StreamChunk, ToolCall, Usage

_FINISH = {
    "eos": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_length": "length",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "safety": "content_filter",
}


_EVENT = "an event of the stream"


_PLAIN_MESSAGE = ("role", "content", "name", "refusal", "tool_calls", "tool_call_id")
_PLAIN_CALL = ("id", "type", "function")


def plain_messages(request: ChatRequest) -> bytes:
    """The messages with nothing in answers sent back but what every vendor knows: reasoning,
    signatures and the like belong to the vendor that wrote them. Encoded once per request.
    """
    made = request.made.get("plain")
    if made is None:
        turns = [_plain_message(turn) for turn in request.messages]
        made = request.messages_json if turns == [*request.messages] else to_json(turns)
        request.made["plain"] = made
    plain: bytes = made
    return plain


def _plain_message(turn: dict[str, Any]) -> dict[str, Any]:
    if turn["role"] != "assistant":
        return turn
    kept = {name: turn[name] for name in _PLAIN_MESSAGE if name in turn}
    if kept.get("tool_calls"):
        kept["tool_calls"] = [
            {name: call[name] for name in _PLAIN_CALL if name in call}
            for call in kept["tool_calls"]
        ]
    return kept


def encode_body(request: ChatRequest, model: str, more: dict[str, Any], messages: bytes) -> bytes:
    """The request for `model` around its `messages`, encoded once whoever is asked."""
    fields = {"model": model, **more, **request.extra_body}
    fields.pop("messages", None)
    return b'%b,"messages":%b}' % (to_json(fields)[:-1], messages)


def bad_response(why: str, scope: Scope = Scope.MODEL) -> FaultError:
    """A 200 that is not an answer."""
    return FaultError(Fault(Kind.BAD_RESPONSE, scope, why, 200))


@contextmanager
def odd_shapes() -> Iterator[None]:
    """Whatever a reader stumbles over in an answer makes it a bad answer, not a bug of ours."""
    stumbled = ""
    try:
        yield
    except NotEvents:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        stumbled = type(error).__name__
    if stumbled:
        raise bad_response(f"the answer has an unexpected shape ({stumbled})")


def read_completion(content: bytes, target: Target) -> ChatCompletion:
    """The answer in `content`; raises `FaultError` if it is none."""
    with odd_shapes():
        return _read_completion(content, target)


def _read_completion(content: bytes, target: Target) -> ChatCompletion:
    data = parse_object(content, "the answer")
    raise_if_error(data, content, target)
    choices = data.get("choices")
    if not isinstance(choices, list) or not choices:
        raise bad_response("the answer has no choices")
    for choice in choices:
        _straighten(choice, content, target)
    data["usage"] = _usage(data)
    data["served_model"] = data.get("model")
    data.update(provider=target.provider, model=target.model, key=target.key)
    return build_completion(data)


def build_completion(data: dict[str, Any]) -> ChatCompletion:
    """`data` as our model; a field of an impossible type is a bad answer, not our bug."""
    data = {name: value for name, value in data.items() if value is not None}
    try:
        return ChatCompletion.model_validate(data)
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
    raise bad_response(f"the answer has an unexpected {where}")


def parse_object(content: bytes, what: str) -> dict[str, Any]:
    """The JSON object in `content` (or the first of a list); anything else is a bad answer."""
    try:
        data = from_json(content.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        data = None
    if isinstance(data, list) and data:
        data = data[0]
    if isinstance(data, dict):
        return data
    if not content.strip():
        raise bad_response(f"{what} is empty", Scope.PROVIDER)
    raise bad_response(f"{what} is not JSON: {content[:80].decode('utf-8', 'replace')!r}")


def raise_if_error(data: dict[str, Any], content: bytes, target: Target) -> None:
    """Raise what an error object inside an answer says; a null one says nothing."""
    error = data.get("error")
    if not error and data.get("object") == "error":
        error = data
    if not error and isinstance(data.get("x_groq"), dict):
        error = data["x_groq"].get("error")
    if not error:
        return
    if not isinstance(error, dict):
        error = {"message": str(error), "code": data.get("code")}
    text = content[:20_000].decode("utf-8", "replace")
    raise FaultError(read_inner_error(error, text, (target.secret,)))


def _straighten(choice: Any, content: bytes, target: Target) -> None:
    """Put one choice into OpenAI's shape, in place."""
    if not isinstance(choice, dict):
        raise bad_response("a choice is not an object")
    raise_if_error(choice, content, target)
    message = choice.get("message")
    if not isinstance(message, dict):
        message = choice["message"] = {"content": choice.get("text")}
    text, thoughts = split_parts(message.get("content"))
    message["content"] = text
    message["reasoning"] = message.get("reasoning") or message.get("reasoning_content") or thoughts
    message["role"] = message.get("role") or "assistant"
    for call in message.get("tool_calls") or ():
        _straighten_call(call)
    native = choice.get("finish_reason")
    if native == "error":
        raise FaultError(Fault(Kind.SERVER, Scope.MODEL, "finish_reason is error", 200))
    if not native:
        raise bad_response("the answer has no finish_reason")
    choice.setdefault("native_finish_reason", native)
    choice["finish_reason"] = finish_reason(native)


def split_parts(content: Any) -> tuple[str | None, str | None]:
    """Text and thoughts of a content that may be a list of parts (Mistral, custom servers)."""
    if content is None or isinstance(content, str):
        return content, None
    if not isinstance(content, list):
        raise bad_response("content is neither text nor a list of parts")
    text, thoughts = "", ""
    for part in content:
        if isinstance(part, str):
            text += part
        elif part.get("type") == "thinking":
            inner, _ = split_parts(part.get("thinking"))
            thoughts += inner or ""
        else:
            text += part.get("text") or ""
    return text, thoughts or None


def _straighten_call(call: dict[str, Any]) -> None:
    function = call.get("function")
    if not isinstance(function, dict):
        return
    arguments = function.get("arguments")
    if arguments is None or arguments == "":
        function["arguments"] = "{}"
    elif not isinstance(arguments, str):
        function["arguments"] = to_json(arguments).decode()
    function["name"] = function.get("name") or ""
    call["type"] = call.get("type") or "function"


def finish_reason(native: str) -> str:
    """OpenAI's word for why an answer ended; unknown words are kept."""
    word = native.lower()
    return _FINISH.get(word, word)


def _usage(data: dict[str, Any]) -> dict[str, Any] | None:
    usage = data.get("usage")
    x_groq = data.get("x_groq")
    if not isinstance(usage, dict) and isinstance(x_groq, dict):
        usage = x_groq.get("usage")
    if not isinstance(usage, dict):
        return None
    usage = {name: value for name, value in usage.items() if value is not None}
    if "total_tokens" not in usage:
        usage["total_tokens"] = usage.get("prompt_tokens", 0) + usage.get("completion_tokens", 0)
    return usage


def read_usage(data: dict[str, Any]) -> Usage | None:
    """The usage of an answer or chunk wherever its vendor puts it."""
    usage = _usage(data)
    try:
        return Usage.model_validate(usage) if usage else None
    except ValidationError:
        return None


def read_chunks(chunks: Iterable[bytes], target: Target) -> Iterator[StreamChunk]:
    """A streamed answer; the last chunk is `done`. Raises `FaultError` if it is cut short."""
    with odd_shapes():
        yield from _read_chunks(chunks, target)


def _read_chunks(chunks: Iterable[bytes], target: Target) -> Iterator[StreamChunk]:
    ending = StreamChunk()
    complete = said_something = False
    try:
        for payload in read_events(chunks):
            if payload[:6] == b"[DONE]" or payload.strip() == b"[DONE]":
                complete = True
                break
            data = parse_object(payload, _EVENT)
            if "error" in data or "x_groq" in data or data.get("object") == "error":
                raise_if_error(data, payload, target)
            for choice in data.get("choices") or ():
                piece = _piece(choice, payload, target, ending)
                if piece is not None:
                    said_something = True
                    yield piece
            if ending.vendor is None and data.get("model"):
                ending.vendor = {"served_model": data["model"]}
            if data.get("usage") is not None or "x_groq" in data:
                ending.usage = read_usage(data) or ending.usage
    except NotEvents as found:
        body = found.body
    else:
        if ending.finish_reason is None and not (complete and said_something):
            raise bad_response("the stream ended without a finish_reason")
        ending.done = True
        yield ending
        return
    raise_if_error(parse_object(body, "the stream"), body, target)
    raise bad_response("a stream was asked for, one JSON object came")


def _piece(
    choice: dict[str, Any], payload: bytes, target: Target, ending: StreamChunk
) -> StreamChunk | None:
    """The output of one choice of one event; what only says "over" goes into `ending`."""
    if choice.get("error"):
        raise_if_error(choice, payload, target)
    native = choice.get("finish_reason")
    if native == "error":
        raise FaultError(Fault(Kind.SERVER, Scope.MODEL, "finish_reason is error", 200))
    if native and ending.finish_reason is None:
        ending.finish_reason = finish_reason(native)
        ending.native_finish_reason = choice.get("native_finish_reason") or native
    delta = choice.get("delta")
    if not delta:
        return None
    content = delta.get("content")
    thoughts = delta.get("reasoning") or delta.get("reasoning_content") or ""
    if content is not None and not isinstance(content, str):
        content, more = split_parts(content)
        thoughts = thoughts or more or ""
    calls = delta.get("tool_calls")
    logprobs = choice.get("logprobs")
    details = delta.get("reasoning_details")
    if not (content or thoughts or calls or logprobs or details):
        return None
    chunk = text_chunk(content or "", thoughts, choice.get("index") or 0)
    if calls:
        chunk.tool_calls = [_call_piece(call) for call in calls]
    chunk.logprobs = logprobs
    if details:
        chunk.vendor = {"reasoning_details": details}
    return chunk


def text_chunk(content: Any, thoughts: Any, index: Any) -> StreamChunk:
    """A chunk of these; TypeError if they are of no use to a reader."""
    if not isinstance(content, str) or not isinstance(thoughts, str) or type(index) is not int:
        raise TypeError("a piece of the stream is no text")
    return StreamChunk(content, thoughts, None, index)


def _call_piece(call: dict[str, Any]) -> ToolCall:
    function = call.get("function")
    function = function if isinstance(function, dict) else {}
    arguments = function.get("arguments")
    if arguments is not None and not isinstance(arguments, str):
        arguments = to_json(arguments).decode()
    piece = {"name": function.get("name") or "", "arguments": arguments or ""}
    kept = {k: v for k, v in call.items() if v is not None}
    return ToolCall.model_validate({**kept, "type": "function", "function": piece})
