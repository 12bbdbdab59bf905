"""The other commands, and the command line as a process of its own."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from importlib.metadata import entry_points

import pytest

from aio_llm.cli import main
from aio_llm.simulator import Simulator
from tests.firstrun.conftest import Ask
from tests.firstrun.shell import command, environment, run, started

HEAVY = ("openai", "groq", "google.genai", "pydantic", "httpx", "asyncio")


@pytest.fixture
def slow_sim() -> Iterator[Simulator]:
    with Simulator(chunks=200, chunk_delay=0.01) as running:
        yield running


def test_explain_lists_whom_it_would_ask_and_sends_nothing(ask: Ask, sim: Simulator) -> None:
    said = ask("explain")
    lines = said.out.splitlines()

    assert said.code == 0
    assert lines[0].split()[:2] == ["groq", "llama-3.3-70b-versatile"]
    assert lines[-1].split()[0] == "google-ai"
    assert sim.requests == []


def test_explain_as_json_is_the_rows_of_the_library(ask: Ask) -> None:
    rows = json.loads(ask("explain", "--json", "--provider", "groq").out)

    assert {row["provider"] for row in rows} == {"groq"}
    assert all(row["usable"] for row in rows)


def test_keys_asks_about_every_key_without_spending_a_token(ask: Ask, sim: Simulator) -> None:
    said = ask("keys")

    assert said.code == 0
    assert said.out.count(" valid") == 4
    assert {request.method for request in sim.requests} == {"GET"}


def test_a_refused_key_is_named_and_makes_the_exit_code_one(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_API_KEYS", "gsk_this_key_was_never_given_out_0000")
    said = ask("keys", "--json")
    rows = {row["key"]: row["status"] for row in json.loads(said.out)}

    assert said.code == 1
    assert rows["gsk_…0000"] == "invalid"
    assert list(rows.values()).count("valid") == 2


@pytest.mark.parametrize("name", ["chat", "explain", "keys"])
def test_without_any_key_it_says_what_to_set_and_exits_with_two(name: str) -> None:
    done = run(command(name), stdin="Hello")

    assert done.returncode == 2
    assert done.stdout == ""
    assert "GROQ_API_KEY" in done.stderr
    assert "python -m aio_llm demo" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_a_call_that_hangs_with_130_and_hangs_up(sim: Simulator) -> None:
    sim.inject("hang")
    with started(command("chat", "Hello"), environment(sim, "groq")) as running:
        assert sim.wait_for(lambda: sim.active == 1, timeout=30)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=30)

    assert running.returncode == 130
    assert (out, err) == ("", "interrupted\n")
    assert sim.wait_for(lambda: sim.active == 0)


def test_a_reader_that_leaves_early_is_no_reason_to_complain(slow_sim: Simulator) -> None:
    line = command("chat", "Tell me a long story. " * 8)
    with started(line, environment(slow_sim, "groq")) as running:
        assert running.stdout is not None
        assert running.stdout.read(1) == "g"
        running.stdout.close()
        running.stdout = None
        _, err = running.communicate(timeout=30)

    assert err == ""
    assert running.returncode == 1
    assert slow_sim.wait_for(lambda: slow_sim.active == 0)


def test_a_terminal_without_unicode_shows_the_answer_all_the_same(sim: Simulator) -> None:
    done = run(command("chat", "Grüße"), {**environment(sim, "groq"), "PYTHONIOENCODING": "ascii"})

    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("says: Gr??e\n")


def test_the_simulator_runs_as_a_command_until_it_is_interrupted() -> None:
    with started(command("simulator", "--port", "0")) as running:
        assert running.stdout is not None
        first = running.stdout.readline()
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=30)

    assert first.startswith("simulator ready on http://127.0.0.1:")
    assert running.returncode == 0


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; from aio_llm.cli import build_parser; print(build_parser().format_help());"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = run([sys.executable, "-c", code])

    assert all(name in done.stdout for name in ("demo", "chat", "explain", "keys", "simulator"))
    assert done.stdout.splitlines()[-1] == "[]"


def test_no_command_at_all_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    code = main([])
    captured = capsys.readouterr()

    assert code == 2
    assert captured.out == ""
    assert "demo" in captured.err


@pytest.mark.parametrize("arguments", [["chatt"], ["chat", "--modle", "x"], ["demo", "extra"]])
def test_a_misspelt_command_or_option_is_exit_code_two(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)

    assert exit_.value.code == 2


def test_the_installed_command_is_this_one() -> None:
    (found,) = entry_points(group="console_scripts", name="aio-llm")

    assert found.load() is main
