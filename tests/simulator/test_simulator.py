"""The simulator itself: what it counts, which requests its rules hit, what it leaves behind."""

from __future__ import annotations

import ast
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import groq
import httpx
import openai
import pytest

import aio_llm.simulator
from aio_llm.simulator import Quota, Simulator
from aio_llm.simulator.__main__ import quota
from tests.simulator.callers import VENDORS, Caller

PACKAGE = Path(aio_llm.simulator.__file__).parent


def test_a_request_is_written_down(caller: Caller) -> None:
    caller.call("hello")

    request = caller.sim.requests[0]
    assert request.vendor == caller.vendor
    assert request.key == caller.sim.keys(caller.vendor)[0]
    assert request.model == caller.sim.models(caller.vendor)[0]
    assert (request.stream, request.method, request.status) == (False, "POST", 200)
    assert request.headers["content-type"] == "application/json"
    assert "hello" in json.dumps(request.body)
    assert request.fault is None


def test_a_stream_is_written_down_as_one(caller: Caller) -> None:
    list(caller.stream())

    assert caller.sim.requests[0].stream


def test_requests_are_counted_by_vendor_key_and_model(sim: Simulator) -> None:
    first, second = sim.keys("groq")
    Caller(sim, "groq").call(key=first)
    Caller(sim, "groq").call(key=second, model="llama-3.1-8b-instant")
    Caller(sim, "cerebras").call()

    assert sim.count() == 3
    assert sim.count("groq") == 2
    assert sim.count("groq", key=second) == 1
    assert sim.count(model="llama-3.1-8b-instant") == 1


def test_calls_of_one_client_share_a_connection(caller: Caller) -> None:
    for _ in range(3):
        caller.call()

    assert caller.sim.connections == caller.sim.open_connections == 1
    assert {request.connection for request in caller.sim.requests} == {1}


@pytest.mark.parametrize("vendor", ["groq", "google-ai"])
def test_streams_read_to_the_end_share_a_connection(vendor: str, sim: Simulator) -> None:
    caller = Caller(sim, vendor)
    for _ in range(3):
        list(caller.stream())

    assert sim.connections == 1


def test_a_stream_that_was_sent_completely_is_not_aborted(caller: Caller) -> None:
    list(caller.stream())
    caller.client().close()

    assert caller.sim.wait_for(lambda: caller.sim.open_connections == 0)
    assert (caller.sim.aborted, caller.sim.active) == (0, 0)


def test_a_stream_that_is_left_is_aborted() -> None:
    with Simulator(chunk_delay=0.05, chunks=50) as sim, groq_client(sim) as client:
        stream = client.chat.completions.create(**hello(sim), stream=True)
        next(iter(stream))
        assert sim.active == 1
        stream.close()

        assert sim.wait_for(lambda: sim.aborted == 1)
        assert sim.active == 0


def groq_client(sim: Simulator) -> groq.Groq:
    """The raw SDK."""
    return groq.Groq(api_key=sim.keys("groq")[0], base_url=sim.base_url("groq"), max_retries=0)


def hello(sim: Simulator) -> dict[str, Any]:
    """Arguments of a call."""
    return {"model": sim.models("groq")[0], "messages": [{"role": "user", "content": "hello"}]}


def test_latency_and_chunk_delay_take_time() -> None:
    with Simulator(latency=0.02, chunk_delay=0.01, chunks=4) as sim:
        caller = Caller(sim, "cerebras")
        caller.client()
        began = time.perf_counter()
        texts = caller.texts()
        took = time.perf_counter() - began

    assert len(texts) == 4
    assert took >= 0.02 + 3 * 0.01


def test_waiting_ends_when_the_request_arrives() -> None:
    with Simulator(latency=0.05) as sim, groq_client(sim) as client:
        thread = threading.Thread(target=client.chat.completions.create, kwargs=hello(sim))
        thread.start()

        assert sim.wait_for(lambda: sim.count("groq") == 1)
        assert sim.active == 1
        thread.join()
        assert sim.wait_for(lambda: sim.active == 0)


def test_waiting_in_vain_says_so(sim: Simulator) -> None:
    assert not sim.wait_for(lambda: sim.count() == 1, timeout=0.01)


def test_a_rule_hits_only_what_it_names(sim: Simulator) -> None:
    first, second = sim.keys("groq")
    rule = sim.inject("500", vendor="groq", key=first, model=sim.models("groq")[0], text="bad")
    caller = Caller(sim, "groq")

    caller.call("good")
    caller.call("bad", key=second)
    caller.call("bad", model=sim.models("groq")[1])
    Caller(sim, "cerebras").call("bad")
    assert rule.hits == 0
    with pytest.raises(groq.InternalServerError):
        caller.call("very bad")
    assert rule.hits == 1


def test_a_rule_is_spent_after_its_times(sim: Simulator) -> None:
    rule = sim.inject("500", times=1)
    caller = Caller(sim, "groq")

    with pytest.raises(groq.InternalServerError):
        caller.call()
    assert caller.text().endswith("hello")
    assert rule.hits == 1


def test_the_oldest_rule_wins(sim: Simulator) -> None:
    sim.inject("500", times=1)
    sim.inject("429")
    caller = Caller(sim, "groq")

    with pytest.raises(groq.InternalServerError):
        caller.call()
    with pytest.raises(groq.RateLimitError):
        caller.call()


def test_a_removed_rule_hits_nothing(sim: Simulator) -> None:
    sim.inject("500").remove()

    assert Caller(sim, "groq").text().endswith("hello")


def test_clear_forgets_rules_and_requests(sim: Simulator) -> None:
    sim.inject("500")
    with pytest.raises(groq.InternalServerError):
        Caller(sim, "groq").call()

    sim.clear()

    assert sim.requests == []
    assert Caller(sim, "groq").text().endswith("hello")


def test_keys_look_real_and_stay_the_same(sim: Simulator) -> None:
    shapes = {"groq": ("gsk_", 56), "cerebras": ("csk-", 52), "google-ai": ("AIza", 39)}
    shapes["openrouter"] = ("sk-or-v1-", 73)
    for vendor, (prefix, length) in shapes.items():
        keys = sim.keys(vendor)
        assert keys == Simulator().keys(vendor)
        assert len(set(keys)) == 2
        assert all(key.startswith(prefix) and len(key) == length for key in keys)


def test_a_configuration_names_all_vendors_by_priority(sim: Simulator) -> None:
    config = sim.config()

    priorities = {entry["provider"]: entry["priority"] for entry in config["providers"]}
    assert priorities == {"groq": 100, "cerebras": 90, "google-ai": 80, "openrouter": 70}
    assert config["auto_mode"] is True


def test_a_configuration_prefers_the_first_vendor_given(sim: Simulator) -> None:
    first, second = sim.config("google-ai", "groq")["providers"]

    assert (first["provider"], second["provider"]) == ("google-ai", "groq")
    assert first["priority"] > second["priority"]


def test_a_provider_takes_overrides(sim: Simulator) -> None:
    assert sim.provider("groq", priority=1)["priority"] == 1
    assert sim.provider("groq", extra=2)["extra"] == 2


def test_the_refused_address_refuses(sim: Simulator) -> None:
    with pytest.raises(httpx.ConnectError):
        httpx.get(sim.refused_url)


def test_the_silent_address_never_answers(sim: Simulator) -> None:
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(sim.silent_url, timeout=0.05)


def test_close_leaves_no_thread_and_no_socket() -> None:
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir())) if descriptors.exists() else 0
    threads = threading.active_count()
    sim = Simulator().start()
    port = sim.port
    client = socket.create_connection(("127.0.0.1", port))
    assert sim.wait_for(lambda: sim.open_connections == 1)

    sim.close()

    assert client.recv(1) == b""
    client.close()
    assert sim.open_connections == 0
    assert threading.active_count() == threads
    if before:
        assert len(list(descriptors.iterdir())) == before
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port))


def test_it_starts_again_after_close() -> None:
    sim = Simulator()
    for _ in range(2):
        with sim:
            assert Caller(sim, "groq").text().endswith("hello")


def test_it_starts_only_once(sim: Simulator) -> None:
    with pytest.raises(RuntimeError, match="running already"):
        sim.start()


def test_there_is_no_address_before_it_runs() -> None:
    with pytest.raises(RuntimeError, match="not running"):
        Simulator().base_url("groq")


def test_it_listens_on_loopback_only(sim: Simulator) -> None:
    assert sim.base_url("groq") == f"http://127.0.0.1:{sim.port}/groq"
    assert sim.base_url("openrouter").endswith("/openrouter/api/v1")
    assert sim.base_url("cerebras").endswith("/cerebras/v1")
    assert sim.base_url("google-ai").endswith("/google-ai")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_keep_connections_open(sim: Simulator) -> None:
    client = socket.create_connection(("127.0.0.1", sim.port))
    assert sim.wait_for(lambda: sim.open_connections == 1)
    gate, key = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(gate, 1)
        os._exit(0)

    sim.close()
    client.settimeout(2)
    received = client.recv(1)
    client.close()
    os.write(key, b"x")
    os.waitpid(child, 0)
    os.close(gate)
    os.close(key)

    assert received == b""


def test_a_large_request_arrives_whole(sim: Simulator) -> None:
    Caller(sim, "cerebras").call("x" * 3_000_000)

    body = sim.requests[0].body
    assert body is not None
    assert len(body["messages"][0]["content"]) == 3_000_000


def test_requests_sent_at_once_are_answered_in_order(sim: Simulator) -> None:
    with socket.create_connection(("127.0.0.1", sim.port)) as client:
        one = b"GET /_sim/stats HTTP/1.1\r\nhost: x\r\n\r\n"
        client.sendall(one + one.replace(b"host: x", b"connection: close"))
        received = b"".join(iter(lambda: client.recv(65536), b""))

    assert received.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize("junk", [b"junk\r\n\r\n", b"GET / HTTP/1.1\r\ncontent-length: x\r\n\r\n"])
def test_junk_is_refused(junk: bytes, sim: Simulator) -> None:
    with socket.create_connection(("127.0.0.1", sim.port)) as client:
        client.sendall(junk)

        assert client.recv(100).startswith(b"HTTP/1.1 400")
        assert client.recv(1) == b""


def test_control_endpoints_steer_it(sim: Simulator) -> None:
    control = f"{sim.origin}/_sim"

    assert httpx.get(f"{control}/config").json() == sim.config()
    asked = {"fault": "500", "vendor": "groq", "times": 1}
    assert httpx.post(f"{control}/inject", json=asked).status_code == 200
    with pytest.raises(groq.InternalServerError):
        Caller(sim, "groq").call()
    assert httpx.get(f"{control}/stats").json()["per_vendor"]["groq"] == 1
    assert httpx.get(f"{control}/requests").json()[0]["fault"] == "500"
    assert httpx.post(f"{control}/inject", json={"fault": "nope"}).status_code == 400
    assert httpx.post(f"{control}/clear").json() == {"cleared": True}
    assert sim.requests == []
    assert httpx.get(f"{control}/nope").status_code == 404


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_runs_as_a_command(stop: signal.Signals) -> None:
    command = [sys.executable, "-m", "aio_llm.simulator", "--port", "0", "--keys", "1"]
    root = PACKAGE.parent.parent
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        url = line.removeprefix("simulator ready on ")
        config = httpx.get(f"{url}/_sim/config").json()
        process.send_signal(stop)

        assert process.wait(5) == 0
    assert len(config["providers"][0]["api_keys"]) == 1


def test_a_quota_can_be_written_on_the_command_line() -> None:
    assert quota("groq:rpm=30,window=fixed") == Quota("groq", rpm=30, window="fixed")


def test_it_imports_only_the_standard_library() -> None:
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                inside = name.startswith("aio_llm.simulator")
                assert inside or name.split(".")[0] in sys.stdlib_module_names, (path.name, name)


def test_the_public_names_are_complete() -> None:
    names = aio_llm.simulator.__all__

    assert names == ["CustomVendor", "Quota", "RecordedRequest", "Rule", "Simulator", "Usage"]
    assert all(hasattr(aio_llm.simulator, name) for name in names)


def test_an_sdk_with_the_wrong_base_url_gets_a_404(sim: Simulator) -> None:
    client = openai.OpenAI(api_key="x", base_url=f"{sim.origin}/other", max_retries=0)

    with pytest.raises(openai.NotFoundError):
        client.models.list()


def test_vendors_are_those_of_the_tests(sim: Simulator) -> None:
    assert sorted(entry["provider"] for entry in sim.config()["providers"]) == sorted(VENDORS)
