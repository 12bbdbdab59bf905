"""Connections that fail, hang or drip: the call goes on elsewhere, and time limits hold."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aio_llm import FakeClock, RequestTimeoutError
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO
from tests.faults.conftest import Stage
from tests.faults.scene import Scene, ask, healthy_text, moved, quickest

LIMIT = 0.1  # seconds
AT_MOST = LIMIT + 0.1

UNREACHABLE: dict[str, Callable[[Simulator], str]] = {
    "refused": lambda sim: sim.refused_url,
    "no such host": lambda sim: "http://nobody.invalid",
    "a host that is no name": lambda sim: f"http://{'a' * 70}.invalid",
}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A certificate for 127.0.0.1 that nobody has a reason to trust, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("the openssl command is not there")
    folder = tmp_path_factory.mktemp("tls")
    files = folder / "cert.pem", folder / "key.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-out", str(files[0]), "-keyout", str(files[1])]
    subprocess.run(command, check=True, capture_output=True)
    return str(files[0]), str(files[1])


@pytest.fixture
def untrusted(certificate: tuple[str, str]) -> Iterator[Simulator]:
    with Simulator(tls=certificate) as running:
        yield running


def check_both_calls(scene: Scene) -> None:
    """The first target is tried once in two calls; the second one answers both."""
    first, second = scene.ask("one"), scene.ask("two")

    assert first.content == healthy_text(scene.sim, scene.second, "one")
    assert second.content == healthy_text(scene.sim, scene.second, "two")
    assert [step.provider for step in first.attempts] == [scene.first, scene.second]
    assert [step.provider for step in second.attempts] == [scene.second]
    assert [row["in_flight"] for row in scene.keys] == [0]


@pytest.mark.parametrize("link", UNREACHABLE)
def test_a_vendor_that_cannot_be_reached_is_passed_over(
    link: str, sim: Simulator, stage: Stage, vendor: str, clock: FakeClock
) -> None:
    there = {"base_url": moved(sim, vendor, UNREACHABLE[link](sim))}
    scene = stage(clock=clock, overrides={vendor: there})

    check_both_calls(scene)

    assert scene.arrived == (0, 2)
    assert clock.slept == []
    assert [row["total_usage"] for row in scene.keys] == [0]


@pytest.fixture
def plain_port() -> Iterator[int]:
    """A port where TLS is answered as a plain HTTP server does: with a 400 and a hang-up."""

    def serve() -> None:
        with contextlib.suppress(OSError), listener.accept()[0] as connection:
            connection.recv(65_536)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


def test_a_vendor_that_speaks_no_tls_is_passed_over(
    plain_port: int, sim: Simulator, stage: Stage, vendor: str
) -> None:
    there = {"base_url": moved(sim, vendor, f"https://127.0.0.1:{plain_port}")}
    scene = stage(overrides={vendor: there})

    check_both_calls(scene)

    assert scene.arrived == (0, 2)


def test_a_certificate_nobody_vouches_for_gets_no_request(
    sim: Simulator, untrusted: Simulator, stage: Stage, vendor: str
) -> None:
    there = {"base_url": moved(sim, vendor, untrusted.origin)}
    scene = stage(overrides={vendor: there})

    check_both_calls(scene)

    assert untrusted.requests == []
    assert scene.arrived == (0, 2)


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_a_silent_vendor_costs_the_time_of_one_attempt(
    fault: str, stage: Stage, vendor: str
) -> None:
    def measure() -> float:
        scene = stage(overrides={vendor: {"timeout": LIMIT}})
        began = time.monotonic()
        check_both_calls(scene)
        return time.monotonic() - began

    stage().fail(fault)

    assert LIMIT <= quickest(measure, enough=AT_MOST) < AT_MOST


def test_half_of_the_time_is_kept_for_somebody_else(stage: Stage) -> None:
    def measure() -> float:
        scene = stage(timeout=2 * LIMIT)
        began = time.monotonic()
        assert scene.ask().provider == scene.second
        return time.monotonic() - began

    stage().fail("hang")

    assert LIMIT <= quickest(measure, enough=AT_MOST) < AT_MOST


@pytest.mark.parametrize("fault", ["hang", "drip", "stall"])
def test_the_time_of_a_call_holds_when_there_is_nobody_else(
    fault: str, sim: Simulator, make_aio: MakeAIO, vendor: str, mode: str
) -> None:
    def measure() -> float:
        began = time.monotonic()
        with pytest.raises(RequestTimeoutError) as caught:
            ask(make_aio(vendor), mode, timeout=LIMIT)
        assert [step.provider for step in caught.value.attempts] == [vendor]
        return time.monotonic() - began

    params: dict[str, Any] = {"after": 0} if fault == "stall" else {}
    sim.inject(fault, **params)

    assert LIMIT <= quickest(measure, enough=AT_MOST) < AT_MOST
    assert sim.wait_for(lambda: sim.active == 0 and sim.open_connections == 0)


def test_a_timed_out_attempt_hangs_up(stage: Stage, vendor: str) -> None:
    scene = stage(overrides={vendor: {"timeout": 0.05}})
    scene.fail("hang")

    scene.ask()

    assert scene.sim.wait_for(lambda: scene.sim.active == 0)
    assert scene.sim.aborted == 1


def test_the_trail_says_what_was_wrong_with_the_link(
    sim: Simulator, stage: Stage, vendor: str
) -> None:
    scene = stage(overrides={vendor: {"base_url": moved(sim, vendor, sim.refused_url)}})

    failed = scene.ask().attempts[0]

    assert failed.outcome == "network"
    assert "ECONNREFUSED" in failed.message
