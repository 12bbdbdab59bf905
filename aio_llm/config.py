"""What is written down: providers, keys, models, settings. Checked here, before anything runs.

Every error is a `ConfigError` that names the field, says what would be right, and never
repeats a value that could be a secret. snake_case and camelCase spellings are both read.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from aio_llm.addresses import check_header, check_url, without_password
from aio_llm.allowances import PERIODS
from aio_llm.errors import ConfigError
from aio_llm.faults import mask
from aio_llm.sealing import seal, unseal


def _finite(seconds: float) -> float:
    if not math.isfinite(seconds):
        raise ValueError("must be a finite number of seconds")
    return seconds


Seconds = Annotated[float, Field(gt=0), AfterValidator(_finite)]
Delay = Annotated[float, Field(ge=0), AfterValidator(_finite)]
Limit = Annotated[int, Field(gt=0)]
Priority = Annotated[int, Field(ge=0)]
Weight = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Dollars = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Routing = Literal["priority", "cheapest", "fastest", "least_busy", "round_robin", "weighted"]


class Section(BaseModel):
    """Base of every part of the configuration."""

    model_config = ConfigDict(
        extra="forbid",
        defer_build=True,
        hide_input_in_errors=True,
        protected_namespaces=(),
        validate_assignment=True,
    )

    def __init__(self, **values: Any) -> None:
        problems: list[str] = []
        try:
            super().__init__(**snake_case(values, type(self)))
        except ValidationError as error:
            problems = describe_problems(error, type(self))
        if problems:
            raise ConfigError("; ".join(problems), problems=problems)


def snake_case(values: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """`values` with camelCase names of `model`'s fields in our spelling, others as they are."""
    made: dict[str, Any] = {}
    for name, value in values.items():
        ours = "".join(f"_{c.lower()}" if c.isupper() else c for c in str(name))
        made[ours if ours in model.model_fields and ours not in values else name] = value
    return made


class Limits(Section):
    """Quotas as the vendor states them: requests (r) and tokens (t) per second, minute, hour and
    day, and requests at the same time. Of a key: of all it does, together with its group. Of a
    model: of each group of keys.
    """

    rps: Limit | None = None
    rpm: Limit | None = None
    rph: Limit | None = None
    rpd: Limit | None = None
    tps: Limit | None = None
    tpm: Limit | None = None
    tph: Limit | None = None
    tpd: Limit | None = None
    max_concurrent: Limit | None = None

    def limits(self) -> dict[str, int]:
        """The limits that are set, by name, without `max_concurrent`."""
        return {axis: limit for axis in PERIODS if (limit := getattr(self, axis)) is not None}


class ApiKey(Limits):
    """One key. Higher `priority` is used first.

    `daily_limit`: requests per day of the vendor, None for none. `requests_today`: already
    used when this configuration is loaded. `group`: keys with one name share one quota.
    """

    key: SecretStr
    priority: Priority = 0
    is_active: bool = True
    daily_limit: Limit | None = None
    requests_today: Annotated[int, Field(ge=0)] = 0
    group: str | None = None

    def __init__(self, key: str | SecretStr | None = None, **values: Any) -> None:
        if key is not None:
            values["key"] = key
        super().__init__(**values)

    @field_validator("key")
    @classmethod
    def _usable(cls, key: SecretStr) -> SecretStr:
        text = key.get_secret_value().strip()
        if not text:
            raise ValueError("is empty; paste the key the vendor shows, or remove the entry")
        if not text.isascii() or not text.isprintable() or " " in text or '"' in text:
            raise ValueError("has a space, quote or non-ASCII character; paste it again")
        return SecretStr(text)

    @field_serializer("key", when_used="json")
    def _hidden(self, key: SecretStr) -> str:
        return mask(key.get_secret_value())

    def __getstate__(self) -> dict[Any, Any]:
        """For pickle: the key sealed, so that no search of bytes or logs finds it.

        Sealed is not encrypted: a worker must be able to open it. Treat the pickle of an
        `AIO` like its keys.
        """
        state = dict(super().__getstate__())
        state["__dict__"] = {**state["__dict__"], "key": seal(self.key.get_secret_value())}
        return state

    def __setstate__(self, state: dict[Any, Any]) -> None:
        values = {**state["__dict__"], "key": SecretStr(unseal(state["__dict__"]["key"]))}
        super().__setstate__({**state, "__dict__": values})

    @property
    def masked(self) -> str:
        """The key as people may see it."""
        return mask(self.key.get_secret_value())

    def __repr__(self) -> str:
        return f"ApiKey({self.masked!r}, priority={self.priority})"

    __str__ = __repr__


class ModelConfig(Limits):
    """One model of a provider. Higher `priority` is used first.

    `weight`: its share under routing "weighted", times the provider's. `input_price`,
    `output_price`: USD per million tokens; what is not given is looked up (extra `prices`).
    """

    model_id: Annotated[str, Field(min_length=1)]
    priority: Priority = 0
    is_active: bool = True
    weight: Weight = 1.0
    input_price: Dollars | None = None
    output_price: Dollars | None = None

    def __init__(self, model_id: str | None = None, **values: Any) -> None:
        if model_id is not None:
            values["model_id"] = model_id
        super().__init__(**values)


class ProviderConfig(Section):
    """One vendor with its keys and models. Higher `priority` is used first.

    `timeout`: seconds for one attempt, None for half of what the call has left while there
    is somebody else to ask. `base_url`: what that vendor's SDK takes. `name`: what this entry
    is called where one vendor is configured twice; default: the vendor's name.
    """

    provider: Annotated[str, Field(min_length=1)]
    api_keys: list[ApiKey]
    models: list[ModelConfig]
    priority: Priority = 0
    is_active: bool = True
    weight: Weight = 1.0
    base_url: str | None = None
    name: Annotated[str, Field(min_length=1)] | None = None
    timeout: Seconds | None = None
    headers: dict[str, str] = Field(default_factory=dict, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, data: Any) -> Any:
        """Plain strings stand for keys and models."""
        if not isinstance(data, dict):
            return data
        data = dict(data)
        for name, field in (("api_keys", "key"), ("models", "model_id")):
            if isinstance(data.get(name), list | tuple):
                data[name] = [
                    {field: item} if isinstance(item, str | SecretStr) else item
                    for item in data[name]
                ]
        return data

    @field_validator("base_url")
    @classmethod
    def _is_url(cls, url: str | None) -> str | None:
        if url is not None:
            check_url(url)
        return url

    @field_validator("headers")
    @classmethod
    def _are_headers(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            check_header(name, value)
        return headers

    @field_serializer("headers", when_used="json")
    def _hidden(self, headers: dict[str, str]) -> dict[str, str]:
        return {name: mask(value) for name, value in headers.items()}

    @model_validator(mode="after")
    def _complete(self) -> ProviderConfig:
        if not self.api_keys:
            raise ValueError("api_keys is empty; give at least one key")
        if not self.models:
            raise ValueError("models is empty; give at least one model id")
        _refuse_twice("api_keys", [k.key.get_secret_value() for k in self.api_keys], hide=True)
        _refuse_twice("models", [m.model_id for m in self.models])
        return self

    @property
    def label(self) -> str:
        """The name this entry goes by."""
        return self.name or self.provider


def _refuse_twice(field: str, values: list[str], *, hide: bool = False) -> None:
    first: dict[str, int] = {}
    for index, value in enumerate(values):
        if value in first:
            what = mask(value) if hide else repr(value)
            raise ValueError(
                f"{field}[{index}] is the same as {field}[{first[value]}] ({what}); remove one"
            )
        first[value] = index


class Breaker(Section):
    """When a model of a provider is left alone because it fails, and when it is tried again.

    `failure_threshold`: failures in a row that open it. `success_threshold`: answers to probes
    that close it. `timeout`: seconds after which it is half-open at the latest; the first probe
    comes after a thirtieth of it, each further one after twice the time, up to half of it.
    """

    failure_threshold: Annotated[int, Field(ge=1)] = 5
    success_threshold: Annotated[int, Field(ge=1)] = 2
    timeout: Seconds = 60.0


Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Alerts(Section):
    """From when an `AIO` tells that a person should look; None for never.

    `error_rate`: share of the last `window` attempts that failed, once there were `min_requests`.
    `daily_limit`: share of a key's requests per day. `slow`: seconds until the answer of a
    call, of a stream until its first output.
    """

    error_rate: Share | None = 0.10
    daily_limit: Share | None = 0.80
    slow: Seconds | None = 5.0
    min_requests: Limit = 20
    window: Limit = 100


class Settings(Section):
    """Everything an `AIO` is made of; all times in seconds."""

    providers: list[ProviderConfig]
    auto_mode: bool = False
    routing: Routing = "priority"
    max_retries: Annotated[int, Field(ge=0)] = 3
    retry_delay: Delay = 1.0
    max_delay: Seconds = 60.0
    backoff_multiplier: Annotated[float, Field(ge=1)] = 2.0
    timeout: Seconds = 120.0
    idle_timeout: Seconds = 60.0
    max_wait: Delay = 60.0
    enable_logging: bool = False
    enable_validation: bool = True
    on_content_filter: Literal["stop", "next"] = "stop"
    circuit_breaker: Breaker = Field(default_factory=Breaker)
    state: Annotated[str, Field(min_length=1, repr=False)] = "memory"
    alerts: Alerts = Field(default_factory=Alerts)

    @field_serializer("state")
    def _without_password(self, url: str) -> str:
        return without_password(url)

    @field_validator("routing", mode="before")
    @classmethod
    def _is_rule(cls, name: object) -> object:
        if words := unknown_rule(name):
            raise ValueError(words)
        return name

    @field_validator("backoff_multiplier")
    @classmethod
    def _is_finite(cls, factor: float) -> float:
        if not math.isfinite(factor):
            raise ValueError("must be a finite number")
        return factor

    @model_validator(mode="after")
    def _consistent(self) -> Settings:
        if not self.providers:
            raise ValueError("providers is empty; give at least one, e.g. {'provider': 'groq', …}")
        _refuse_twice("providers", [p.label for p in self.providers])
        return self


def describe_problems(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """The problems of a validation in words: field, what is wrong, what would be right."""
    items = error.errors(include_input=False)
    return list(dict.fromkeys(line for item in items for line in _describe(dict(item), model)))


def _describe(item: dict[str, Any], model: type[BaseModel]) -> list[str]:
    where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in item["loc"]).lstrip(".")
    inner = (item.get("ctx") or {}).get("error")
    if isinstance(inner, ConfigError):
        return [f"{where}.{line}" for line in inner.problems]
    message = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        return [f"{where}: unknown field{did_you_mean(str(item['loc'][-1]), all_fields(model))}"]
    if item["type"] == "missing":
        return [f"{where}: is missing"]
    return [f"{where}: {message}" if where else message]


def all_fields(model: type[BaseModel]) -> set[str]:
    """Field names of a section and of the sections inside it."""
    names = set(model.model_fields)
    if model is Settings or model is ProviderConfig:
        for part in (ProviderConfig, ApiKey, ModelConfig, Breaker, Alerts):
            names |= set(part.model_fields)
    return names


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the nearest known word, "" if none is near."""
    import difflib  # only when something is wrong

    known = sorted(known)
    snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in word)
    close = difflib.get_close_matches(snake, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"


def unknown_rule(name: object) -> str:
    """What is wrong with the name of a routing rule, "" if nothing is."""
    known = get_args(Routing)
    return "" if name in known else f"no rule is called {name!r}{did_you_mean(str(name), known)}"


def read_settings(values: Mapping[str, Any]) -> Settings:
    """Validated settings out of plain data; raises `ConfigError`."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"the configuration must be a mapping, not {type(values).__name__}")
    return Settings(**_providers_as_data(dict(values)))


def _providers_as_data(values: dict[str, Any]) -> dict[str, Any]:
    providers = values.get("providers")
    if providers is None:
        raise ConfigError("providers: is missing; give a list with at least one provider")
    if isinstance(providers, str | bytes | Mapping) or not isinstance(providers, Iterable):
        raise ConfigError(f"providers: must be a list, not {type(providers).__name__}")
    values["providers"] = list(providers)
    return values
