"""Recorded vendor traffic, where it is at hand: read, filtered by rule, and played back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from aio_llm import AIO, AIOError, ChatCompletion
from tests.replay.server import Asked, Server

FOLDER = Path(__file__).parents[3] / "shared" / "research" / "wire"
VENDORS = {"openrouter": "openrouter", "groq": "groq", "cerebras": "cerebras",
           "google": "google-ai", "any": "custom"}  # fmt: skip
FRAMING = {"content-length", "content-encoding", "transfer-encoding", "connection"}
Record = dict[str, Any]

needs_recordings = pytest.mark.skipif(not FOLDER.exists(), reason="no recordings at hand")


def records(name: str) -> list[Record]:
    """The chat records of our vendors in a file; none where the folder is absent."""
    path = FOLDER / name
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [record for record in map(json.loads, lines) if is_chat(record)]


def is_chat(record: Record) -> bool:
    """One of our vendors' chat endpoints answered, in the mode in which we would have asked."""
    if record["vendor"] not in VENDORS:
        return False
    path = str((record.get("request") or {}).get("path") or "")
    if record["vendor"] != "google":
        return path.endswith("/chat/completions")
    sse = record["response"].get("framing") == "sse"
    refused = record["response"]["status"] >= 400
    wanted = ":streamGenerateContent" if sse else ":generateContent"
    return path.endswith(wanted) or (refused and ":streamGenerateContent" in path)


def cases(found: list[Record]) -> list[Any]:
    """The records as parameters, named by their ids."""
    return [pytest.param(record, id=record["id"]) for record in found]


@dataclass(frozen=True)
class Cut:
    """How a body travels: in one piece, or in chunks of so many bytes."""

    size: int | None = None

    def pieces(self, record: Record) -> Iterator[bytes]:
        """The answer of a record, its body byte for byte."""
        response = record["response"]
        body = response["body"].encode()
        kept = {k: v for k, v in response["headers"].items() if k.lower() not in FRAMING}
        framing = (
            f"content-length: {len(body)}" if self.size is None else "transfer-encoding: chunked"
        )
        lines = "".join(f"{name}: {value}\r\n" for name, value in kept.items())
        yield f"HTTP/1.1 {response['status']} Told\r\n{lines}{framing}\r\n\r\n".encode("latin-1")
        if self.size is None:
            yield body
            return
        for start in range(0, len(body), self.size):
            piece = body[start : start + self.size]
            yield b"%x\r\n%b\r\n" % (len(piece), piece)
        yield b"0\r\n\r\n"


def is_stream(record: Record) -> bool:
    """The answer was streamed, or a stream was asked for and refused."""
    path = str(record["request"]["path"])
    return record["response"].get("framing") == "sse" or ":stream" in path


def play(record: Record, cut: Cut) -> ChatCompletion | AIOError:
    """What our adapter of that vendor makes of the recorded answer."""

    def script(_: Asked) -> Iterator[bytes]:
        return cut.pieces(record)

    with Server(script) as server:
        entry = {"provider": VENDORS[record["vendor"]], "base_url": server.url, "models": ["m"],
                 "api_keys": ["key-of-the-replay"]}  # fmt: skip
        with AIO([entry], auto_mode=True, max_retries=0, max_wait=0) as aio:
            try:
                if is_stream(record):
                    return aio.chat_completion_stream("hello").response
                return aio.chat_completion("hello")
            except AIOError as error:
                return error
