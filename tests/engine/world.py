"""A scripted vendor in virtual time: what it would answer is data, what it saw is a list.

It is a `BaseProvider` like any other, registered under a name of its own, so the engine is
driven exactly as with a real SDK, only that a request costs no time and no socket.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from aio_llm import AIO, BaseProvider, Call, ChatCompletion, ChatRequest, FakeClock, StreamChunk
from aio_llm.config import ProviderConfig
from aio_llm.faults import Fault, FaultError, Kind, Scope
from aio_llm.providers.registry import register_provider

PROVIDERS = ("alpha", "beta")
MODELS = ("big", "small")
KEYS = 2

FAULTS: dict[str, Fault] = {
    "minute": Fault(Kind.MINUTE_LIMIT, Scope.GROUP_MODEL, "slow down", 429, 30.0, True),
    "minute_unsaid": Fault(Kind.MINUTE_LIMIT, Scope.GROUP_MODEL, "slow down", 429, None, True),
    "day": Fault(Kind.DAY_LIMIT, Scope.GROUP_MODEL, "come back tomorrow", 429, None, True),
    "billing": Fault(Kind.BILLING, Scope.GROUP, "no credit", 402, None, True),
    "bad_key": Fault(Kind.BAD_KEY, Scope.KEY, "who are you", 401, None, True),
    "forbidden": Fault(Kind.FORBIDDEN, Scope.KEY_MODEL, "not for you", 403, None, True),
    "context": Fault(Kind.CONTEXT_LENGTH, Scope.MODEL, "too long", 400),
    "not_found": Fault(Kind.MODEL_NOT_FOUND, Scope.MODEL, "no such model", 404),
    "server": Fault(Kind.SERVER, Scope.PROVIDER, "oops", 500),
    "network": Fault(Kind.NETWORK, Scope.PROVIDER, "connection reset"),
    "timeout": Fault(Kind.TIMEOUT, Scope.PROVIDER, "nothing came"),
    "garbage": Fault(Kind.BAD_RESPONSE, Scope.MODEL, "not JSON", 200),
    "bad_request": Fault(Kind.BAD_REQUEST, Scope.REQUEST, "no", 400),
}


@dataclass
class Seen:
    """One request as it arrived."""

    provider: str
    model: str
    key: str
    at: float
    outcome: str


@dataclass
class World:
    """What each target does now: `ok`, `cut` (streams break after output) or a fault's name."""

    clock: FakeClock
    does: dict[tuple[str, str, str], str] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)

    def answer(self, call: Call, *, stream: bool) -> str:
        """The text for `call`; raises what the target does instead."""
        target = call.target
        outcome = self.does.get((target.provider, target.model, target.secret), "ok")
        self.seen.append(
            Seen(target.provider, target.model, target.secret, self.clock.now(), outcome)
        )
        call.scope.sent = True
        if outcome in FAULTS:
            raise FaultError(FAULTS[outcome])
        return f"{target.provider}/{target.model}/{target.secret.split('-')[2]}"


class ScriptedVendor(BaseProvider):
    """Answers as its world says."""

    world: World

    def chat(self, request: ChatRequest, call: Call) -> ChatCompletion:
        text = self.world.answer(call, stream=False)
        return ChatCompletion.model_validate(
            {
                "choices": [
                    {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
                ],
                "provider": call.target.provider,
                "model": call.target.model,
                "key": call.target.key,
            }
        )

    def stream(self, request: ChatRequest, call: Call) -> Iterator[StreamChunk]:
        text = self.world.answer(call, stream=True)
        for piece in (text[:5], text[5:]):
            yield StreamChunk(piece)
            target = call.target
            if self.world.does.get((target.provider, target.model, target.secret)) == "cut":
                raise FaultError(Fault(Kind.NETWORK, Scope.PROVIDER, "cut"))
        ending = StreamChunk("", "", "stop")
        ending.done = True
        yield ending

    def check_key(self, call: Call) -> None:
        self.world.answer(call, stream=False)


def _make(config: ProviderConfig) -> BaseProvider:
    return ScriptedVendor(config)


register_provider("scripted", _make)


def secret(provider: str, index: int) -> str:
    """A key long enough to be masked, and unmistakable in a search."""
    return f"canary-{provider}-{index}-{'k' * 24}"


def build(world: World, *, daily_limit: int | None = None, **settings: Any) -> AIO:
    """An `AIO` over two scripted providers, two models and two keys each."""
    ScriptedVendor.world = world
    providers = [
        {
            "provider": "scripted",
            "name": name,
            "priority": 100 - 10 * rank,
            "api_keys": [
                {"key": secret(name, i), "priority": 10 - i, "daily_limit": daily_limit}
                for i in range(KEYS)
            ],
            "models": [{"model_id": m, "priority": 10 - i} for i, m in enumerate(MODELS)],
        }
        for rank, name in enumerate(PROVIDERS)
    ]
    return AIO(providers, auto_mode=True, clock=world.clock, **settings)
