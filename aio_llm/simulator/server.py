"""The listening socket, its event loop and its thread."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
import weakref

from aio_llm.simulator.connection import Connection, Decider
from aio_llm.simulator.journal import Journal

HOST = "127.0.0.1"


class Server:
    """One daemon thread with one event loop; `port` is 0 until it has started."""

    def __init__(
        self,
        decide: Decider,
        journal: Journal,
        port: int,
        tls: ssl.SSLContext | None,
        rate: float = 1.0,
    ) -> None:
        self._decide = decide
        self._rate = rate
        self._journal = journal
        self._wanted = port
        self._tls = tls
        self._live: set[Connection] = set()
        self._sockets: list[socket.socket] = []
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.port = self.refused_port = self.silent_port = 0

    def start(self) -> None:
        """Listen and return; RuntimeError when it runs already."""
        if self._thread is not None:
            raise RuntimeError("the simulator is running already")
        listener = _listening(self._wanted)
        refused, silent = _bound(0), _listening(0)
        self._sockets = [listener, refused, silent]
        ports = [one.getsockname()[1] for one in self._sockets]
        self.port, self.refused_port, self.silent_port = ports
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        work = (self._loop, listener, ready)
        self._thread = threading.Thread(target=self._run, args=work, name="simulator", daemon=True)
        self._thread.start()
        ready.wait()
        _running.add(self)

    def close(self) -> None:
        """Stop listening, abort the connections, end the thread; harmless when not running."""
        if self._thread is None or self._loop is None:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        for one in self._sockets:
            one.close()
        self._thread = None
        self.port = 0
        _running.discard(self)

    def _run(
        self, loop: asyncio.AbstractEventLoop, listener: socket.socket, ready: threading.Event
    ) -> None:
        asyncio.set_event_loop(loop)
        server = loop.run_until_complete(
            loop.create_server(self._connection, sock=listener, ssl=self._tls, backlog=1024)
        )
        ready.set()
        loop.run_forever()
        loop.remove_reader(listener.fileno())
        loop.run_until_complete(_turn())  # what was accepted last becomes a connection
        server.close()
        for connection in list(self._live):
            connection.transport.abort()
        loop.run_until_complete(_turn())
        loop.close()

    def _connection(self) -> Connection:
        return Connection(self._decide, self._journal, self._live, self._rate)

    def leave_child(self) -> None:
        """In a forked child: let go of the parent's sockets, or hang-ups would not be seen."""
        self._journal.renew()
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in [c.fileno() for c in self._live] + [s.fileno() for s in self._sockets]:
            if number >= 0:
                os.dup2(nothing, number)
        os.close(nothing)


async def _turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def _bound(port: int) -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if port:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind((HOST, port))
    return one


def _listening(port: int) -> socket.socket:
    one = _bound(port)
    one.listen(1024)
    return one


_running: weakref.WeakSet[Server] = weakref.WeakSet()


def _leave_all() -> None:
    for server in list(_running):
        server.leave_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_all)
