"""What the store does not know is counted there later: once, and only as far as it still counts.

Two things it cannot know. What went through while it was away: that is added. And what a vendor
says it has counted, or refuses, of a limit nobody knew before: then the store must count as much
as the own shadow of that limit does, or the next process would run into the same refusal.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial

from aio_llm.allowances import PERIODS, Allowance
from aio_llm.clock import Clock
from aio_llm.core.contact import Contact
from aio_llm.core.key_state import KeyState, Lease
from aio_llm.core.keys import KeyManager
from aio_llm.core.limits import Quota
from aio_llm.core.meter import Meter
from aio_llm.core.public_names import PublicNames
from aio_llm.fork import renew_after_fork
from aio_llm.state.base import Claim, Granted, Refused, Store

MOST = 256
"""Windows asked about at once."""

SLACK = 0.1
"""Share of a limit by which counts may differ: calls are under way all the time."""

Missing = Callable[[float], float]
"""How much to add to a window that counts so much."""

Row = tuple[Claim, Missing]


@dataclass(slots=True)
class _Missed:
    """What went through one window while the store was away."""

    claim: Claim
    meter: Meter | None
    key: KeyState
    amount: float = 0.0


class MakingUp:
    """Thread-safe; never raises. The keys' lock is not held while the store is asked."""

    def __init__(
        self, store: Store, contact: Contact, keys: KeyManager, clock: Clock, names: PublicNames
    ) -> None:
        self._store = store
        self._contact = contact
        self._keys = keys
        self._clock = clock
        self._names = names
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """What the parent has to make up for is not the child's."""
        self._lock = threading.Lock()
        self._missed: dict[str, _Missed] = {}

    def miss(self, lease: Lease, used: Iterable[tuple[Claim, float]]) -> None:
        """`lease` has used so much of its limits, and the store does not know."""
        meters: list[Meter | None] = [m for hold in lease.holds for m, _, _ in hold.entries]
        with self._lock:
            for (claim, amount), meter in zip(used, [*meters, None], strict=False):
                known = self._missed.setdefault(claim.name, _Missed(claim, meter, lease.key))
                known.amount += amount

    def make_up(self) -> None:
        """Add what went through while the store was away. What is no longer in the own shadow
        does not count any more.
        """
        if not self._missed:
            return
        with self._lock:
            missed, self._missed = list(self._missed.values()), {}
        with self._keys.lock:
            now = self._clock.now()
            for one in missed:
                counts = one.meter.window.used(now) if one.meter else one.key.requests
                one.amount = min(one.amount, counts)
        added: list[Row] = [
            (one.claim, partial(_all_of, one.amount)) for one in missed if one.amount > 0
        ]
        self._fill(added, self._clock.wall())

    def knows_less(self, lease: Lease, allowances: Iterable[Allowance], now: float) -> bool:
        """Whether a vendor has counted more than we and the store did. Call it under the lock."""
        hold = lease.holds[0] if lease.holds else None
        for said in allowances:
            if hold is None or said.limit is None or said.remaining is None:
                continue
            counted = said.limit - said.remaining - max(1.0, SLACK * said.limit)
            meter = hold.quota.meters.get(said.axis)
            seen = 0.0 if meter is None else meter.window.used(now)
            if counted > seen and counted > _in_store(lease, said.axis):
                return True
        return False

    def catch_up(self, quota: Quota, wait: float | None) -> None:
        """Let the store count as much as the own shadow, which has just heard from the vendor.
        `wait`: seconds until it said there is room.
        """
        if self._contact.is_quiet:
            return
        rolling: list[tuple[Row, float]] = []
        others: list[tuple[Row, float]] = []
        with self._keys.lock:
            now, wall = self._clock.now(), self._clock.wall()
            for meter in quota.meters.values():
                missing = partial(_up_to, meter.window.used(now), max(1.0, SLACK * meter.limit))
                name, period = self._names.window(quota.name, meter.axis), PERIODS[meter.axis]
                row: Row = Claim(name, meter.form, meter.limit, period, 0.0), missing
                (rolling if meter.form.kind == "sliding" else others).append((row, period))
        self._fill([row for row, _ in others], wall)
        for row, period in rolling:
            self._fill([row], wall if wait is None else min(wall, wall + wait - period))

    def _fill(self, rows: list[Row], arrived: float) -> None:
        """Add to windows what they lack, as of the moment `arrived` (epoch seconds)."""
        while rows and not self._contact.is_quiet:
            some, rows = rows[:MOST], rows[MOST:]
            claims = [replace(claim, amount=0.0) for claim, _ in some]
            wall = self._clock.wall()
            answer = self._contact.ask(partial(self._store.reserve, claims, wall))
            if isinstance(answer, Refused):  # that one is more than full
                rows += [row for place, row in enumerate(some) if place != answer.which]
            elif isinstance(answer, Granted):
                added = [
                    (claim, entry, missing(used))
                    for claim, entry, used, (_, missing) in zip(
                        claims, answer.entries, answer.used, some, strict=True
                    )
                    if missing(used) > 0
                ]
                if added:
                    self._contact.ask(partial(self._store.settle, added, wall, arrived))


def _all_of(amount: float, _: float) -> float:
    return amount


def _up_to(wanted: float, slack: float, used: float) -> float:
    return wanted - used if wanted - used > slack else 0.0


def _in_store(lease: Lease, axis: str) -> float:
    """What the store counted of a limit when `lease` was reserved, that included."""
    for (meter, _, _), (_, _, used) in zip(lease.holds[0].entries, lease.shared, strict=False):
        if meter.axis == axis:
            return used
    return 0.0
