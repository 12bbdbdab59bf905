"""The real adapters, but for the socket: each reads what it would have read from the wire."""

from __future__ import annotations

from collections.abc import Mapping

from aio_llm.cancel import CallAborted
from aio_llm.config import ProviderConfig
from aio_llm.faults import Fault
from aio_llm.foreign import read_exception
from aio_llm.providers.base import BaseProvider, Call
from aio_llm.providers.google import Google
from aio_llm.providers.groq import Groq
from aio_llm.providers.openai_compatible import OpenAICompatible
from aio_llm.providers.presets import preset
from aio_llm.providers.sdk import SdkProvider
from aio_llm.types import ChatCompletion, ChatRequest, Usage
from tests.quota.vendors import Site, Visit, Wire


class Refused(Exception):
    """What every SDK raises for an answer that is none; it has the response."""

    def __init__(self, response: Wire) -> None:
        super().__init__(f"HTTP {response.status_code}")
        self.response = response
        self.status_code = response.status_code


class Wired(SdkProvider):
    """Sends to a `Site` in virtual time."""

    site: Site

    def chat(self, request: ChatRequest, call: Call) -> ChatCompletion:
        """The answer when it is there, in virtual time."""
        site = self.site
        clock, seat = site.clock, site.clock.seat
        visit = Visit(site, site.work[request.request_id], call, seat)
        call.scope.sent = True
        clock.at(visit.sent + site.transit(), visit.arrive)
        clock.park(seat)
        if visit.wire is None:
            raise CallAborted("deadline")
        call.scope.answer = visit.wire
        if visit.wire.status_code != 200:
            raise Refused(visit.wire)
        return _completion(visit, call)

    def classify(self, exc: BaseException) -> Fault:
        """The same as ever, at a virtual moment."""
        return read_exception(exc, (), self.site.clock.wall())


_USAGE = Usage()
_ANSWER = ChatCompletion.model_validate(
    {"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}]}
)


def _completion(visit: Visit, call: Call) -> ChatCompletion:
    prompt, completion = visit.job.prompt_tokens, visit.job.completion
    spent = {"prompt_tokens": prompt, "completion_tokens": completion}
    usage = _USAGE.model_copy(update={**spent, "total_tokens": prompt + completion})
    target = call.target
    who = {"provider": target.provider, "model": target.model, "key": target.key}
    return _ANSWER.model_copy(update={**who, "usage": usage})


class WiredGroq(Wired, Groq):
    """Groq's."""


class WiredGoogle(Wired, Google):
    """Google's."""


class WiredOpenAI(Wired, OpenAICompatible):
    """That of everybody who speaks OpenAI's language."""


_BY_MODULE: Mapping[str, type[Wired]] = {
    "groq": WiredGroq,
    "google": WiredGoogle,
    "openai_compatible": WiredOpenAI,
}


def wired(config: ProviderConfig, site: Site) -> BaseProvider:
    """The adapter of `config`, sending to `site`."""
    row = preset(config.provider)
    assert row is not None
    adapter = _BY_MODULE[row.adapter](config, row)
    adapter.site = site
    return adapter
