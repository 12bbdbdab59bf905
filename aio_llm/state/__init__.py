"""State that several processes share, behind `state=`: one file per backend.

memory                   every process for itself
sqlite:///state.db       the processes of one machine, and the next start
redis://host:6379/0      several machines (Redis or Valkey; rediss:// with TLS)
"""

from __future__ import annotations

from typing import Literal

from aio_llm.errors import ConfigError
from aio_llm.state.base import (
    Claim,
    Fact,
    Granted,
    Refused,
    Store,
    StoreDown,
    hashed,
)

__all__ = [
    "Claim",
    "Fact",
    "Granted",
    "Refused",
    "Store",
    "StoreDown",
    "hashed",
    "open_store",
]

_REDIS = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss"}

_EXAMPLES = ("memory", "sqlite:///state.db", "redis://localhost:6379/0", "valkey://localhost:6379")


def open_store(url: str, clock: Literal["store", "caller"] = "store") -> Store | None:
    """The store that `url` names; None for "memory". Raises `ConfigError` for a URL that cannot
    be meant, and for a file that is not a state file; a store that is only away is no error here.

    `clock`: "caller" lets Redis count in the caller's time instead of its own (scaled time).
    """
    if url == "memory":
        return None
    scheme, separator, rest = url.partition("://")
    if separator and scheme in _REDIS:
        return _open_redis(f"{_REDIS[scheme]}://{rest}", clock)
    path = rest[1:]
    if separator and scheme == "sqlite" and rest.startswith("/") and path.strip("/"):
        return _open_sqlite(path)
    raise ConfigError(f"state: {_shown(url)!r} names no store; {_advice(url)}")


def _open_sqlite(path: str) -> Store:
    if path.startswith(":memory:") or "\0" in path:
        raise ConfigError('state: this names no file; for this process alone say "memory"')
    from aio_llm.state.sqlite import SqliteStore  # an optional part of Python

    return SqliteStore(path)


def _open_redis(url: str, clock: Literal["store", "caller"]) -> Store:
    try:
        from aio_llm.state.redis import RedisStore  # its client is an extra
    except ImportError as error:
        missing = error.name or "redis"
    else:
        return RedisStore(url, clock=clock)
    raise ConfigError(
        f'state: the Python package {missing!r} is missing: pip install "aio-llm[redis]"'
    )


def _shown(url: str) -> str:
    """A URL without user and password."""
    head, at, tail = url.rpartition("@")
    return f"{head.partition(':')[0]}://…@{tail}" if at else url


def _advice(url: str) -> str:
    """What would be right."""
    scheme, separator, rest = _shown(url).partition(":")
    rest = rest.strip("/")
    import difflib  # only when something is wrong

    near = difflib.get_close_matches(scheme.lower(), ["memory", "sqlite", *_REDIS], n=1)
    guess = near[0] if near else ""
    if guess == "sqlite" and rest:
        guess = f"sqlite:////{rest}" if url.count("/") > 3 else f"sqlite:///{rest}"
    elif guess in _REDIS:
        guess = f"{guess}://{rest or 'localhost:6379/0'}"
    elif not separator and not near and url.strip():
        guess = f"sqlite:///{url}"
    words = f"did you mean {guess!r}? " if guess and guess != url else ""
    return words + "Stores are named like " + ", ".join(map(repr, _EXAMPLES))
