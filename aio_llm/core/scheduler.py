"""Take and settle: the best target that is free now, and what an attempt's end changes.

`take` decides under the lock and returns what to do: a lease, or how long to wait. `settle`
applies the policy table to the places of a lease. Neither sleeps or sends.
"""

from __future__ import annotations

import math
import random as chance
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from aio_llm.allowances import Allowance
from aio_llm.clock import Clock
from aio_llm.config import Settings
from aio_llm.core.availability import SURE, Record
from aio_llm.core.availability import Place as Spot
from aio_llm.core.backoff import Backoff
from aio_llm.core.choosing import Chooser, Wait
from aio_llm.core.events import tell
from aio_llm.core.key_state import KeyState, Lease
from aio_llm.core.keys import KeyManager
from aio_llm.core.line import Waiter, WaitingLine
from aio_llm.core.policy import Next, Rest, Rule, Strike, judge
from aio_llm.core.resting import SHORTEST, Resting, resting_place
from aio_llm.core.routing import Route
from aio_llm.core.serving import Serving
from aio_llm.core.sharing import Sharing
from aio_llm.core.trail import Trail
from aio_llm.faults import Category, Fault, Kind, Scope
from aio_llm.fork import renew_after_fork
from aio_llm.state.base import Store


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a fault changed. `rests`: seconds its place is left alone. `disabled`: why its key
    is out from now on. `sister`: masked key it was found to share a quota with. `opened`: the
    breaker that tripped, after so many `failures` in a row; `closed`: those that are closed now.
    """

    rule: Rule
    rests: float = 0.0
    disabled: str = ""
    sister: str = ""
    opened: Spot = ()
    failures: int = 0
    closed: tuple[Spot, ...] = ()


_ANSWERED = (Category.RATE_LIMIT, Category.AUTH, Category.INVALID_REQUEST)
_LIMITS = (Kind.MINUTE_LIMIT, Kind.DAY_LIMIT)


class Scheduler:
    """Keys, their availability and the waiting line of one `AIO`. Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        random: Callable[[], float] = chance.random,
        store: Store | None = None,
    ) -> None:
        self.keys = KeyManager(settings.providers, clock)
        self.sharing = None if store is None else Sharing(store, self.keys, clock, tell, self.wake)
        self.backoff = Backoff(
            settings.retry_delay, settings.backoff_multiplier, settings.max_delay
        )
        self.choose = Chooser(self.keys, settings.max_retries, random)
        self._serving = Serving(self.choose)
        self._resting = Resting(settings.circuit_breaker, settings.max_delay, random)
        self._filtered_goes_on = settings.on_content_filter == "next"
        self._clock = clock
        self._random = random
        renew_after_fork(self)

    @property
    def line(self) -> WaitingLine:
        """Who waits."""
        return self._serving.line

    def after_fork(self) -> None:
        """Nobody waits in a child, and nothing is under way."""
        self._serving.line = WaitingLine()
        self.choose.health.clear()

    def take(self, route: Route, trail: Trail, waiter: Waiter) -> Lease | Wait:
        """The best target of `route` that is free now, or how long to wait for one."""
        if self.sharing is not None:
            self.sharing.begin()
        step = self._take(route, trail, waiter)
        if self.sharing is None or isinstance(step, Lease) or trail.waited:
            return step
        # Perhaps somebody knows better, before the call waits or fails.
        return self._take(route, trail, waiter) if self.sharing.listen() else step

    def _take(self, route: Route, trail: Trail, waiter: Waiter) -> Lease | Wait:
        with self.keys.lock:
            return self._serving.take(route, trail, waiter, self._clock.now())

    def _after(self, lease: Lease, now: float) -> None:
        """A lease went back without an answer: who waits may have a use for what it held."""
        if lease.probes:
            self._serving.serve_all(now)
        else:
            self._serving.offer(lease, now)

    def confirm(self, lease: Lease, route: Route, trail: Trail, waiter: Waiter) -> bool:
        """Whether other processes leave room for `lease` too; if not it has gone back, and the
        call stands where it stood in the line.
        """
        if self.sharing is None:
            return True
        try:
            why = self.sharing.confirm(lease)
        except BaseException:  # Ctrl-C while the store was asked
            self.give_up(lease, sent=False)
            raise
        if why is None:
            self._let_in(lease)
            return True
        with self.keys.lock:
            now = self._clock.now()
            trail.not_counted(lease.lane, lease.key.index)
            self.choose.health_of(lease.lane).end(lease, now, answered=False)
            self.keys.give_up(lease, now, sent=False)
            self.sharing.put_off(lease, why, now)
            if len(self.line):
                self.line.join(route, waiter, trail)
                self._serving.serve_all(now)
        self.sharing.settle(lease, None, (), now)
        return False

    def _let_in(self, lease: Lease) -> None:
        """Where others use the quota too, one call at a time asks for it: now the next one."""
        if self.sharing is None or not any(hold.quota.others for hold in lease.holds):
            return
        with self.keys.lock:
            now = self._clock.now()
            if self.sharing.let_in(lease, now):
                self.keys.wake(lease)
                self._serving.offer(lease, now)

    def leave(self, route: Route, waiter: Waiter) -> None:
        """The call waits no longer, for whatever reason; a lease it was given goes back."""
        if not len(self.line):
            return
        with self.keys.lock:
            lease = self.line.leave(route, waiter)
        if lease is not None:
            self.give_up(lease, sent=False)

    def hear(self, lease: Lease, allowances: Iterable[Allowance]) -> None:
        """What the vendor said of its limits beside an answer."""
        with self.keys.lock:
            now = self._clock.now()
            more = self.sharing is not None and self.sharing.knows_less(lease, allowances, now)
            news = self.keys.quotas.told(lease, allowances, now)
            if news:
                self.keys.touch(lease.lane.provider)
        if (news or more) and self.sharing is not None:
            self.sharing.heard(lease, more=more)

    def begun(self, lease: Lease) -> None:
        """A stream has given its first output; it is settled when it has been read."""
        with self.keys.lock:
            now = self._clock.now()
            self.choose.health_of(lease.lane).speak(lease, now)
            if lease.session is not None:
                self.choose.remember(lease.session, lease, now)

    def settle(self, lease: Lease, fault: Fault, trail: Trail, *, sent: bool) -> Verdict:
        """Give a failed lease back and apply the policy; returns what changed."""
        rule = judge(fault)
        if fault.kind is Kind.CONTENT_FILTER and self._filtered_goes_on:
            rule = Rule(Next.MODEL)
        with self.keys.lock:
            now = self._clock.now()
            self.choose.health_of(lease.lane).end(lease, now, answered=False)
            self._remember(lease, fault, rule, trail, now)
            open_before = self._opened(lease.probes)
            rests, sister, trips = self._rest(lease, fault, rule, now)
            opened = resting_place(lease, rule.at or fault.scope) if trips else ()
            failures = self.keys.availability.records[opened].strikes if trips else 0
            closed = self._closed(open_before)
            strike = rule.strike is Strike.KEY
            disabled = self.keys.fail(lease, fault, now, sent=sent, strike=strike)
            self._after(lease, now)
        if self.sharing is not None:
            keep = self.keys.quotas.kept(lease, fault, sent=sent)
            self.sharing.settle(lease, None, keep, now)
            self.sharing.heard(lease, more=fault.kind in _LIMITS, wait=fault.retry_after)
        return Verdict(rule, rests, disabled, sister, opened, failures, closed)

    def _remember(self, lease: Lease, fault: Fault, rule: Rule, trail: Trail, now: float) -> None:
        """What the fault means for this call."""
        if rule.next is Next.MODEL and not fault.rotate:
            trail.excluded.add(lease.lane)
        if rule.next is Next.ELSEWHERE:
            trail.avoided.add(lease.lane.provider)
        if rule.rest is Rest.HINT or self._probed_for_others(lease):
            trail.not_counted(lease.lane, lease.key.index)
        elif rule.rest is Rest.BACKOFF:
            trail.set_back(lease.lane, now, self.backoff, self._random())
            trail.not_before(lease.lane, now + (fault.retry_after or 0.0))

    def _probed_for_others(self, lease: Lease) -> bool:
        """Nobody gets through there, and somebody has to try: that is no try of this call's."""
        records = (self.keys.availability.records.get(spot) for spot in lease.probes)
        is_probe = any(record is not None and record.opened for record in records)
        return is_probe and len(self.line) > 1

    def _rest(self, lease: Lease, fault: Fault, rule: Rule, now: float) -> tuple[float, str, bool]:
        if rule.rest is Rest.NONE:
            self.keys.release(lease, answered=fault.status is not None)
            return 0.0, "", False
        sister = self._find_sister(lease, fault, now)
        spot = resting_place(lease, rule.at or fault.scope)
        self.keys.release(lease, spot, answered=fault.category in _ANSWERED)
        old = self.keys.availability.records.get(spot)
        stale = old is not None and lease.turn < old.turn
        metered = not sister and self._refused(lease, fault, now, stale=stale)
        if old is not None and stale:
            # Old news: the place rests already, and this is not one more failure in a row.
            if fault.retry_after is not None:
                old.until = max(old.until, now + max(fault.retry_after, SHORTEST))
            opened = rule.rest is Rest.BACKOFF and self._one_more(
                old, self._may_answer(lease, fault, rule), now
            )
            return max(0.0, old.free_at - now), sister, opened
        record = self._record(lease, fault, rule, old, now)
        record.streak = SURE if metered else 0
        opened = bool(record.opened) and not (old is not None and old.opened)
        self.keys.availability.rest(spot, record)
        rests = 0.0 if record.until == math.inf else record.until - now
        return rests, sister, opened

    def _may_answer(self, lease: Lease, fault: Fault, rule: Rule) -> int:
        """Calls that may still be answered, as failures come back sooner; timeouts do not."""
        if fault.kind is Kind.TIMEOUT:
            return 0
        return self.choose.under_way(lease.lane, rule.at or fault.scope)

    def _one_more(self, record: Record, under_way: int, now: float) -> bool:
        """A call that went out with others failed as they did; True if that trips the breaker."""
        record.strikes += 1
        if not record.soft or record.opened or not self._resting.trips(record.strikes, under_way):
            return False
        self._resting.open(record, 1, now)
        record.turn = self.keys.availability.next_turn()
        return True

    def _refused(self, lease: Lease, fault: Fault, now: float, *, stale: bool) -> bool:
        """The quota learns from a refusal; True if it knows the limit now."""
        if fault.kind not in _LIMITS:
            return False
        wait = fault.retry_after
        if wait is None and fault.kind is Kind.DAY_LIMIT:
            wait = self.keys.day_rest(lease.lane.provider) - now
        metered = self.keys.quotas.refused(lease, fault, wait, now, stale=stale)
        self.keys.touch(lease.lane.provider)
        return metered

    def _record(
        self, lease: Lease, fault: Fault, rule: Rule, old: Record | None, now: float
    ) -> Record:
        return self._resting.record(
            fault,
            rule,
            old,
            now,
            day_ends=self.keys.day_rest(lease.lane.provider),
            under_way=self._may_answer(lease, fault, rule),
        )

    def _find_sister(self, lease: Lease, fault: Fault, now: float) -> str:
        """Keys refused for the same limit, until the same moment, are one quota group."""
        if fault.scope is not Scope.GROUP_MODEL or fault.retry_after is None:
            return ""
        if fault.category is not Category.RATE_LIMIT or lease.key.requests > 1:
            return ""
        until = now + fault.retry_after
        sister = self.keys.join_groups(lease.key, lease.lane, until)
        return sister.masked if sister else ""

    def succeed(self, lease: Lease, used: tuple[int, int] | None = None) -> tuple[Spot, ...]:
        """Give a lease back after an answer that cost `used` (prompt, completion) tokens; who
        waits is told if that made room. Returns the breakers it closed.
        """
        with self.keys.lock:
            now = self._clock.now()
            self.choose.health_of(lease.lane).end(lease, now, answered=True)
            if lease.session is not None:
                self.choose.remember(lease.session, lease, now)
            opened = self._opened(lease.probes)
            freed, room = self.keys.succeed(lease, now, used)
            if freed:
                self._serving.serve_all(now)
            elif room:
                self._serving.offer(lease, now)
            closed = self._closed(opened)
        if self.sharing is not None:
            size = None if used is None else (1, used[0], used[0] + used[1])
            self.sharing.settle(lease, size, (0, 1, 2), now)
            self.sharing.publish()
        return closed

    def _opened(self, probes: tuple[Spot, ...]) -> list[Spot]:
        records = self.keys.availability.records
        return [spot for spot in probes if spot in records and records[spot].opened]

    def _closed(self, opened: Iterable[Spot]) -> tuple[Spot, ...]:
        """Those of `opened` that are free now."""
        return tuple(spot for spot in opened if spot not in self.keys.availability.records)

    def give_up(self, lease: Lease, *, sent: bool) -> None:
        """Give a lease back without a verdict."""
        with self.keys.lock:
            now = self._clock.now()
            self.choose.health_of(lease.lane).end(lease, now, answered=False)
            self.keys.give_up(lease, now, sent=sent)
            self._after(lease, now)
        if self.sharing is not None:
            keep = self.keys.quotas.kept(lease, None, sent=sent)
            self.sharing.settle(lease, None, keep, now)

    def switch(self, key: KeyState, *, on: bool, reason: str = "") -> None:
        """Put a key in or out of use by hand, in all processes."""
        self.keys.switch(key, on=on, reason=reason)
        self.wake()
        if self.sharing is not None:
            self.sharing.switched(key)

    def reset_daily(self, provider: str | None) -> int:
        """Zero the daily counters by hand, in all processes; returns of how many keys."""
        count = self.keys.reset_daily(provider)
        self.wake()
        if self.sharing is not None:
            self.sharing.new_day({key.provider for key in self.keys.keys(provider)})
        return count

    def refresh(self) -> None:
        """Know what the other processes know, for those who look."""
        if self.sharing is not None:
            self.sharing.refresh()

    def wake(self) -> None:
        """Something may have become free."""
        if len(self.line):
            with self.keys.lock:
                self._serving.serve_all(self._clock.now())
