"""The figures as a table, for the terminal and for the README."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from .figures import FIGURES
from .measure import Measured

HEADER = ("figure", "measured", "spread", "required", "aim", "", "ours : theirs")
FAULTS = "requests at the vendor for each fault (n/m): `python -m pytest tests/faults`"


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    measured: Measured

    def cells(self) -> tuple[str, ...]:
        """What it says, in the order of `HEADER`."""
        figure, found = FIGURES[self.measured.figure], self.measured
        what = f"{figure.what}, {found.which}" if found.which else figure.what
        spread = f"{number(min(found.values))}…{number(max(found.values))}"
        value = f"{number(found.value)} {figure.unit}".strip()
        sign = "≥" if figure.larger else "≤"
        limits = (figure.limit, figure.aim)
        bounds = ["" if b is None else f"{sign} {number(b)}" for b in limits]
        spread = spread if len(found.values) > 1 else ""
        return (what, value, spread, *bounds, self.verdict(), found.note)

    def verdict(self) -> str:
        """MISSED, ok, or that even the aim is reached."""
        figure, value = FIGURES[self.measured.figure], self.measured.value
        if figure.limit is None:
            return ""
        if not figure.reaches(value, figure.limit):
            return "MISSED"
        return "ok" if figure.aim is None or not figure.reaches(value, figure.aim) else "ok, aim"


def number(value: float) -> str:
    """Three digits that matter."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def text(rows: Iterable[Row]) -> str:
    """Columns for a terminal."""
    lines = [HEADER, *(row.cells() for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEADER))]
    drawn = _draw(lines, lambda cell, at: cell.ljust(widths[at]), "  ")
    return "\n".join([*drawn, "", machine(), FAULTS])


def markdown(rows: Iterable[Row]) -> str:
    """A table for the README."""
    lines = [HEADER, ("---",) * len(HEADER), *(row.cells() for row in rows)]
    drawn = [f"| {line} |" for line in _draw(lines, lambda cell, _: cell, " | ")]
    return "\n".join([*drawn, "", f"{machine()}. {FAULTS}"])


def _draw(
    lines: Iterable[Sequence[str]], shape: Callable[[str, int], str], between: str
) -> list[str]:
    return [between.join(shape(c, at) for at, c in enumerate(line)).rstrip() for line in lines]


def machine() -> str:
    """What it was measured on."""
    names = ("openai", "groq", "google-genai", "pydantic", "loguru")
    packages = ", ".join(f"{name} {version(name)}" for name in names)
    kind = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    return f"Python {platform.python_version()}, {kind}; {packages}"
