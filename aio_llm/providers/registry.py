"""From a provider's name to its adapter: presets, then what was registered at run time."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from aio_llm.config import ProviderConfig, did_you_mean
from aio_llm.errors import ConfigError
from aio_llm.providers.base import BaseProvider
from aio_llm.providers.presets import preset, vendor_names

Factory = Callable[[ProviderConfig], BaseProvider]

_registered: dict[str, Factory] = {}


def register_provider(name: str, factory: Factory) -> None:
    """Make `provider=name` known: `factory` turns its configuration into an adapter.

    Raises ConfigError for the name of a built-in vendor. Thread-safe.
    """
    if preset(name) is not None:
        raise ConfigError(f"provider {name!r} is built in; choose another name")
    _registered[name] = factory


def check_provider(config: ProviderConfig) -> None:
    """Raise ConfigError unless `config` names a vendor that can be called."""
    row = preset(config.provider)
    if row is None and config.provider not in _registered:
        known = [*vendor_names(), *_registered]
        hint = did_you_mean(config.provider, known)
        raise ConfigError(f"provider {config.provider!r} is unknown{hint}")
    if row is not None and not (config.base_url or row.base_url):
        raise ConfigError(f"provider {config.label!r}: base_url is missing; give the server's URL")


def make_provider(config: ProviderConfig) -> BaseProvider:
    """The adapter of a provider; its SDK is imported at the first call, not here."""
    check_provider(config)
    row = preset(config.provider)
    if row is None:
        return _registered[config.provider](config)
    module = import_module(f"aio_llm.providers.{row.adapter}")
    adapter: BaseProvider = module.provider_class(config, row)
    return adapter
