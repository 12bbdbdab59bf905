"""Google's wire shape, read and written (ai.google.dev/api/generate-content). No SDK, no I/O."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic_core import to_json

from aio_llm.faults import Fault, FaultError, Kind, Scope
from aio_llm.providers.base import Target
from aio_llm.providers.openai_shape import (
    bad_response,
    build_completion,
    odd_shapes,
    parse_object,
    raise_if_error,
    text_chunk,
)
from aio_llm.providers.sse import NotEvents, read_events
from aio_llm.types import ChatCompletion, ChatRequest, StreamChunk, ToolCall, Usage

_OPTIONS = {
    "temperature": "temperature",
    "max_tokens": "maxOutputTokens",
    "top_p": "topP",
    "seed": "seed",
    "n": "candidateCount",
    "logprobs": "responseLogprobs",
    "top_logprobs": "logprobs",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
_THINKING_BUDGET = {"none": 0, "minimal": 512, "low": 1024, "medium": 8192, "high": 24_576}
_TOOL_MODE = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
_FINISH = {"STOP": "stop", "MAX_TOKENS": "length", "CONTINUATION": "length"}
_BROKEN = frozenset(
    {
        "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE", "MALFORMED_RESPONSE", "OTHER", "FINISH_REASON_UNSPECIFIED",
    }
)  # fmt: skip
_FILTERED = ("SAFETY", "PROHIBITED", "BLOCKLIST", "SPII", "RECITATION", "IMAGE_", "MODEL_ARMOR")


def build_body(request: ChatRequest, model: str) -> dict[str, Any]:
    """The request as `generateContent` wants it; the contents are built once per request."""
    contents = request.made.get("google")
    if contents is None:
        contents = request.made["google"] = _contents(request.messages)
    system, turns = contents
    body: dict[str, Any] = {"contents": turns}
    if system:
        body["systemInstruction"] = {"parts": system}
    config = _generation_config(request.options, model)
    if config:
        body["generationConfig"] = config
    body.update(_tools(request.options))
    body.update(request.extra_body)
    return body


def _contents(
    messages: Iterable[Mapping[str, Any]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """System parts, and turns of alternating `user` and `model`."""
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    for message in messages:
        role = message["role"]
        if role in ("system", "developer"):
            system += _parts(message.get("content"))
            continue
        parts = _turn_parts(message, names)
        speaker = "model" if role == "assistant" else "user"
        if turns and turns[-1]["role"] == speaker:
            turns[-1]["parts"] += parts
        elif parts:
            turns.append({"role": speaker, "parts": parts})
    return system, turns


def _turn_parts(message: Mapping[str, Any], names: dict[str, str]) -> list[dict[str, Any]]:
    if message["role"] == "tool":
        call_id = message.get("tool_call_id") or ""
        name = message.get("name") or names.get(call_id, call_id)
        result = {"output": _plain_text(message.get("content"))}
        return [{"functionResponse": {"name": name, "response": result}}]
    parts = _parts(message.get("content"))
    for call in message.get("tool_calls") or ():
        function = call["function"]
        names[call.get("id") or ""] = function["name"]
        arguments = _arguments(function)
        part: dict[str, Any] = {"functionCall": {"name": function["name"], "args": arguments}}
        if call.get("thought_signature"):
            part["thoughtSignature"] = call["thought_signature"]
        parts.append(part)
    return parts


def _arguments(function: Mapping[str, Any]) -> Any:
    """Google takes an object where OpenAI has text; text that is no JSON fits nowhere."""
    arguments: Any = None
    with contextlib.suppress(ValueError):
        arguments = json.loads(function.get("arguments") or "{}")
    if isinstance(arguments, dict):
        return arguments
    words = f"the arguments of the call of {function['name']!r} in the history are no JSON object"
    raise FaultError(Fault(Kind.UNSUPPORTED, Scope.MODEL, words))


def _plain_text(content: Any) -> str:
    return "".join(part.get("text", "") for part in _parts(content))


def _parts(content: Any) -> list[dict[str, Any]]:
    if content is None:
        return []
    if isinstance(content, str):
        return [{"text": content}] if content else []
    return [_part(part) for part in content]


def _part(part: Any) -> dict[str, Any]:
    """One content part; inline images are passed on, the rest is refused by name."""
    if isinstance(part, str):
        return {"text": part}
    if part.get("type") in ("text", "input_text"):
        return {"text": part.get("text", "")}
    if part.get("type") == "image_url":
        url = part["image_url"]["url"]
        if url.startswith("data:"):
            head, _, data = url.partition(",")
            return {"inlineData": {"mimeType": head[5:].partition(";")[0], "data": data}}
        return {"fileData": {"fileUri": url}}
    raise FaultError(
        Fault(Kind.UNSUPPORTED, Scope.MODEL, f"Google cannot take a {part.get('type')!r} part yet")
    )


def _generation_config(options: Mapping[str, Any], model: str) -> dict[str, Any]:
    config = {_OPTIONS[k]: v for k, v in options.items() if k in _OPTIONS}
    stop = options.get("stop")
    if stop:
        config["stopSequences"] = [stop] if isinstance(stop, str) else list(stop)
    effort = options.get("reasoning_effort")
    if effort:
        config["thinkingConfig"] = _thinking(effort, model)
    config.update(_response_format(options.get("response_format")))
    return config


def _thinking(effort: str, model: str) -> dict[str, Any]:
    """Gemini 2.5 counts tokens, later ones have levels."""
    if "2.5" in model:
        budget = _THINKING_BUDGET.get(effort, -1)
        return {"thinkingBudget": budget, "includeThoughts": budget != 0}
    level = "minimal" if effort == "none" else effort
    return {"thinkingLevel": level.upper(), "includeThoughts": effort != "none"}


def _response_format(wanted: Any) -> dict[str, Any]:
    if not isinstance(wanted, Mapping) or wanted.get("type") == "text":
        return {}
    config: dict[str, Any] = {"responseMimeType": "application/json"}
    if wanted.get("type") == "json_schema":
        config["responseJsonSchema"] = wanted["json_schema"].get("schema", {})
    return config


def _tools(options: Mapping[str, Any]) -> dict[str, Any]:
    tools = options.get("tools")
    if not tools:
        return {}
    declarations = [_declaration(tool["function"]) for tool in tools]
    body: dict[str, Any] = {"tools": [{"functionDeclarations": declarations}]}
    choice = options.get("tool_choice")
    if isinstance(choice, str):
        mode: dict[str, Any] = {"mode": _TOOL_MODE.get(choice, "AUTO")}
        body["toolConfig"] = {"functionCallingConfig": mode}
    elif isinstance(choice, Mapping):
        name = choice["function"]["name"]
        body["toolConfig"] = {
            "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": [name]}
        }
    return body


def _declaration(function: Mapping[str, Any]) -> dict[str, Any]:
    declaration = {k: function[k] for k in ("name", "description") if function.get(k)}
    if function.get("parameters"):
        declaration["parametersJsonSchema"] = function["parameters"]
    return declaration


def read_completion(content: bytes, target: Target) -> ChatCompletion:
    """The answer in `content`; raises `FaultError` if it is none."""
    with odd_shapes():
        return _read_completion(content, target)


def _read_completion(content: bytes, target: Target) -> ChatCompletion:
    data = parse_object(content, "the answer")
    raise_if_error(data, content, target)
    candidates = _candidates(data)
    return build_completion(
        {
            "id": data.get("responseId") or "",
            "created": int(time.time()),
            "choices": [_choice(candidate) for candidate in candidates],
            "usage": _usage(data),
            "served_model": data.get("modelVersion"),
            "provider": target.provider,
            "model": target.model,
            "key": target.key,
        }
    )


def _candidates(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    candidates = data.get("candidates")
    if candidates:
        return list(candidates)
    blocked = (data.get("promptFeedback") or {}).get("blockReason")
    if blocked:
        words = f"the prompt was blocked: {blocked}"
        raise FaultError(Fault(Kind.CONTENT_FILTER, Scope.REQUEST, words, 200, code=blocked))
    raise bad_response("the answer has no candidates")


def _choice(candidate: dict[str, Any]) -> dict[str, Any]:
    native = candidate.get("finishReason")
    if not native:
        raise bad_response("the answer has no finishReason")
    text, thoughts, calls, rest = _read_parts(candidate)
    reason = finish_reason(native, has_calls=bool(calls))
    message: dict[str, Any] = {"role": "assistant", "content": text, "reasoning": thoughts or None}
    if calls:
        message["tool_calls"] = calls
        message["content"] = text or None
    if rest:
        message["vendor_parts"] = rest
    return {
        "index": candidate.get("index") or 0,
        "message": message,
        "finish_reason": reason,
        "native_finish_reason": native,
        "logprobs": candidate.get("logprobsResult"),
    }


def _read_parts(
    candidate: Mapping[str, Any],
) -> tuple[str, str, list[dict[str, Any]], list[dict[str, Any]]]:
    """Text, thoughts, tool calls, and parts that fit none of them (kept as they are)."""
    text, thoughts = "", ""
    calls: list[dict[str, Any]] = []
    rest: list[dict[str, Any]] = []
    for part in (candidate.get("content") or {}).get("parts") or ():
        if "text" in part:
            if part.get("thought"):
                thoughts += part["text"]
            else:
                text += part["text"]
        elif "functionCall" in part:
            calls.append(_call(part))
        else:
            rest.append(part)
    return text, thoughts, calls, rest


def _call(part: Mapping[str, Any]) -> dict[str, Any]:
    call = part["functionCall"]
    arguments = to_json(call.get("args") or {}).decode()
    made = {
        "id": call.get("id") or f"call_{os.urandom(9).hex()}",
        "type": "function",
        "function": {"name": call.get("name") or "", "arguments": arguments},
    }
    if part.get("thoughtSignature"):
        made["thought_signature"] = part["thoughtSignature"]
    return made


def finish_reason(native: str, *, has_calls: bool) -> str:
    """OpenAI's word for Google's; a broken function call is a bad answer."""
    if native in _BROKEN:
        raise bad_response(f"finishReason is {native}")
    if native.startswith(_FILTERED):
        return "content_filter"
    reason = _FINISH.get(native, native.lower())
    return "tool_calls" if has_calls and reason == "stop" else reason


def _usage(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Google counts thoughts apart from the answer; OpenAI's completion tokens include them."""
    usage = data.get("usageMetadata")
    if not isinstance(usage, dict):
        return None
    thoughts = usage.get("thoughtsTokenCount") or 0
    prompt = (usage.get("promptTokenCount") or 0) + (usage.get("toolUsePromptTokenCount") or 0)
    completion = (usage.get("candidatesTokenCount") or 0) + thoughts
    made: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": usage.get("totalTokenCount") or prompt + completion,
        "vendor": usage,
    }
    if thoughts:
        made["completion_tokens_details"] = {"reasoning_tokens": thoughts}
    if usage.get("cachedContentTokenCount"):
        made["prompt_tokens_details"] = {"cached_tokens": usage["cachedContentTokenCount"]}
    return made


def read_chunks(chunks: Iterable[bytes], target: Target) -> Iterator[StreamChunk]:
    """A streamed answer; the last chunk is `done`. Raises `FaultError` if it is cut short."""
    with odd_shapes():
        yield from _read_chunks(chunks, target)


def _read_chunks(chunks: Iterable[bytes], target: Target) -> Iterator[StreamChunk]:
    ending = StreamChunk()
    usage: dict[str, Any] | None = None
    has_calls = False
    try:
        for payload in read_events(chunks):
            data = parse_object(payload, "an event of the stream")
            raise_if_error(data, payload, target)
            usage = data.get("usageMetadata") or usage
            ending.vendor = {"served_model": data.get("modelVersion")}
            for candidate in data.get("candidates") or _no_candidates(data):
                chunk = _piece(candidate)
                has_calls = has_calls or bool(chunk.tool_calls)
                native = candidate.get("finishReason")
                if native:
                    ending.native_finish_reason = native
                    ending.finish_reason = finish_reason(native, has_calls=has_calls)
                if chunk.is_output or chunk.vendor:
                    yield chunk
    except NotEvents as found:
        body = found.body
    else:
        if ending.finish_reason is None:
            raise bad_response("the stream ended without a finishReason")
        made = _usage({"usageMetadata": usage})
        ending.usage = Usage.model_validate(made) if made else None
        ending.done = True
        yield ending
        return
    raise_if_error(parse_object(body, "the stream"), body, target)
    raise bad_response("a stream was asked for, one JSON object came")


def _no_candidates(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    if data.get("promptFeedback"):
        return _candidates(data)
    return []


def _piece(candidate: Mapping[str, Any]) -> StreamChunk:
    parts = (candidate.get("content") or {}).get("parts")
    if parts and len(parts) == 1 and "text" in parts[0] and not parts[0].get("thought"):
        return text_chunk(parts[0]["text"], "", candidate.get("index") or 0)
    text, thoughts, calls, rest = _read_parts(candidate)
    chunk = text_chunk(text, thoughts, candidate.get("index") or 0)
    if calls:
        chunk.tool_calls = [ToolCall.model_validate(call) for call in calls]
    if rest:
        chunk.vendor = {"vendor_parts": rest}
    return chunk
