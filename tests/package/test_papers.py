"""The other files at the top say the same as the code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping

import aio_llm
from aio_llm import AIO
from tests.firstrun.shell import PREFIXES, ROOT


class Watched(Mapping[str, str]):
    """An environment that remembers which variables were asked for."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        self.asked.add(str(name))
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def variables() -> list[str]:
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    return re.findall(r"^(?:# )?([A-Z_]+)=", text, re.MULTILINE)


def test_the_example_environment_names_exactly_what_the_code_reads() -> None:
    watched = Watched({f"{name}_API_KEY": "key_of_nobody_0000" for name in PREFIXES.values()})
    AIO.from_env(watched)

    assert sorted(variables()) == sorted(watched.asked)


def test_the_example_environment_holds_no_value() -> None:
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()

    assert [line for line in lines if not re.fullmatch(r"(#.*|[A-Z_]+=|)", line)] == []


def test_the_newest_entry_of_the_changelog_is_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## (\S+) \(\d{4}-\d\d-\d\d\)$", text, re.MULTILINE)

    assert versions[0] == aio_llm.__version__


def test_the_checks_can_be_started_and_are_sound_bash() -> None:
    script = ROOT / ".ci" / "run"
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, check=False)

    assert os.access(script, os.X_OK)
    assert done.returncode == 0, done.stderr


def test_importing_the_package_opens_nothing_and_loads_no_sdk() -> None:
    code = (
        "import sys, threading, aio_llm; dir(aio_llm);"
        "sdks = {'openai', 'groq', 'google', 'httpx', 'httpx2'} & set(sys.modules);"
        "print(threading.active_count(), sorted(sdks))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )

    assert done.stdout.split() == ["1", "[]"]
