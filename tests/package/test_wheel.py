"""What people install is the package, all of it and nothing else."""

from __future__ import annotations

import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path, PurePosixPath

import aio_llm
from tests.firstrun.shell import ROOT

INFO = f"aio_llm-{aio_llm.__version__}.dist-info"


def names_in(wheel: zipfile.ZipFile) -> list[PurePosixPath]:
    return [PurePosixPath(name) for name in wheel.namelist()]


def metadata(wheel: zipfile.ZipFile) -> Message:
    return Parser().parsestr(wheel.read(f"{INFO}/METADATA").decode())


def test_the_wheel_holds_the_package_and_its_papers_only(wheel: zipfile.ZipFile) -> None:
    tops = {path.parts[0] for path in names_in(wheel)}

    assert tops == {"aio_llm", INFO}


def test_every_module_of_the_package_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    sources = {path.relative_to(ROOT) for path in (ROOT / "aio_llm").rglob("*.py")}
    packed = {Path(path) for path in names_in(wheel) if path.suffix == ".py"}

    assert packed == sources


def test_nothing_runs_when_python_starts(wheel: zipfile.ZipFile) -> None:
    suffixes = {path.suffix for path in names_in(wheel) if path.parts[0] == "aio_llm"}

    assert not [path for path in names_in(wheel) if path.suffix == ".pth"]
    assert suffixes == {".py", ".typed", ".lua"}


def test_type_checkers_are_told_that_it_is_typed(wheel: zipfile.ZipFile) -> None:
    assert PurePosixPath("aio_llm/py.typed") in names_in(wheel)


def test_the_wheel_installs_the_command(wheel: zipfile.ZipFile) -> None:
    text = wheel.read(f"{INFO}/entry_points.txt").decode()

    assert text.split() == ["[console_scripts]", "aio-llm", "=", "aio_llm.cli:main"]


def test_the_wheel_says_what_it_is_and_needs(wheel: zipfile.ZipFile) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    said = metadata(wheel)
    needed = said.get_all("Requires-Dist") or []

    assert said["Version"] == aio_llm.__version__
    assert said["License-Expression"] == "MIT"
    assert f"{INFO}/licenses/LICENSE" in wheel.namelist()
    assert len([one for one in needed if "extra ==" not in one]) == len(project["dependencies"])
    assert said.get_payload() == (ROOT / "README.md").read_text(encoding="utf-8")
