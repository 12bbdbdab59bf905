"""The README cannot drift: its commands run, its code runs, its tables are the code's own."""

from __future__ import annotations

import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from aio_llm import errors
from aio_llm.config import Alerts, Breaker, Routing
from aio_llm.core.policy import POLICY, Next, Rest, Rule, Strike
from aio_llm.faults import Kind
from aio_llm.hooks import EVENTS
from aio_llm.providers.presets import PACIFIC, PRESETS, UTC, Habits, Preset
from aio_llm.simulator import Simulator
from tests.firstrun.shell import ROOT, command, environment, run

NEXT = {
    Next.STOP: "nobody: raises",
    Next.TARGET: "the next target",
    Next.MODEL: "another model",
    Next.ELSEWHERE: "elsewhere",
}
HOW_LONG = {
    Rest.NONE: "",
    Rest.HINT: "as long as the vendor says",
    Rest.DAY: "until the vendor's day ends",
    Rest.LONG: "an hour",
    Rest.BACKOFF: "back-off",
    Rest.OUT: "until restart",
}
STRIKE = {Strike.NOBODY: "", Strike.KEY: "key", Strike.PROVIDER: "provider"}
TOKENS = {"total": "prompt and answer", "input": "prompt", "reserved": "prompt and `max_tokens`"}
MIDNIGHT = {PACIFIC: "midnight Pacific", UTC: "midnight UTC"}


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def files(text: str) -> dict[str, str]:
    """Files the README shows, as `<!-- file: name -->` before a block."""
    return dict(re.findall(r"<!-- file: (\S+) -->\n```\w+\n(.*?)^```$", text, re.M | re.S))


def commands(readme: str) -> list[list[str]]:
    """The commands of the README's bash blocks, each line split at `&&`."""
    lines = [line for block in blocks(readme, "bash") for line in block.splitlines()]
    return [[part.strip() for part in line.split("&&")] for line in lines]


def fault_table(readme: str) -> dict[str, list[str]]:
    """The cells of the fault table by kind."""
    rows = re.findall(r"^\| `(\w+)`[^|]*\|(.*)\|$", readme, re.MULTILINE)
    return {kind: [cell.strip() for cell in rest.split("|")] for kind, rest in rows}


def section(readme: str, title: str) -> str:
    """A section with its heading."""
    return readme.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_cells(text: str) -> list[str]:
    """What its tables have in their first column as code, without quotation marks."""
    return re.findall(r'^\| `"?([^`"]+)"?` \|', text, re.MULTILINE)


def habits_row(preset: Preset) -> list[str]:
    """What the table of windows has to say of a vendor, without the source."""
    habits: Habits = preset.habits
    at_once = "" if habits.burst == 1.0 else ", a third at once"
    midnight = f", {MIDNIGHT[preset.day]}" if habits.day == "fixed" else ""
    refused = "count" if habits.counts_refused else "free"
    return [habits.minute + at_once, habits.day + midnight, TOKENS[habits.tokens], refused]


def percent(share: float | None) -> str:
    return f"{100 * (share or 0):.0f} %"


def tree(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if re.match(r"\s*(AIOError  |├|│|└)", line)]


def test_the_readme_opens_with_one_sentence_and_two_commands(readme: str) -> None:
    first, second = commands(readme)

    assert readme.split("\n\n")[1].count(".") == 1
    assert first == ["python -m pip install .", "python -m aio_llm demo"]
    assert second == ['python -m pip install ".[test,notebooks]"', "python -m pytest -n auto"]


def test_the_extras_the_readme_installs_exist(readme: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (asked,) = re.findall(r'install "\.\[([\w,]+)\]"', readme)

    assert set(asked.split(",")) <= set(project["optional-dependencies"])


def test_the_first_command_of_the_readme_does_the_main_job(readme: str) -> None:
    _, job = commands(readme)[0]
    python, *arguments = shlex.split(job)
    done = run([sys.executable, *arguments])

    assert python == "python"
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_python_of_the_readme_runs_as_it_stands(
    readme: str, sim: Simulator, tmp_path: Path
) -> None:
    for name, text in files(readme).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    script = tmp_path / "readme.py"
    script.write_text("\n".join(blocks(readme, "python")), encoding="utf-8")
    done = run([sys.executable, str(script)], environment(sim), cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "groq/llama-3.3-70b-versatile says: Why is the sky blue? One sentence." in done.stdout
    assert "groq/llama-3.3-70b-versatile says: Count to five.stop 1\n" in done.stdout
    assert "KeyCheck(status='invalid'" in done.stdout
    assert "AIO(google-ai; 1 keys)" in done.stdout
    assert (tmp_path / "state.db").stat().st_size > 0


def test_the_ten_lines_are_ten_at_most(readme: str) -> None:
    assert len(blocks(readme, "python")[0].strip().splitlines()) <= 10


def test_what_the_readme_ran_is_what_arrived(readme: str, sim: Simulator, tmp_path: Path) -> None:
    script = tmp_path / "ten_lines.py"
    script.write_text(blocks(readme, "python")[0], encoding="utf-8")
    run([sys.executable, str(script)], environment(sim))

    assert [request.stream for request in sim.requests] == [False, True]


def test_the_commands_the_readme_mentions_exist(readme: str) -> None:
    mentioned = set(re.findall(r"`aio-llm (\w+)", readme))
    done = run(command("--help"))

    assert mentioned == {"chat", "keys", "explain", "simulator"}
    assert all(name in done.stdout for name in mentioned)


@pytest.mark.parametrize(("kind", "rule"), POLICY.items(), ids=[kind.value for kind in POLICY])
def test_the_fault_table_says_what_the_policy_does(readme: str, kind: Kind, rule: Rule) -> None:
    goes_on, rests, how_long, strike = fault_table(readme)[kind.value]

    assert goes_on == NEXT[rule.next]
    assert how_long == HOW_LONG[rule.rest]
    assert strike == STRIKE[rule.strike]
    assert bool(rests) == (rule.rest is not Rest.NONE)
    if rule.at is not None:
        assert rests == rule.at.value


def test_the_fault_table_has_no_row_too_many(readme: str) -> None:
    assert set(fault_table(readme)) == {kind.value for kind in POLICY}


def test_the_tree_of_errors_is_the_one_in_the_code(readme: str) -> None:
    assert tree(readme) == tree(errors.__doc__ or "")
    assert len(tree(readme)) == 15


@pytest.mark.parametrize("name", ["figures", "quota figures"])
def test_there_is_a_place_for_the_figures(readme: str, name: str) -> None:
    assert readme.count(f"<!-- {name} -->") == readme.count(f"<!-- /{name} -->") == 1


@pytest.mark.parametrize("preset", PRESETS, ids=[preset.name for preset in PRESETS])
def test_the_table_of_windows_says_how_a_vendor_counts(readme: str, preset: Preset) -> None:
    (row,) = re.findall(rf"^\| {preset.name} \|(.*)\|$", section(readme, "Quotas"), re.MULTILINE)
    *said, source = [cell.strip() for cell in row.split("|")]

    assert said == habits_row(preset)
    assert source


def test_the_table_of_routing_has_every_rule(readme: str) -> None:
    rules = first_cells(section(readme, "Health and routing"))

    assert rules == ["routing=", *get_args(Routing)]


def test_the_readme_names_every_event(readme: str) -> None:
    text = section(readme, "Metrics, events, alerts").partition("Events:")[2].partition(".")[0]

    assert re.findall(r"`(\w+)`", text) == list(EVENTS)


def test_the_thresholds_the_readme_states_are_the_defaults(readme: str) -> None:
    text = readme.replace("\n", " ")
    breaker, alerts = Breaker(), Alerts()
    stated = {
        "failure_threshold": breaker.failure_threshold,
        "success_threshold": breaker.success_threshold,
        "timeout": round(breaker.timeout),
    }

    assert f"circuit_breaker={stated}".replace("'", '"') in text
    assert f"over {percent(alerts.error_rate)} of the last {alerts.window} attempts" in text
    assert f"a key over {percent(alerts.daily_limit)} of its day" in text
    assert f"over {alerts.slow or 0:.0f} s to the answer" in text
