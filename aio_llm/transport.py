"""The HTTP clients handed to the vendor SDKs: pooled sockets that can be hung up on.

What it is: HTTP/1.1 over plain or TLS sockets, one request per connection at a time, kept
alive, behind the public `BaseTransport` and `Client` of httpx (groq) and httpx2 (openai,
google-genai). What it is not: no redirects, no cookies, no retries, no HTTP/2 (one call per
connection is what makes hanging up on one call safe), no SOCKS.

Why not the libraries' own pools: they wait for a slot where no cancel can reach, walk all
connections on every request, and take a lock that an interrupt can leave locked. Here the
pool is a stack whose push and pop are atomic; idle connections cost nothing.
"""

from __future__ import annotations

import contextlib
import ssl
from collections import deque
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from types import ModuleType
from typing import Any

from aio_llm.cancel import CallAborted, CancelScope, current_scope
from aio_llm.fork import renew_after_fork
from aio_llm.http1 import Head, WireError, encode_request, read_head
from aio_llm.sockets import Wire, open_wire, proxy_for

KEEP_ALIVE = 60.0
"""Seconds an idle connection is kept."""

STALE_AFTER = 1.0
"""Seconds of rest after which a server may be about to hang up without our knowing."""

LARGEST_BODY = 64 * 1024 * 1024
"""Bytes of one answer, after which the call is given up."""

_context: ssl.SSLContext | None = None


def shared_ssl_context() -> ssl.SSLContext:
    """The one TLS context of this process: making one costs 20-50 ms, sharing it nothing."""
    global _context
    if _context is None:
        _context = ssl.create_default_context()
        if not _context.cert_store_stats()["x509_ca"]:
            with contextlib.suppress(ImportError, OSError):
                import certifi  # comes with httpx; for containers without CA files

                _context.load_verify_locations(certifi.where())
    return _context


class ConnectionPool:
    """Connections of one process by origin, last used first out. Thread-safe without a lock."""

    def __init__(
        self, verify: ssl.SSLContext | None = None, stale_after: float = STALE_AFTER
    ) -> None:
        self._verify = verify
        self.stale_after = stale_after
        self._idle: dict[str, deque[Wire]] = {}
        self.opened = 0
        renew_after_fork(self)

    def take(self, scheme: str, host: str, port: int, scope: CancelScope) -> Wire:
        """An idle connection that is still alive, or a new one; held by `scope`."""
        idle = self._idle.get(f"{scheme}://{host}:{port}")
        while idle:
            try:
                wire = idle.pop()
            except IndexError:
                break
            if wire.is_fresh(KEEP_ALIVE):
                wire.lend(scope)
                return wire
            wire.close()
        return self.open(scheme, host, port, scope)

    def open(self, scheme: str, host: str, port: int, scope: CancelScope) -> Wire:
        """A new connection, held by `scope`."""
        context = (self._verify or shared_ssl_context()) if scheme == "https" else None
        self.opened += 1
        return open_wire(scheme, host, port, context, scope, proxy_for(scheme, host))

    def give_back(self, scheme: str, host: str, port: int, wire: Wire) -> None:
        """Keep `wire` for the next call."""
        wire.rest()
        idle = self._idle.setdefault(f"{scheme}://{host}:{port}", deque())
        idle.append(wire)
        self._shed(idle)

    def _shed(self, idle: deque[Wire]) -> None:
        """Close what nobody has needed for long: it lies at the bottom of the stack."""
        while len(idle) > 1:
            try:
                oldest = idle.popleft()
            except IndexError:
                return
            if oldest.is_fresh(KEEP_ALIVE):
                idle.appendleft(oldest)
                return
            oldest.close()

    def close(self) -> None:
        """Close what is idle; calls in progress keep their connection until they end."""
        for idle in list(self._idle.values()):
            while idle:
                with contextlib.suppress(IndexError):
                    idle.pop().close()

    def after_fork(self) -> None:
        """Forget the parent's connections: answers on them are not for this process."""
        inherited, self._idle = self._idle, {}
        for idle in inherited.values():
            for wire in idle:
                wire.drop()

    @property
    def idle(self) -> int:
        """How many connections wait for work."""
        return sum(len(idle) for idle in list(self._idle.values()))


class Body:
    """The bytes of one answer as they arrive; gives its connection back when it is all read."""

    def __init__(
        self, wire: Wire, head: Head, pool: ConnectionPool, origin: tuple[str, str, int]
    ) -> None:
        self._wire: Wire | None = wire
        self._pool = pool
        self._origin = origin
        self._reusable = head.keep_alive
        self._chunks = head.body(wire)

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from _bounded(self._chunks)
        except GeneratorExit:
            raise  # a reader that stops early may still drain
        except BaseException:
            self._reusable = False
            self.close()
            raise
        self._finish()

    def _finish(self) -> None:
        wire, self._wire = self._wire, None
        if wire is None:
            return
        if self._reusable and not wire.buffer:  # bytes nobody asked for are nobody's answer
            self._pool.give_back(*self._origin, wire)
        else:
            wire.close()

    def drain(self) -> None:
        """Read the few bytes that may be left after the last event, so the connection lives."""
        if self._wire is None:
            return
        with contextlib.suppress(WireError, CallAborted), self._wire.hurry():
            for _ in Body.__iter__(self):
                pass

    def close(self) -> None:
        """Hang up unless the answer is complete; idempotent."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    def __del__(self) -> None:
        self.close()


def _bounded(chunks: Iterator[bytes]) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > LARGEST_BODY:
            raise WireError("RemoteProtocolError", f"the answer is over {LARGEST_BODY} bytes")
        yield chunk


def lean_client(http: ModuleType, pool: ConnectionPool) -> Any:
    """A `Client` of `http` (the module httpx or httpx2) on `pool`, for `http_client=`."""
    transport = _transport_class(http)(pool)
    client = _client_class(http)(transport=transport, trust_env=False, timeout=None)
    client.headers["accept-encoding"] = "identity"
    client.lean = transport
    return client


@cache
def _transport_class(http: ModuleType) -> Any:
    """`BaseTransport` of `http` over a `ConnectionPool`; errors are that library's own."""

    class PooledBody(http.SyncByteStream, Body):  # type: ignore[name-defined,misc]
        """`Body` as that library's stream type."""

        def __iter__(self) -> Iterator[bytes]:
            try:
                yield from Body.__iter__(self)
            except WireError as error:
                raise getattr(http, error.name)(str(error)) from None

        def close(self) -> None:
            Body.close(self)

    class PooledTransport(http.BaseTransport):  # type: ignore[name-defined,misc]
        """One request, one connection, cancellable."""

        def __init__(self, pool: ConnectionPool) -> None:
            self.pool = pool

        def handle_request(self, request: Any) -> Any:
            scope = current_scope() or CancelScope()
            try:
                head, body = _exchange(self.pool, request, scope, PooledBody)
            except WireError as error:
                raise getattr(http, error.name)(str(error), request=request) from None
            return http.Response(head.status, headers=head.headers, stream=body)

        def close(self) -> None:
            self.pool.close()

    return PooledTransport


def _exchange(
    pool: ConnectionPool, request: Any, scope: CancelScope, body_class: type[Body]
) -> tuple[Head, Body]:
    url = request.url
    scheme, host = url.scheme, url.host
    origin = (scheme, host, url.port or (443 if scheme == "https" else 80))
    message = encode_request(request.method, url.raw_path, request.headers.raw, request.read())
    wire = pool.take(*origin, scope)
    try:
        head = _ask(wire, message, url, scope)
    except WireError:
        if wire.buffer or wire.rested < pool.stale_after:
            raise
        # A server closes what has rested long, and our request may have crossed that on the
        # way (RFC 9112, section 9.3.1): once more, on a fresh connection.
        scope.resent += scope.sent
        wire = pool.open(*origin, scope)
        head = _ask(wire, message, url, scope)
    return head, body_class(wire, head, pool, origin)


def _ask(wire: Wire, message: bytes, url: Any, scope: CancelScope) -> Head:
    """Send one request and read the head of its answer; hangs up if that fails."""
    try:
        heard = wire.send_request(wire.proxied(message, url.scheme, url.netloc))
        head = read_head(wire)
    except BaseException:
        wire.close()
        raise
    head.keep_alive = head.keep_alive and heard
    return head


@cache
def _client_class(http: ModuleType) -> Any:
    """`Client` of `http` without cookies, redirects, auth flows and merged defaults."""
    parse = lru_cache(maxsize=1000)(http.URL)

    class LeanClient(http.Client):  # type: ignore[name-defined,misc]
        """Sends exactly what the SDK built; the answer is also noted on the call's scope."""

        lean: Any

        def build_request(
            self, method: str, url: Any, *, headers: Any = None, content: Any = None, **more: Any
        ) -> Any:
            if any(more.get(part) for part in ("data", "files", "json", "params", "cookies")):
                return super().build_request(method, url, headers=headers, content=content, **more)
            headers = _sent_headers(headers)
            return http.Request(method, parse(str(url)), headers=headers, content=content)

        def send(self, request: Any, *, stream: bool = False, **_: Any) -> Any:
            response = self.lean.handle_request(request)
            response.request = request
            scope = current_scope()
            if scope is not None:
                scope.answer = response
            if scope is not None and scope.detach_body and response.is_success:
                # The caller reads the body itself; the SDK gets an empty one and is done.
                return http.Response(200, headers=_no_body(response.headers), request=request)
            if not response.is_success:
                return _refused(http, response)
            if not stream:
                response.read()
            return response

    return LeanClient


_SENT = frozenset(
    {"accept", "authorization", "content-type", "user-agent", "x-goog-api-key"}
)  # fmt: skip


def _sent_headers(headers: Any) -> dict[str, str]:
    """Only what a vendor needs, and what the call's scope adds: its key, configured headers.

    A gate: the SDKs put OPENAI_CUSTOM_HEADERS, OPENAI_ORG_ID and their like from the
    environment into every request, whichever vendor it goes to. No compression: an answer of
    a few kilobytes is not worth unpacking.
    """
    pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
    sent = {name: v for k, v in pairs if (name := k.lower()) in _SENT}
    scope = current_scope()
    if scope is not None:
        sent.update((k.lower(), v) for k, v in scope.headers.items())
    sent["accept-encoding"] = "identity"
    return sent


def _refused(http: ModuleType, response: Any) -> Any:
    """A refusal with as much of its words as came: its status says most of it."""
    said = bytearray()
    with contextlib.suppress(http.TransportError):
        for piece in response.stream:
            said += piece
    return http.Response(
        response.status_code,
        headers=_without_framing(response.headers),
        content=bytes(said),
        request=response.request,
    )


def _without_framing(headers: Any) -> list[tuple[str, str]]:
    framing = ("content-length", "transfer-encoding")
    return [(k, v) for k, v in headers.multi_items() if k.lower() not in framing]


def _no_body(headers: Any) -> list[tuple[str, str]]:
    return [(k, v) for k, v in headers.multi_items() if k.lower() == "content-type"]
