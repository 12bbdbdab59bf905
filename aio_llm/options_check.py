"""Sampling and tool options, checked before anything is sent: each error names its field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aio_llm.errors import InvalidRequestError

_RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
}
_LEAST = {"max_tokens": 1, "n": 1, "top_logprobs": 0}
_INTEGERS = ("max_tokens", "n", "seed", "top_logprobs")
_BOOLEANS = ("logprobs", "parallel_tool_calls")
_CHOICES = ("auto", "none", "required")
_FORMATS = ("text", "json_object", "json_schema")
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def check_options(options: dict[str, Any]) -> None:
    """Raise `InvalidRequestError` naming the first field that no vendor would take."""
    for name, (low, high) in _RANGES.items():
        if name in options:
            _check_number(name, options[name], low, high)
    for name in _INTEGERS:
        if name in options and (
            not isinstance(options[name], int) or isinstance(options[name], bool)
        ):
            raise InvalidRequestError(f"{name}: must be a whole number, got {options[name]!r}")
    for name, least in _LEAST.items():
        if name in options and options[name] < least:
            raise InvalidRequestError(f"{name}: must be {least} or more, got {options[name]!r}")
    for name in _BOOLEANS:
        if name in options and not isinstance(options[name], bool):
            raise InvalidRequestError(f"{name}: must be True or False, got {options[name]!r}")
    _check_shapes(options)


def _check_number(name: str, value: Any, low: float, high: float) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value <= high:
        raise InvalidRequestError(
            f"{name}: must be a number from {low:g} to {high:g}, got {value!r}"
        )


def _check_shapes(options: dict[str, Any]) -> None:
    stop = options.get("stop")
    if stop is not None and not isinstance(stop, str):
        if not isinstance(stop, list | tuple) or not all(isinstance(s, str) for s in stop):
            raise InvalidRequestError(f"stop: must be a string or a list of strings, got {stop!r}")
        options["stop"] = list(stop)
    effort = options.get("reasoning_effort")
    if effort is not None and effort not in _EFFORTS:
        raise InvalidRequestError(
            f"reasoning_effort: must be one of {', '.join(_EFFORTS)}, got {effort!r}"
        )
    if not isinstance(options.get("user", ""), str):
        raise InvalidRequestError(f"user: must be a string, got {options['user']!r}")
    check_mapping("logit_bias", options.get("logit_bias"))
    for name in ("stop", "user", "tools", "tool_choice", "response_format"):
        if name in options:
            check_json(name, options[name])
    if "tools" in options:
        _check_tools(options["tools"])
    if "tool_choice" in options:
        _check_tool_choice(options["tool_choice"])
    if "response_format" in options:
        _check_response_format(options["response_format"])


def _check_tools(tools: Any) -> None:
    if not isinstance(tools, list | tuple):
        raise InvalidRequestError(f"tools: must be a list, not {type(tools).__name__}")
    for index, tool in enumerate(tools):
        _check_function(f"tools[{index}]", tool)


def _check_function(where: str, holder: Any) -> None:
    function = holder.get("function") if isinstance(holder, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise InvalidRequestError(f"{where}.function: must be a dict with a 'name'")


def _check_tool_choice(choice: Any) -> None:
    if isinstance(choice, str):
        if choice not in _CHOICES:
            known = ", ".join(_CHOICES)
            raise InvalidRequestError(f"tool_choice: must be one of {known}, got {choice!r}")
        return
    _check_function("tool_choice", choice)


def _check_response_format(wanted: Any) -> None:
    if not isinstance(wanted, Mapping):
        name = type(wanted).__name__
        raise InvalidRequestError(f"response_format: must be a dict with a 'type', not {name}")
    kind = wanted.get("type")
    if kind not in _FORMATS:
        known = ", ".join(_FORMATS)
        raise InvalidRequestError(f"response_format.type: must be one of {known}, got {kind!r}")
    if kind == "json_schema" and not isinstance(wanted.get("json_schema"), Mapping):
        raise InvalidRequestError(
            "response_format.json_schema: must be a dict with 'name' and 'schema'"
        )


def check_mapping(name: str, value: Any) -> None:
    """Raise `InvalidRequestError` unless `value` is None or a mapping that can be sent."""
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise InvalidRequestError(f"{name}: must be a dict, not {type(value).__name__}")
    check_json(name, dict(value))


def check_tool_calls(where: str, calls: Any) -> None:
    """Raise `InvalidRequestError` unless `calls` are the tool calls of a message."""
    if not isinstance(calls, list | tuple):
        raise InvalidRequestError(f"{where}: must be a list, not {type(calls).__name__}")
    for index, call in enumerate(calls):
        _check_function(f"{where}[{index}]", call)
        arguments = call["function"].get("arguments")
        if arguments is not None and not isinstance(arguments, str):
            raise InvalidRequestError(f"{where}[{index}].function.arguments: must be JSON text")


def check_json(name: str, value: Any) -> None:
    """Raise `InvalidRequestError` unless `value` can be sent."""
    problem = ""
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        problem = str(error)
    if problem:
        raise InvalidRequestError(f"{name}: cannot be sent as JSON: {problem}")
