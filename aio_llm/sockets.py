"""Sockets that a call's cancel scope can shut down, with a budget for every operation.

Connecting, the TLS handshake, writing and reading all ask the scope how long they may take;
cancelling shuts the socket down, which wakes them. DNS cannot be woken, so it runs in a
thread that is left behind when the call is given up.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import ipaddress
import queue
import select
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from aio_llm.cancel import CallAborted, CancelScope
from aio_llm.http1 import WireError, read_head

CONNECT_TIMEOUT = 10.0
"""Seconds for DNS, TCP and TLS together."""

_SLICE = 0.01
_BLINK = 0.02
_LONGEST = 1e6  # the system counts a timeout in milliseconds and wraps
_READ = 65_536


class Wire:
    """One connection. Used by one call at a time, which holds it through its scope.

    `rested`: seconds it lay idle before this call, -1 for a new one.
    """

    def __init__(self, sock: socket.socket, scope: CancelScope, proxy: Proxy | None) -> None:
        self._sock = sock
        self._scope: CancelScope | None = scope
        self._proxy = proxy
        self._since = time.monotonic()
        self.rested = -1.0
        self.buffer = bytearray()

    def lend(self, scope: CancelScope) -> None:
        """Work for `scope` now; raises `CallAborted` if that call is already over."""
        try:
            scope.hold(self._sock)
        except CallAborted:
            self.close()
            raise
        self._scope = scope
        self.rested = time.monotonic() - self._since

    def rest(self) -> None:
        """Work for nobody: a late cancel of the last call cannot reach this socket."""
        self._let_go()
        self._since = time.monotonic()

    def is_fresh(self, keep_alive: float) -> bool:
        """Not idle for too long, and the server has neither closed it nor said anything."""
        return time.monotonic() - self._since < keep_alive and not self._readable()

    @contextlib.contextmanager
    def hurry(self) -> Iterator[None]:
        """Reads within wait only the blink it takes a server to end its answer."""
        scope = self._scope
        if scope is None:
            yield
            return
        before = scope.pause, scope.deadline
        scope.pause, scope.deadline = _BLINK, scope.now() + 5 * _BLINK
        try:
            yield
        finally:
            scope.pause, scope.deadline = before

    def _readable(self) -> bool:
        if isinstance(self._sock, ssl.SSLSocket) and self._sock.pending():
            return True
        return _is_ready(self._sock, "read", 0.0)

    def send_request(self, data: bytes) -> bool:
        """`send`, and the scope knows from the first byte on that the vendor may have heard."""
        scope = self._scope

        def write(view: memoryview) -> int:
            written = self._sock.send(view)
            if scope is not None:
                scope.sent = True
            return written

        return self.send(data, write)

    def send(self, data: bytes, write: Callable[[memoryview], int] | None = None) -> bool:
        """Write `data`; False if the server answered (or hung up) before it had heard it all."""
        view = memoryview(data)
        view = view[self._do(write or self._sock.send, view, "Write") :]
        while view:
            if self._readable():
                return False
            if _is_ready(self._sock, "write", _SLICE):
                view = view[self._do(self._sock.send, view, "Write") :]
            elif self._scope is not None:
                self._scope.check()
        return True

    def more(self) -> bytes:
        """The next bytes, b"" at the end of the connection."""
        data: bytes = self._do(self._sock.recv, _READ, "Read")
        return data

    def handshake(self, context: ssl.SSLContext, host: str) -> None:
        """Start TLS; the handshake itself is cancellable and bounded."""
        self._sock = context.wrap_socket(
            self._sock, server_hostname=host, do_handshake_on_connect=False
        )
        if self._scope is not None:
            self._scope.hold(self._sock)
        self._do(lambda _: self._sock.do_handshake(), None, "Connect")  # type: ignore[attr-defined]

    def _do(self, operation: Callable[[Any], Any], argument: Any, phase: str) -> Any:
        scope = self._scope
        if scope is None:
            raise WireError("ReadError", "the connection is not in use")
        limit = CONNECT_TIMEOUT if phase == "Connect" else _LONGEST
        try:
            self._sock.settimeout(scope.budget(limit))
            result = operation(argument)
        except TimeoutError:
            scope.check()
            raise WireError(f"{phase}Timeout", f"no progress while {_DOING[phase]}") from None
        except (OSError, ValueError) as error:
            scope.check()
            raise WireError(f"{phase}Error", f"{_DOING[phase]} failed: {_reason(error)}") from None
        if not result and scope.cancelled:
            scope.check()
        return result

    def proxied(self, message: bytes, scheme: str, netloc: bytes) -> bytes:
        """`message` as an HTTP proxy wants it; as it is where there is none."""
        if self._proxy is None or scheme == "https":
            return message
        method, target, rest = message.split(b" ", 2)
        first, _, headers = rest.partition(b"\r\n")
        line = b"%b http://%b%b %b\r\n" % (method, netloc, target, first)
        return line + self._proxy.authorization() + headers

    def close(self) -> None:
        """Hang up; idempotent."""
        self._let_go()
        self.drop()

    def _let_go(self) -> None:
        if self._scope is not None:
            self._scope.release(self._sock)
            self._scope = None

    def drop(self) -> None:
        """Close this process's end of the socket without a word to the server."""
        self._sock.close()

    def __del__(self) -> None:
        self.drop()


_DOING = {"Write": "sending", "Read": "waiting for the answer", "Connect": "connecting"}


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS certificate not trusted ({error.verify_message})"
    return getattr(error, "strerror", None) or type(error).__name__


def open_wire(
    scheme: str,
    host: str,
    port: int,
    context: ssl.SSLContext | None,
    scope: CancelScope,
    proxy: Proxy | None = None,
) -> Wire:
    """A new connection held by `scope`; raises `WireError` or `CallAborted`."""
    to_host, to_port = (proxy.host, proxy.port) if proxy else (host, port)
    sock = _connect(to_host, to_port, scope)
    wire = Wire(sock, scope, proxy)
    try:
        if proxy is not None and context is not None:
            _tunnel(wire, proxy, host, port)
        if context is not None:
            wire.handshake(context, host)
    except BaseException:
        wire.close()
        raise
    return wire


def _connect(host: str, port: int, scope: CancelScope) -> socket.socket:
    last: Exception | None = None
    give_up = time.monotonic() + CONNECT_TIMEOUT
    for family, address in _addresses(host, port, scope):
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:  # a kernel without IPv6
            last = error
            continue
        try:
            scope.hold(sock)
            _connect_to(sock, address, scope, give_up)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            last = error
        except BaseException:
            scope.release(sock)
            sock.close()
            raise
        else:
            return sock
        scope.release(sock)
        sock.close()
    scope.check()
    name = "ConnectTimeout" if isinstance(last, TimeoutError) else "ConnectError"
    raise WireError(name, f"cannot connect to {host}:{port}: {_reason(last or OSError())}")


def _connect_to(sock: socket.socket, address: Any, scope: CancelScope, give_up: float) -> None:
    """Connect in slices: not every system wakes a connecting socket on shutdown."""
    sock.setblocking(False)
    code = sock.connect_ex(address)
    if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
        raise OSError(code, _describe(code))
    while code and not _is_ready(sock, "write", _SLICE):
        scope.check()
        if time.monotonic() >= give_up:
            raise TimeoutError(errno.ETIMEDOUT, _describe(errno.ETIMEDOUT))
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, _describe(code))
    scope.check()


def _is_ready(sock: socket.socket, to: Literal["read", "write"], seconds: float) -> bool:
    """Whether `sock` can be read or written within `seconds`; an error counts as ready."""
    if hasattr(select, "poll"):  # select() cannot watch descriptors over 1023
        poll = select.poll()
        poll.register(sock, select.POLLIN if to == "read" else select.POLLOUT)
        return bool(poll.poll(seconds * 1000))
    reading, writing = ([sock], []) if to == "read" else ([], [sock])
    return any(select.select(reading, writing, [sock], seconds))  # Windows


def _describe(code: int) -> str:
    return errno.errorcode.get(code, str(code))


def _addresses(host: str, port: int, scope: CancelScope) -> list[tuple[int, Any]]:
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return _resolve(host, port, scope)
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    return [(family, (host, port) if version == 4 else (host, port, 0, 0))]


def _resolve(host: str, port: int, scope: CancelScope) -> list[tuple[int, Any]]:
    """getaddrinfo in a thread of its own, which is abandoned if the call ends first."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            answers.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answers.put(error)
        scope.nudge()

    threading.Thread(target=look_up, daemon=True, name="aio_llm-dns").start()
    give_up = time.monotonic() + (scope.budget(CONNECT_TIMEOUT) or CONNECT_TIMEOUT)
    while True:
        scope.expect_nudge()
        if not answers.empty():
            break
        scope.wait(give_up - time.monotonic())  # may be woken by an earlier, abandoned look-up
        scope.check()
        if time.monotonic() >= give_up and answers.empty():
            raise WireError("ConnectTimeout", f"no answer from DNS for {host}")
    found = answers.get_nowait()
    if isinstance(found, Exception):
        raise WireError("ConnectError", f"cannot find {host}: {_reason(found)}")
    return [(entry[0], entry[4]) for entry in found]


class Proxy:
    """An HTTP proxy from the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY)."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme != "http" or not parts.hostname:
            raise WireError("ConnectError", f"proxy scheme {parts.scheme!r} is not supported")
        self.host = parts.hostname
        try:
            self.port = parts.port or 80
        except ValueError:
            raise WireError("ConnectError", "the proxy's port is no port") from None
        self._user = (unquote(parts.username or ""), unquote(parts.password or ""))

    def authorization(self) -> bytes:
        """The header line that names the user, b"" if there is none."""
        if not self._user[0]:
            return b""
        token = base64.b64encode(":".join(self._user).encode())
        return b"proxy-authorization: Basic %b\r\n" % token


def proxy_for(scheme: str, host: str) -> Proxy | None:
    """The proxy the environment names for `host`, None for a direct connection."""
    proxies = urllib.request.getproxies_environment()
    if not proxies:
        return None
    url = proxies.get(scheme) or proxies.get("all")
    if not url or _bypassed(host, proxies.get("no", "")):
        return None
    return Proxy(url)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _bypassed(host: str, names: str) -> bool:
    """NO_PROXY: hosts, endings of host names, networks, separated by commas; `*` for all."""
    address = _address(host)
    for part in names.lower().split(","):
        name = part.strip().removeprefix("*.").lstrip(".")
        name = name.rpartition(":")[0] if name.count(":") == 1 else name
        if not name:
            continue
        if address is not None and "/" in name:
            with contextlib.suppress(ValueError, TypeError):
                if address in ipaddress.ip_network(name, strict=False):
                    return True
        if name == "*" or host.lower() == name.strip("[]") or host.lower().endswith(f".{name}"):
            return True
    return False


def _tunnel(wire: Wire, proxy: Proxy, host: str, port: int) -> None:
    name = f"[{host}]" if ":" in host else host
    target = f"{name}:{port}".encode("idna" if not host.isascii() else "ascii")
    request = b"CONNECT %b HTTP/1.1\r\nhost: %b\r\n%b\r\n"
    wire.send(request % (target, target, proxy.authorization()))
    head = read_head(wire)
    if head.status // 100 != 2:
        raise WireError("ProxyError", f"the proxy refused the connection: HTTP {head.status}")
    wire.buffer.clear()
