"""A wrong configuration is refused at once: the field is named, the secret is not."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest

from aio_llm import AIO, AIOError, ApiKey, ConfigError, ModelConfig, ProviderConfig

CANARY = "gsk_c4naryC4NARYc4naryC4NARYc4naryC4NARY"
NAN, INF = float("nan"), float("inf")


def provider(**fields: Any) -> dict[str, Any]:
    """A good entry but for `fields`; a field that is `...` is left out."""
    entry = {"provider": "groq", "api_keys": [CANARY], "models": ["m"], **fields}
    return {name: value for name, value in entry.items() if value is not ...}


def key(**fields: Any) -> dict[str, Any]:
    """An entry whose one key has these fields."""
    return provider(api_keys=[{"key": CANARY, **fields}])


def model(**fields: Any) -> dict[str, Any]:
    """An entry whose one model has these fields."""
    return provider(models=[{"model_id": "m", **fields}])


def pattern(words: str) -> str:
    """`words` as a pattern; between the parts of a path any separator may stand."""
    return words.replace("].", r"]\W+")


ENTRIES: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown provider": (provider(provider="grok"), "'grok' is unknown; did you mean 'groq'"),
    "nothing like a provider": (provider(provider="x1"), "known: .*groq"),
    "an empty provider": (provider(provider=""), r"provider"),
    "no provider": (provider(provider=...), "provider: is missing"),
    "a provider that is a number": (provider(provider=3), "provider"),
    "no keys at all": (provider(api_keys=...), "api_keys: is missing"),
    "empty keys": (provider(api_keys=[]), "api_keys is empty"),
    "keys as text": (provider(api_keys=CANARY), "api_keys"),
    "keys as a dict": (provider(api_keys={"key": CANARY}), "api_keys"),
    "an empty key": (provider(api_keys=[""]), r"api_keys\[0\].key: is empty"),
    "a blank key": (provider(api_keys=[CANARY, "  "]), r"api_keys\[1\].key: is empty"),
    "a key that is a number": (provider(api_keys=[3]), r"api_keys\[0\]"),
    "a key that is nothing": (provider(api_keys=[None]), r"api_keys\[0\]"),
    "a key twice": (provider(api_keys=[CANARY, CANARY]), r"api_keys\[1\] is the same as"),
    "a key twice but for blanks": (provider(api_keys=[CANARY, f" {CANARY}"]), "is the same as"),
    "a key in two lines": (provider(api_keys=[f"{CANARY}\n{CANARY}"]), r"api_keys\[0\].key: has a"),
    "a key with a blank": (provider(api_keys=[f"Bearer {CANARY}"]), r"api_keys\[0\].key: has a"),
    "a key in quotes": (provider(api_keys=[f'"{CANARY}"']), r"api_keys\[0\].key: has a"),
    "a key with a dash of a text program": (
        provider(api_keys=[f"{CANARY}–x"]), r"api_keys\[0\].key: has a"),
    "a key with NUL": (provider(api_keys=[f"{CANARY}\x00"]), r"api_keys\[0\].key: has a"),
    "no models at all": (provider(models=...), "models: is missing"),
    "empty models": (provider(models=[]), "models is empty"),
    "models as text": (provider(models="m"), "models"),
    "an empty model": (provider(models=[""]), r"models\[0\].model_id"),
    "a model that is a number": (provider(models=[3]), r"models\[0\]"),
    "a model twice": (provider(models=["m", "m"]), r"models\[1\] is the same as models\[0\]"),
    "a negative priority": (provider(priority=-1), "priority: .*greater than or equal to 0"),
    "a priority in words": (provider(priority="high"), "priority"),
    "half a priority": (provider(priority=1.5), "priority"),
    "a negative priority of a key": (key(priority=-1), r"api_keys\[0\].priority"),
    "a negative priority of a model": (model(priority=-1), r"models\[0\].priority"),
    "a limit of zero": (key(daily_limit=0), r"api_keys\[0\].daily_limit: .*greater than 0"),
    "a negative limit": (key(daily_limit=-5), r"api_keys\[0\].daily_limit"),
    "a limit in words": (key(daily_limit="many"), r"api_keys\[0\].daily_limit"),
    "negative use": (key(requests_today=-1), r"api_keys\[0\].requests_today"),
    "a quota of zero": (key(rpm=0), r"api_keys\[0\].rpm"),
    "a negative quota": (model(tpd=-1), r"models\[0\].tpd"),
    "active in words": (provider(is_active="perhaps"), "is_active"),
    "no time for an attempt": (provider(timeout=0), "timeout"),
    "negative time": (provider(timeout=-1), "timeout"),
    "time that is no number": (provider(timeout=NAN), "timeout"),
    "time without end": (provider(timeout=INF), "timeout"),
    "an address without a scheme": (provider(base_url="api.test"), "base_url: must start with"),
    "an address of files": (provider(base_url="file:///etc/passwd"), "base_url: must start with"),
    "an empty address": (provider(base_url=""), "base_url"),
    "an address without a host": (provider(base_url="http://"), "base_url"),
    "an address in two lines": (provider(base_url="http://a\r\nX-Evil: 1"), "base_url"),
    "an address with a blank": (provider(base_url="http://a b"), "base_url"),
    "an address with a strange port": (provider(base_url="http://a:99999"), "base_url"),
    "an empty name": (provider(name=""), "name"),
    "a header in two lines": (provider(headers={"X-A": "1\r\nX-Evil: 1"}), "headers"),
    "a header with a strange name": (provider(headers={"X A:": "1"}), "headers"),
    "a header that is a number": (provider(headers={"X-A": 1}), "headers"),
    "a header with NUL": (provider(headers={"X-A": "\x00"}), "headers"),
    "a header that is not ASCII": (provider(headers={"X-A": "ü"}), "headers"),
    "custom without an address": (provider(provider="custom"), "base_url is missing"),
    "a misspelt field": (provider(prioritty=1), "prioritty: unknown.*mean 'priority'"),
    "one key": (provider(api_key=CANARY), "api_key: unknown field; did you mean 'api_keys'"),
    "a misspelt field of a key": (key(dayly_limit=1), "did you mean 'daily_limit'"),
    "a misspelt camel": (key(dailyLimt=1), "did you mean 'daily_limit'"),
    "a misspelt field of a model": (model(priorty=1), "did you mean 'priority'"),
    "a model by another name": (provider(models=[{"model": "m"}]), "did you mean 'model"),
    "a key inside out": (provider(api_keys=[{CANARY: 1}]), r"api_keys\[0\]"),
}  # fmt: skip


def refusal(**settings: Any) -> str:
    """Everything that is said when this configuration is refused, the traceback included."""
    with pytest.raises((ConfigError, TypeError)) as caught:
        AIO(**settings)
    return "".join(traceback.format_exception(caught.value, limit=0))


@pytest.mark.parametrize("case", ENTRIES)
def test_a_wrong_entry_is_refused_by_its_field(case: str) -> None:
    entry, words = ENTRIES[case]
    with pytest.raises(ConfigError, match=pattern(words)) as caught:
        AIO([entry])

    assert isinstance(caught.value, ValueError)
    assert CANARY not in "".join(traceback.format_exception(caught.value, limit=0))


@pytest.mark.parametrize("case", ENTRIES)
def test_the_class_refuses_what_the_dict_would(case: str) -> None:
    entry, words = ENTRIES[case]
    if entry.get("provider") in ("grok", "x1", "custom"):
        entry = entry | {"priority": -1}  # which names are known is asked by AIO, not by the class
        words = "priority"

    with pytest.raises(ConfigError, match=pattern(words)):
        ProviderConfig(**entry)


SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "no time": ({"timeout": 0}, "timeout"),
    "negative time": ({"timeout": -1}, "timeout"),
    "time that is no number": ({"timeout": NAN}, "timeout"),
    "time without end": ({"timeout": INF}, "timeout: must be a finite"),
    "time in words": ({"timeout": "soon"}, "timeout"),
    "time that is nothing": ({"timeout": None}, "timeout"),
    "no time between chunks": ({"idle_timeout": 0}, "idle_timeout"),
    "a negative wait": ({"max_wait": -1}, "max_wait"),
    "a wait without end": ({"max_wait": INF}, "max_wait"),
    "a negative delay": ({"retry_delay": -0.1}, "retry_delay"),
    "no longest delay": ({"max_delay": 0}, "max_delay"),
    "a shrinking delay": ({"backoff_multiplier": 0.5}, "backoff_multiplier"),
    "a delay that explodes": ({"backoff_multiplier": INF}, "backoff_multiplier"),
    "a delay that is no number": ({"backoff_multiplier": NAN}, "backoff_multiplier"),
    "negative retries": ({"max_retries": -1}, "max_retries"),
    "half a retry": ({"max_retries": 1.5}, "max_retries"),
    "retries in words": ({"max_retries": "three"}, "max_retries"),
    "auto in words": ({"auto_mode": "perhaps"}, "auto_mode"),
    "a misspelt setting": ({"max_retrys": 1}, "max_retrys: .*did you mean 'max_retries'"),
    "a misspelt camel": ({"maxRetrys": 1}, "did you mean 'max_retries'"),
    "a setting of another place": ({"api_keys": [CANARY]}, "api_keys"),
    "a setting by another name": ({"cache": True}, "cache"),
    "no providers": ({"providers": []}, "providers is empty"),
    "providers missing": ({"providers": None}, "providers: is missing"),
    "providers as text": ({"providers": "groq"}, "providers: must be a list, not str"),
    "one provider alone": ({"providers": provider()}, "providers: must be a list, not dict"),
    "providers as a number": ({"providers": 3}, "providers: must be a list, not int"),
    "a provider as text": ({"providers": [CANARY]}, r"providers\[0\]"),
    "a provider as nothing": ({"providers": [None]}, r"providers\[0\]"),
    "one vendor twice": ({"providers": [provider(), provider()]}, "providers.* is the same as"),
    "one name twice": (
        {"providers": [provider(name="a"), provider(provider="cerebras", name="a")]},
        "is the same as"),
    "a fault in the second": (
        {"providers": [provider(), provider(name="b", priority=-1)]}, r"providers\[1\].priority"),
}  # fmt: skip


@pytest.mark.parametrize("case", SETTINGS)
def test_a_wrong_setting_is_refused_by_its_name(case: str) -> None:
    settings, words = SETTINGS[case]
    with pytest.raises(ConfigError, match=pattern(words)) as caught:
        AIO(**{"providers": [provider()], **settings})

    assert CANARY not in "".join(traceback.format_exception(caught.value, limit=0))


@pytest.mark.parametrize("case", [case for case in SETTINGS if "providers as" not in case])
def test_plain_data_is_refused_like_arguments(case: str) -> None:
    settings, words = SETTINGS[case]

    with pytest.raises(ConfigError, match=pattern(words)):
        AIO.from_dict({"providers": [provider()], **settings})


@pytest.mark.parametrize("values", [None, [], "text", 3, b"{}"])
def test_a_configuration_is_a_mapping(values: Any) -> None:
    with pytest.raises(ConfigError, match="must be a mapping"):
        AIO.from_dict(values)


def test_what_is_raised_is_a_config_error_and_nothing_else() -> None:
    with pytest.raises(ConfigError) as nested:
        AIO([provider(priority=-1)])
    with pytest.raises(ConfigError) as part:
        ApiKey("")

    assert (type(nested.value), type(part.value)) == (ConfigError, ConfigError)


def test_all_faults_are_told_at_once() -> None:
    entry = provider(priority=-1, api_keys=[{"key": CANARY, "dayly": 1}], models=[{"priority": -1}])

    told = refusal(providers=[entry], timeout=0)

    parts = ("timeout", "priority", "model_id", "dayly: unknown field")
    assert [part for part in parts if part not in told] == []


def test_a_good_object_can_be_changed_only_to_another_good_one() -> None:
    config = ProviderConfig(**provider())

    with pytest.raises((ConfigError, ValueError), match="priority"):
        config.priority = -1

    assert config.priority == 0


@pytest.mark.parametrize("make", [ApiKey, ModelConfig])
def test_a_part_without_its_name_is_refused(make: Any) -> None:
    with pytest.raises(ConfigError, match="is missing"):
        make()


SWAPPED: dict[str, Callable[[], object]] = {
    "as the provider": lambda: AIO([provider(provider=CANARY)]),
    "as a provider to check": lambda: AIO([provider()]).validate_api_key(CANARY, "groq"),
    "as a provider to ask": lambda: AIO([provider()]).chat_completion("x", provider=CANARY),
    "as a model to ask": lambda: AIO([provider()]).chat_completion("x", model=CANARY),
    "as a key to switch": lambda: AIO([provider()]).disable_key(CANARY, "groq"),
    "as a field": lambda: AIO([provider(**{CANARY: 1})]),
    "as a setting": lambda: AIO.from_dict({"providers": [provider()], CANARY: 1}),
    "as an address": lambda: AIO([provider(base_url=CANARY)]),
    "as a name twice": lambda: AIO([provider(name=CANARY), provider(name=CANARY)]),
    "as a model twice": lambda: AIO([provider(models=[CANARY, CANARY])]),
}  # fmt: skip


@pytest.mark.parametrize("case", SWAPPED)
def test_a_key_in_the_wrong_place_is_not_repeated(case: str) -> None:
    with pytest.raises(AIOError) as caught:
        SWAPPED[case]()

    assert CANARY not in str(caught.value)
