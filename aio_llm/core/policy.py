"""One table: what each kind of fault means for the request, the keys, the model, the provider.

The table is the documentation. Reading it: after a `SERVER` fault the call goes on elsewhere,
this model of this provider rests for a back-off of our own, and the provider gets a strike.
Pure: no state, no time.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from aio_llm.faults import Fault, Kind, Scope


class Next(Enum):
    """Where the same call goes after a fault."""

    STOP = "stop"
    TARGET = "target"
    MODEL = "model"
    ELSEWHERE = "elsewhere"


class Rest(Enum):
    """How long the faulty place is left alone.

    HINT: as long as the vendor said, else a guess. DAY: until the vendor's day ends. LONG:
    an hour. BACKOFF: our own guess, doubled per strike; may be tried earlier if there is
    nowhere else to go. OUT: for as long as the `AIO` lives.
    """

    NONE = "none"
    HINT = "hint"
    DAY = "day"
    LONG = "long"
    BACKOFF = "backoff"
    OUT = "out"


class Strike(Enum):
    """Whom a fault counts against. Only keys can be disabled by strikes."""

    NOBODY = "nobody"
    KEY = "key"
    PROVIDER = "provider"


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table. `at`: the place that rests, None for the scope of the fault."""

    next: Next
    rest: Rest = Rest.NONE
    strike: Strike = Strike.NOBODY
    at: Scope | None = None


POLICY: dict[Kind, Rule] = {
    Kind.MINUTE_LIMIT: Rule(Next.TARGET, Rest.HINT),
    Kind.DAY_LIMIT: Rule(Next.TARGET, Rest.DAY),
    Kind.BILLING: Rule(Next.TARGET, Rest.LONG, Strike.KEY),
    Kind.UPSTREAM_LIMIT: Rule(Next.TARGET, Rest.BACKOFF),
    Kind.BAD_KEY: Rule(Next.TARGET, Rest.LONG, Strike.KEY),
    Kind.ACCOUNT_DISABLED: Rule(Next.TARGET, Rest.LONG, Strike.KEY),
    Kind.FORBIDDEN: Rule(Next.TARGET, Rest.LONG, Strike.KEY),
    Kind.BAD_REQUEST: Rule(Next.STOP),
    Kind.CONTEXT_LENGTH: Rule(Next.MODEL),
    Kind.TOO_LARGE: Rule(Next.MODEL),
    Kind.MODEL_NOT_FOUND: Rule(Next.MODEL, Rest.OUT),
    Kind.UNSUPPORTED: Rule(Next.MODEL),
    Kind.CONTENT_FILTER: Rule(Next.STOP),
    Kind.GENERATION_FAILED: Rule(Next.MODEL),
    Kind.SERVER: Rule(Next.ELSEWHERE, Rest.BACKOFF, Strike.PROVIDER, at=Scope.MODEL),
    Kind.BAD_RESPONSE: Rule(Next.ELSEWHERE, Rest.BACKOFF, Strike.PROVIDER, at=Scope.MODEL),
    Kind.EMPTY: Rule(Next.ELSEWHERE, Rest.BACKOFF, at=Scope.MODEL),
    Kind.REDIRECT: Rule(Next.ELSEWHERE, Rest.LONG, at=Scope.PROVIDER),
    Kind.NETWORK: Rule(Next.ELSEWHERE, Rest.BACKOFF, Strike.PROVIDER, at=Scope.PROVIDER),
    Kind.BLOCKED: Rule(Next.ELSEWHERE, Rest.LONG, at=Scope.PROVIDER),
    Kind.TIMEOUT: Rule(Next.ELSEWHERE, Rest.BACKOFF, Strike.PROVIDER, at=Scope.PROVIDER),
    Kind.CANCELLED: Rule(Next.STOP),
    Kind.UNKNOWN: Rule(Next.ELSEWHERE, Rest.BACKOFF, at=Scope.MODEL),
}


def judge(fault: Fault) -> Rule:
    """The row for `fault`."""
    return POLICY[fault.kind]
