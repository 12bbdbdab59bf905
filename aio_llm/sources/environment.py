"""Settings out of environment variables: what a person with keys and no file has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aio_llm.config import Settings, read_settings
from aio_llm.errors import ConfigError
from aio_llm.providers.presets import PRESETS, Preset


def settings_from_environment(environ: Mapping[str, str], more: Mapping[str, Any]) -> Settings:
    """Settings with every vendor a key is found for, in auto mode; `more` are other settings.

    Read: X_API_KEY, X_API_KEYS (comma-separated), X_MODELS, X_BASE_URL for X in GROQ,
    OPENROUTER, CEREBRAS and GOOGLE, GEMINI or GOOGLE_AI. Raises `ConfigError` without any key.
    """
    providers = [
        found
        for priority, row in zip(range(100, 0, -10), _ORDER, strict=False)
        if (found := _provider(row, environ, priority)) is not None
    ]
    if not providers:
        raise ConfigError(_what_to_set())
    return read_settings({"auto_mode": True, **more, "providers": providers})


_FIRST = {"groq": 0, "cerebras": 1, "google-ai": 2, "openrouter": 3}
_ORDER = sorted(
    (row for row in PRESETS if row.env),
    key=lambda row: _FIRST.get(row.name, len(_FIRST)),
)


def _provider(row: Preset, environ: Mapping[str, str], priority: int) -> dict[str, Any] | None:
    keys = [key for name in row.env for key in _keys(name, environ)]
    if not keys:
        return None
    models = _first(environ, row, "MODELS")
    found: dict[str, Any] = {
        "provider": row.name,
        "priority": priority,
        "api_keys": list(dict.fromkeys(keys)),
        "models": _split(models) if models else list(row.models),
        "base_url": _first(environ, row, "BASE_URL") or None,
    }
    return found


def _keys(name: str, environ: Mapping[str, str]) -> list[str]:
    return _split(environ.get(f"{name}_API_KEY", "")) + _split(environ.get(f"{name}_API_KEYS", ""))


def _first(environ: Mapping[str, str], row: Preset, what: str) -> str:
    return next((environ[f"{n}_{what}"] for n in row.env if environ.get(f"{n}_{what}")), "")


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _what_to_set() -> str:
    names = ", ".join(f"{row.env[-1]}_API_KEY" for row in _ORDER)
    return (
        f"no API key in the environment: set at least one of {names} "
        "(several keys: the same name with _KEYS, comma-separated), for example\n"
        "  export GROQ_API_KEY=gsk_...\n"
        "No key yet? `python -m aio_llm demo` needs none."
    )
