"""`aio-llm chat`: a real answer with the keys of the environment, errors as words."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from aio_llm.simulator import Simulator
from tests.firstrun.conftest import Ask

FIRST = "groq/llama-3.3-70b-versatile"


def body_of(sim: Simulator) -> dict[str, object]:
    """The body of the only request."""
    (request,) = sim.requests
    assert request.body is not None
    return request.body


def test_the_answer_goes_to_stdout_and_who_gave_it_to_stderr(ask: Ask) -> None:
    said = ask("chat", "Hello", "there")

    assert said.code == 0
    assert said.out == f"{FIRST} says: Hello there\n"
    assert said.err.startswith(f"answered by {FIRST} gsk_…")


@pytest.mark.parametrize(("options", "streamed"), [([], True), (["--no-stream"], False)])
def test_it_streams_unless_told_not_to(
    ask: Ask, sim: Simulator, options: list[str], streamed: bool
) -> None:
    said = ask("chat", *options, "Hello")

    assert said.out == f"{FIRST} says: Hello\n"
    assert [request.stream for request in sim.requests] == [streamed]


def test_json_tells_everything_about_the_answer(ask: Ask) -> None:
    said = ask("chat", "--json", "Hello")
    told = json.loads(said.out)

    assert told["content"] == f"{FIRST} says: Hello"
    assert (told["provider"], told["model"]) == ("groq", "llama-3.3-70b-versatile")
    assert told["usage"]["total_tokens"] > 0
    assert [step["outcome"] for step in told["attempts"]] == ["ok"]


@pytest.mark.parametrize(
    ("options", "model"),
    [
        (["--model", "llama-3.1-8b-instant"], "llama-3.1-8b-instant"),
        (["--model", "groq/llama-3.1-8b-instant"], "llama-3.1-8b-instant"),
        (["--provider", "google-ai"], "gemini-2.5-flash"),
        (["-p", "gemini", "-m", "gemini-2.5-flash-lite"], "gemini-2.5-flash-lite"),
    ],
)
def test_model_and_provider_choose_who_is_asked(
    ask: Ask, sim: Simulator, options: list[str], model: str
) -> None:
    said = ask("chat", *options, "Hello")

    assert said.code == 0
    assert [request.model for request in sim.requests] == [model]


def test_fallback_lets_everybody_else_answer_for_the_named_model(ask: Ask, sim: Simulator) -> None:
    sim.inject("503", vendor="groq")
    alone = ask("chat", "--model", "llama-3.1-8b-instant", "--no-stream", "Hello", "--fallback")

    assert alone.code == 0
    assert alone.out.startswith("google-ai/")
    assert "tried groq/llama-3.1-8b-instant" in alone.err


def test_a_system_message_comes_first(ask: Ask, sim: Simulator) -> None:
    ask("chat", "--system", "Be brief.", "Hello")

    assert body_of(sim)["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
    ]


@pytest.mark.parametrize("arguments", [(), ("-",)])
def test_without_words_the_prompt_is_read_from_stdin(
    ask: Ask, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("from a pipe"))
    said = ask("chat", *arguments)

    assert said.out == f"{FIRST} says: from a pipe\n"


def test_a_file_takes_the_place_of_the_environment(
    ask: Ask, sim: Simulator, tmp_path: Path
) -> None:
    file = tmp_path / "aio.json"
    file.write_text(json.dumps({"providers": [sim.provider("cerebras")]}), encoding="utf-8")
    said = ask("chat", "--config", str(file), "Hello")

    assert said.code == 0
    assert said.out.startswith("cerebras/")


def test_what_failed_before_the_answer_is_told(ask: Ask, sim: Simulator) -> None:
    sim.inject("429", key=sim.keys("groq")[0])
    said = ask("chat", "Hello")

    assert said.code == 0
    assert said.out == f"{FIRST} says: Hello\n"
    assert "tried groq/llama-3.3-70b-versatile" in said.err
    assert "minute_limit 429" in said.err


@pytest.mark.parametrize(
    ("fault", "name"),
    [
        ("400", "InvalidRequestError"),
        ("401", "AuthenticationError"),
        ("429_day", "RateLimitError"),
        ("content_filter", "ContentFilterError"),
    ],
)
def test_an_error_is_words_and_exit_code_one(
    ask: Ask, sim: Simulator, fault: str, name: str
) -> None:
    sim.inject(fault)
    said = ask("chat", "Hello")

    assert said.code == 1
    assert said.out == ""
    assert said.err.startswith(f"{name}: ")
    assert "Traceback" not in said.err


def test_a_stream_that_breaks_after_output_is_an_error_below_what_came(
    ask: Ask, sim: Simulator
) -> None:
    sim.inject("cut", vendor="groq", after=2)
    said = ask("chat", "Tell me a long story about the sea.")

    assert said.code == 1
    assert said.out.startswith("groq/llama")
    assert said.out.endswith("\n")
    assert said.err.startswith("StreamInterruptedError: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("chat", "-p", "nobody", "Hello"), "provider 'nobody' is not configured"),
        (("chat", "-c", "missing.toml", "Hello"), "missing.toml: cannot be read"),
        (("explain", "-c", "aio.ini"), "must be a .json or .toml file"),
    ],
)
def test_a_wrong_configuration_is_exit_code_two(
    ask: Ask, sim: Simulator, arguments: tuple[str, ...], words: str
) -> None:
    said = ask(*arguments)

    assert said.code == 2
    assert said.err.startswith("ConfigError: ")
    assert words in said.err
    assert sim.requests == []


@pytest.mark.parametrize("fault", [None, "401", "400"])
def test_no_key_is_ever_printed(ask: Ask, sim: Simulator, fault: str | None) -> None:
    if fault:
        sim.inject(fault)
    said = [ask(*line) for line in (("chat", "Hello"), ("chat", "--json", "Hello"), ("keys",))]
    keys = [key for vendor in ("groq", "google-ai") for key in sim.keys(vendor)]

    assert not [key for key in keys for one in said if key in one.out + one.err]
