"""Which targets, in which order: auto, direct, the caller's own list. Pure.

Higher priority first: provider, then model, then key. A `Route` is an immutable answer to
"who may be asked"; which of them is free now is not its business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aio_llm.config import ModelConfig, ProviderConfig, Settings, did_you_mean
from aio_llm.errors import ConfigError, ModelNotFoundError
from aio_llm.providers.presets import preset


@dataclass(frozen=True, slots=True, eq=False)
class Lane:
    """One model of one provider; all of the provider's keys drive on it.

    `quota`: the name its quota is counted under, which several models may share.
    """

    provider: str
    model: str
    quota: str
    provider_priority: int
    model_priority: int

    @property
    def name(self) -> str:
        """`provider/model`."""
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """Lanes in tiers: the first tier is asked first, lanes of one tier are equals.

    `lanes`: all of them, best first.
    """

    tiers: tuple[tuple[Lane, ...], ...]
    lanes: tuple[Lane, ...]


class Router:
    """Answers "who may be asked" for one configuration; answers are cached. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lanes = [
            _lane(provider, model)
            for provider in settings.providers
            if provider.is_active
            for model in provider.models
            if model.is_active
        ]
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
    ) -> Route:
        """The route of one call; raises `ConfigError` or `ModelNotFoundError`."""
        if provider is not None and not isinstance(provider, str):
            raise ConfigError(f"provider: must be a string, got {provider!r}")
        if model is not None and not isinstance(model, str | list | tuple):
            raise ConfigError(f"model: must be a string or a list of strings, got {model!r}")
        if isinstance(model, list | tuple) and not all(isinstance(one, str) for one in model):
            raise ConfigError(f"model: must be a list of strings, got {model!r}")
        wanted = model if model is None or isinstance(model, str) else tuple(model)
        question = (provider, wanted, auto, fallback)
        known = self._cache.get(question)
        if known is None:
            known = self._route(provider, wanted, auto=auto, fallback=fallback)
            if len(self._cache) < 1000:
                self._cache[question] = known
        return known

    def _route(
        self,
        provider: str | None,
        model: str | tuple[str, ...] | None,
        *,
        auto: bool,
        fallback: bool,
    ) -> Route:
        label = self.label(provider) if provider is not None else None
        if model == ():
            raise ConfigError("model: the list is empty; name at least one model")
        if isinstance(model, tuple):
            tiers = [tier for one in model for tier in by_priority(self._named(label, one))]
        elif model is not None:
            tiers = by_priority(self._named(label, model))
        elif label is not None:
            tiers = by_priority([lane for lane in self._lanes if lane.provider == label])
        elif auto:
            tiers = by_priority(self._lanes)
        else:
            raise ConfigError(
                "no model named and auto_mode is off: pass model='provider/model', "
                "or create AIO(..., auto_mode=True) to let priorities decide"
            )
        if fallback:
            tiers = [*tiers, *by_priority(self._lanes)]
        return _checked(_without_repeats(tiers))

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


def _without_repeats(tiers: Sequence[tuple[Lane, ...]]) -> list[tuple[Lane, ...]]:
    seen: set[Lane] = set()
    kept: list[tuple[Lane, ...]] = []
    for tier in tiers:
        fresh = tuple(lane for lane in tier if lane not in seen)
        seen.update(fresh)
        if fresh:
            kept.append(fresh)
    return kept


def _checked(tiers: list[tuple[Lane, ...]]) -> Route:
    if not tiers:
        raise ConfigError("no active model: every provider or model has is_active=False")
    return Route(tuple(tiers), tuple(lane for tier in tiers for lane in tier))


def _lane(provider: ProviderConfig, model: ModelConfig) -> Lane:
    row = preset(provider.provider)
    suffix = row.shared_suffix if row else ""
    shared = bool(suffix) and model.model_id.endswith(suffix)
    return Lane(
        provider.label,
        model.model_id,
        f"*{suffix}" if shared else model.model_id,
        provider.priority,
        model.priority,
    )
