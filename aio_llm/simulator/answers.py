"""What the simulated models say: deterministic, an echo of the request.

A prompt with `[think]` is thought about, one with `[tool]` calls the first tool, and one with
`[answer 120]` is answered in 120 tokens (fewer if `max_tokens` is less).
"""

from __future__ import annotations

import json
import re

from aio_llm.simulator.records import Answer, Ask

THINK_MARK = "[think]"
TOOL_MARK = "[tool]"
_LENGTH = re.compile(r"\[answer (\d{1,6})\]")
ECHOED = 200


def tokens(text: str) -> int:
    """About how many tokens a text has: a quarter of its characters, at least one."""
    return max(1, (len(text) + 3) // 4)


def pieces(text: str, count: int) -> tuple[str, ...]:
    """Split a text into at most `count` pieces of about the same size, none of them empty."""
    size = max(1, -(-len(text) // max(1, count)))
    return tuple(text[start : start + size] for start in range(0, len(text), size))


def compose(ask: Ask, chunks: int) -> Answer:
    """The answer to a request, its text in about `chunks` pieces."""
    tool = ask.tools[0] if ask.tools and TOOL_MARK in ask.text else ""
    thought = f"Thinking about: {ask.text[:ECHOED]}" if THINK_MARK in ask.text else ""
    text, finish = ("", "tool_calls") if tool else _within(_text(ask), ask.max_tokens)
    arguments = json.dumps({"text": ask.text[:ECHOED]}) if tool else ""
    thinking = tokens(thought) if thought else 0
    spent = thinking + (tokens(text + arguments) if text or arguments else 0)
    return Answer(
        ask, int(ask.at), pieces(text, chunks), thought, tool, arguments, finish,
        spent * ask.n, thinking,
    )  # fmt: skip


def blank(ask: Ask, finish: str) -> Answer:
    """An answer without any text."""
    return Answer(ask, int(ask.at), (), "", "", "", finish, 0, 0)


def _text(ask: Ask) -> str:
    said = f"{ask.vendor}/{ask.model} says: {ask.text[:ECHOED]}"
    if ask.json_mode:
        return json.dumps({"says": said}, ensure_ascii=False)
    wanted = _LENGTH.search(ask.text)
    return said if wanted is None else _as_long(said, 4 * int(wanted[1]))


def _as_long(text: str, size: int) -> str:
    return (f"{text} " * (size // (len(text) + 1) + 1))[:size]


def _within(text: str, max_tokens: int | None) -> tuple[str, str]:
    if max_tokens is None or tokens(text) <= max_tokens:
        return text, "stop"
    return text[: max_tokens * 4], "length"
