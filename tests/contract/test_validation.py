"""Is a key good? Asked without a chat request, and an honest "unknown" when nobody says."""

from __future__ import annotations

import pytest

from aio_llm import AIO, ConfigError, KeyCheck
from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO

VENDORS = ("groq", "cerebras", "google-ai", "openrouter")
KEY_PATHS = {
    "groq": "/groq/openai/v1/models",
    "cerebras": "/cerebras/v1/models",
    "google-ai": "/google-ai/v1beta/models",
    "openrouter": "/openrouter/api/v1/key",
}


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_good_key_is_valid(vendor: str, sim: Simulator, make_aio: MakeAIO) -> None:
    check = make_aio(vendor).validate_api_key(vendor, sim.keys(vendor)[1])

    assert check
    assert (check.status, check.provider, check.reason) == ("valid", vendor, "")
    assert [(r.method, r.path) for r in sim.requests] == [("GET", KEY_PATHS[vendor])]


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_wrong_key_is_invalid(vendor: str, sim: Simulator, make_aio: MakeAIO) -> None:
    wrong = sim.keys(vendor)[0][:-6] + "wrong1"

    check = make_aio(vendor).validate_api_key(vendor, wrong)

    assert not check
    assert check.status == "invalid"
    assert wrong not in repr(check)
    assert [r.method for r in sim.requests] == ["GET"]


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_vendor_that_cannot_be_reached_says_nothing_about_a_key(
    vendor: str, sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio(vendor, overrides={vendor: {"base_url": sim.refused_url}})

    check = aio.validate_api_key(vendor, sim.keys(vendor)[0])

    assert not check
    assert check.status == "unknown"
    assert "network" in check.reason


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_vendor_that_never_answers_says_nothing_in_time(
    vendor: str, sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio(vendor, overrides={vendor: {"base_url": sim.silent_url}})

    check = aio.validate_api_key(vendor, sim.keys(vendor)[0], timeout=0.05)

    assert (check.status, check.reason) == ("unknown", "no answer within 0.05 s")
    assert check.latency < 1


def test_a_check_counts_and_disables_nothing(sim: Simulator, make_aio: MakeAIO) -> None:
    aio = make_aio("groq")
    for _ in range(5):
        aio.validate_api_key("groq", "gsk_wrong")
        aio.validate_api_key("groq", sim.keys("groq")[0])

    stats = aio.get_key_stats()

    assert (stats["active"], stats["total_usage"], stats["total_errors"]) == (1, 0, 0)


def test_the_whole_configuration_is_checked_in_order(sim: Simulator) -> None:
    good, wrong = sim.keys("groq")[0], "gsk_wrongwrongwrongwrongwrong"
    entries = [
        sim.provider("groq", api_keys=[good, wrong]),
        sim.provider("cerebras", base_url=sim.refused_url, api_keys=["csk-1"]),
        sim.provider("google-ai", name="mine", api_keys=sim.keys("google-ai")[:1]),
    ]
    with AIO(entries) as aio:
        checks = aio.validate_config()

    assert all(isinstance(check, KeyCheck) for check in checks)
    assert [(check.provider, check.status) for check in checks] == [
        ("groq", "valid"), ("groq", "invalid"), ("cerebras", "unknown"), ("mine", "valid"),
    ]  # fmt: skip
    assert {r.method for r in sim.requests} == {"GET"}


@pytest.mark.parametrize(("provider", "key"), [("grok", "k"), ("groq", ""), ("groq", "a b")])
def test_what_cannot_be_a_key_of_anybody_is_refused(
    provider: str, key: str, sim: Simulator, make_aio: MakeAIO
) -> None:
    aio = make_aio("cerebras")

    with pytest.raises(ConfigError):
        aio.validate_api_key(provider, key)

    assert sim.requests == []
