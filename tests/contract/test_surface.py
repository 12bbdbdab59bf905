"""The public surface: complete, documented, and light to import."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import openai.types.chat as theirs
import pytest
from openai.types import CompletionUsage
from pydantic import BaseModel

import aio_llm
from aio_llm import AIO, ChatCompletion, ChatMessage, Choice, ToolCall, Usage
from aio_llm.types import ChunkChoice, Delta, FunctionCall
from tests.conftest import MakeAIO

MODULES = ("aio_llm", "aio_llm.simulator")
HEAVY = ("openai", "groq", "google", "pydantic", "loguru", "httpx", "httpx2")
SDKS = ("openai", "groq", "google.genai", "httpx", "httpx2")


def run(code: str) -> Any:
    """What a fresh interpreter prints as JSON."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_importing_loads_no_sdk_and_none_of_the_heavy_packages() -> None:
    loaded = run(
        "import sys, json, threading, aio_llm\n"
        f"print(json.dumps([[m for m in {HEAVY} if m in sys.modules], threading.active_count()]))"
    )

    assert loaded == [[], 1]


def test_configuring_loads_no_sdk_opens_no_socket_and_starts_no_thread() -> None:
    loaded = run(
        "import sys, json, threading\n"
        "events = []\n"
        "sys.addaudithook(lambda name, _: events.append(name) if 'socket' in name else None)\n"
        "from aio_llm import AIO\n"
        "names = ['groq', 'cerebras', 'google-ai', 'openrouter']\n"
        "aio = AIO([{'provider': n, 'api_keys': ['k'], 'models': ['m']} for n in names])\n"
        "aio.get_config_summary(); aio.get_key_stats(); aio.explain(model='m')\n"
        f"print(json.dumps([[m for m in {SDKS} if m in sys.modules],"
        " threading.active_count(), events]))"
    )

    assert loaded == [[], 1, []]


def test_a_name_loads_only_what_it_needs() -> None:
    loaded = run(
        "import sys, json\n"
        "from aio_llm import CancelToken, AIOError, RateLimitError\n"
        f"print(json.dumps([m for m in {HEAVY} if m in sys.modules]))"
    )

    assert loaded == []


def test_all_is_complete() -> None:
    public = {name for name in vars(aio_llm) | dict.fromkeys(dir(aio_llm)) if name[0].isupper()}
    private = {"TYPE_CHECKING", "Any"}

    assert public - private <= set(aio_llm.__all__)
    assert len(set(aio_llm.__all__)) == len(aio_llm.__all__)
    assert set(aio_llm.__all__) <= set(dir(aio_llm))


@pytest.mark.parametrize("name", aio_llm.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    thing = getattr(aio_llm, name)

    assert inspect.getdoc(thing)
    assert thing.__doc__


def methods() -> list[Any]:
    """The public methods of the public classes."""
    classes = [getattr(aio_llm, name) for name in aio_llm.__all__]
    return [
        pytest.param(member, id=f"{cls.__name__}.{name}")
        for cls in classes
        if inspect.isclass(cls)
        for name, member in vars(cls).items()
        if not name.startswith("_") and (callable(member) or isinstance(member, property))
    ]


@pytest.mark.parametrize("method", methods())
def test_every_public_method_is_documented(method: Any) -> None:
    assert inspect.getdoc(method)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="aio_llm"):
        _ = aio_llm.does_not_exist


def test_the_package_says_that_it_is_typed() -> None:
    assert Path(aio_llm.__file__).with_name("py.typed").exists()


EXTRAS = {"service_tier", "system_fingerprint", "moderation", "metadata"}
PAIRS: list[tuple[type[BaseModel], type[BaseModel], set[str]]] = [
    (ChatCompletion, theirs.ChatCompletion, EXTRAS),
    (ChatMessage, theirs.ChatCompletionMessage, {"annotations", "audio", "function_call"}),
    (Usage, CompletionUsage, set()),
    (ToolCall, theirs.ChatCompletionMessageFunctionToolCall, set()),
    (FunctionCall, type(theirs.chat_completion_message_function_tool_call.Function(
        name="f", arguments="{}")), set()),
    (Choice, theirs.chat_completion.Choice, set()),
    (ChunkChoice, theirs.chat_completion_chunk.Choice, {"logprobs"}),
    (Delta, theirs.chat_completion_chunk.ChoiceDelta, {"function_call", "refusal", "audio"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("ours", "openais", "missing"), PAIRS, ids=lambda x: getattr(x, "__name__", "")
)
def test_our_models_have_openais_field_names(
    ours: type[BaseModel], openais: type[BaseModel], missing: set[str]
) -> None:
    assert set(openais.model_fields) - missing <= set(ours.model_fields)


REASONS = set(get_args(theirs.chat_completion.Choice.model_fields["finish_reason"].annotation))


@pytest.mark.parametrize("stream", [False, True], ids=["call", "stream"])
@pytest.mark.parametrize("vendor", ["groq", "cerebras", "google-ai", "openrouter"])
def test_an_answer_is_valid_for_openais_own_model(
    vendor: str, stream: bool, make_aio: MakeAIO
) -> None:
    aio = make_aio(vendor)
    streamed = aio.chat_completion_stream("hello").response
    answer = streamed if stream else aio.chat_completion("hello")

    data = answer.model_dump(mode="json", exclude_none=True, exclude=EXTRAS)
    parsed = theirs.ChatCompletion.model_validate(data)
    assert parsed.choices[0].message.content == answer.content
    assert parsed.usage is not None
    assert parsed.choices[0].finish_reason in REASONS
    assert answer.created > 0
    assert answer.id


def test_an_answer_comes_back_from_json(make_aio: MakeAIO) -> None:
    answer = make_aio("openrouter").chat_completion("[think] hello")

    again = ChatCompletion.model_validate_json(answer.model_dump_json())

    assert again == answer
    assert str(again) == again.content == again.text


ARGUMENTS = {
    "providers", "auto_mode", "max_retries", "retry_delay", "max_delay", "backoff_multiplier",
    "timeout", "idle_timeout", "max_wait", "enable_logging", "enable_validation", "clock",
}  # fmt: skip
DEFAULTS = {
    "auto_mode": False, "max_retries": 3, "retry_delay": 1.0, "max_delay": 60.0,
    "backoff_multiplier": 2.0, "timeout": 120.0, "idle_timeout": 60.0, "max_wait": 60.0,
    "enable_logging": False, "enable_validation": True,
}  # fmt: skip


def test_the_constructor_has_the_settled_defaults(make_aio: MakeAIO) -> None:
    parameters = inspect.signature(AIO).parameters
    summary = make_aio("groq", auto_mode=False).get_config_summary()

    assert set(parameters) >= ARGUMENTS
    assert {name: parameters[name].default for name in DEFAULTS} == DEFAULTS
    assert DEFAULTS.items() <= summary.items()
