"""Vendors that repeat the key in their answers: it ends with us."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from loguru import logger

from aio_llm import AIO, AIOError
from tests.replay.server import Asked, Server, plain
from tests.secrets.scan import everything, rendered, shown

KEYS = {
    "a usual key": "gsk_c4naryC4NARYc4naryC4NARYc4naryC4NARYc4nary",
    "a strange key": "c4nary+with/odd=chars&more%%and-so-on",
    "a key with backslashes": r"c4nary\nwith\\backslashes\u0041and<tags>",
    "a short key": "c4nary-9",
}
Echo = Callable[[str], list[bytes]]


def error(words: str, **more: Any) -> bytes:
    """An error as OpenAI's relatives write it."""
    return json.dumps(
        {"error": {"message": words, "type": "invalid_request_error", **more}}
    ).encode()


def completion(**choice: Any) -> bytes:
    """A plain answer."""
    message = {"role": "assistant", "content": "hi"}
    one = {"index": 0, "message": message, "finish_reason": "stop", **choice}
    return json.dumps({"id": "1", "object": "chat.completion", "choices": [one]}).encode()


def events(*data: bytes) -> bytes:
    """A stream of these events."""
    return b"".join(b"data: %b\n\n" % one for one in data)


START = json.dumps({"choices": [{"index": 0, "delta": {"content": "par"}}]}).encode()
SSE = "text/event-stream"
ECHOES: dict[str, Echo] = {
    "in the words of a 401": lambda k: plain(401, error(f"Incorrect API key provided: {k}.")),
    "in the words of a 400": lambda k: plain(400, error(f"header 'Authorization: Bearer {k}'")),
    "in the words of a 429": lambda k: plain(429, error(f"too many requests by {k}")),
    "in the words of a 500": lambda k: plain(500, error(f"cannot look up {k}")),
    "in a code": lambda k: plain(401, error("no", code=k)),
    "in a type": lambda k: plain(403, error("no", type=k)),
    "in metadata": lambda k: plain(502, error("no", metadata={"raw": f"upstream said {k}"})),
    "in inner JSON": lambda k: plain(
        502, error("no", metadata={"raw": json.dumps({"error": {"message": k}})})),
    "in a detail": lambda k: plain(422, json.dumps({"detail": f"bad {k}"}).encode()),
    "in a list": lambda k: plain(400, json.dumps([{"error": {"message": k}}]).encode()),
    "in text": lambda k: plain(401, f"who is {k}?".encode(), "text/plain"),
    "in a page": lambda k: plain(403, f"<html>who is {k}?</html>".encode(), "text/html"),
    "in half a JSON": lambda k: plain(401, error(f"bad {k}")[:-3]),
    "in an address": lambda k: plain(400, error(f"https://x.test/v1?key={quote(k, safe='')}&a=1")),
    "in base64": lambda k: plain(401, error(f"Basic {base64.b64encode(k.encode()).decode()}")),
    "in a redirect": lambda k: plain(
        307, b"", location=f"http://127.0.0.1:9/?key={quote(k, safe='')}"),
    "in the reason": lambda k: [
        f"HTTP/1.1 401 {k}\r\ncontent-length: 2\r\n\r\n{{}}".encode("latin-1")],
    "in retry-after": lambda k: plain(429, error("wait"), retry_after=k),
    "in an error of a 200": lambda k: plain(200, error(f"bad {k}")),
    "in an error that is text": lambda k: plain(200, json.dumps({"error": f"bad {k}"}).encode()),
    "in an error of a choice": lambda k: plain(
        200, completion(finish_reason="error", error={"message": k, "code": 502})),
    "in a page of a 200": lambda k: plain(200, f"<html>{k}".encode(), "text/html"),
    "in text of a 200": lambda k: plain(200, f"{k} is not allowed".encode(), "text/plain"),
    "in a wrong field": lambda k: plain(200, completion(index=k)),
    "in a wrong end": lambda k: plain(200, completion(message={"content": "x"}, finish_reason=[k])),
    "in an event": lambda k: plain(200, events(error(f"bad {k}")), SSE),
    "in a late event": lambda k: plain(200, events(START, error(f"bad {k}")), SSE),
    "in a broken event": lambda k: plain(200, events(START, f"{{{k}".encode()), SSE),
    "in a wrong event": lambda k: plain(200, events(START, json.dumps([k]).encode()), SSE),
}  # fmt: skip


class Application(threading.Thread):
    """A program of its own stack: its frames, which `diagnose` prints, name no key."""

    def __init__(self, server: Server, key: str, stream: bool, vendor: str = "custom") -> None:
        super().__init__()
        self.entry = {
            "provider": vendor,
            "base_url": server.url,
            "api_keys": [key],
            "models": ["m"],
        }
        self.stream = stream
        self.outcome: Any = None
        self.said: list[Any] = []
        self.start()
        self.join()

    def run(self) -> None:
        """One call, one check of the key, and all that can be asked about them."""
        with AIO([self.entry], auto_mode=True, max_retries=0, max_wait=0) as aio:
            try:
                self.outcome = self.ask(aio)
            except AIOError as error:
                logger.exception("it failed")
                self.outcome = error
            self.said += [*aio.validate_config(), aio.get_key_stats(), aio.explain()]
            self.said += [aio.get_config_summary(), rendered(aio), rendered(aio.settings)]

    def ask(self, aio: AIO) -> Any:
        """The call."""
        if self.stream:
            return aio.chat_completion_stream("hello").response
        return aio.chat_completion("hello")


@pytest.mark.parametrize("stream", [False, True], ids=["call", "stream"])
@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("where", ECHOES)
def test_a_key_that_a_vendor_repeats_goes_no_further(
    where: str, kind: str, stream: bool, careless: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    key = KEYS[kind]

    def script(asked: Asked) -> list[bytes]:
        assert asked.headers["authorization"] == f"Bearer {key}"
        return ECHOES[where](key)

    with Server(script) as server:
        app = Application(server, key, stream)

    text = "\n".join([everything(app.outcome), everything(app.said), *careless, ours(caplog)])
    assert len(server.asked) == 2
    assert shown(text, [key]) == []


def ours(caplog: pytest.LogCaptureFixture) -> str:
    """What the library itself and its HTTP layers log; a vendor's SDK logs the vendor's words."""
    return "\n".join(r.getMessage() for r in caplog.records if not r.name.startswith("openai"))


GOOGLE_SAYS = {
    "in the words": {"code": 400, "message": "API key not valid: {}", "status": "INVALID_ARGUMENT"},
    "in a detail": {"code": 403, "message": "no", "status": "PERMISSION_DENIED",
                    "details": [{"reason": "API_KEY_SERVICE_BLOCKED", "metadata": {"key": "{}"}}]},
    "in an address": {"code": 429, "message": "see https://x.test/v1beta/models?key={}&alt=sse",
                      "status": "RESOURCE_EXHAUSTED"},
}  # fmt: skip


@pytest.mark.parametrize("vendor", ["google-ai", "groq", "cerebras", "openrouter"])
@pytest.mark.parametrize("where", GOOGLE_SAYS)
def test_every_adapter_takes_it_out(where: str, vendor: str, careless: list[str]) -> None:
    key = KEYS["a strange key"]
    said = GOOGLE_SAYS[where]
    body = json.dumps({"error": said}).replace("{}", key).encode()

    with Server(lambda _: plain(int(str(said["code"])), body)) as server:
        app = Application(server, key, False, vendor)

    assert isinstance(app.outcome, AIOError)
    assert app.said[0].status in ("invalid", "unknown")
    text = "\n".join([everything(app.outcome), everything(app.said), *careless])
    assert shown(text, [key]) == []
