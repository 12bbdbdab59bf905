"""Who may be asked, in which order: for any configuration, not only for the ones of the tests."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_llm import ConfigError, ModelNotFoundError
from aio_llm.config import Settings, read_settings
from aio_llm.core.routing import Lane, Route, Router
from aio_llm.core.rules import RULES

VENDORS = ("groq", "cerebras", "google-ai", "openrouter")
MODELS = ("a", "b", "org/c", "d:free")
PRIORITY = st.sampled_from((0, 1, 50))


@st.composite
def configurations(draw: st.DrawFn) -> Settings:
    """Settings with at least one active model."""
    vendors = draw(st.lists(st.sampled_from(VENDORS), min_size=1, max_size=4, unique=True))
    providers = [_provider(draw, vendor, active=vendor == vendors[0]) for vendor in vendors]
    return read_settings({"providers": providers, "auto_mode": True})


def _provider(draw: st.DrawFn, vendor: str, *, active: bool) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(MODELS), min_size=1, max_size=4, unique=True))
    models = [
        {"model_id": name, "priority": draw(PRIORITY), "is_active": active or draw(st.booleans())}
        for name in names
    ]
    return {
        "provider": vendor,
        "api_keys": [f"{vendor}-key"],
        "priority": draw(PRIORITY),
        "is_active": active or draw(st.booleans()),
        "models": models,
    }


def routed(settings: Settings, **question: Any) -> Route:
    """The answer of a router to one question."""
    asked = {"provider": None, "model": None, "auto": True, "fallback": False} | question
    return Router(settings).route(asked.pop("provider"), asked.pop("model"), **asked)


def rank(lane: Lane) -> tuple[int, int]:
    """What decides: provider first, then model."""
    return (lane.provider_priority, lane.model_priority)


def active(settings: Settings) -> list[tuple[str, str]]:
    """The names of all active lanes."""
    return [
        (provider.label, model.model_id)
        for provider in settings.providers
        if provider.is_active
        for model in provider.models
        if model.is_active
    ]


def stages(route: Route) -> list[set[tuple[str, str]]]:
    """The names of the lanes of each stage."""
    return [{(lane.provider, lane.model) for lane in stage} for stage in route.stages]


def names(route: Route) -> list[tuple[str, str]]:
    """The names of the lanes of a route, best first."""
    return [(lane.provider, lane.model) for lane in route.lanes]


@given(configurations())
def test_auto_mode_asks_every_active_model_once_by_priority(settings: Settings) -> None:
    route = routed(settings)

    ranks = [rank(lane) for lane in route.lanes]
    assert sorted(names(route)) == sorted(active(settings))
    assert ranks == sorted(ranks, reverse=True)


@given(configurations())
def test_equals_are_in_one_tier(settings: Settings) -> None:
    tiers = [{rank(lane) for lane in tier} for tier in routed(settings).tiers]

    assert all(len(tier) == 1 for tier in tiers)
    assert len(tiers) == len(set.union(*tiers))


@given(configurations(), st.data())
def test_a_named_model_is_all_that_is_asked(settings: Settings, data: st.DataObject) -> None:
    provider, model = data.draw(st.sampled_from(active(settings)))
    same = [lane for lane in active(settings) if lane[1] == model]

    assert names(routed(settings, provider=provider, model=model)) == [(provider, model)]
    assert names(routed(settings, model=f"{provider}/{model}")) == [(provider, model)]
    assert names(routed(settings, model=f"{provider}:{model}")) == [(provider, model)]
    assert sorted(names(routed(settings, model=model))) == sorted(same)


@given(configurations(), st.data())
def test_with_fallback_the_named_model_comes_first_and_nobody_twice(
    settings: Settings, data: st.DataObject
) -> None:
    provider, model = data.draw(st.sampled_from(active(settings)))

    route = routed(settings, provider=provider, model=model, fallback=True)

    assert names(route)[0] == (provider, model)
    assert sorted(names(route)) == sorted(active(settings))


@given(configurations(), st.data())
def test_a_list_of_models_is_the_callers_own_order(settings: Settings, data: st.DataObject) -> None:
    lanes = data.draw(st.lists(st.sampled_from(active(settings)), min_size=1, max_size=6))

    route = routed(settings, model=[f"{provider}/{model}" for provider, model in lanes])

    assert names(route) == list(dict.fromkeys(lanes))


@given(configurations(), st.sampled_from(sorted(RULES)), st.data())
def test_a_rule_orders_all_but_leaves_the_callers_own_order_alone(
    settings: Settings, rule: str, data: st.DataObject
) -> None:
    lanes = data.draw(
        st.lists(st.sampled_from(active(settings)), min_size=1, max_size=6, unique=True)
    )
    model = [f"{provider}/{model}" for provider, model in lanes]

    own = routed(settings, model=model, routing=rule)
    named = routed(settings, model=model[0], fallback=True, routing=rule)
    auto = routed(settings, routing=rule)
    others = set(active(settings)) - {lanes[0]}

    assert stages(own) == [{lane} for lane in lanes]
    assert stages(named) == ([{lanes[0]}, others] if others else [{lanes[0]}])
    assert stages(auto) == [set(active(settings))]


@given(configurations(), st.sampled_from(sorted(RULES)))
def test_a_rule_changes_nothing_of_who_may_be_asked_and_of_priority(
    settings: Settings, rule: str
) -> None:
    plain, ruled = routed(settings), routed(settings, routing=rule)

    assert names(plain) == names(ruled)
    assert [len(tier) for tier in plain.tiers] == [len(tier) for tier in ruled.tiers]
    assert (plain.rule, plain.stages) == ("priority", ())
    assert ruled.rule == rule


def test_one_question_has_one_route_for_each_rule() -> None:
    router = Router(SETTINGS)
    rules = [None, "priority", *RULES]

    first, again = (
        [router.route(None, None, auto=True, fallback=False, routing=rule) for rule in rules]
        for _ in range(2)
    )

    assert all(one is other for one, other in zip(first, again, strict=True))
    assert len(set(first)) == len(rules)


@given(configurations(), st.data())
def test_a_provider_alone_means_its_models_by_priority(
    settings: Settings, data: st.DataObject
) -> None:
    provider, _ = data.draw(st.sampled_from(active(settings)))

    route = routed(settings, provider=provider)

    ranks = [lane.model_priority for lane in route.lanes]
    assert {lane.provider for lane in route.lanes} == {provider}
    assert ranks == sorted(ranks, reverse=True)


SETTINGS = read_settings(
    {
        "providers": [
            {"provider": "groq", "api_keys": ["k"], "models": ["llama", "groq/compound"]},
            {"provider": "google-ai", "api_keys": ["k"], "models": ["gemini"]},
            {"provider": "openrouter", "api_keys": ["k"], "models": ["groq/llama"],
             "is_active": False},
        ]
    }
)  # fmt: skip

REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "nothing named, auto off": ({"auto": False}, ConfigError, "auto_mode"),
    "an unknown provider": ({"provider": "grok"}, ConfigError, "did you mean 'groq'"),
    "an unknown model": ({"model": "lama"}, ModelNotFoundError, "did you mean 'llama'"),
    "another's model": ({"provider": "groq", "model": "gemini"}, ModelNotFoundError, "gemini"),
    "an empty model": ({"model": ""}, ConfigError, "model"),
    "a model that is no text": ({"model": [3]}, ConfigError, "model"),
    "an empty list": ({"model": []}, ConfigError, "empty"),
    "an inactive provider": ({"provider": "openrouter"}, ConfigError, "is_active"),
    "a misspelt rule": ({"routing": "cheepest"}, ConfigError, "did you mean 'cheapest'"),
    "a rule far from all": ({"routing": "xyz"}, ConfigError, "known: cheapest, fastest"),
    "an empty rule": ({"routing": ""}, ConfigError, "routing"),
    "a rule that is no text": ({"routing": ["fastest"]}, ConfigError, "routing: must be a string"),
    "one unknown in a list": ({"model": ["llama", "lama"]}, ModelNotFoundError, "lama"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_routed_is_said_in_words(case: str) -> None:
    question, error, words = REFUSED[case]

    with pytest.raises(error, match=words):
        routed(SETTINGS, **question)


ALIASES = {"google": "google-ai", "gemini": "google-ai", "Google_AI": "google-ai", "groq": "groq"}


@pytest.mark.parametrize(("alias", "label"), ALIASES.items())
def test_a_provider_goes_by_all_its_names(alias: str, label: str) -> None:

    assert {lane.provider for lane in routed(SETTINGS, provider=alias).lanes} == {label}


def test_a_model_whose_name_begins_like_a_provider_is_found_by_its_whole_name() -> None:

    assert names(routed(SETTINGS, model="groq/compound")) == [("groq", "groq/compound")]
    assert names(routed(SETTINGS, model="groq/groq/compound")) == [("groq", "groq/compound")]
    assert names(routed(SETTINGS, model="groq/llama")) == [("groq", "llama")]


@pytest.mark.parametrize("name", ["team/groq", "eu:groq", "a/b/c"])
def test_a_provider_may_have_any_name(name: str) -> None:
    entry = {"provider": "groq", "name": name, "api_keys": ["k"], "models": ["llama", "x/y:z"]}
    settings = read_settings({"providers": [entry]})

    for model in ("llama", "x/y:z"):
        assert names(routed(settings, model=f"{name}/{model}")) == [(name, model)]
        assert names(routed(settings, model=f"{name}:{model}")) == [(name, model)]


def test_free_models_of_openrouter_share_one_quota() -> None:
    settings = read_settings(
        {
            "providers": [
                {"provider": "openrouter", "api_keys": ["k"], "models": ["a:free", "b:free", "c"]}
            ]
        }
    )

    quotas = {lane.model: lane.quota for lane in routed(settings).lanes}

    assert quotas["a:free"] == quotas["b:free"] != quotas["c"]
