"""Other people's exceptions, read: any exception in, a `Fault` out. No vendor SDK imported.

The SDKs disagree: the same cut connection is `openai.APIConnectionError`, a raw
`httpx.ReadError` (groq, within a stream) or a raw `httpx2.ReadError` (google-genai); broken
JSON is a bare `ValueError` in all of them. Names and attributes are what they share.
"""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from typing import Any

from pydantic_core import from_json

from aio_llm.fault_table import Refusal, read_refusal
from aio_llm.faults import Fault, FaultError, Kind, Scope, redact

_TIMEOUTS = frozenset(
    {"APITimeoutError", "ConnectTimeout", "ReadTimeout", "WriteTimeout", "PoolTimeout"}
)
_BROKEN_LINE = frozenset(
    {
        "APIConnectionError", "ConnectError", "ReadError", "WriteError", "CloseError",
        "ProtocolError", "LocalProtocolError", "RemoteProtocolError", "ProxyError",
        "UnsupportedProtocol", "TransportError", "NetworkError", "StreamError",
    }
)  # fmt: skip
_BAD_BODY = frozenset(
    {"APIResponseValidationError", "UnknownApiResponseError", "DecodingError", "JSONDecodeError"}
)


def read_exception(
    exc: BaseException, secrets: tuple[str, ...] = (), wall: float | None = None
) -> Fault:
    """The fault `exc` stands for; pure, never raises, keeps nothing of `exc`."""
    if isinstance(exc, FaultError):
        return exc.fault
    response = _attribute(exc, "response")
    status = _status(exc, response)
    if status is not None:
        return read_refusal(_refusal(exc, response, status), wall or time.time(), secrets)
    return _without_status(exc, secrets)


def _attribute(holder: object, name: str) -> Any:
    """An attribute, None if there is none or if it raises: strangers' properties may."""
    try:
        return getattr(holder, name, None)
    except Exception:  # a stranger's property
        return None


def _words(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception:  # a stranger's __str__
        return ""


def _status(exc: BaseException, response: object) -> int | None:
    for holder, name in ((exc, "status_code"), (response, "status_code"), (exc, "code")):
        value = _attribute(holder, name)
        if isinstance(value, int) and 100 <= value < 1000:
            return value
    return None


def _refusal(exc: BaseException, response: Any, status: int) -> Refusal:
    found = _attribute(response, "headers")
    headers = {str(k).lower(): str(v) for k, v in dict(found or {}).items()}
    text = _text(response)
    body: object = None
    try:
        body = from_json(text) if text else _attribute(exc, "body") or _attribute(exc, "details")
    except ValueError:
        body = None
    if not text and body is not None:
        text = json.dumps(body, default=str)
    return Refusal(status, headers, body, text or _words(exc))


def _text(response: Any) -> str:
    text = _attribute(response, "text")  # raises if the body was never read
    return text if isinstance(text, str) else ""


def _without_status(exc: BaseException, secrets: tuple[str, ...]) -> Fault:
    chain = list(_causes(exc))
    names = {name for link in chain for name in _names(link)}
    message = redact(f"{type(chain[-1]).__name__}: {_words(chain[-1])}", secrets, limit=300)
    if names & _TIMEOUTS or any(isinstance(link, TimeoutError) for link in chain):
        return Fault(Kind.TIMEOUT, Scope.PROVIDER, message)
    if names & _BAD_BODY or any(isinstance(link, UnicodeDecodeError) for link in chain):
        return Fault(Kind.BAD_RESPONSE, Scope.MODEL, message)
    if names & _BROKEN_LINE or any(isinstance(link, _OS_NETWORK) for link in chain):
        return Fault(Kind.NETWORK, Scope.PROVIDER, message)
    if isinstance(exc, ValueError | TypeError):
        return Fault(Kind.BAD_REQUEST, Scope.REQUEST, message)
    body = _attribute(exc, "body")
    if isinstance(body, dict):
        said = json.dumps(body, default=str)
        return read_refusal(Refusal(_inner_status(body), {}, body, said), time.time(), secrets)
    return Fault(Kind.UNKNOWN, Scope.PROVIDER, message)


_OS_NETWORK = (ConnectionError, socket.gaierror, ssl.SSLError)


def _inner_status(body: dict[str, Any]) -> int:
    """The status an error object claims for itself (inside a 200), 500 if it claims none."""
    for name in ("status_code", "code", "status"):
        value = body.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if isinstance(value, int) and 400 <= value < 600:
            return value
    return 200


def _causes(exc: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = exc
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _names(exc: BaseException) -> Iterator[str]:
    return (cls.__name__ for cls in type(exc).__mro__)


def read_inner_error(
    error: dict[str, Any], text: str, secrets: tuple[str, ...] = (), wall: float | None = None
) -> Fault:
    """The fault of an error object found inside a 200, an SSE event or a choice."""
    status = _inner_status(error)
    refusal = Refusal(status, {}, {"error": error}, text)
    fault = read_refusal(refusal, wall or time.time(), secrets)
    if fault.kind is Kind.UNKNOWN:
        return Fault(Kind.SERVER, Scope.PROVIDER, fault.message, status, code=fault.code)
    return fault
