"""The notebooks run from top to bottom, show what they talk about, and are stored clean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.firstrun.shell import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

SHOWN: dict[str, list[str]] = {
    "01_quickstart": [
        "AIO(groq, cerebras, google-ai, openrouter; 8 keys)",
        "groq/llama-3.3-70b-versatile says: Why is the sky blue?",
        "google-ai/gemini-2.5-flash says: Name three colours of the sea. | stop",
        "groq/llama-3.3-70b-versatile says: Name three colours of the sea.",
        "did you mean 'user'?",
        "sent: 0",
    ],
    "02_fallback_and_keys": [
        "google-ai gemini-2.5-flash",
        "minute_limit",
        "the limited key was asked 1 time\n",
        "server",
        "disabled keys: 0",
        "bad_key",
        "invalid",
        "free again in about",
        "no target gave an answer",
    ],
    "03_streaming_and_cancel": [
        "stop 21 tokens, by groq",
        "cerebras/gpt-oss-120b says: Tell me about the sea.",
        "[('groq', 'server'), ('cerebras', 'ok')]",
        "partial: 'cerebras/",
        "[restarted]cerebras/gpt-oss-120b says: Tell me about the sea.",
        "cancelled after",
        "hung up: True",
    ],
    "04_quotas_and_state": [
        "AIO(groq, google-ai; 4 keys)",
        "<Figure",
        "calls refused by a vendor",
        "used (configured), room in",
        "'failures_by_category': {'invalid_request': 12}",
        "groq/llama-3.3-70b-versatile",
        "alert: slow",
        "alert: error_rate | 1",
        "first run: 6 requests sent",
        "second run: 0 requests sent",
        "refused by the vendor: 1\n",
        "the key is in the file: False",
    ],
}


def cells_of(notebook: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return cells


def executed(notebook: Path) -> str:
    """What a reader sees when all cells have run, in order."""
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    book = nbformat.read(notebook, as_version=4)
    client = nbclient.NotebookClient(
        book, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}
    )
    client.execute()
    outputs = [output for cell in book.cells for output in cell.get("outputs", [])]
    return "".join(_text(output) for output in outputs)


def _text(output: Any) -> str:
    if output["output_type"] == "stream":
        return str(output["text"])
    return str(output["data"]["text/plain"]) + "\n"


def in_order(text: str, fragments: list[str]) -> list[str]:
    """The fragments that do not come one after the other in the text."""
    position, missing = 0, []
    for fragment in fragments:
        found = text.find(fragment, position)
        if found < 0:
            missing.append(fragment)
        else:
            position = found
    return missing


def test_every_notebook_is_run_by_these_tests() -> None:
    assert [notebook.stem for notebook in NOTEBOOKS] == sorted(SHOWN)


@pytest.mark.parametrize("name", SHOWN)
def test_a_notebook_runs_and_shows_what_it_talks_about(name: str) -> None:
    shown = executed(ROOT / "notebooks" / f"{name}.ipynb")

    assert in_order(shown, SHOWN[name]) == [], shown


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(notebook: Path) -> None:
    code = [cell for cell in cells_of(notebook) if cell["cell_type"] == "code"]

    assert [cell["outputs"] for cell in code] == [[]] * len(code)
    assert [cell["execution_count"] for cell in code] == [None] * len(code)
    assert [cell["metadata"] for cell in cells_of(notebook)] == [{}] * len(cells_of(notebook))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_short_and_asserts_nothing(notebook: Path) -> None:
    lines = [line for cell in cells_of(notebook) for line in cell["source"]]

    assert len(cells_of(notebook)) < 12
    assert not [line for line in lines if line.lstrip().startswith("assert ")]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_says_first_that_the_vendors_are_simulated(notebook: Path) -> None:
    first = cells_of(notebook)[0]

    assert first["cell_type"] == "markdown"
    assert "**simulated**" in "".join(first["source"])
