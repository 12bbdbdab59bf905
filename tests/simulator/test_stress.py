"""Many clients at once, many of them rude: everything is counted, nothing is left."""

from __future__ import annotations

import random
import shutil
import socket
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from aio_llm.simulator import Simulator

CHAT = "/groq/openai/v1/chat/completions"


def request(sim: Simulator, stream: bool) -> dict[str, object]:
    """Arguments of a POST."""
    key, model = sim.keys("groq")[0], sim.models("groq")[0]
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "x"}]}
    return {"headers": {"authorization": f"Bearer {key}"}, "json": body}


def polite(sim: Simulator, count: int) -> list[int]:
    """Calls on one connection."""
    with httpx.Client(base_url=sim.origin) as client:
        return [client.post(CHAT, **request(sim, False)).status_code for _ in range(count)]  # type: ignore[arg-type]


def rude(sim: Simulator, count: int) -> int:
    """Streams that are left after the first bytes."""
    with httpx.Client(base_url=sim.origin) as client:
        for _ in range(count):
            with client.stream("POST", CHAT, **request(sim, True)) as response:  # type: ignore[arg-type]
                next(response.iter_raw())
    return count


def test_many_clients_are_all_counted_and_cleaned_up() -> None:
    with Simulator(chunk_delay=0.05) as sim, ThreadPoolExecutor(16) as pool:
        good = [pool.submit(polite, sim, 10) for _ in range(8)]
        bad = [pool.submit(rude, sim, 5) for _ in range(8)]

        assert all(status == 200 for job in good for status in job.result())
        left = sum(job.result() for job in bad)
        assert sim.wait_for(lambda: sim.open_connections == 0)
        assert sim.wait_for(lambda: sim.active == 0)
        assert sim.aborted == left == 40
        assert sim.count("groq") == 120


def test_any_split_of_a_request_is_understood(sim: Simulator) -> None:
    chance = random.Random(7)
    head = b"GET /_sim/stats HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"
    with socket.create_connection(("127.0.0.1", sim.port)) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(10):
            border = chance.randrange(1, len(head))
            client.sendall(head[:border])
            client.sendall(head[border:])
            assert client.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
def test_it_speaks_tls_with_a_given_certificate(tmp_path: Path) -> None:
    certificate, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "1", "-subj", "/CN=127.0.0.1", "-addext"]
    command += ["subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)

    with Simulator(tls=(certificate, key)) as sim:
        trusting = ssl.create_default_context(cafile=certificate)
        answer = httpx.post(sim.origin + CHAT, verify=trusting, **request(sim, False))  # type: ignore[arg-type]
        with pytest.raises(httpx.ConnectError):
            httpx.get(sim.origin)

    assert answer.status_code == 200
    assert sim.requests[0].status == 200


def test_tls_needs_files() -> None:
    with pytest.raises(TypeError, match="certificate file"):
        Simulator(tls=True)
