"""Forked, spawned, pickled and copied: every process has its own sockets and answers."""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from aio_llm import AIO
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO
from tests.faults.forking import CHILDREN, QUESTIONS
from tests.faults.scene import VENDORS, ask, healthy_text
from tests.faults.workers import answer

PROGRAM = Path(__file__).with_name("forking.py")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_no_answer_goes_to_the_wrong_process_after_a_fork() -> None:
    with Simulator(chunk_delay=0.005) as sim:
        config = json.dumps(sim.config(*VENDORS))
        done = subprocess.run(
            [sys.executable, str(PROGRAM)], input=config, capture_output=True, text=True,
            timeout=60,
        )  # fmt: skip
        said = json.loads(done.stdout)

        assert done.returncode == 0
        assert said["wrong"] == [0, 0]
        assert said["codes"] == [0] * CHILDREN
        assert said["stream"] == healthy_text(sim, VENDORS[0], "parent in between")
        assert sim.count() == (2 + CHILDREN) * QUESTIONS + 1


def test_a_spawned_worker_answers_with_a_pickled_object(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio(*VENDORS)
    ask(aio, "call", "warm")
    context = multiprocessing.get_context("spawn")

    with ProcessPoolExecutor(1, mp_context=context) as pool:
        answers = [pool.submit(answer, aio, vendor, "spawned") for vendor in VENDORS]
        texts = [future.result(timeout=60) for future in answers]

    assert texts == [healthy_text(sim, vendor, "spawned") for vendor in VENDORS]


@pytest.mark.parametrize("duplicate", [lambda aio: pickle.loads(pickle.dumps(aio)), copy.deepcopy])
def test_a_copy_is_a_second_object_of_the_same_configuration(
    duplicate: object, sim: Simulator, make_aio: MakeAIO, mode: str
) -> None:
    assert callable(duplicate)
    aio = make_aio(*VENDORS, timeout=33.0)
    ask(aio, mode, "original")

    with duplicate(aio) as twin:
        answers = [ask(one, mode, "both").content for one in (twin, aio)]

        assert answers == [healthy_text(sim, VENDORS[0], "both")] * 2
        assert twin.settings == aio.settings
        assert (used(aio), used(twin)) == (2, 1)
        assert sim.connections == 2


def used(aio: AIO) -> int:
    """How many requests an object counts."""
    return int(aio.get_key_stats()["total_usage"])


def test_closing_a_copy_leaves_the_original_open(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio(VENDORS[0])
    ask(aio, "call")

    with copy.deepcopy(aio) as twin:
        ask(twin, "call")
    answered = ask(aio, "call")

    assert answered.content == healthy_text(sim, VENDORS[0])
    assert sim.connections == 2


def test_a_pickled_object_keeps_its_keys_usable_and_forgets_who_was_limited(
    sim: Simulator, make_aio: MakeAIO, mode: str
) -> None:
    aio = make_aio("groq", "cerebras")
    sim.inject("429_retry_after", vendor="groq", seconds=600, times=1)
    limited = ask(aio, mode)

    with pickle.loads(pickle.dumps(aio)) as twin:
        fresh = ask(twin, mode)

        assert (limited.provider, fresh.provider) == ("cerebras", "groq")
