"""HTTP_PROXY and its relatives: honoured, bypassed by NO_PROXY, and told nothing but the way."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from aio_llm import AIO, NetworkError
from aio_llm.simulator import Simulator
from tests.adapters.support import VENDORS, arrived, ask
from tests.replay.server import Asked, Server, plain

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
HOP = {"host", "proxy-authorization", "content-length", "connection"}


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever this machine has configured is not what is tested."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def forward(asked: Asked) -> list[bytes]:
    """What a forward proxy does with a plain request."""
    url = urlsplit(asked.target)
    vendor = http.client.HTTPConnection(url.hostname or "", url.port)
    headers = {name: value for name, value in asked.headers.items() if name not in HOP}
    vendor.request(
        asked.method, url.path + (f"?{url.query}" * bool(url.query)), asked.body, headers
    )
    answer = vendor.getresponse()
    content, kind = answer.read(), answer.headers["content-type"]
    vendor.close()
    return plain(answer.status, content, kind)


@pytest.fixture
def proxy() -> Iterator[Server]:
    with Server(forward) as running:
        yield running


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("vendor", VENDORS)
def test_a_proxy_of_the_environment_is_used(
    vendor: str, stream: bool, sim: Simulator, proxy: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)

    answer = ask(sim, vendor, "hello", stream=stream)

    (asked,) = proxy.asked
    assert answer.content.endswith("hello")
    assert asked.target.startswith(f"{sim.origin}/")
    assert urlsplit(asked.target).path == arrived(sim).path
    assert asked.headers["host"] == f"127.0.0.1:{sim.port}"


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_a_proxy_may_be_spelt_in_several_ways(
    name: str, scheme: str, sim: Simulator, proxy: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, scheme + proxy.url.removeprefix("http://"))

    ask(sim, "groq")

    assert len(proxy.asked) == 1


def test_the_user_of_a_proxy_is_named_to_the_proxy_only(
    sim: Simulator, proxy: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("://", "://me:p%40ss@"))

    ask(sim, "groq")

    assert proxy.asked[0].headers["proxy-authorization"] == "Basic bWU6cEBzcw=="
    assert "proxy-authorization" not in arrived(sim).headers


BYPASSED = ("127.0.0.1", "localhost, 127.0.0.1", "*", "example.org,127.0.0.1,")
PROXIED = ("example.org", "", "127.0.0.10", "27.0.0.1", "7.0.0.1")


@pytest.mark.parametrize("names", [*BYPASSED, *PROXIED])
def test_no_proxy_names_whom_to_ask_directly(
    names: str, sim: Simulator, proxy: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", names)

    ask(sim, "cerebras")

    assert len(proxy.asked) == (0 if names in BYPASSED else 1)
    assert sim.count() == 1


def entry(url: str) -> dict[str, object]:
    """A provider at an address."""
    return {"provider": "groq", "api_keys": ["gsk_canary"], "models": ["m"], "base_url": url}


def test_a_tunnel_is_asked_for_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with Server(lambda _: plain(407, b"who are you?")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with (
            AIO([entry("https://api.test.invalid")], auto_mode=True, max_retries=0) as aio,
            pytest.raises(NetworkError, match="proxy"),
        ):
            aio.chat_completion("hello")

    (asked,) = proxy.asked
    assert (asked.method, asked.target) == ("CONNECT", "api.test.invalid:443")
    assert set(asked.headers) == {"host"}


def one_tunnel(listener: socket.socket, seen: list[bytes]) -> None:
    """Agree to one tunnel, note what is said first in it, and break it down."""
    connection, _ = listener.accept()
    with connection:
        request = b""
        while b"\r\n\r\n" not in request:
            request += connection.recv(4096)
        connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        seen += [request, connection.recv(4096)]


def test_nothing_but_tls_goes_through_a_tunnel(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=one_tunnel, args=(listener, seen))
        thread.start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{listener.getsockname()[1]}")
        with (
            AIO([entry("https://api.test.invalid")], auto_mode=True, max_retries=0) as aio,
            pytest.raises(NetworkError),
        ):
            aio.chat_completion("hello")
        thread.join(5)

    request, first = seen
    assert request.startswith(b"CONNECT api.test.invalid:443 HTTP/1.1\r\n")
    assert first[:2] == b"\x16\x03"  # a TLS handshake
    assert b"gsk_canary" not in request + first


@pytest.mark.parametrize("url", ["socks5://me:secret@127.0.0.1:1", "https://me:secret@127.0.0.1:1"])
def test_a_proxy_we_cannot_speak_to_is_named_without_its_password(
    url: str, sim: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", url)

    with pytest.raises(NetworkError, match="proxy") as caught:
        ask(sim, "groq")

    assert "secret" not in str(caught.value)
    assert sim.requests == []
