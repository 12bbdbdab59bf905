"""A server that is never the bottleneck: the simulator's own answers, recorded once, played back.

Answers are ready-made bytes, written in one go: a stream arrives as a burst. Options are the
first part of the path: `/20ms/groq` answers after 20 ms. `GET /stats` tells its load.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import time
from typing import Any

from aio_llm.simulator import Simulator

RECORDED = 150
VENDORS = {
    "cerebras": "/cerebras/v1",
    "groq": "/groq/openai/v1",
    "google-ai": "/google-ai/v1beta",
}
"""The paths below which the simulated vendors listen."""

Answers = dict[tuple[str, bool], bytes]


def record(chunks: int) -> Answers:
    """A plain answer and a stream of about `chunks` pieces from each vendor."""
    with Simulator(chunks=RECORDED) as sim:
        return {
            (vendor, stream): _ask(sim, vendor, stream, chunks)
            for vendor in VENDORS
            for stream in (False, True)
        }


def _ask(sim: Simulator, vendor: str, stream: bool, chunks: int) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", sim.port)
    path, body, headers = ask_for(sim, vendor, stream=stream, text="lorem " * 30)
    connection.request("POST", path, json.dumps(body), headers)
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{vendor}: {answer.status} {content!r}")
    kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in _FRAMING]
    connection.close()
    framed = _chunked(content, chunks) if stream else _counted(content)
    lines = ["HTTP/1.1 200 OK", *(f"{k}: {v}" for k, v in kept)]
    return "\r\n".join(lines).encode() + b"\r\n" + framed


_FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})


def ask_for(
    sim: Simulator, vendor: str, *, stream: bool, text: str
) -> tuple[str, Any, dict[str, str]]:
    """Path, body and headers of the smallest request the vendor takes."""
    key, model, base = sim.keys(vendor)[0], sim.models(vendor)[0], VENDORS[vendor]
    if vendor == "google-ai":
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        body: Any = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
        return f"{base}/models/{model}:{verb}", body, {"x-goog-api-key": key}
    body = {"model": model, "messages": [{"role": "user", "content": text}], "stream": stream}
    return f"{base}/chat/completions", body, {"authorization": f"Bearer {key}"}


def _counted(content: bytes) -> bytes:
    return b"content-length: %d\r\n\r\n%b" % (len(content), content)


def _chunked(content: bytes, chunks: int) -> bytes:
    """The event in the middle, which is text like its neighbours, stands for all that lack."""
    end = b"\r\n\r\n" if b"\r\n\r\n" in content else b"\n\n"
    events = [event + end for event in content.split(end) if event]
    middle = len(events) // 2
    events[middle:middle] = [events[middle]] * max(0, chunks - RECORDED)
    framed = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events)
    return b"transfer-encoding: chunked\r\n\r\n%b0\r\n\r\n" % framed


class Player(asyncio.Protocol):
    """One connection; requests are answered one after the other."""

    requests = 0
    connections = 0

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._buffer = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count it."""
        Player.connections += 1
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer when the whole request is there."""
        self._buffer = self._buffer + data if self._buffer else data
        head, _, body = self._buffer.partition(b"\r\n\r\n")
        if len(body) < _length(head):
            return
        self._buffer = b""
        Player.requests += 1
        self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        first, _, rest = head[head.index(b"/") + 1 :].partition(b"/")
        delayed = first.endswith(b"ms")
        vendor = (rest.partition(b"/")[0] if delayed else first).decode()
        if vendor.startswith("stats"):
            self._transport.write(_stats())
            return
        stream = b":stream" in rest or b'"stream":true' in body or b'"stream": true' in body
        answer = self._answers[vendor, stream]
        if delayed:
            loop = asyncio.get_running_loop()
            loop.call_later(int(first[:-2]) / 1000, self._transport.write, answer)
        else:
            self._transport.write(answer)


def _length(head: bytes) -> int:
    """The body's length; the name is lower case or capitalised, as the SDKs write it."""
    at = head.find(b"ontent-length:")
    if at < 0:
        at = head.find(b"ontent-Length:")
    return int(head[at + 14 :].split(b"\r", 1)[0]) if at >= 0 else 0


def _stats() -> bytes:
    counts = {
        "requests": Player.requests,
        "connections": Player.connections,
        "cpu": time.process_time(),
    }
    return b"HTTP/1.1 200 OK\r\n" + _counted(json.dumps(counts).encode())


async def serve(answers: Answers) -> None:
    """Until the process is ended."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Player(answers), "127.0.0.1", 0, backlog=1024)
    port = server.sockets[0].getsockname()[1]
    print(f"server ready on http://127.0.0.1:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--chunks", type=int, default=1000, help="pieces of a stream")
    asyncio.run(serve(record(given.parse_args().chunks)))
