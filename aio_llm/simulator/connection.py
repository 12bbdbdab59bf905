"""One client connection: reads requests, plays what the desk decides, notices the hang-up.

`rate`: how many seconds of the simulator's clock pass in a real one.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Iterator
from typing import Protocol

from aio_llm.simulator.http1 import BadRequestError, take_request
from aio_llm.simulator.journal import Journal
from aio_llm.simulator.records import End, HttpRequest, Play, RealSeconds

_LINGER_ZERO = struct.pack("ii", 1, 0)
_REFUSAL = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Decider(Protocol):
    """Decides what is answered to a request; `counts` is True for chat requests."""

    def __call__(self, request: HttpRequest, connection: int) -> tuple[Play, bool]:
        """What to play."""


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive; requests are answered one after the other."""

    def __init__(
        self, decide: Decider, journal: Journal, live: set[Connection], rate: float
    ) -> None:
        self._decide = decide
        self._rate = rate
        self._journal = journal
        self._live = live
        self._buffer = bytearray()
        self._steps: Iterator[bytes | float] | None = None
        self._end = End.KEEP
        self._counts = False
        self._ended: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._last = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._live.add(self)
        self.number = self._journal.connected()

    def data_received(self, data: bytes) -> None:
        """Collect bytes; answer when nothing else is being answered."""
        self._buffer += data
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client (or the play) ended the connection: clean up."""
        if self._timer is not None:
            self._timer.cancel()
        if self._steps is not None:
            self._settle(aborted=True)
        self._live.discard(self)
        self._journal.disconnected()

    def fileno(self) -> int:
        """The file descriptor of the socket, -1 when closed."""
        sock = self.transport.get_extra_info("socket")
        return sock.fileno() if sock is not None else -1

    def _next(self) -> None:
        while self._steps is None and not self.transport.is_closing():
            try:
                request = take_request(self._buffer)
            except BadRequestError:
                self._refuse()
                return
            if request is None:
                return
            self._start(request)

    def _start(self, request: HttpRequest) -> None:
        play, self._counts = self._decide(request, self.number)
        self._last = request.headers.get("connection", "").lower() == "close"
        self._steps = iter(play.steps)
        self._end = play.end
        self._ended = play.ended
        self._advance()

    def _advance(self) -> None:
        self._timer = None
        assert self._steps is not None
        for step in self._steps:
            if isinstance(step, bytes):
                self.transport.write(step)
            else:
                pause = step if isinstance(step, RealSeconds) else step / self._rate
                loop = asyncio.get_running_loop()
                self._timer = loop.call_later(pause, self._resume)
                return
        self._finish()

    def _resume(self) -> None:
        self._advance()
        self._next()

    def _finish(self) -> None:
        if self._end is End.HANG:
            return
        self._settle(aborted=False)
        if self._end is End.RESET:
            self._reset()
        elif self._end is End.CLOSE or self._last:
            self.transport.close()

    def _settle(self, aborted: bool) -> None:
        self._steps = None
        if self._ended is not None:
            self._ended()
        if self._counts:
            self._journal.finished(aborted)

    def _reset(self) -> None:
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        self.transport.abort()

    def _refuse(self) -> None:
        self.transport.write(_REFUSAL)
        self.transport.close()
