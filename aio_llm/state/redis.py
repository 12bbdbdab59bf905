"""A store in Redis or Valkey: for several machines. One script per reservation, one per
settlement; the rules of the windows run in the server (windows.lua), in one atomic step.

The server's clock counts, so that machines need not agree about the time; where a caller's own
clock counts (`clock="caller"`: scaled or virtual time), all callers must share it. Needs Redis 5.
All keys begin with `{aio_llm}:`, which puts them into one slot of a cluster, and all expire.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401  # looked up by the first connection: a child forked then hangs
import random
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha1
from importlib.resources import files
from typing import Any, Literal

import redis
from pydantic_core import from_json, to_json
from redis.backoff import NoBackoff
from redis.retry import Retry

from aio_llm.errors import ConfigError
from aio_llm.fork import renew_after_fork
from aio_llm.quota.calendar import Days
from aio_llm.quota.shapes import DAY, Shape, make_window
from aio_llm.quota.windows import ALWAYS, COARSE, MARGIN, Bucket
from aio_llm.state.base import (
    KEEP_TOLD,
    PATIENCE,
    SILENCE,
    Claim,
    Entry,
    Fact,
    Granted,
    Refused,
    Silence,
    Store,
    StoreDown,
    corrections,
)
from aio_llm.state.ledger import JUMP, form_of

PREFIX = "{aio_llm}:"

VERSION = PREFIX + "version"

FACTS = (VERSION, PREFIX + "facts", PREFIX + "versions", PREFIX + "ends")

AT_MOST = 366 * DAY
"""Seconds after which facts are forgotten if nobody tells anything any more."""

_CONSTANTS = f'"margin":{MARGIN},"coarse":{COARSE},"jump":{JUMP},'

Clock = Literal["store", "caller"]


class _Script:
    """A script of the server: these files, one after the other."""

    def __init__(self, *names: str) -> None:
        folder = files(__package__)
        self.text = "\n".join(folder.joinpath(f"{n}.lua").read_text("utf-8") for n in names)
        self.digest = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


RESERVE = _Script("windows", "records", "reserve")
SETTLE = _Script("windows", "records", "settle")
TELL = _Script("tell")
HEAR = _Script("hear")


class RedisStore(Store):
    """`url`: as redis-py takes it; nothing is sent before the first use. `patience`: seconds a
    connection or an answer may take. `silence`: seconds of rest after a failure. `now`: a
    monotonic clock. Raises `ConfigError` for a URL that cannot be meant.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock = "store",
        patience: float = PATIENCE,
        silence: float = SILENCE,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._patience = patience
        self._own_clock = clock == "caller"
        self._make_silence: Callable[[], Silence] = lambda: Silence(silence, now)
        self._closed = False
        self._version = 0
        self._wall = ALWAYS
        self._start()
        renew_after_fork(self)

    def _start(self) -> None:
        self._silence = self._make_silence()
        self._client = _client(self._url, self._patience)
        self._where = _where(self._client)

    def after_fork(self) -> None:
        """The child has sockets of its own; those of the parent are only let go."""
        self._start()

    def reserve(self, claims: Sequence[Claim], wall: float) -> Granted | Refused:
        """See `Store`. One round trip."""
        self._wall = max(self._wall, wall)
        words = [f"[{claim.amount!r},{_rule(claim, wall)}]" for claim in claims]
        answer = self._windows(RESERVE, [claim.name for claim in claims], words, wall)
        granted, self._version, packed = answer[:3]
        if not granted:
            return Refused(struct.unpack("<d", packed)[0], self._version, answer[3])
        rows = list(struct.iter_unpack("<ddddddd", packed))
        entries = tuple(Entry(life, at, wall, note) for _, life, at, *note in rows)
        return Granted(entries, self._version, tuple(row[0] for row in rows))

    def settle(
        self,
        settlements: Sequence[tuple[Claim, Any, float]],
        wall: float,
        arrived: float | None = None,
    ) -> int:
        """See `Store`. At most one round trip: what was right as reserved costs nothing."""
        self._wall = max(self._wall, wall)
        changed = corrections(settlements, wall, arrived)
        names = [claim.name for claim, _, _, _ in changed]
        words = [
            f"[{float(amount)!r},{moment!r},{entry.life!r},{entry.note!r}]"
            for _, entry, amount, moment in changed
        ]
        if names:
            self._version = self._windows(SETTLE, names, words, wall)
        return self._version

    def _windows(self, script: _Script, names: list[str], words: list[str], wall: float) -> Any:
        now = f'"now":{wall!r},' if self._own_clock else ""
        life = random.getrandbits(48)
        call = f'{{{now}{_CONSTANTS}"life":{life},"claims":[{",".join(words)}]}}'
        keys = [VERSION, *[PREFIX + name for name in names]]
        return self._run(script, keys, [call])

    def tell(self, facts: Mapping[str, Fact]) -> int:
        """See `Store`."""
        words = [self._now(), KEEP_TOLD, AT_MOST]
        for name, fact in facts.items():
            words += [name, to_json(fact.value), repr(fact.until)]
        self._version = self._run(TELL, FACTS, words)
        return self._version

    def hear(self, since: int) -> tuple[dict[str, Fact], int]:
        """See `Store`."""
        version, *words = self._run(HEAR, FACTS, [since, self._now()])
        self._version = version
        rows = zip(words[::3], words[1::3], words[2::3], strict=True)
        facts = {name.decode(): Fact(from_json(value), float(end)) for name, value, end in rows}
        return facts, version

    def _now(self) -> str:
        """The latest moment the caller has named, if its clock counts."""
        return repr(self._wall) if self._own_clock else ""

    def close(self) -> None:
        """See `Store`."""
        self._closed = True
        self._client.connection_pool.disconnect()

    def _run(self, script: _Script, keys: Sequence[str], words: Sequence[Any]) -> Any:
        if self._closed:
            raise StoreDown(f"{self._where} is closed")
        self._silence.check()
        reason = ""
        try:
            answer = self._call(script, keys, words)
        except (redis.RedisError, OSError) as error:
            reason = f"{self._where}: {error}"
        if reason:
            raise self._silence.begin(reason)
        self._silence.end()
        return answer

    def _call(self, script: _Script, keys: Sequence[str], words: Sequence[Any]) -> Any:
        """By its digest; a server that does not know the script yet gets its text."""
        try:
            return self._client.evalsha(script.digest, len(keys), *keys, *words)
        except redis.exceptions.NoScriptError:
            return self._client.eval(script.text, len(keys), *keys, *words)


def _client(url: str, patience: float) -> redis.Redis:
    """A client that never tries twice: a second try might count twice."""
    try:
        pool = redis.ConnectionPool.from_url(
            url,
            socket_timeout=patience,
            socket_connect_timeout=patience,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            max_connections=1 << 16,
        )
        pool.connection_kwargs["decode_responses"] = False
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError, redis.RedisError) as error:
        reason = str(error)
    else:
        return redis.Redis(connection_pool=pool)
    raise ConfigError(f"state: not a usable address of a Redis server: {reason}")


def _where(client: redis.Redis) -> str:
    """The server for messages, without its password."""
    known = client.get_connection_kwargs()
    return f"Redis at {known.get('host', 'localhost')}:{known.get('port', 6379)}"


# Claims in the words of the scripts: form, kind, rate, period, size or calendar; as JSON.


def _rule(claim: Claim, wall: float) -> str:
    shape = claim.shape
    if shape.kind == "fixed" and claim.period == DAY:
        return _rule_of_day(shape.zone, claim.limit, _days(shape.zone).number(wall))
    return _rule_of(shape.kind, shape.burst, shape.phase, claim.limit, claim.period)


@lru_cache
def _days(zone: str) -> Days:
    return Days(zone, 0.0)


@lru_cache(maxsize=4096)
def _rule_of_day(zone: str, limit: float, day: int) -> str:
    """Lua knows no time zones: it gets the midnights around today."""
    borders = [_days(zone).start(day + i) for i in range(-1, 4)]
    calendar = {"first": day - 1, "borders": borders}
    return _json(form_of("fixed", DAY, 0.0, zone), "fixed", limit, DAY, calendar)


@lru_cache(maxsize=4096)
def _rule_of(kind: str, burst: float, phase: float, limit: float, period: float) -> str:
    form = form_of(kind, period, phase, "")
    window = make_window(Shape(kind, burst, phase), limit, period, 0.0)
    if isinstance(window, Bucket):
        return _json(form, "bucket", window.limit, period, window.size)
    calendar = {"period": period, "shift": 0.0 - phase}
    return _json(form, window.kind, limit, period, calendar if kind == "fixed" else 0)


def _json(*words: Any) -> str:
    return to_json(words).decode()[1:-1]
