"""Where a call can be stuck, set up for real: sockets that are full, silent or dripping."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import pytest

from aio_llm.simulator import Simulator
from tests.faults.scene import until
from tests.faults.stuck import TellingClock

TCP = Path("/proc/net/tcp")
SYN_SENT = "02"


@dataclass
class Spot:
    """One place to be stuck in.

    `origin`: where the vendor is to be looked for. `reached`: the call is there now. `left`:
    the vendor has seen it go.
    """

    sim: Simulator
    vendor: str
    clock: TellingClock
    cleanup: contextlib.ExitStack
    monkeypatch: pytest.MonkeyPatch
    origin: str = ""
    reached: Callable[[], bool] = field(default=lambda: False)
    left: Callable[[], bool] = field(default=lambda: False)

    def __post_init__(self) -> None:
        sim = self.sim
        self.origin = sim.origin
        self.reached = lambda: sim.wait_for(lambda: sim.active == 1)
        self.left = lambda: sim.wait_for(lambda: sim.active == 0 and sim.open_connections == 0)


def waiting_for_capacity(spot: Spot) -> None:
    """The only key is limited."""
    spot.sim.inject("429_retry_after", vendor=spot.vendor, seconds=30)
    spot.reached = spot.clock.somebody_sleeps
    spot.left = lambda: spot.sim.wait_for(lambda: spot.sim.active == 0)


def in_back_off(spot: Spot) -> None:
    """The only vendor is down."""
    spot.sim.inject("500", vendor=spot.vendor)
    spot.reached = spot.clock.somebody_sleeps
    spot.left = lambda: spot.sim.wait_for(lambda: spot.sim.active == 0)


def in_dns(spot: Spot) -> None:
    """The name server says nothing: the system's resolver is replaced, ours is not touched."""
    asked, answer = threading.Semaphore(0), threading.Event()

    def slow(*question: object, **options: object) -> NoReturn:
        asked.release()
        answer.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "no name server")

    spot.monkeypatch.setattr(socket, "getaddrinfo", slow)
    spot.cleanup.callback(answer.set)
    spot.origin = "http://slow.invalid"
    spot.reached = lambda: asked.acquire(timeout=5)
    spot.left = lambda: spot.sim.connections == 0


def connecting(spot: Spot) -> None:
    """The listener's backlog is full: Linux drops whoever knocks next."""
    if not TCP.exists():
        pytest.skip("needs Linux: a full backlog and /proc/net/tcp")
    listener = spot.cleanup.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    port = listener.getsockname()[1]
    for _ in range(2):
        knocker = spot.cleanup.enter_context(socket.socket())
        knocker.setblocking(False)
        knocker.connect_ex(("127.0.0.1", port))
    knocking = _knocking(port)
    spot.origin = f"http://127.0.0.1:{port}"
    spot.reached = lambda: until(lambda: _knocking(port) == knocking + 1)
    spot.left = lambda: until(lambda: _knocking(port) == knocking)


def _knocking(port: int) -> int:
    """How many sockets are trying to connect to the port."""
    rows = [line.split() for line in TCP.read_text().splitlines()[1:]]
    return sum(row[2].endswith(f":{port:04X}") and row[3] == SYN_SENT for row in rows)


def in_the_tls_handshake(spot: Spot) -> None:
    """The listener takes the greeting and says nothing."""
    listener = spot.cleanup.enter_context(socket.create_server(("127.0.0.1", 0)))
    taken: list[socket.socket] = []

    def greeted() -> bool:
        listener.settimeout(5)
        taken.append(spot.cleanup.enter_context(listener.accept()[0]))
        taken[-1].settimeout(5)
        return taken[-1].recv(1) == b"\x16"

    def hung_up() -> bool:
        with contextlib.suppress(ConnectionResetError):
            while taken[-1].recv(65_536):
                pass
        return True

    spot.origin = f"https://127.0.0.1:{listener.getsockname()[1]}"
    spot.reached, spot.left = greeted, hung_up


def before_the_headers(spot: Spot) -> None:
    """The vendor reads the request and says nothing."""
    spot.sim.inject("hang", vendor=spot.vendor)


def in_the_body(spot: Spot) -> None:
    """The vendor falls silent after half an answer; of a stream, before its first content."""
    spot.sim.inject("stall", vendor=spot.vendor, after=0)


def in_a_dripping_body(spot: Spot) -> None:
    """The vendor sends a byte a second."""
    spot.sim.inject("drip", vendor=spot.vendor)


PLACES: dict[str, Callable[[Spot], None]] = {
    "waiting for capacity": waiting_for_capacity,
    "in back-off": in_back_off,
    "in DNS": in_dns,
    "connecting": connecting,
    "in the TLS handshake": in_the_tls_handshake,
    "before the headers": before_the_headers,
    "in the body": in_the_body,
    "in a dripping body": in_a_dripping_body,
}
