"""Where each session was answered last, so that its next call finds the vendor's prompt cache.

Vendors keep the prompts they have read per key and model, for minutes to an hour (OpenAI, Google
and Anthropic document 5 to 60 minutes). A session is a name the caller chose. The caller holds
the lock.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import Generic, TypeVar

from aio_llm.errors import InvalidRequestError

MOST = 10_000
"""Sessions that are remembered; of more, those used longest ago are forgotten."""

KEPT_FOR = 3600.0
"""Seconds after its last answer for which a session is remembered."""

LONG = 64
"""Characters of a name above which only its hash is kept."""

T = TypeVar("T")


class Sessions(Generic[T]):
    """The target that answered each session last."""

    def __init__(self, most: int = MOST, kept_for: float = KEPT_FOR) -> None:
        self._most = most
        self._kept_for = kept_for
        self._known: OrderedDict[str, tuple[float, T]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def find(self, session: str, now: float) -> T | None:
        """Who answered it last, if that is not too long ago."""
        at, target = self._known.get(_name(session), (0.0, None))
        return None if target is None or now - at > self._kept_for else target

    def remember(self, session: str, target: T, now: float) -> None:
        """`target` has answered it."""
        name = _name(session)
        self._known[name] = now, target
        self._known.move_to_end(name)
        while len(self._known) > self._most or now - self._oldest > self._kept_for:
            self._known.popitem(last=False)

    @property
    def _oldest(self) -> float:
        return next(iter(self._known.values()))[0]


def _name(session: str) -> str:
    """What a session is kept under: nobody's names may take up our memory."""
    if len(session) <= LONG:
        return session
    return blake2b(session.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def check_session(session: object) -> str | None:
    """The name of a session, or None for none; raises `InvalidRequestError` for anything else."""
    if session is None or (isinstance(session, str) and session):
        return session
    raise InvalidRequestError(f"session: must be a non-empty string, got {session!r}")
