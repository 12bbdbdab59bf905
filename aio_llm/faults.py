"""What went wrong, as a value: the vocabulary every layer above speaks.

Not here: what to do about it (core/policy.py) and how a vendor says it (fault_table.py).

A `Fault` is plain, frozen, picklable data without any key in it; it is what is left of a
vendor's exception once an adapter has looked at it.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from urllib.parse import quote

from pydantic_core import to_json

from aio_llm.allowances import Allowance


class Category(StrEnum):
    """The six classes of failure a caller can tell apart."""

    RATE_LIMIT = "rate_limit"
    AUTH = "auth"
    INVALID_REQUEST = "invalid_request"
    SERVER = "server"
    NETWORK = "network"
    UNKNOWN = "unknown"


class Scope(StrEnum):
    """How much of the configuration a fault says something about."""

    REQUEST = "request"
    KEY = "key"
    KEY_MODEL = "key+model"
    GROUP = "group"
    GROUP_MODEL = "group+model"
    MODEL = "model"
    PROVIDER = "provider"


class Kind(StrEnum):
    """The finer reason; the policy table has one row per kind."""

    MINUTE_LIMIT = "minute_limit"
    DAY_LIMIT = "day_limit"
    BILLING = "billing"
    UPSTREAM_LIMIT = "upstream_limit"
    BAD_KEY = "bad_key"
    ACCOUNT_DISABLED = "account_disabled"
    FORBIDDEN = "forbidden"
    BAD_REQUEST = "bad_request"
    CONTEXT_LENGTH = "context_length"
    TOO_LARGE = "too_large"
    MODEL_NOT_FOUND = "model_not_found"
    UNSUPPORTED = "unsupported"
    CONTENT_FILTER = "content_filter"
    GENERATION_FAILED = "generation_failed"
    SERVER = "server"
    BAD_RESPONSE = "bad_response"
    EMPTY = "empty"
    REDIRECT = "redirect"
    NETWORK = "network"
    BLOCKED = "blocked"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


_CATEGORY: dict[Kind, Category] = {
    Kind.MINUTE_LIMIT: Category.RATE_LIMIT,
    Kind.DAY_LIMIT: Category.RATE_LIMIT,
    Kind.BILLING: Category.RATE_LIMIT,
    Kind.UPSTREAM_LIMIT: Category.RATE_LIMIT,
    Kind.BAD_KEY: Category.AUTH,
    Kind.ACCOUNT_DISABLED: Category.AUTH,
    Kind.FORBIDDEN: Category.AUTH,
    Kind.BAD_REQUEST: Category.INVALID_REQUEST,
    Kind.CONTEXT_LENGTH: Category.INVALID_REQUEST,
    Kind.TOO_LARGE: Category.INVALID_REQUEST,
    Kind.MODEL_NOT_FOUND: Category.INVALID_REQUEST,
    Kind.UNSUPPORTED: Category.INVALID_REQUEST,
    Kind.CONTENT_FILTER: Category.INVALID_REQUEST,
    Kind.GENERATION_FAILED: Category.INVALID_REQUEST,
    Kind.SERVER: Category.SERVER,
    Kind.BAD_RESPONSE: Category.SERVER,
    Kind.EMPTY: Category.SERVER,
    Kind.REDIRECT: Category.SERVER,
    Kind.NETWORK: Category.NETWORK,
    Kind.BLOCKED: Category.NETWORK,
    Kind.TIMEOUT: Category.NETWORK,
    Kind.CANCELLED: Category.UNKNOWN,
    Kind.UNKNOWN: Category.UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One failure of one attempt.

    `retry_after`: seconds the vendor asked to wait, None where it said nothing.
    `status`: HTTP status, None where no answer came. `message`: the vendor's words, redacted.
    `rotate`: another key may help now. `allowance`: the limit a refusal names.
    """

    kind: Kind
    scope: Scope
    message: str = ""
    status: int | None = None
    retry_after: float | None = None
    rotate: bool = False
    code: str | None = None
    allowance: Allowance | None = None

    @property
    def category(self) -> Category:
        """The class a caller sees."""
        return _CATEGORY[self.kind]

    @property
    def is_retryable(self) -> bool:
        """The same request may succeed later or elsewhere without being changed."""
        return self.category in (Category.RATE_LIMIT, Category.SERVER, Category.NETWORK)


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """What `AIOError.classify` says of any exception; pure data, no key in it.

    `retry_after`: seconds, None if unknown. `scope`: one of request, key, key+model, group,
    group+model, model, provider.
    """

    category: Category
    is_retryable: bool
    should_rotate_key: bool
    scope: Scope
    retry_after: float | None = None
    kind: Kind = Kind.UNKNOWN
    status: int | None = None
    code: str | None = None
    message: str = ""

    @classmethod
    def of(cls, fault: Fault) -> ErrorInfo:
        """The public face of a fault."""
        return cls(
            category=fault.category,
            is_retryable=fault.is_retryable,
            should_rotate_key=fault.rotate,
            scope=fault.scope,
            retry_after=fault.retry_after,
            kind=fault.kind,
            status=fault.status,
            code=fault.code,
            message=fault.message,
        )


class FaultError(Exception):
    """Carries a `Fault` out of an adapter when no SDK exception exists for it (a bad 200)."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.kind.value)
        self.fault = fault

    def __reduce__(self) -> tuple[type[FaultError], tuple[Fault]]:
        return type(self), (self.fault,)


_KEY_LIKE = (
    r"(?:sk-or-v1-|sk-proj-|sk-ant-|sk-|gsk_|csk-|xai-|hf_|tgp_v1_)[A-Za-z0-9_\-*.]{6,}"
    r"|AIza[A-Za-z0-9_\-*]{10,}"
    r"|(?i:bearer)\s+[A-Za-z0-9_\-.~+/=]{8,}"
    r"|(?i:[?&]key=)[^&\s\"']+"
)


def mask(key: str) -> str:
    """A key as people may see it: `gsk_…9fQ2`; short ones show nothing of themselves."""
    return f"{key[:4]}…{key[-4:]}" if len(key) >= 20 else "…" + key[-2:] * (len(key) >= 10)


def redact(text: str, secrets: Iterable[str] = (), limit: int = 2000) -> str:
    """`text` without `secrets` or anything that looks like a key, at most `limit` characters."""
    text = text[: limit * 2]
    for secret in secrets:
        for form in _forms(secret):
            text = text.replace(form, mask(secret))
    return re.sub(_KEY_LIKE, "[redacted]", text)[:limit]


def _forms(secret: str) -> list[str]:
    """A secret as it may be quoted: as it is, in JSON, JSON within JSON, a URL, base64."""
    whole = secret.encode()[: len(secret.encode()) // 3 * 3]
    once = to_json(secret)[1:-1].decode()
    forms = {secret, once, to_json(once)[1:-1].decode(), quote(secret), quote(secret, safe="")}
    forms.add(b64encode(whole).decode())
    return sorted(forms - {""}, key=len, reverse=True)


def without_secret(fault: Fault, secret: str) -> Fault:
    """`fault` with every form of `secret` masked in what the vendor said."""
    code = fault.code and redact(fault.code, (secret,))
    return replace(fault, message=redact(fault.message, (secret,)), code=code)
