"""Settings out of plain data, ours or the original TypeScript framework's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aio_llm.config import Settings, read_settings

_MILLISECONDS = {"retryDelay": 100, "maxDelay": 1000, "timeout": 1000, "idleTimeout": 1000}
"""In a camelCase file, values from here on are milliseconds, as JavaScript counts."""


def settings_from_data(values: Mapping[str, Any]) -> Settings:
    """Checked settings; in camelCase data long durations are milliseconds."""
    if not isinstance(values, Mapping) or not any(_is_camel(name) for name in values):
        return read_settings(values)
    made = dict(values)
    for name, least in _MILLISECONDS.items():
        value = made.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= least:
            made[name] = value / 1000
    return read_settings(made)


def _is_camel(name: object) -> bool:
    return isinstance(name, str) and name != name.lower() and "_" not in name
