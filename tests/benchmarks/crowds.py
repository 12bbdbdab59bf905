"""Calls per second of many threads on one client, and what the servers could do at most."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from statistics import median

from aio_llm.simulator import Simulator

from .callers import SDKS, history, ours, raw
from .measure import Measured, ServerProcess, Setup, stats, take_turns
from .server import ask_for

_SOCKETS = 16
_ASKED = 60


def throughput(setup: Setup, threads: str, delay: str) -> list[Measured]:
    """`threads` in a closed loop against a server that answers after `delay` milliseconds."""
    origin = setup.origin if delay == "0" else f"{setup.origin}/{delay}ms"
    base, mine = (make("openai", origin, history(1)).chat for make in (raw, ours))
    seconds = 0.5 if setup.quick else 1.5
    for chat in (base, mine):
        _rate(chat, int(threads), 0.3)
    before, started = stats(setup.origin)["cpu"], time.perf_counter()
    took = take_turns(
        lambda: _rate(base, int(threads), seconds),
        lambda: _rate(mine, int(threads), seconds),
        setup.rounds(5, 3),
    )
    busy = (stats(setup.origin)["cpu"] - before) / (time.perf_counter() - started)
    note = f"{median(took.ours):,.0f} : {median(took.base):,.0f} calls/s, server {busy:.0%} busy"
    wait = "instant server" if delay == "0" else f"{delay} ms server"
    return [Measured("throughput", took.ratios, note, f"{threads} threads, {wait}")]


def _rate(chat: Callable[[], object], threads: int, seconds: float) -> float:
    """Answers per second of `threads` that ask again as soon as they are answered."""
    start = threading.Barrier(threads + 1)
    counts: list[int] = []
    stop = threading.Event()

    def work() -> None:
        count = 0
        start.wait()
        while not stop.is_set():
            chat()
            count += 1
        counts.append(count)

    crew = [threading.Thread(target=work) for _ in range(threads)]
    for one in crew:
        one.start()
    start.wait()
    began = time.perf_counter()
    stop.wait(seconds)
    stop.set()
    for one in crew:
        one.join()
    return sum(counts) / (time.perf_counter() - began)


def ceilings(setup: Setup) -> list[Measured]:
    """Answers per second to bare sockets: what no client can be faster than."""
    rounds = setup.rounds(9, 5)
    with ServerProcess("aio_llm.simulator", "--port", "0") as simulator:
        servers = {"the benchmark's": setup.origin, "the simulator": simulator.origin}
        return [
            Measured("ceiling", [max(_ceiling(at) for _ in range(rounds))], "", name)
            for name, at in servers.items()
        ]


def _ceiling(origin: str) -> float:
    host, _, port = origin.removeprefix("http://").partition(":")
    message = _message()
    lines = [socket.create_connection((host, int(port))) for _ in range(_SOCKETS)]
    started = time.perf_counter()
    for _ in range(_ASKED):
        for line in lines:
            line.sendall(message)
        for line in lines:
            _read(line)
    seconds = time.perf_counter() - started
    for line in lines:
        line.close()
    return _SOCKETS * _ASKED / seconds


def _message() -> bytes:
    path, body, headers = ask_for(Simulator(), SDKS["openai"], stream=False, text="Hello!")
    content = json.dumps(body).encode()
    headers = {"host": "127.0.0.1", "content-length": str(len(content)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + content


def _read(line: socket.socket) -> None:
    """One whole answer with a content-length."""
    data = line.recv(65_536)
    head, _, body = data.partition(b"\r\n\r\n")
    at = head.lower().index(b"content-length:") + len(b"content-length:")
    missing = int(head[at:].split(b"\r", 1)[0]) - len(body)
    while missing > 0:
        missing -= len(line.recv(65_536))
