"""The environment of the process reroutes nothing, adds nothing and replaces no key."""

from __future__ import annotations

from pathlib import Path

import pytest

from aio_llm import AIO
from aio_llm.simulator import Simulator
from tests.adapters.support import VENDORS, arrived, ask
from tests.replay.server import Asked, Server, plain

ELSEWHERE = "http://127.0.0.1:9"
POISON = {
    "OPENAI_API_KEY": "sk-from-the-environment",
    "OPENAI_ADMIN_KEY": "sk-admin-from-the-environment",
    "OPENAI_BASE_URL": ELSEWHERE,
    "OPENAI_ORG_ID": "org-leak",
    "OPENAI_PROJECT_ID": "proj-leak",
    "OPENAI_WEBHOOK_SECRET": "leak",
    "OPENAI_CUSTOM_HEADERS": "X-Leak: openai\nAuthorization: Bearer leak",
    "GROQ_API_KEY": "gsk_from_the_environment",
    "GROQ_BASE_URL": ELSEWHERE,
    "GROQ_CUSTOM_HEADERS": "X-Leak: groq\nAuthorization: Bearer leak",
    "GOOGLE_API_KEY": "AIza-from-the-environment",
    "GEMINI_API_KEY": "AIza-from-the-environment",
    "GOOGLE_GENAI_USE_VERTEXAI": "true",
    "GOOGLE_GENAI_USE_ENTERPRISE": "true",
    "GOOGLE_CLOUD_PROJECT": "leak",
    "GOOGLE_CLOUD_LOCATION": "leak-central1",
    "GOOGLE_GEMINI_BASE_URL": ELSEWHERE,
    "GOOGLE_VERTEX_BASE_URL": ELSEWHERE,
    "GOOGLE_GENAI_REPLAYS_DIRECTORY": "leak",
}
HEADERS = {
    "accept", "accept-encoding", "authorization", "content-length", "content-type", "host",
    "user-agent", "x-goog-api-key",
}  # fmt: skip


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything the SDKs look at, set to something wrong."""
    for name, value in POISON.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("vendor", VENDORS)
def test_a_poisoned_environment_changes_nothing(vendor: str, stream: bool, sim: Simulator) -> None:
    answer = ask(sim, vendor, "hello", stream=stream)

    request = arrived(sim)
    assert answer.content.endswith("hello")
    assert request.key == sim.keys(vendor)[0]
    assert set(request.headers) <= HEADERS
    assert not any("leak" in value for value in request.headers.values())


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize("vendor", VENDORS)
def test_a_key_is_checked_without_the_environment(vendor: str, sim: Simulator) -> None:
    with AIO([sim.provider(vendor)]) as aio:
        assert aio.validate_api_key(vendor, sim.keys(vendor)[1])

    assert arrived(sim).key == sim.keys(vendor)[1]
    assert not any("leak" in value for value in arrived(sim).headers.values())


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_netrc_file_is_not_read(
    vendor: str, sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password leak\n", encoding="utf-8")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))

    ask(sim, vendor)

    assert arrived(sim).key == sim.keys(vendor)[0]


CHAT = (b'{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,'
        b'"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}')  # fmt: skip
GEMINI = (b'{"candidates":[{"content":{"parts":[{"text":"hi"}],"role":"model"},'
          b'"finishReason":"STOP","index":0}]}')  # fmt: skip


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_cookie_is_never_sent_back(vendor: str) -> None:
    def script(asked: Asked) -> list[bytes]:
        body = GEMINI if vendor == "google-ai" else CHAT
        return plain(200, body, set_cookie="session=tracked; Path=/; HttpOnly")

    with Server(script) as server:
        entry = {"provider": vendor, "api_keys": ["key-1", "key-2"], "models": ["m"],
                 "base_url": server.url}  # fmt: skip
        with AIO([entry], auto_mode=True) as aio:
            for _ in range(3):
                assert aio.chat_completion("hello").content == "hi"

        assert len(server.asked) == 3
        assert not any("cookie" in asked.headers for asked in server.asked)


@pytest.mark.parametrize("vendor", VENDORS)
def test_the_path_of_a_base_url_is_kept(vendor: str) -> None:
    with Server(lambda _: plain(200, GEMINI if vendor == "google-ai" else CHAT)) as server:
        for end in ("", "/"):
            entry = {"provider": vendor, "api_keys": ["key-1"], "models": ["m"],
                     "base_url": f"{server.url}/a/proxy{end}"}  # fmt: skip
            with AIO([entry], auto_mode=True) as aio:
                assert aio.chat_completion("hello").content == "hi"

    paths = {
        "groq": "/a/proxy/openai/v1/chat/completions",
        "google-ai": "/a/proxy/v1beta/models/m:generateContent",
    }
    assert {asked.target for asked in server.asked} == {
        paths.get(vendor, "/a/proxy/chat/completions")
    }


def test_any_endpoint_of_openais_shape_is_one_entry(sim: Simulator) -> None:
    entry = {"provider": "custom", "name": "mine", "base_url": sim.base_url("cerebras"),
             "api_keys": sim.keys("cerebras")[:1], "models": ["gpt-oss-120b"]}  # fmt: skip
    with AIO([entry]) as aio:
        answer = aio.chat_completion("hello", model="mine/gpt-oss-120b", max_tokens=50)
        streamed = aio.chat_completion_stream("hello", provider="mine").response

    assert (answer.provider, streamed.provider) == ("mine", "mine")
    assert answer.content == streamed.content
    assert (sim.requests[0].body or {})["max_tokens"] == 50
