"""Recorded answers, byte for byte, give what the vendors' own SDKs made of them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from aio_llm import AIOError, ChatCompletion, Usage
from tests.replay.wire import Cut, Record, cases, needs_recordings, play, records

pytestmark = needs_recordings

CHATS = [record for record in records("recordings.jsonl") if record["response"]["status"] < 300]
GOOD = [record for record in CHATS if (record.get("golden") or {}).get("ok")]
REFUSED = [record for record in records("recordings.jsonl") if record["response"]["status"] >= 300]
CUTS = [pytest.param(Cut(), id="whole"), pytest.param(Cut(7), id="7 bytes")]
FINISH = {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter", "end_turn": "stop"}
NATIVE = re.compile(r'"native_finish_reason":\s*"([^"]+)"')


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("record", cases(GOOD))
def test_a_recorded_answer_reads_as_the_vendors_sdk_reads_it(record: Record, cut: Cut) -> None:
    golden = record["golden"]

    answer = play(record, cut)

    assert isinstance(answer, ChatCompletion), answer
    assert answer.content == text_of(golden)
    assert (answer.reasoning or "") == golden.get("reasoning", "")
    assert tool_calls(answer) == [(c["name"], arguments(c["args"])) for c in calls_of(golden)]
    assert counts(answer.usage) == counts_of(golden.get("usage"))
    assert ends(answer) == ends_of(record)


def text_of(golden: dict[str, Any]) -> str:
    """The text; where there is none the SDK's word for it was written down."""
    absent = golden.get("text") == "null" and "content None" in golden.get("odd", ())
    return "" if absent else golden.get("text", "")


def calls_of(golden: dict[str, Any]) -> list[dict[str, Any]]:
    """The tool calls."""
    found: list[dict[str, Any]] = golden.get("tool_calls", [])
    return found


def arguments(text: str | None) -> Any:
    """Arguments as data: vendors space them differently; None means none."""
    return json.loads(text or "{}")


def tool_calls(answer: ChatCompletion) -> list[tuple[str, Any]]:
    """The tool calls of our answer in the same form."""
    return [(c.function.name, arguments(c.function.arguments)) for c in answer.tool_calls]


def counts(usage: Usage | None) -> tuple[int, int, int] | None:
    """Prompt, completion and total tokens."""
    if usage is None:
        return None
    return (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)


def counts_of(usage: dict[str, Any] | None) -> tuple[int, int, int] | None:
    """The same of a golden usage; Google counts thoughts and tool prompts apart."""
    if usage is None:
        return None
    if "prompt_tokens" in usage:
        return (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"])
    prompt = _number(usage, "prompt_token_count") + _number(usage, "tool_use_prompt_token_count")
    completion = _number(usage, "candidates_token_count") + _number(usage, "thoughts_token_count")
    return (prompt, completion, _number(usage, "total_token_count") or prompt + completion)


def _number(usage: dict[str, Any], name: str) -> int:
    return int(usage.get(name) or 0)


def ends(answer: ChatCompletion) -> tuple[str | None, str | None]:
    """Our word for the end, and the vendor's."""
    (choice, *_) = answer.choices
    return (choice.finish_reason, choice.native_finish_reason)


def ends_of(record: Record) -> tuple[str, str]:
    """The same of a record; a tool call is a reason of its own with us, and OpenRouter has two."""
    golden = record["golden"]
    ours = FINISH.get(golden["finish"], golden["finish"])
    native = NATIVE.findall(record["response"]["body"]) or [golden["finish"]]
    return ("tool_calls" if calls_of(golden) and ours == "stop" else ours, native[0])


@pytest.mark.parametrize("record", cases(GOOD))
def test_the_ids_of_recorded_tool_calls_are_kept(record: Record) -> None:
    wanted = [call["id"] for call in calls_of(record["golden"])]
    if not any(wanted):
        return

    answer = play(record, Cut())

    assert isinstance(answer, ChatCompletion)
    assert [call.id for call in answer.tool_calls] == wanted


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("record", cases(REFUSED))
def test_a_recorded_refusal_is_an_error_with_its_status(record: Record, cut: Cut) -> None:
    error = play(record, cut)

    assert isinstance(error, AIOError)
    assert error.attempts[-1].status == record["response"]["status"]
    assert error.attempts[-1].message


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("record", cases([r for r in CHATS if r["kind"] == "error_in_200"]))
def test_a_recorded_error_inside_a_200_is_an_error(record: Record, cut: Cut) -> None:
    error = play(record, cut)

    assert isinstance(error, AIOError)


def test_every_vendor_is_replayed() -> None:
    assert {record["vendor"] for record in GOOD} == {"openrouter", "groq", "cerebras", "google"}
    assert len(GOOD) >= 40
    assert len(REFUSED) >= 6
