"""Worlds as data: which vendors there are, what they allow and tell, and what goes wrong when.

All times in seconds from the start of a run. `WORLDS` has them by name; a variant is made with
`dataclasses.replace`. `jobs` is the work, `providers` the configuration that a person would write.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

from aio_llm.simulator.custom import CustomVendor
from aio_llm.simulator.desk import VENDORS
from aio_llm.simulator.quotas import Quota
from aio_llm.simulator.vendor import Vendor

Limits = dict[str, int]


@dataclass(frozen=True, slots=True)
class Trouble:
    """`kind`, a fault of the simulator, from `start` to `end`; `key` and `model` are numbers of
    the vendor's, None for all. `probability`: of one call to be hit.
    """

    start: float
    end: float
    kind: str
    key: int | None = None
    model: int | None = None
    probability: float = 1.0


@dataclass(frozen=True, slots=True)
class VendorWorld:
    """One vendor. `provider` is what it is called in a configuration. `tells`: "own", or what a
    `CustomVendor` takes. `latency`: median in seconds and sigma of the logarithm.
    """

    name: str
    provider: str
    quotas: tuple[Quota, ...]
    models: tuple[str, ...]
    keys: int = 3
    priority: int = 0
    latency: tuple[float, float] = (0.45, 0.5)
    tells: str = "own"
    faults: tuple[Trouble, ...] = ()

    def key(self, number: int) -> str:
        """The key with this number, from 0."""
        return self._vendor().key(number + 1)

    def _vendor(self) -> Vendor:
        return VENDORS.get(self.name) or CustomVendor(self.name, self.models)

    def limits(self, model: str) -> Limits:
        """What a person knows about a model: the fields of a `ModelConfig`."""
        found: Limits = {}
        for quota in self.quotas:
            if quota.group is None and quota.model in (None, "*", model):
                found |= quota.limits()
                found |= {"max_concurrent": quota.concurrent} if quota.concurrent else {}
        return found


@dataclass(frozen=True, slots=True)
class World:
    """`known`: the configuration has the limits. `calls_per_minute`: an open loop, None for
    `threads` in a closed loop. `jobs`: the work ends with so many, None for no end.
    `possible`: the part of what the quotas offer that can succeed.
    """

    name: str
    about: str
    vendors: tuple[VendorWorld, ...]
    known: bool = True
    duration: float = 240.0
    threads: int = 32
    calls_per_minute: float | None = None
    jobs: int | None = None
    possible: float = 1.0
    seed: int = 7

    @property
    def quotas(self) -> tuple[Quota, ...]:
        """Those of all vendors."""
        return tuple(quota for vendor in self.vendors for quota in vendor.quotas)

    def lanes(self) -> Iterator[tuple[VendorWorld, str, str]]:
        """(vendor, key, model), the best first; keys of one model are of one rank."""
        for vendor in sorted(self.vendors, key=lambda one: -one.priority):
            for model in vendor.models:
                for number in range(vendor.keys):
                    yield vendor, vendor.key(number), model

    def ranks(self) -> dict[tuple[str, str, str], int]:
        """(vendor, key, model) -> rank, 0 for the best."""
        order: dict[tuple[str, str], int] = {}
        found = {}
        for vendor, key, model in self.lanes():
            rank = order.setdefault((vendor.name, model), len(order))
            found[vendor.name, key, model] = rank
        return found


@dataclass(frozen=True, slots=True)
class Job:
    """One call; sizes in tokens as the simulator counts them (four characters each)."""

    number: int
    prompt_tokens: int
    max_tokens: int
    completion: int

    @property
    def text(self) -> str:
        """A prompt of that size which asks for an answer of that size."""
        head = f"Job {self.number}, [answer {self.completion}] tokens please: "
        size = 4 * self.prompt_tokens
        return (head + _PROSE * (size // len(_PROSE) + 1))[: max(size, len(head))]


_PROSE = (
    "Please summarise the complaint below in two sentences, name the product concerned, and say "
    "whether a refund was promised. Order 48213 (ref. A-4411/B, EUR 1,249.50): the parcel was "
    "delivered on 7 March at 19:45, twelve days late, and its box was damaged; customer support "
    "(ticket #7741) offered a voucher, which was declined. "
)
"""To real tokenizers, too, four characters of it are about one token."""

_LEAST, _MOST = (20, 20), (2_000, 220)  # tokens of prompt and answer


def jobs(seed: int) -> Iterator[Job]:
    """The work: prompts of 20 to 2,000 tokens, answers of 20 to 220; endless, same for a seed."""
    chance = random.Random(seed)
    number = 0
    while True:
        number += 1
        prompt = _clipped(chance.lognormvariate(math.log(400), 0.9), 0)
        completion = _clipped(chance.lognormvariate(math.log(90), 0.6), 1)
        limit = min(_MOST[1], math.ceil(completion * chance.uniform(1.0, 1.5)))
        yield Job(number, prompt, limit, completion)


def _clipped(tokens: float, what: int) -> int:
    return round(min(max(tokens, _LEAST[what]), _MOST[what]))


@cache
def mean_job(seed: int = 7, count: int = 4_000) -> dict[str, float]:
    """What the average job costs, by what a quota counts: "requests" and the kinds of tokens."""
    work = jobs(seed)
    some = [next(work) for _ in range(count)]
    prompt = sum(job.prompt_tokens for job in some) / count
    return {
        "requests": 1.0,
        "input": prompt,
        "total": prompt + sum(job.completion for job in some) / count,
        "reserved": prompt + sum(job.max_tokens for job in some) / count,
    }


def providers(world: World, base_url: Callable[[str], str]) -> list[dict[str, Any]]:
    """The `providers=` of an `AIO` for this world; `base_url` takes the vendor's name."""
    found = []
    for vendor in world.vendors:
        models = [_model(vendor, place, known=world.known) for place in range(len(vendor.models))]
        entry: dict[str, Any] = {
            "provider": vendor.provider,
            "priority": vendor.priority,
            "api_keys": [vendor.key(number) for number in range(vendor.keys)],
            "models": models,
            "base_url": base_url(vendor.name),
        }
        found.append(entry | ({"name": vendor.name} if vendor.name != vendor.provider else {}))
    return found


def _model(vendor: VendorWorld, place: int, *, known: bool) -> dict[str, Any]:
    model = vendor.models[place]
    entry: dict[str, Any] = {"model_id": model, "priority": len(vendor.models) - place}
    return entry | (vendor.limits(model) if known else {})


# The base world: four vendors x three keys x two models, 248 calls a minute.

_GROQ = VENDORS["groq"].models
_GOOGLE = VENDORS["google-ai"].models
_CEREBRAS = VENDORS["cerebras"].models
_FREE = VENDORS["openrouter"].models
_PAID = tuple(model.removesuffix(":free") for model in _FREE)


def _quota(vendor: str, model: str | None = None, **how: Any) -> Quota:
    return Quota(vendor, model=model, **how)


def _each(vendor: str, models: tuple[str, ...], *limits: Limits, **how: Any) -> tuple[Quota, ...]:
    """One quota per model."""
    pairs = zip(models, limits, strict=True)
    return tuple(_quota(vendor, model, **limit, **how) for model, limit in pairs)


BASE = World(
    "a",
    "limits known",
    (
        VendorWorld(
            "groq", "groq",
            _each("groq", _GROQ, {"rpm": 10, "tpm": 20_000, "rpd": 14_400},
                  {"rpm": 30, "tpm": 8_000, "rpd": 14_400}, window="bucket"),
            _GROQ, priority=100,
        ),
        VendorWorld(
            "google-ai", "google-ai",
            _each("google-ai", _GOOGLE, {"rpm": 10, "tpm": 18_000}, {"rpm": 30, "tpm": 5_600},
                  window="fixed", tokens="input", zone="America/Los_Angeles"),
            _GOOGLE, priority=90,
        ),
        VendorWorld(
            "cerebras", "cerebras",
            _each("cerebras", _CEREBRAS, {"rpm": 12, "tpm": 24_000, "rpd": 14_400},
                  {"rpm": 30, "tpm": 8_500, "rpd": 14_400}, window="bucket", burst=1 / 3,
                  tokens="reserved"),
            _CEREBRAS, priority=80,
        ),
        VendorWorld(
            "openrouter", "openrouter",
            _each("openrouter", _PAID, {"rpm": 8, "tpm": 18_000}, {"rpm": 30, "tpm": 6_200},
                  window="sliding", count_refused=True),
            _PAID, priority=70,
        ),
    ),
)  # fmt: skip


def _with(world: World, name: str, about: str, place: int | None = 0, **change: Any) -> World:
    """`world` with the vendor at `place` (None: all) changed, or itself changed."""
    own = {field.name for field in fields(World)}
    mine = {k: v for k, v in change.items() if k in own}
    theirs = {k: v for k, v in change.items() if k not in own}
    vendors = tuple(
        replace(vendor, **theirs) if theirs and place in (None, at) else vendor
        for at, vendor in enumerate(world.vendors)
    )
    return replace(world, name=name, about=about, vendors=vendors, **mine)


def _day_out(world: World) -> World:
    """The best vendor gives one key 25 requests a day on each model, and nobody knows."""
    best = world.vendors[0]
    spent = _quota(best.name, rpd=25, group=best.key(0), window="bucket")
    return _with(world, "e", "one key's day quota runs out", quotas=(*best.quotas, spent))


_OUT = (Trouble(45, 135, "503"),)
_HANGS = (Trouble(45, 135, "hang"),)
_REVOKED = (Trouble(30, math.inf, "401", key=0),)
_RANDOM = (Trouble(0, math.inf, "500", probability=0.2),)
_ALL_OUT = (Trouble(60, 120, "503"),)
_SLOW = (12 * 0.45, 0.5)

SCENARIOS = (
    BASE,
    _with(BASE, "b", "limits unknown", known=False),
    _with(BASE, "c", "the best vendor answers 503 for 90 s", faults=_OUT),
    _with(BASE, "c2", "the best vendor hangs for 90 s", faults=_HANGS),
    _with(BASE, "d", "the best vendor's first key is revoked", faults=_REVOKED),
    _day_out(BASE),
    _with(BASE, "f", "20 % random 500s", None, faults=_RANDOM, possible=0.8),
    _with(BASE, "g", "processes with the same keys"),
    _with(BASE, "h", "the best vendor is 12 times slower", latency=_SLOW),
    _with(BASE, "i", "light load, open loop", calls_per_minute=150.0),
    _with(BASE, "z", "every vendor out for a minute", None, faults=_ALL_OUT),
)

# Each vendor as its own documents describe it, three accounts with a key each.

_DOCUMENTED = {
    "groq": (  # per organisation and model
        *_each("groq", _GROQ, {"rpm": 30, "rpd": 1_000, "tpm": 12_000, "tpd": 100_000},
               {"rpm": 30, "rpd": 14_400, "tpm": 6_000, "tpd": 500_000}, window="bucket"),
    ),
    "cerebras": (  # per organisation and model; tokens are taken at admission
        _quota("cerebras", rpm=5, tpm=30_000, tph=1_000_000, tpd=1_000_000, window="bucket",
               burst=1 / 3, tokens="reserved"),
    ),
    "google-ai": (  # per project and model; days end at midnight Pacific
        *_each("google-ai", _GOOGLE, {"rpm": 5, "tpm": 250_000, "rpd": 20},
               {"rpm": 15, "tpm": 250_000, "rpd": 500}, window="fixed", tokens="input",
               zone="America/Los_Angeles"),
    ),
    "openrouter": (  # per account, all free models together; days end at midnight UTC
        _quota("openrouter", "*", rpm=20, window="sliding", count_refused=True),
        _quota("openrouter", "*", rpd=50, window="fixed"),
    ),
}  # fmt: skip
_MOST_JOBS = {"openrouter": 150}
"""As many as fit into three accounts' day."""


def _documented(name: str) -> World:
    vendor = VendorWorld(name, name, _DOCUMENTED[name], VENDORS[name].models)
    about = f"{name}'s free tier as documented"
    return World(name, about, (vendor,), jobs=_MOST_JOBS.get(name))


# Vendors that no preset knows.


def _stranger(name: str, tells: str, priority: int, **how: Any) -> VendorWorld:
    models = ("large", "small")
    limits: tuple[Limits, Limits] = ({"rpm": 10, "tpm": 20_000}, {"rpm": 30, "tpm": 8_000})
    quotas = _each(name, models, *limits, **how)
    return VendorWorld(name, "custom", quotas, models, priority=priority, tells=tells)


STRANGERS = World(
    "strangers",
    "four vendors that no preset knows, limits known",
    (
        _stranger("rolling", "nothing", 100, window="sliding"),
        _stranger("late-minute", "retry_after", 90, window="fixed", phase=17.0),
        _stranger("half-bucket", "headers", 80, window="bucket", burst=0.5),
        _stranger("mute-minute", "nothing", 70, window="fixed"),
    ),
)


def _disguised(vendor: VendorWorld) -> VendorWorld:
    """The same quotas behind a name and a wire format that say nothing."""
    name = f"like-{vendor.name}"
    quotas = tuple(replace(quota, vendor=name) for quota in vendor.quotas)
    return replace(vendor, name=name, provider="custom", quotas=quotas, tells="nothing")


VENDOR_WORLDS = tuple(_documented(name) for name in _DOCUMENTED)
UNKNOWN_WORLDS = (
    STRANGERS,
    replace(STRANGERS, name="strangers-unknown", about="the same, limits unknown", known=False),
    World("disguised", "the base world's windows, and nobody says so",
          tuple(_disguised(vendor) for vendor in BASE.vendors)),
)  # fmt: skip
WORLDS: Mapping[str, World] = {
    world.name: world for world in (*SCENARIOS, *VENDOR_WORLDS, *UNKNOWN_WORLDS)
}
