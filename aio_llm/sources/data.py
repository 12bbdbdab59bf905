"""Settings out of plain data, ours or the original TypeScript framework's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aio_llm.config import Settings, read_settings

_MILLISECONDS = {"retryDelay": 100, "maxDelay": 1000, "timeout": 1000, "idleTimeout": 1000}
"""In a camelCase file, values from here on are milliseconds, as JavaScript counts."""


def settings_from_data(values: Mapping[str, Any]) -> Settings:
    """Checked settings; in camelCase data long durations are milliseconds."""
    if not isinstance(values, Mapping) or not _has_camel(values):
        return read_settings(values)
    made = _in_seconds(values)
    providers = made.get("providers")
    if isinstance(providers, list | tuple):
        made["providers"] = [_in_seconds(p) if isinstance(p, Mapping) else p for p in providers]
    return read_settings(made)


def _in_seconds(values: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(values)
    for name, least in _MILLISECONDS.items():
        value = made.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and value >= least:
            made[name] = value / 1000
    return made


def _has_camel(value: object) -> bool:
    """Whether any name in the data is camelCase."""
    if isinstance(value, Mapping):
        return any(_is_camel(name) or _has_camel(inner) for name, inner in value.items())
    return isinstance(value, list | tuple) and any(_has_camel(inner) for inner in value)


def _is_camel(name: object) -> bool:
    return isinstance(name, str) and name != name.lower() and "_" not in name and "-" not in name
