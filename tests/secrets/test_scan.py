"""The search itself finds what is hidden; otherwise the other tests here would prove nothing."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import BaseModel, SecretStr

from tests.secrets.scan import everything, shown, walk

KEY = "gsk_c4nary+with/odd=chars&more%%"


@dataclass
class Hidden:
    """Shows nothing by itself."""

    secret: str = field(repr=False)


class Slotted:
    """Has no `__dict__`."""

    __slots__ = ("inner",)

    def __init__(self, inner: Any) -> None:
        self.inner = inner


class Model(BaseModel):
    """A model of pydantic."""

    value: Any


def caused() -> Exception:
    """An error whose cause has the key."""
    error = RuntimeError("no")
    error.__cause__ = ValueError(KEY)
    return error


HIDDEN: dict[str, Any] = {
    "plain": f"a {KEY} b",
    "bytes": KEY.encode(),
    "a dict": {"a": [{"b": KEY}]},
    "a name of a dict": {KEY: 1},
    "JSON": json.dumps({"key": KEY}),
    "a URL": f"https://x.test/?key={quote(KEY, safe='')}",
    "base64": base64.b64encode(KEY.encode()).decode(),
    "base64 after one": base64.b64encode(b":" + KEY.encode()).decode(),
    "base64 after two": base64.b64encode(b"a:" + KEY.encode()).decode(),
    "an attribute": Hidden(KEY),
    "a slot": Slotted(Hidden(KEY)),
    "a model": Model(value=Hidden(KEY)),
    "an argument of an error": ValueError(KEY),
    "a cause": caused(),
}


@pytest.mark.parametrize("case", HIDDEN)
def test_a_key_is_found_where_it_hides(case: str) -> None:
    assert shown("\n".join(walk(HIDDEN[case])), [KEY])


@pytest.mark.parametrize("thing", [SecretStr(KEY), {"a": [SecretStr(KEY)]}, "gsk_…%%", KEY[:-1]])
def test_what_does_not_show_a_key_is_not_accused(thing: Any) -> None:
    assert shown("\n".join(walk(thing)), [KEY]) == []


def test_a_pickle_is_searched() -> None:
    assert shown(everything({"a": KEY}), [KEY])
