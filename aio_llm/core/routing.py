"""Which targets, in which order: auto, direct, the caller's own list. Pure.

Higher priority first: provider, then model, then key. A `Route` is an immutable answer to
"who may be asked"; which of them is free now is not its business. Another rule than priority
(core/rules.py) puts the lanes in order anew for each call, but only within a stage: what the
caller named comes before what follows as fallback, and a list of models keeps its order.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from aio_llm.config import ModelConfig, ProviderConfig, Settings, did_you_mean, unknown_rule
from aio_llm.errors import ConfigError, ModelNotFoundError
from aio_llm.prices import Price, list_price
from aio_llm.providers.presets import preset


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """One model of one provider; all of the provider's keys drive on it.

    `quota`: the name its quota is counted under, which several models may share. `weight`: its
    share of the calls under the rule "weighted", the provider's times the model's.
    """

    provider: str
    model: str
    quota: str
    provider_priority: int
    model_priority: int
    weight: float = 1.0

    @property
    def name(self) -> str:
        """`provider/model`."""
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """Lanes in tiers: the first tier is asked first, lanes of one tier are equals.

    `lanes`: all of them, best first. `rule`: what puts them in order; if that is not priority,
    `stages` are the groups it does so within, and `prices` what it may have to know.
    """

    tiers: tuple[tuple[Lane, ...], ...]
    lanes: tuple[Lane, ...]
    rule: str = "priority"
    stages: tuple[tuple[Lane, ...], ...] = ()
    prices: Mapping[Lane, Price] = field(default_factory=dict)


class Router:
    """Answers "who may be asked" for one configuration; answers are cached. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._configs = {
            _lane(provider, model): (provider, model)
            for provider in settings.providers
            if provider.is_active
            for model in provider.models
            if model.is_active
        }
        self._lanes = list(self._configs)
        self._prices: dict[Lane, Price | None] = {}
        self._cache: dict[tuple[object, ...], Route] = {}

    @property
    def lanes(self) -> list[Lane]:
        """Every active lane, in the order of the configuration."""
        return list(self._lanes)

    def route(
        self,
        provider: str | None,
        model: str | Sequence[str] | None,
        *,
        auto: bool,
        fallback: bool,
        routing: str | None = None,
    ) -> Route:
        """The route of one call; raises `ConfigError` or `ModelNotFoundError`. `routing`: None for
        the rule of the configuration.
        """
        if provider is not None and not isinstance(provider, str):
            raise ConfigError(f"provider: must be a string, got {provider!r}")
        if model is not None and not isinstance(model, str | list | tuple):
            raise ConfigError(f"model: must be a string or a list of strings, got {model!r}")
        if isinstance(model, list | tuple) and not all(isinstance(one, str) for one in model):
            raise ConfigError(f"model: must be a list of strings, got {model!r}")
        if routing is not None and not isinstance(routing, str):
            raise ConfigError(f"routing: must be a string, got {routing!r}")
        wanted = model if model is None or isinstance(model, str) else tuple(model)
        question = (provider, wanted, auto, fallback, routing)
        known = self._cache.get(question)
        if known is None:
            rule = self._settings.routing if routing is None else _rule(routing)
            stages = self._stages(provider, wanted, auto=auto, fallback=fallback)
            known = self._route(rule, stages)
            if len(self._cache) < 1000:
                self._cache[question] = known
        return known

    def _stages(
        self,
        provider: str | None,
        model: str | tuple[str, ...] | None,
        *,
        auto: bool,
        fallback: bool,
    ) -> list[list[Lane]]:
        """Groups of lanes, one to be asked before the next whatever the rule."""
        label = self.label(provider) if provider is not None else None
        if model == ():
            raise ConfigError("model: the list is empty; name at least one model")
        if isinstance(model, tuple):
            stages = [self._named(label, one) for one in model]
        elif model is not None:
            stages = [self._named(label, model)]
        elif label is not None:
            stages = [[lane for lane in self._lanes if lane.provider == label]]
        elif auto:
            stages = [self._lanes]
        else:
            raise ConfigError(
                "no model named and auto_mode is off: pass model='provider/model', "
                "or create AIO(..., auto_mode=True) to let priorities decide"
            )
        return [*stages, self._lanes] if fallback else stages

    def _route(self, rule: str, stages: list[list[Lane]]) -> Route:
        tiers = _without_repeats(tier for stage in stages for tier in by_priority(stage))
        if not tiers:
            raise ConfigError("no active model: every provider or model has is_active=False")
        lanes = tuple(lane for tier in tiers for lane in tier)
        if rule == "priority":
            return Route(tuple(tiers), lanes)
        groups = _without_repeats(tuple(stage) for stage in stages)
        prices = self._known_prices(lanes) if rule == "cheapest" else {}
        return Route(tuple(tiers), lanes, rule, tuple(groups), prices)

    def _known_prices(self, lanes: Iterable[Lane]) -> dict[Lane, Price]:
        """What the configuration says, else the list price; nothing for whom nobody knows."""
        for lane in lanes:
            if lane not in self._prices:
                self._prices[lane] = _price(*self._configs[lane])
        return {lane: price for lane in lanes if (price := self._prices[lane]) is not None}

    def label(self, provider: str) -> str:
        """The configured name behind a label, vendor name or alias; raises `ConfigError`."""
        labels = {p.label: p for p in self._settings.providers}
        if provider in labels:
            return provider
        row = preset(provider)
        for label, config in labels.items():
            if row is not None and preset(config.provider) is row:
                return label
        raise ConfigError(
            f"provider {provider!r} is not configured{did_you_mean(provider, labels)}"
        )

    def _named(self, label: str | None, model: str) -> list[Lane]:
        """Lanes of `model`: bare, `provider/model` or `provider:model`."""
        if not isinstance(model, str) or not model:
            raise ConfigError(f"model must be a non-empty string or a list of them, got {model!r}")
        found = [
            lane for lane in self._lanes
            if lane.model == model and (label is None or lane.provider == label)
        ]  # fmt: skip
        if found or label is not None:
            return found or self._unknown(label, model)
        for owner in sorted((p.label for p in self._settings.providers), key=len, reverse=True):
            if model.startswith((f"{owner}/", f"{owner}:")) and len(model) > len(owner) + 1:
                return self._named(owner, model[len(owner) + 1 :])
        for separator in ("/", ":"):
            head, found_separator, rest = model.partition(separator)
            if found_separator and rest and self.knows(head):
                return self._named(self.label(head), rest)
        return self._unknown(None, model)

    def knows(self, name: str) -> bool:
        """Whether a label, vendor name or alias is configured."""
        try:
            self.label(name)
        except ConfigError:
            return False
        return True

    def _unknown(self, label: str | None, model: str) -> list[Lane]:
        known = [lane.model for lane in self._lanes if label in (None, lane.provider)]
        where = f" for provider {label!r}" if label else ""
        raise ModelNotFoundError(
            f"model {model!r} is not configured{where}{did_you_mean(model, known)}"
        )


def by_priority(lanes: Sequence[Lane]) -> list[tuple[Lane, ...]]:
    """Lanes in tiers of equal priority, highest first; the configuration's order within."""
    tiers: dict[tuple[int, int], list[Lane]] = {}
    for lane in lanes:
        tiers.setdefault((-lane.provider_priority, -lane.model_priority), []).append(lane)
    return [tuple(tiers[rank]) for rank in sorted(tiers)]


def _rule(name: str) -> str:
    if words := unknown_rule(name):
        raise ConfigError(f"routing: {words}")
    return name


def _without_repeats(tiers: Iterable[tuple[Lane, ...]]) -> list[tuple[Lane, ...]]:
    seen: set[Lane] = set()
    kept: list[tuple[Lane, ...]] = []
    for tier in tiers:
        fresh = tuple(lane for lane in tier if lane not in seen)
        seen.update(fresh)
        if fresh:
            kept.append(fresh)
    return kept


def quota_name(provider: str, model: str) -> str:
    """What a vendor counts `model` under: its own name, or one that several models share."""
    row = preset(provider)
    suffix = row.shared_suffix if row else ""
    return f"*{suffix}" if suffix and model.endswith(suffix) else model


def _lane(provider: ProviderConfig, model: ModelConfig) -> Lane:
    return Lane(
        provider.label,
        model.model_id,
        quota_name(provider.provider, model.model_id),
        provider.priority,
        model.priority,
        max(provider.weight * model.weight, sys.float_info.min),
    )


def _price(provider: ProviderConfig, model: ModelConfig) -> Price | None:
    read, written = model.input_price, model.output_price
    if read is None or written is None:
        row = preset(provider.provider)
        listed = list_price(row.name if row else provider.provider, model.model_id)
        if listed is None:
            return None
        read = listed.input if read is None else read
        written = listed.output if written is None else written
    return Price(read, written)
