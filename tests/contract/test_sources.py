"""Where a configuration comes from: arguments, plain data, the environment, files."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from aio_llm import AIO, ApiKey, ConfigError, ModelConfig, ProviderConfig
from aio_llm.simulator import Simulator

ENVIRONMENTS: dict[str, tuple[dict[str, str], list[tuple[str, int]]]] = {
    "one key": ({"GROQ_API_KEY": "gsk_1"}, [("groq", 1)]),
    "several keys": ({"GROQ_API_KEYS": "gsk_1,gsk_2 , gsk_3,"}, [("groq", 3)]),
    "both spellings": ({"GROQ_API_KEY": "gsk_1", "GROQ_API_KEYS": "gsk_2,gsk_1"}, [("groq", 2)]),
    "openrouter": ({"OPENROUTER_API_KEY": "sk-or-v1-1"}, [("openrouter", 1)]),
    "cerebras": ({"CEREBRAS_API_KEYS": "csk-1,csk-2"}, [("cerebras", 2)]),
    "google": ({"GOOGLE_API_KEY": "AIza1"}, [("google-ai", 1)]),
    "gemini": ({"GEMINI_API_KEY": "AIza1"}, [("google-ai", 1)]),
    "google ai": ({"GOOGLE_AI_API_KEYS": "AIza1,AIza2"}, [("google-ai", 2)]),
    "all names of google": (
        {"GOOGLE_API_KEY": "AIza1", "GEMINI_API_KEY": "AIza1", "GOOGLE_AI_API_KEY": "AIza2"},
        [("google-ai", 2)],
    ),
    "everybody": (
        {"OPENROUTER_API_KEY": "o", "GEMINI_API_KEY": "g", "CEREBRAS_API_KEY": "c",
         "GROQ_API_KEY": "q", "UNRELATED_API_KEY": "u"},
        [("groq", 1), ("cerebras", 1), ("google-ai", 1), ("openrouter", 1)],
    ),
    "an empty one beside": ({"GROQ_API_KEY": "gsk_1", "CEREBRAS_API_KEY": " "}, [("groq", 1)]),
}  # fmt: skip


@pytest.mark.parametrize("case", ENVIRONMENTS)
def test_keys_are_found_in_the_environment(case: str) -> None:
    environment, found = ENVIRONMENTS[case]

    summary = AIO.from_env(environment).get_config_summary()

    assert [(p["name"], len(p["keys"])) for p in summary["providers"]] == found
    assert all(p["models"] for p in summary["providers"])
    assert summary["auto_mode"] is True


def test_models_and_addresses_are_found_in_the_environment() -> None:
    aio = AIO.from_env(
        {"GROQ_API_KEY": "k", "GROQ_MODELS": "a, b", "GROQ_BASE_URL": "http://127.0.0.1:9"}
    )

    (provider,) = aio.get_config_summary()["providers"]
    assert (provider["models"], provider["base_url"]) == (["a", "b"], "http://127.0.0.1:9")


def test_other_settings_are_given_beside_the_environment() -> None:
    aio = AIO.from_env({"GROQ_API_KEY": "k"}, timeout=7, auto_mode=False, max_retries=0)

    summary = aio.get_config_summary()
    assert (summary["timeout"], summary["auto_mode"], summary["max_retries"]) == (7.0, False, 0)


@pytest.mark.parametrize("environment", [{}, {"GROQ_API_KEY": ""}, {"GROQ_API_KEYS": " , "},
                                         {"OPENAI_API_KEY": "sk-1"}])  # fmt: skip
def test_without_any_key_it_says_what_to_set(environment: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        AIO.from_env(environment)

    told = str(caught.value)
    assert all(f"{n}_API_KEY" in told for n in ("GROQ", "CEREBRAS", "GEMINI", "OPENROUTER"))
    assert "_KEYS" in told


def test_the_real_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENROUTER", "CEREBRAS", "GOOGLE_AI", "GOOGLE", "GEMINI"):
        monkeypatch.delenv(f"{name}_API_KEY", raising=False)
        monkeypatch.delenv(f"{name}_API_KEYS", raising=False)
    monkeypatch.setenv("GROQ_API_KEY", "gsk_from_the_environment")

    summary = AIO.from_env().get_config_summary()

    assert [p["name"] for p in summary["providers"]] == ["groq"]


def test_an_aio_of_the_environment_calls(sim: Simulator) -> None:
    names = {"groq": "GROQ", "cerebras": "CEREBRAS", "google-ai": "GEMINI",
             "openrouter": "OPENROUTER"}  # fmt: skip
    environment = {f"{n}_API_KEY": sim.keys(v)[0] for v, n in names.items()}
    environment |= {f"{n}_BASE_URL": sim.base_url(v) for v, n in names.items()}
    environment |= {f"{n}_MODELS": ",".join(sim.models(v)) for v, n in names.items()}
    sim.inject("503", vendor="groq")
    with AIO.from_env(environment) as aio:
        assert aio.chat_completion("hello").provider == "cerebras"


TOML = """
auto_mode = true
timeout = 30
max_retries = 1

[[providers]]
provider = "groq"
priority = 100
models = ["llama-3.3-70b-versatile", { model_id = "llama-3.1-8b-instant", priority = 5 }]
api_keys = ["gsk_1", { key = "gsk_2", priority = 50, daily_limit = 1000 }]
"""
SNAKE: dict[str, Any] = {
    "auto_mode": True,
    "timeout": 30,
    "max_retries": 1,
    "providers": [
        {
            "provider": "groq",
            "priority": 100,
            "models": ["llama-3.3-70b-versatile",
                       {"model_id": "llama-3.1-8b-instant", "priority": 5}],
            "api_keys": ["gsk_1", {"key": "gsk_2", "priority": 50, "daily_limit": 1000}],
        }
    ],
}  # fmt: skip
CAMEL: dict[str, Any] = {
    "autoMode": True,
    "timeout": 30000,
    "maxRetries": 1,
    "retryDelay": 1000,
    "maxDelay": 60000,
    "backoffMultiplier": 2,
    "enableLogging": False,
    "enableValidation": True,
    "providers": [
        {
            "provider": "groq",
            "priority": 100,
            "isActive": True,
            "models": [
                {"modelId": "llama-3.3-70b-versatile", "priority": 0, "isActive": True},
                {"modelId": "llama-3.1-8b-instant", "priority": 5, "isActive": True},
            ],
            "apiKeys": [
                {"key": "gsk_1", "priority": 0, "isActive": True, "requestsToday": 0},
                {"key": "gsk_2", "priority": 50, "isActive": True, "dailyLimit": 1000},
            ],
        }
    ],
}


def written(folder: Path, name: str, text: str) -> Path:
    """A file with this text."""
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_one_configuration_reads_the_same_from_everywhere(tmp_path: Path) -> None:
    wanted = AIO(**SNAKE).settings
    made = [
        AIO.from_dict(SNAKE),
        AIO.from_dict(CAMEL),
        AIO.from_file(written(tmp_path, "a.toml", TOML)),
        AIO.from_file(written(tmp_path, "a.json", json.dumps(SNAKE))),
        AIO.from_file(written(tmp_path, "b.JSON", json.dumps(CAMEL))),
        AIO.from_file(str(tmp_path / "a.toml")),
        pickle.loads(pickle.dumps(AIO(**SNAKE))),
    ]

    assert [aio.settings for aio in made] == [wanted] * len(made)
    assert wanted.timeout == 30
    assert wanted.retry_delay == 1
    assert wanted.providers[0].api_keys[1].daily_limit == 1000


MILLISECONDS = {
    "timeout": (30000, "timeout", 30.0),
    "retryDelay": (500, "retry_delay", 0.5),
    "maxDelay": (30000, "max_delay", 30.0),
    "idleTimeout": (5000, "idle_timeout", 5.0),
}


@pytest.mark.parametrize("name", MILLISECONDS)
def test_a_camel_case_file_counts_in_milliseconds(name: str) -> None:
    value, ours, seconds = MILLISECONDS[name]

    settings = AIO.from_dict({"autoMode": True, **CAMEL, name: value}).settings

    assert getattr(settings, ours) == seconds


def test_a_snake_case_file_counts_in_seconds() -> None:
    settings = AIO.from_dict({**SNAKE, "timeout": 3000, "retry_delay": 500}).settings

    assert (settings.timeout, settings.retry_delay) == (3000.0, 500.0)


def test_a_timeout_of_a_provider_in_a_camel_case_file_is_in_milliseconds_too() -> None:
    provider = {**CAMEL["providers"][0], "timeout": 15000, "baseUrl": "http://127.0.0.1:9"}

    settings = AIO.from_dict({**CAMEL, "providers": [provider]}).settings

    assert settings.providers[0].timeout == 15.0
    assert settings.providers[0].base_url == "http://127.0.0.1:9"


def test_a_camel_case_file_is_known_by_any_of_its_names() -> None:
    plain = {"providers": CAMEL["providers"], "timeout": 30000}

    assert AIO.from_dict(plain).settings.timeout == 30.0


def test_objects_dicts_and_strings_mean_the_same() -> None:
    big, small = "llama-3.3-70b-versatile", "llama-3.1-8b-instant"
    made = ProviderConfig(
        provider="groq",
        priority=100,
        models=[ModelConfig(big), ModelConfig(small, priority=5)],
        api_keys=[ApiKey("gsk_1"), ApiKey("gsk_2", priority=50, daily_limit=1000)],
    )

    aio = AIO([made], auto_mode=True, timeout=30, max_retries=1)

    assert aio.settings == AIO(**SNAKE).settings


def test_keys_may_be_secrets_already(sim: Simulator) -> None:
    entry = sim.provider("groq", api_keys=[SecretStr(sim.keys("groq")[0])])

    with AIO([entry], auto_mode=True) as aio:
        assert aio.chat_completion("hello").content


def test_blanks_around_a_pasted_key_are_cut_off(sim: Simulator) -> None:
    entry = sim.provider("groq", api_keys=[f" {sim.keys('groq')[0]}\n"])

    with AIO([entry], auto_mode=True) as aio:
        assert aio.chat_completion("hello").content


def test_one_vendor_can_be_configured_twice_under_two_names(sim: Simulator) -> None:
    keys = sim.keys("groq")
    entries = [
        sim.provider("groq", name="work", api_keys=keys[:1], priority=1),
        sim.provider("groq", name="home", api_keys=keys[1:], priority=2),
    ]
    with AIO(entries, auto_mode=True) as aio:
        first = aio.chat_completion("hello")
        second = aio.chat_completion("hello", provider="work")

    assert (first.provider, second.provider) == ("home", "work")
    assert [r.key for r in sim.requests] == [keys[1], keys[0]]


def test_a_configuration_is_not_changed_by_using_it(sim: Simulator) -> None:
    given: dict[str, Any] = {"providers": [sim.provider("groq")], "auto_mode": True}
    before = json.dumps(given)
    with AIO(**given) as aio:
        aio.chat_completion("hello")

    assert json.dumps(given) == before


def test_a_pickled_aio_still_calls(sim: Simulator) -> None:
    with AIO(**sim.config("groq")) as aio:
        aio.chat_completion("hello")
        with pickle.loads(pickle.dumps(aio)) as again:
            assert again.chat_completion("hello").content

    assert sim.count("groq") == 2
