"""The objects a program holds show no key when they are printed, dumped or written down."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from aio_llm import AIO, ApiKey, CancelToken, ModelConfig, ProviderConfig
from aio_llm.cancel import CancelScope
from aio_llm.providers.base import Call, Target
from tests.secrets.scan import rendered, shown, walk

KEY = "gsk_c4naryC4NARYc4naryC4NARYc4naryC4NARYc4nary"


def aio() -> AIO:
    """An `AIO` that holds the key."""
    return AIO([{"provider": "groq", "api_keys": [KEY, {"key": f"{KEY}2"}], "models": ["m"]}])


HOLDERS: dict[str, Callable[[], Any]] = {
    "a key": lambda: ApiKey(KEY),
    "a provider": lambda: ProviderConfig(
        provider="groq", api_keys=[ApiKey(KEY)], models=[ModelConfig("m")]
    ),
    "the settings": lambda: aio().settings,
    "an AIO": aio,
    "a copy of a key": lambda: copy.deepcopy(ApiKey(KEY)),
    "a target": lambda: Target("groq", "m", "gsk_…nary", KEY),
    "a call": lambda: Call(Target("groq", "m", "gsk_…nary", KEY), CancelScope()),
    "the doors": lambda: aio().chat,
}


@pytest.mark.parametrize("name", HOLDERS)
def test_what_holds_a_key_does_not_show_it(name: str) -> None:
    assert shown(rendered(HOLDERS[name]()), [KEY]) == []


MODELS = ("a key", "a provider", "the settings")


@pytest.mark.parametrize("name", MODELS)
def test_a_configuration_is_dumped_without_its_keys(name: str) -> None:
    config: BaseModel = HOLDERS[name]()

    dumps = [
        config.model_dump_json(),
        json.dumps(config.model_dump(mode="json")),
        str(config.model_dump()),
        str(list(config)),
        json.dumps(type(config).model_json_schema()),
    ]

    assert shown("\n".join(dumps), [KEY]) == []


@pytest.mark.parametrize("name", MODELS)
def test_a_configuration_shows_its_keys_only_when_asked_for_the_secret(name: str) -> None:
    assert shown("\n".join(walk(HOLDERS[name]())), [KEY]) == []


SAYINGS: dict[str, Callable[[AIO], Any]] = {
    "the summary": lambda a: a.get_config_summary(),
    "the statistics": lambda a: a.get_key_stats(),
    "the explanation": lambda a: a.explain(model="m"),
}


@pytest.mark.parametrize("name", SAYINGS)
def test_what_an_aio_says_is_without_keys(name: str) -> None:
    said = SAYINGS[name](aio())

    assert shown("\n".join(walk(said)), [KEY]) == []
    assert shown(json.dumps(said), [KEY]) == []


def test_keys_can_be_told_apart_by_what_is_shown() -> None:
    rows = aio().get_key_stats()["keys"]

    assert len({row["key"] for row in rows}) == 2


def test_a_stream_shows_no_key(sim: Any) -> None:
    with AIO(**sim.config("groq")) as made, made.chat_completion_stream("hello") as stream:
        chunk = next(stream)

        assert shown(rendered(stream) + rendered(chunk), sim.keys("groq")) == []
    assert shown(rendered(CancelToken()), [KEY]) == []
