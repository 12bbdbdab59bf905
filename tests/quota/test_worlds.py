"""The worlds are what they say: so much capacity, the same work for a seed, nothing impossible."""

from __future__ import annotations

import math
from itertools import islice

import pytest

from aio_llm import AIO
from aio_llm.simulator.quotas import AXES, make_counter
from tests.quota.worlds import (
    BASE,
    SCENARIOS,
    UNKNOWN_WORLDS,
    VENDOR_WORLDS,
    WORLDS,
    VendorWorld,
    World,
    jobs,
    mean_job,
    providers,
)  # fmt: skip

every_world = pytest.mark.parametrize("world", WORLDS.values(), ids=list(WORLDS))


def per_minute(vendor: VendorWorld, model: str) -> float:
    """Calls of the mean size that one key's quotas give in a minute, day after day left aside."""
    mean = mean_job()
    rates = [math.inf]
    for quota in vendor.quotas:
        if quota.group is None and quota.model in (None, "*", model):
            for axis, limit in quota.limits().items():
                size = mean[quota.tokens] if axis.startswith("t") else 1.0
                rates += [] if axis.endswith("d") else [limit / size * 60.0 / AXES[axis]]
    return min(rates)


def test_the_base_world_gives_248_calls_a_minute_half_of_its_models_bound_by_tokens() -> None:
    rates = [per_minute(vendor, model) for vendor, _, model in BASE.lanes()]
    by_tokens = [not rate.is_integer() for rate in rates]

    assert len(rates) == 24
    assert sum(rates) == pytest.approx(248, rel=0.03)
    assert all(8 <= rate <= 13 for rate in rates)
    assert sum(by_tokens) == 12


def test_work_is_the_same_for_a_seed_and_as_large_as_it_says() -> None:
    work = list(islice(jobs(3), 2_000))

    assert work == list(islice(jobs(3), 2_000))
    assert work != list(islice(jobs(4), 2_000))
    assert {job.number for job in work} == set(range(1, 2_001))
    assert all(20 <= job.prompt_tokens <= 2_000 for job in work)
    assert all(20 <= job.completion <= job.max_tokens <= 220 for job in work)
    assert max(job.prompt_tokens for job in work) > 10 * min(job.prompt_tokens for job in work)


def test_a_jobs_text_is_as_long_as_it_says_and_asks_for_its_answer() -> None:
    for job in islice(jobs(5), 500):
        assert len(job.text) == 4 * job.prompt_tokens
        assert f"[answer {job.completion}]" in job.text


@every_world
def test_the_largest_job_fits_into_every_limit(world: World) -> None:
    for quota in world.quotas:
        for axis in quota.limits():
            largest = 2_220 if axis.startswith("t") else 1

            assert make_counter(quota, axis).wait(0.0, largest) == 0.0


@every_world
def test_a_configuration_says_the_limits_if_they_are_known(world: World) -> None:
    with AIO(providers(world, lambda name: f"http://127.0.0.1:9/{name}")) as aio:
        models = [model for entry in aio.settings.providers for model in entry.models]
        keys = [key for entry in aio.settings.providers for key in entry.api_keys]

    assert len(keys) * 2 == len(world.ranks())
    assert all((model.rpm is not None) is world.known for model in models)


def test_ranks_follow_the_priorities_and_keys_of_a_model_are_equal() -> None:
    ranks = BASE.ranks()
    best, model = BASE.vendors[0], BASE.vendors[0].models[0]

    assert sorted(set(ranks.values())) == list(range(8))
    assert {ranks[best.name, best.key(number), model] for number in range(3)} == {0}


def test_every_scenario_is_there_once() -> None:
    letters = ["a", "b", "c", "c2", "d", "e", "f", "g", "h", "i", "z"]

    assert [world.name for world in SCENARIOS] == letters
    assert len(WORLDS) == len(SCENARIOS) + len(VENDOR_WORLDS) + len(UNKNOWN_WORLDS)
