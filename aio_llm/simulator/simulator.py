"""The simulator as its users see it: start, addresses, keys, faults, what has arrived."""

from __future__ import annotations

import math
import random
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from aio_llm.simulator.control import Control
from aio_llm.simulator.custom import CustomVendor
from aio_llm.simulator.desk import VENDORS, Desk, Settings, vendor_names
from aio_llm.simulator.faults import params_of
from aio_llm.simulator.journal import Journal
from aio_llm.simulator.latency import Latency, as_latency
from aio_llm.simulator.quotas import Ledger, Quota
from aio_llm.simulator.records import RecordedRequest
from aio_llm.simulator.rules import Rule
from aio_llm.simulator.server import Server
from aio_llm.simulator.usage import Lane, Run, Usage, measure

Config = dict[str, Any]


def steady_clock() -> Callable[[], float]:
    """Seconds since 1970 that never jump: read once, then counted on."""
    start = time.time() - time.monotonic()
    return lambda: start + time.monotonic()


class Simulator:
    """OpenRouter, Groq, Cerebras, Google AI and `custom` vendors on 127.0.0.1; a context manager.

    `keys` per vendor; `latency` in seconds, or (median, sigma of its logarithm, seed), or a
    function of the request; `chunk_delay` in seconds; `chunks` per answer; `tls` is (certificate
    file, key file) or False; `models`: other ones than the usual, per vendor. `clock` gives the
    seconds since 1970 that everything goes by, `rate` how many of them pass in a real one
    (default: the clock's own `rate`, or 1).
    """

    def __init__(
        self,
        keys: int = 2,
        latency: Latency = 0.0,
        chunk_delay: float = 0.0,
        chunks: int = 5,
        tls: bool | tuple[str, str] = False,
        quotas: Iterable[Quota] = (),
        clock: Callable[[], float] | None = None,
        port: int = 0,
        models: Mapping[str, Sequence[str]] | None = None,
        custom: Iterable[CustomVendor] = (),
        rate: float | None = None,
    ) -> None:
        self._clock = clock or steady_clock()
        found = [*VENDORS.values(), CustomVendor(), *custom]
        vendors = {v.name: v.living(self._clock, (models or {}).get(v.name, ())) for v in found}
        accepted = {n: [v.key(i + 1) for i in range(keys)] for n, v in vendors.items()}
        self._settings = Settings(vendors, accepted, as_latency(latency), chunk_delay, chunks)
        self._quotas = tuple(quotas)
        self._ledger = Ledger(self._quotas, self._clock)
        self._journal = Journal()
        self._desk = Desk(self._settings, self._ledger, self._journal, self._clock)
        self._desk.control = Control(self)
        self._scheme = "https" if tls else "http"
        pace = getattr(self._clock, "rate", 1.0) if rate is None else rate
        self._server = Server(self._desk, self._journal, port, _context(tls), pace)

    def start(self) -> Self:
        """Begin to listen; returns itself."""
        self._server.start()
        self._settings.other_origin = f"{self._scheme}://localhost:{self.port}"
        return self

    def close(self) -> None:
        """End all connections, the server thread and every socket."""
        self._server.close()

    def __enter__(self) -> Self:
        """Begin to listen."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it all."""
        self.close()

    def __repr__(self) -> str:
        """Address and load."""
        where = self.origin if self._server.port else "not started"
        return f"<Simulator {where}, {len(self.requests)} requests, {self.active} active>"

    @property
    def port(self) -> int:
        """The port it listens on; RuntimeError before start."""
        if not self._server.port:
            raise RuntimeError("the simulator is not running: use `with Simulator() as sim`")
        return self._server.port

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    @property
    def refused_url(self) -> str:
        """An address where connections are refused."""
        return f"{self._scheme}://127.0.0.1:{self._server.refused_port}"

    @property
    def silent_url(self) -> str:
        """An address that lets clients connect and never says a word."""
        return f"{self._scheme}://127.0.0.1:{self._server.silent_port}"

    def base_url(self, vendor: str) -> str:
        """The base URL that this vendor's SDK takes."""
        return self.origin + self._settings.vendors[vendor].base

    def keys(self, vendor: str) -> list[str]:
        """The keys this vendor accepts."""
        return list(self._settings.keys[vendor])

    def models(self, vendor: str) -> list[str]:
        """The models this vendor has."""
        return list(self._settings.vendors[vendor].models)

    def provider(self, vendor: str, **overrides: Any) -> Config:
        """A provider entry of a configuration."""
        is_famous = vendor in VENDORS
        entry = {
            "provider": vendor if is_famous else "custom",
            "priority": self._settings.vendors[vendor].priority,
            "api_keys": self.keys(vendor),
            "models": self.models(vendor),
            "base_url": self.base_url(vendor),
        }
        return entry | ({} if is_famous else {"name": vendor}) | overrides

    def config(self, *vendors: str) -> Config:
        """A configuration with these vendors, the first one preferred; all by default."""
        names = vendor_names(vendors, self._settings.vendors)
        if not vendors:
            return {"providers": [self.provider(name) for name in names], "auto_mode": True}
        ranked = [self.provider(n, priority=100 - 10 * i) for i, n in enumerate(names)]
        return {"providers": ranked, "auto_mode": True}

    def group(self, vendor: str, keys: Iterable[str], name: str | None = None) -> str:
        """Let keys share their quotas, as keys of one account do; returns the group's name."""
        members = list(keys)
        label = name or f"{vendor}:{members[0]}"
        self._settings.groups.update({(vendor, key): label for key in members})
        return label

    def inject(
        self,
        fault: str,
        vendor: str | None = None,
        key: str | None = None,
        model: str | None = None,
        times: int | None = None,
        text: str | None = None,
        start: float = -math.inf,
        end: float = math.inf,
        probability: float = 1.0,
        seed: int | None = None,
        spends: bool = False,
        **params: Any,
    ) -> Rule:
        """Let matching chat requests fail; of several rules the oldest that matches wins.

        `times`: so often. `start`, `end`: seconds of the simulator's clock. `probability`: of each
        request, the same ones for one `seed`. `spends`: it counts against the quotas all the same.
        """
        vendor_names([vendor] if vendor else (), self._settings.vendors)
        known, chance = params_of(fault, params), random.Random(seed)
        rule = Rule(
            fault, vendor, key, model, times, text, known, start, end, probability, chance, spends,
            on_remove=self._remove,
        )  # fmt: skip
        self._settings.rules = (*self._settings.rules, rule)
        return rule

    def _remove(self, rule: Rule) -> None:
        self._settings.rules = tuple(one for one in self._settings.rules if one is not rule)

    def clear(self) -> None:
        """Remove the rules, forget the requests, reset the quotas; connections stay open."""
        self._settings.rules = ()
        self._ledger.reset()
        self._journal.forget()

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests that have arrived, oldest first."""
        return self._journal.snapshot()

    @property
    def trapped(self) -> list[RecordedRequest]:
        """The requests that followed the redirect, with their headers."""
        return list(self._journal.trapped)

    def count(
        self, vendor: str | None = None, key: str | None = None, model: str | None = None
    ) -> int:
        """How many requests have arrived that match."""
        return sum(1 for _ in self._matching(vendor, key, model))

    def _matching(
        self, vendor: str | None, key: str | None, model: str | None
    ) -> Iterator[RecordedRequest]:
        for request in self._journal.snapshot():
            wanted = ((vendor, request.vendor), (key, request.key), (model, request.model))
            if all(want in (None, found) for want, found in wanted):
                yield request

    @property
    def connections(self) -> int:
        """How many connections were accepted so far."""
        return self._journal.connections

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return self._journal.open_connections

    @property
    def active(self) -> int:
        """How many chat requests are being answered now."""
        return self._journal.active

    @property
    def aborted(self) -> int:
        """How many chat requests lost their client before the answer was complete."""
        return self._journal.aborted

    def wait_for(self, predicate: Callable[[], bool], timeout: float = 5.0) -> bool:
        """Wait at most `timeout` seconds until the predicate holds; True when it does."""
        return self._journal.wait_for(predicate, timeout)

    def usage(
        self,
        start: float = -math.inf,
        end: float = math.inf,
        ranks: Mapping[Lane, int] | None = None,
    ) -> Usage:
        """What was made of the quotas from `start` to `end`, in seconds of the clock.

        `ranks`: the lanes (vendor, key, model) that count, 0 for those to be used first; default:
        all that have a quota, without an order.
        """
        limited = {quota.vendor for quota in self._quotas}
        every = {(v, k, m): 0 for v in limited for k in self.keys(v) for m in self.models(v)}
        seen = [r for r in self.requests if start <= r.moment < end and r.method == "POST"]
        requests = tuple(sorted(seen, key=lambda request: request.moment))
        moments = [request.moment for request in requests] or [self._clock()]
        span = (
            start if math.isfinite(start) else min(moments),
            end if math.isfinite(end) else max(moments),
        )
        outages = tuple(out for rule in self._settings.rules if (out := rule.outage) is not None)
        given = every if ranks is None else dict(ranks)
        return measure(Run(self._quotas, requests, outages, given, span, self._desk.group_of))

    def stats(self) -> Config:
        """The counters as one dictionary."""
        names = ("connections", "open_connections", "active", "aborted")
        counters: Config = {name: getattr(self, name) for name in names}
        per_vendor = {name: self.count(name) for name in self._settings.vendors}
        return counters | {"requests": len(self.requests), "per_vendor": per_vendor}


def _context(tls: bool | tuple[str, str]) -> ssl.SSLContext | None:
    if not tls:
        return None
    if not isinstance(tls, tuple):
        raise TypeError("tls takes (certificate file, key file)")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*tls)
    return context
