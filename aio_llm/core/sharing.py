"""One `AIO` among several processes: its reservations confirmed in a store, its findings told.

The scheduler chooses by what it knows itself; the store has the last word before anything is
sent. A refusal of the store costs no vendor call: it says how long to wait, and the local
shadow learns it. While the store is away the calls go on with local knowledge; what they use is
counted in the store when it is back, once. The keys' lock is never held while the store is asked.

A call asks twice: to reserve, and to settle if the estimate was wrong. It asks for news only
if an answer says that there are some, or if it has nothing to reserve or nowhere to go.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from aio_llm.allowances import PERIODS, Allowance
from aio_llm.clock import Clock
from aio_llm.core.availability import SURE, Record, place
from aio_llm.core.contact import Contact, Tell
from aio_llm.core.facts import Facts, same_rule
from aio_llm.core.key_state import KeyState, Lease
from aio_llm.core.keys import KeyManager
from aio_llm.core.limits import Quota, cost
from aio_llm.core.making_up import MOST, MakingUp
from aio_llm.core.meter import Meter
from aio_llm.core.others import Others
from aio_llm.core.public_names import PublicNames
from aio_llm.core.recent import Size
from aio_llm.faults import Kind, Scope
from aio_llm.fork import renew_after_fork
from aio_llm.quota.days import day_end
from aio_llm.quota.shapes import DAY, Shape
from aio_llm.state.base import Claim, Granted, Refused, Store

DISAGREE = 60.0
"""Seconds by which clocks may differ about when a day begins."""

SOON = 1e-3
"""Seconds after which the store is asked again at the earliest."""

ROUNDING = 1e-6
"""Seconds by which a moment since 1970 may be off: it has 16 digits."""


@dataclass(frozen=True, slots=True)
class NoRoom:
    """Why a lease cannot be used: others have used up a limit of `quota`, for requests of `amount`
    and more, for `wait` seconds; without one it is the key's day. `is_out`: it is the news that
    somebody has found the target to be out.
    """

    wait: float = 0.0
    limit: tuple[Quota, Meter] | None = None
    amount: float = 1.0
    is_out: bool = False


class Sharing:
    """What a scheduler does with a store. Thread-safe; never raises. `tell` writes one log record;
    `wake` is called when something can be used again.
    """

    def __init__(
        self, store: Store, keys: KeyManager, clock: Clock, tell: Tell, wake: Callable[[], None]
    ) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock
        self._tell = tell
        self._wake = wake
        self._contact = Contact(clock, tell, self._share_out)
        self._names = PublicNames(keys)
        self._facts = Facts(keys, clock, self._names)
        self._making_up = MakingUp(store, self._contact, keys, clock, self._names)
        self._version = 0
        self._losses = -1
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Locks of its own."""
        self._lock = threading.Lock()
        self._ear = threading.Lock()

    def _share_out(self) -> None:
        """While nothing is heard of the others, each goes on with the part it had."""
        with self._keys.lock:
            now = self._clock.now()
            for quota in self._keys.quotas.quotas.values():
                if quota.others is None:
                    continue
                if self._contact.is_away:
                    quota.go_alone(now)
                else:
                    quota.go_together(now)
            for provider in {key.provider for key in self._keys.keys(None)}:
                self._keys.touch(provider)

    # Before a call

    def begin(self) -> bool:
        """Hear all there is: before the first call, and when the store has been away. True if
        that has changed anything. Costs nothing otherwise.
        """
        if self._losses == self._contact.losses or self._contact.is_quiet:
            return False
        changed = self.listen(first=True)
        if self._losses == self._contact.losses:
            self._making_up.make_up()
            self.publish()
        return changed

    def listen(self, known: int | None = None, *, first: bool = False) -> bool:
        """Believe what the others have found; True if that has changed anything. `known`: the
        version there is; `first`: only if nobody has listened since the store was away.
        """
        contact = self._contact
        if contact.is_quiet or not self._ear.acquire(blocking=not contact.is_away):
            return False  # somebody else is finding out whether the store is back
        try:
            if known == self._version or (first and self._losses == contact.losses):
                return False
            return self._hear()
        finally:
            self._ear.release()

    def _hear(self) -> bool:
        losses, since = self._contact.losses, self._version
        heard = self._contact.ask(partial(self._store.hear, since))
        if heard is None:
            return False
        facts, version = heard
        with self._keys.lock:
            if version < since:  # the store began anew
                self._facts.everything()
            news = self._facts.believe(facts)
        self._version, self._losses = version, losses
        for line in news.lines:
            self._tell("WARNING", line)
        if news.freed:
            self._wake()
        more = 0 < version < since and self._hear()
        return more or news.rested or bool(news.freed)

    def confirm(self, lease: Lease) -> NoRoom | None:
        """Count `lease` in the store; if others have used up what it needs, what that is."""
        claims = list(self._claims(lease))
        if not claims:
            return self._out(lease) if self.listen() else None
        if self._contact.is_quiet:
            lease.shared = tuple((claim, None, 0.0) for claim in claims)
            return None
        wall = self._clock.wall()
        answer = self._contact.ask(partial(self._store.reserve, claims, wall))
        if answer is None:
            return None  # whether it was counted is not known; so it is not counted again
        has_news = answer.version != self._version and self.listen(answer.version)
        if isinstance(answer, Refused):
            return self._no_room(lease, answer)
        lease.shared = tuple(zip(claims, answer.entries, answer.used, strict=True))
        if lease.key.limit < math.inf:
            self._count_day(lease.key, answer.used[-1])
        return self._out(lease) if has_news else None

    def _claims(self, lease: Lease) -> Iterator[Claim]:
        """One per limit, the key's own day last; of keys only hashes."""
        for hold in lease.holds:
            for meter, _, _ in hold.entries:
                name = self._names.window(hold.quota.name, meter.axis)
                amount = float(hold.size[meter.unit])
                yield Claim(name, meter.form, meter.limit, PERIODS[meter.axis], amount)
        if lease.key.limit < math.inf:
            yield self._day(lease.key, 1.0)

    def _day(self, key: KeyState, amount: float) -> Claim:
        """The day of a key. What it had used before it was configured is not in the store."""
        shape = Shape("fixed", zone=self._keys.zone(key.provider))
        limit = max(1.0, key.limit - key.before)
        return Claim(self._names.day(key), shape, limit, DAY, amount)

    def _count_day(self, key: KeyState, used: float) -> None:
        """What all processes have asked of a key today; just after midnight it may still be what
        they asked yesterday.
        """
        seen, wall = int(used) + key.before, self._clock.wall()
        if seen > key.requests and day_end(wall - DISAGREE, self._keys.zone(key.provider)) > wall:
            with self._keys.lock:
                key.requests = max(key.requests, seen)

    def _no_room(self, lease: Lease, answer: Refused) -> NoRoom:
        wait, which = max(answer.wait + ROUNDING, SOON), answer.which
        for hold in lease.holds:
            if which < len(hold.entries):
                meter = hold.entries[which][0]
                return NoRoom(wait, (hold.quota, meter), hold.size[meter.unit])
            which -= len(hold.entries)
        return NoRoom(wait)

    def _out(self, lease: Lease) -> NoRoom | None:
        """Whether the target of `lease` has been found to be out."""
        keys, now = self._keys, self._clock.now()
        with keys.lock:
            spots = (*keys.lane_places(lease.lane), *keys.key_places(lease.lane, lease.key))
            found = [keys.availability.records.get(spot) for spot in spots]
            rests = any(record and record.shared and record.until > now for record in found)
        return NoRoom(is_out=True) if rests or not lease.key.on else None

    def put_off(self, lease: Lease, why: NoRoom, now: float) -> None:
        """The local shadow learns until when there is no room. Call it under the keys' lock."""
        key, until = lease.key, now + why.wait
        if why.is_out:
            return
        if why.limit is not None:
            quota, meter = why.limit
            quota.others = quota.others or Others()
            quota.others.refuse(meter, why.amount, until, now)
        elif until > self._keys.day_rest(key.provider) - DISAGREE:
            key.requests = max(key.requests, int(key.limit))
        else:  # in the store it is still yesterday
            spot = place(Scope.KEY, key.provider, str(key.index))
            record = Record(until, Kind.DAY_LIMIT, streak=SURE, shared=True)
            self._keys.availability.rest(spot, record)

    def let_in(self, lease: Lease, now: float) -> bool:
        """`lease` is granted, so the next call may ask for as much; True if one may wait for that.
        Call it under the keys' lock.
        """
        is_let_in, shared = False, iter(lease.shared)
        for hold in lease.holds:
            for (meter, _, _), (_, _, used) in zip(hold.entries, shared, strict=False):
                if hold.quota.others is not None:
                    hold.quota.others.saw(meter, used, now)
            if hold.quota.others is not None:
                is_let_in = hold.quota.others.leave(now) or is_let_in
        return is_let_in

    # After a call

    def settle(self, lease: Lease, used: Size | None, keep: Iterable[int], now: float) -> None:
        """`lease` is over: it cost `used`, or nothing but the units in `keep`."""
        with self._lock:
            shared, lease.shared = lease.shared, ()
        if not shared:
            return
        counted = self._amounts(lease, used, tuple(keep))
        settled = [
            (claim, entry, amount)
            for (claim, entry, _), amount in zip(shared, counted, strict=False)
        ]
        if shared[0][1] is None:
            self._making_up.miss(lease, [(claim, amount) for claim, _, amount in settled])
            if not self._contact.is_away:
                self._making_up.make_up()
            return
        ahead = self._clock.wall() - now
        arrived = ahead + lease.arrived(now)
        self._contact.ask(partial(self._store.settle, settled, now + ahead, arrived))
        self._look_at_rules(lease, [claim for claim, _, _ in shared])

    def _amounts(self, lease: Lease, used: Size | None, keep: tuple[int, ...]) -> Iterator[float]:
        """What each claim of a lease was in truth."""
        for hold in lease.holds:
            for meter, _, _ in hold.entries:
                if used is not None:
                    yield float(cost(meter, hold.size, used))
                else:
                    yield float(hold.size[meter.unit]) if meter.unit in keep else 0.0
        yield 1.0 if used or 0 in keep else 0.0

    def _look_at_rules(self, lease: Lease, claims: list[Claim]) -> None:
        """All must count by the same rule: another one than was reserved by is told."""
        entries = lease.holds[0].entries if lease.holds else []
        for (meter, _, _), claim in zip(entries, claims, strict=False):
            if meter.form is not claim.shape and not same_rule(meter.form, claim.shape):
                with self._keys.lock:
                    self._facts.reshaped(lease, meter.axis, meter.shape())
        if self._facts.pending:
            self.publish()

    def knows_less(self, lease: Lease, allowances: Iterable[Allowance], now: float) -> bool:
        """Whether a vendor has counted more than we and the store did. Call it under the lock."""
        return self._making_up.knows_less(lease, allowances, now)

    def heard(self, lease: Lease, *, more: bool, wait: float | None = None) -> None:
        """The vendor has said something about limits. `more`: it has counted more than was known;
        `wait`: seconds until it said there is room.
        """
        self.publish(lease)
        if more and lease.holds:
            self._making_up.catch_up(lease.holds[0].quota, wait)

    def publish(self, lease: Lease | None = None) -> None:
        """Tell the others what has been found since the last time, by the end of `lease` too."""
        if lease is not None:
            with self._keys.lock:
                self._facts.mark(lease)
        while self._facts.pending and not self._contact.is_quiet:
            with self._keys.lock:
                fresh = self._facts.fresh()
            if not fresh:
                continue
            said = {name: fact for name, (fact, _) in fresh.items()}
            version = self._contact.ask(partial(self._store.tell, said))
            if version is None:
                with self._keys.lock:
                    self._facts.again(fresh)
            elif version == self._version + 1:
                self._version = version  # nobody else has told anything

    # What people say and ask

    def switched(self, key: KeyState) -> None:
        """A person has put a key in or out of use."""
        with self._keys.lock:
            self._facts.key_changed(key, by_hand=True)
        self.publish()

    def new_day(self, providers: Iterable[str]) -> None:
        """A person has set the counters of the day to zero."""
        with self._keys.lock:
            for provider in providers:
                self._facts.begin_day(provider, int(self._clock.wall() * 1000))
        self.publish()

    def refresh(self) -> None:
        """Know what all the others know, how much of every key's day is used included."""
        self.begin()
        self.listen()
        limited = [key for key in self._keys.keys(None) if key.limit < math.inf]
        for start in range(0, len(limited), MOST):
            some = limited[start : start + MOST]
            claims = [replace(self._day(key, 0.0), limit=_NO_LIMIT) for key in some]
            wall = self._clock.wall()
            answer = self._contact.ask(partial(self._store.reserve, claims, wall))
            if not isinstance(answer, Granted):
                return
            for key, used in zip(some, answer.used, strict=True):
                self._count_day(key, used)

    def close(self) -> None:
        """Let go of the store; a second time does nothing."""
        self._making_up.make_up()
        self._contact.leave()
        self._store.close()


_NO_LIMIT = 1e15
"""Lets a window be looked at, however full it is."""
