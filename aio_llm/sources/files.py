"""Settings out of a JSON or TOML file."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

from aio_llm.config import Settings
from aio_llm.errors import ConfigError
from aio_llm.providers.registry import check_provider
from aio_llm.sources.data import settings_from_data


def settings_from_file(path: str | os.PathLike[str]) -> Settings:
    """Checked settings; `ConfigError` names the file and what is wrong in it."""
    file = Path(path)
    if "\x00" in str(file):
        raise ConfigError(f"path: {str(file)!r} cannot be read: it has a NUL character")
    values = _read(file)
    problem = ""
    try:
        settings = settings_from_data(values)
        for provider in settings.providers:
            check_provider(provider)
    except ConfigError as error:
        problem = error.message
    else:
        return settings
    raise ConfigError(f"{file}: {problem}")


def _read(file: Path) -> Any:
    readers = {".json": json.loads, ".toml": tomllib.loads}
    reader = readers.get(file.suffix.lower())
    if reader is None:
        raise ConfigError(f"{file}: must be a .json or .toml file")
    problem = ""
    try:
        return reader(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except RecursionError:
        problem = f"is not valid {file.suffix[1:].upper()}: it is nested too deeply"
    except (json.JSONDecodeError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problem = f"is not valid {file.suffix[1:].upper()}: {_where(error)}"
    raise ConfigError(f"{file}: {problem}")


def _where(error: ValueError) -> str:
    """Place and complaint, without the text around it, which may be a key."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    return str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it is not UTF-8"
