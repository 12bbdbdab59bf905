"""A file that cannot be read is named, with the place of the fault and without its secrets."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import pytest

from aio_llm import AIO, ConfigError

CANARY = "gsk_c4naryC4NARYc4naryC4NARYc4naryC4NARY"
ENTRY = {"provider": "groq", "api_keys": [CANARY], "models": ["m"]}
GOOD = {"providers": [ENTRY]}

FILES: dict[str, tuple[str, bytes, str]] = {
    "JSON with a comma too many": ("a.json", json.dumps(GOOD)[:-1].encode() + b",}", "line 1"),
    "half a JSON": ("a.json", json.dumps(GOOD)[:-4].encode(), "is not valid JSON"),
    "an empty JSON": ("a.json", b"", "is not valid JSON: Expecting value at line 1, column 1"),
    "a JSON list": ("a.json", b"[]", "must be a mapping"),
    "a JSON text": ("a.json", json.dumps(CANARY).encode(), "must be a mapping"),
    "a JSON null": ("a.json", b"null", "must be a mapping"),
    "a deep JSON": ("a.json", b'{"a":' * 100_000, "is not valid JSON"),
    "a JSON that is no UTF-8": ("a.json", b'{"providers": "\xff"}', "it is not UTF-8"),
    "a JSON with NaN": (
        "a.json", json.dumps({**GOOD, "timeout": float("nan")}).encode(), "timeout"),
    "TOML in JSON": ("a.json", b"auto_mode = true\n", "is not valid JSON"),
    "JSON in TOML": ("a.toml", json.dumps(GOOD).encode(), "is not valid TOML"),
    "a broken TOML": ("a.toml", f'api_keys = ["{CANARY}"\n[['.encode(), "is not valid TOML"),
    "a TOML with a name twice": ("a.toml", b"timeout = 1\ntimeout = 2\n", "is not valid TOML"),
    "a TOML that is no UTF-8": ("a.toml", b'a = "\xff"', "it is not UTF-8"),
    "an empty TOML": ("a.toml", b"", "providers: is missing"),
    "a wrong ending": ("a.yaml", b"providers: []", "must be a .json or .toml file"),
    "no ending": ("config", json.dumps(GOOD).encode(), "must be a .json or .toml file"),
    "a wrong field": (
        "a.json", json.dumps({**GOOD, "auto": True}).encode(), "did you mean 'auto_mode'"),
    "a wrong field inside": (
        "a.json", json.dumps({"providers": [{**ENTRY, "prio": 1}]}).encode(),
        "prio: unknown field; did you mean 'priority'"),
    "a wrong value": ("a.json", json.dumps({**GOOD, "timeout": 0}).encode(), "timeout"),
    "a secret in the wrong place": (
        "a.json", json.dumps({"providers": [{**ENTRY, "provider": CANARY}]}).encode(), "provider"),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_a_wrong_file_is_named_with_its_fault(case: str, tmp_path: Path) -> None:
    name, content, words = FILES[case]
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(ConfigError, match=words) as caught:
        AIO.from_file(path)

    told = "".join(traceback.format_exception(caught.value, limit=0))
    assert CANARY not in told
    assert str(path) in told


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.json: cannot be read: No such file"):
        AIO.from_file(tmp_path / "nothing.json")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    folder = tmp_path / "folder.toml"
    folder.mkdir()

    with pytest.raises(ConfigError, match=r"folder\.toml: cannot be read: Is a directory"):
        AIO.from_file(folder)


@pytest.mark.parametrize("path", ["a\x00b.json", "x" * 300 + ".json"])
def test_a_path_that_cannot_be_is_refused(path: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        AIO.from_file(path)


@pytest.mark.parametrize("bom", [b"", b"\xef\xbb\xbf"])
def test_a_file_of_a_windows_editor_is_read(bom: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(bom + json.dumps(GOOD, indent=2).replace("\n", "\r\n").encode())

    assert AIO.from_file(path).get_config_summary()["total_keys"] == 1


BAD_ENVIRONMENTS = {
    "a key in quotes": ({"GROQ_API_KEY": f'"{CANARY}"'}, "key: has a space, quote"),
    "an address without a scheme": (
        {"GROQ_API_KEY": CANARY, "GROQ_BASE_URL": "api.test"}, "base_url: must start with"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_ENVIRONMENTS)
def test_a_wrong_environment_is_told_by_its_field(case: str) -> None:
    environment, words = BAD_ENVIRONMENTS[case]

    with pytest.raises(ConfigError, match=words) as caught:
        AIO.from_env(environment)

    assert CANARY not in str(caught.value)


def test_settings_beside_the_environment_are_checked_too() -> None:
    with pytest.raises(ConfigError, match="did you mean 'max_retries'"):
        AIO.from_env({"GROQ_API_KEY": CANARY}, max_retry=1)
