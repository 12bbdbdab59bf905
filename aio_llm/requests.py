"""From a caller's arguments to one frozen `ChatRequest`: checked before anything is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json

from aio_llm.addresses import check_header
from aio_llm.config import did_you_mean
from aio_llm.errors import InvalidRequestError
from aio_llm.options_check import check_json, check_mapping, check_options, check_tool_calls

if TYPE_CHECKING:
    from aio_llm.types import ChatRequest

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})

LARGEST_REQUEST = 40 * 1024 * 1024
"""Bytes of all messages together; no vendor takes more in one request."""


def build_request(
    messages: str | Iterable[Any],
    options: Mapping[str, Any],
    *,
    request_id: str,
    extra_body: Mapping[str, Any] | None = None,
    extra_headers: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    stream: bool = False,
    validate: bool = True,
) -> ChatRequest:
    """The request, checked; raises `InvalidRequestError` that names the field. Without
    `validate` the options go to the vendor as they are.
    """
    from aio_llm.types import ChatRequest  # answers' models load with the first call

    turns = read_messages(messages)
    given = {name: value for name, value in options.items() if value is not None}
    if given and validate:
        check_options(given)
    check_mapping("metadata", metadata)
    check_mapping("extra_body", extra_body)
    check_mapping("extra_headers", extra_headers)
    return ChatRequest(
        messages=turns,
        messages_json=_encode(turns),
        options=given,
        extra_body=extra_body or {},
        extra_headers=_check_headers(extra_headers),
        request_id=request_id,
        metadata=metadata or {},
        stream=stream,
    )


def read_messages(messages: str | Iterable[Any]) -> tuple[dict[str, Any], ...]:
    """Messages as OpenAI-shaped dicts; a string is one user turn."""
    if isinstance(messages, str):
        if not messages.strip():
            raise InvalidRequestError("messages: is empty; give the text of the user's turn")
        return ({"role": "user", "content": messages},)
    if isinstance(messages, bytes | Mapping) or not isinstance(messages, Iterable):
        raise InvalidRequestError(
            f"messages: must be a string or a list of messages, not {type(messages).__name__}"
        )
    turns = tuple(_message(index, message) for index, message in enumerate(messages))
    if not turns:
        raise InvalidRequestError("messages: is empty; give at least one message")
    return turns


def _message(index: int, message: Any) -> dict[str, Any]:
    if isinstance(message, BaseModel):
        message = message.model_dump(exclude_none=True)
    if not isinstance(message, Mapping):
        raise InvalidRequestError(
            f"messages[{index}]: must be a dict with role and content, not {type(message).__name__}"
        )
    role = message.get("role")
    if not isinstance(role, str) or role not in ROLES:
        hint = did_you_mean(str(role), ROLES) if role else "; known: " + ", ".join(sorted(ROLES))
        raise InvalidRequestError(f"messages[{index}].role: {role!r} is unknown{hint}")
    content = message.get("content")
    if message.get("tool_calls") is not None:
        check_tool_calls(f"messages[{index}].tool_calls", message["tool_calls"])
    if isinstance(content, str):
        return dict(message) if not isinstance(message, dict) else message
    _check_content(index, message, content)
    return dict(message)


def _check_content(index: int, message: Mapping[str, Any], content: Any) -> None:
    where = f"messages[{index}].content"
    if content is None:
        if message["role"] == "assistant" and (
            message.get("tool_calls") or message.get("refusal") or "content" in message
        ):
            return
        raise InvalidRequestError(f"{where}: is missing; give a string or a list of parts")
    if not isinstance(content, list | tuple):
        raise InvalidRequestError(
            f"{where}: must be a string or a list of parts, not {type(content).__name__}"
        )
    if not content:
        raise InvalidRequestError(f"{where}: is an empty list; give at least one part")
    for number, part in enumerate(content):
        if isinstance(part, str):
            continue
        if not isinstance(part, Mapping) or not part.get("type"):
            raise InvalidRequestError(
                f"{where}[{number}]: must be a dict with a 'type', or a string"
            )
        if part["type"] in ("text", "input_text") and not isinstance(part.get("text"), str):
            check_json(where, part.get("text"))
            raise InvalidRequestError(f"{where}[{number}].text: must be a string")
        if part["type"] == "image_url":
            _check_image(f"{where}[{number}].image_url", part.get("image_url"))


def _check_image(where: str, image: Any) -> None:
    if not isinstance(image, Mapping) or not isinstance(image.get("url"), str):
        raise InvalidRequestError(f"{where}: must be a dict with a 'url'")


def _encode(turns: tuple[dict[str, Any], ...]) -> bytes:
    try:
        encoded = to_json(turns)
    except (PydanticSerializationError, ValueError, RecursionError):
        encoded = b""
    if not encoded:
        raise InvalidRequestError(_why_not_json(turns))
    if len(encoded) > LARGEST_REQUEST:
        index = max(range(len(turns)), key=lambda i: len(str(turns[i].get("content") or "")))
        raise InvalidRequestError(
            f"messages[{index}].content: the messages have {len(encoded):,} bytes,"
            f" more than the {LARGEST_REQUEST:,} any vendor takes; shorten them"
        )
    if b"\\u0000" in encoded:
        _refuse_nul(turns)
    if b"NaN" in encoded or b"Infinity" in encoded:
        for index, turn in enumerate(turns):
            for name, value in turn.items():
                check_json(f"messages[{index}].{name}", value)
    return encoded


def _why_not_json(turns: tuple[dict[str, Any], ...]) -> str:
    for index, turn in enumerate(turns):
        for name, value in turn.items():
            try:
                to_json(value)
            except (PydanticSerializationError, ValueError, RecursionError):
                return (
                    f"messages[{index}].{name}: cannot be sent as JSON (a lone surrogate, a cycle"
                    " or an object that is no text, number, list or dict)"
                )
    return "messages: cannot be sent as JSON"


def _refuse_nul(turns: tuple[dict[str, Any], ...]) -> None:
    for index, turn in enumerate(turns):
        for where, text in _texts(turn):
            if "\x00" in text:
                raise InvalidRequestError(
                    f"messages[{index}]{where}: has a NUL character at {text.index(chr(0))};"
                    " remove it"
                )


def _texts(value: Any, where: str = "") -> Iterable[tuple[str, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(inner, f"{where}.{name}")
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _texts(inner, f"{where}[{number}]")


def _check_headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    problem = ""
    try:
        for name, value in (headers or {}).items():
            check_header(name, value)
    except ValueError as error:
        problem = str(error)
    if problem:
        raise InvalidRequestError(f"extra_headers: {problem}")
    return dict(headers or {})
