"""Finds a planted key wherever it may hide: raw, escaped, encoded, in attributes of attributes."""

from __future__ import annotations

import base64
import io
import json
import pickle
import traceback
from collections.abc import Iterable, Iterator, Mapping
from types import FrameType, FunctionType, MethodType, ModuleType, TracebackType
from typing import Any
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

LEAVES = (
    ModuleType,
    FunctionType,
    MethodType,
    FrameType,
    TracebackType,
    type,
    io.IOBase,
    SecretStr,
)
"""Not looked into; a `SecretStr` holds the key by design and shows it to nobody."""


def forms(key: str) -> set[str]:
    """The spellings of a key that count as showing it."""
    spellings = {key, json.dumps(key)[1:-1], quote(key, safe=""), quote_plus(key), repr(key)[1:-1]}
    for shift in range(3):
        # In base64 a text looks different at each of three positions.
        encoded = base64.b64encode(b" " * shift + key.encode()).decode()
        spellings.add(encoded[4 * (shift > 0) : len(encoded) // 4 * 4 - 4])
    return spellings


def shown(text: str, keys: Iterable[str]) -> list[str]:
    """The spellings of these keys that are in a text."""
    return sorted({form for key in keys for form in forms(key) if form in text})


def walk(thing: object, seen: dict[int, object] | None = None) -> Iterator[str]:
    """Every text that can be reached from a thing, through attributes and containers."""
    seen = {} if seen is None else seen
    if id(thing) in seen or isinstance(thing, LEAVES):
        return
    seen[id(thing)] = thing
    if isinstance(thing, str | bytes | bytearray):
        yield thing if isinstance(thing, str) else thing.decode("latin-1")
        return
    yield from _said(thing)
    for inner in _inside(thing):
        yield from walk(inner, seen)


def _said(thing: object) -> Iterator[str]:
    yield repr(thing)
    yield str(thing)
    if isinstance(thing, BaseException):
        yield "".join(traceback.format_exception(thing))


def _inside(thing: object) -> Iterator[object]:
    if isinstance(thing, Mapping):
        yield from thing.keys()
        yield from thing.values()
    elif isinstance(thing, list | tuple | set | frozenset):
        yield from thing
    yield from getattr(thing, "__dict__", {}).values()
    for cls in type(thing).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            yield getattr(thing, name, None)
    if isinstance(thing, BaseException):
        yield from (thing.args, thing.__cause__, thing.__context__, getattr(thing, "__notes__", ()))


def everything(thing: object) -> str:
    """All that a thing shows, its pickle included."""
    return "\n".join([*walk(thing), pickle.dumps(thing).decode("latin-1")])


def rendered(thing: Any) -> str:
    """What a thing shows of itself when it is printed, without looking inside."""
    return f"{thing}\n{thing!r}\n{thing!s}\n{[thing]}\n{ {'x': thing} }"
