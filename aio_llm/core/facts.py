"""What processes tell each other: rests, open breakers, disabled keys, learned limits, and more.

| fact | says | ends |
|---|---|---|
| rest | a place is left alone; only what is sure, no guess after one failure | with the rest |
| key | a key is out of use, and why | when somebody enables it |
| plan | what was learned of a limit of a model | after a month without use |
| limit | what a vendor has said of a limit of one quota | likewise |
| join | two keys turned out to share a quota | never |
| days | a person has set the counters of the day to zero | never |

A fact is plain JSON, and the last one told is right. What another process says is checked like
any input: what is no fact is passed over. Only what has changed is looked at when there is
something to tell. The caller holds the lock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from typing import Any

from aio_llm.allowances import PERIODS
from aio_llm.clock import Clock
from aio_llm.core.availability import SURE, Place, Record
from aio_llm.core.key_state import KeyState, Lease
from aio_llm.core.keys import KeyManager
from aio_llm.core.limits import Quota
from aio_llm.core.meter import Meter
from aio_llm.core.public_names import PublicNames
from aio_llm.faults import Kind, redact
from aio_llm.quota.shapes import DAY, Shape
from aio_llm.state.base import Fact, hashed

WEEK = 7 * DAY

LEARNED_FOR = 4 * WEEK
"""Seconds for which what was learned of limits is believed without being seen again, at least."""

SHORT = 1.0
"""Seconds of rest, or of difference, that are not worth telling."""

UNTIL_RELOAD = 3600.0
"""Seconds for which others believe a rest that only ends when the program is started again."""

MOST = 256
"""Facts told at once."""

Look = Callable[[], Fact | None]
"""How a fact stands now; None if it does not hold."""


@dataclass
class News:
    """What hearing has changed. `freed`: providers of which something can be used again.
    `lines`: what a person should know of it.
    """

    freed: set[str] = field(default_factory=set)
    rested: bool = False
    lines: list[str] = field(default_factory=list)


class _Watched(dict[Place, Record]):
    """Records that tell when one is set or dropped."""

    def __init__(self, records: Mapping[Place, Record], changed: Callable[[Place], None]) -> None:
        super().__init__(records)
        self._changed = changed

    def __setitem__(self, spot: Place, record: Record) -> None:
        super().__setitem__(spot, record)
        self._changed(spot)

    def __delitem__(self, spot: Place) -> None:
        super().__delitem__(spot)
        self._changed(spot)


class Facts:
    """What of a `KeyManager` others should know, and what they say of theirs."""

    def __init__(self, keys: KeyManager, clock: Clock, names: PublicNames) -> None:
        self._keys = keys
        self._clock = clock
        self._names = names
        self._told: dict[str, Fact] = {}
        self._pending: dict[str, Look] = {}
        self._members: dict[tuple[str, str], KeyState] = {}
        records = keys.availability.records
        keys.availability.records = _Watched(records, self._rest_changed)

    # Telling

    @property
    def pending(self) -> bool:
        """Whether something has changed that others may want to know."""
        return bool(self._pending)

    def mark(self, lease: Lease) -> None:
        """An attempt is over: what it may have changed is looked at."""
        key, lane = lease.key, lease.lane
        records = self._keys.availability.records
        for spot in (*self._keys.lane_places(lane), *self._keys.key_places(lane, key)):
            if spot in records:
                self._rest_changed(spot)
        if key.is_struck:
            self.key_changed(key)
        if lease.holds:
            self._plan_changed((lane.provider, lane.quota))
            self._limits_changed(lease.holds[0].quota)
        if key.group != f"#{key.index}":
            self._joined(key)

    def _rest_changed(self, spot: Place) -> None:
        self._pending[hashed("rest", *self._names.public(spot))] = partial(self._rest, spot)

    def key_changed(self, key: KeyState, *, by_hand: bool = False) -> None:
        """A key has been put in or out of use. `by_hand`: whatever others have found."""
        name = hashed("key", key.provider, key.secret)
        if by_hand:
            self._told.pop(name, None)
            self._pending[name] = lambda: self._key(key) or Fact(self._key_value(key), 0.0)
        else:
            self._pending[name] = partial(self._key, key)

    def _plan_changed(self, plan: tuple[str, str]) -> None:
        known = self._keys.quotas.plans.get(plan)
        for axis in known.shapes if known is not None else ():
            self._pending[hashed("plan", *plan, axis)] = partial(self._plan, plan, axis)

    def _limits_changed(self, quota: Quota) -> None:
        """Keys of one model may be on different plans."""
        place = self._names.public(quota.name)
        for axis, meter in quota.meters.items():
            if meter.shape().limit is not None and not meter.is_guess:
                name = hashed("limit", *place, axis)
                self._pending[name] = partial(self._limit, place, meter)

    def reshaped(self, lease: Lease, axis: str, shape: Shape) -> None:
        """A limit of that model is counted by another rule than it was when it was reserved."""
        plan = self._keys.quotas.plans.get((lease.lane.provider, lease.lane.quota))
        if plan is None:
            return
        known = plan.shapes.get(axis)
        if known is None or not same_rule(known, shape):
            plan.shapes[axis] = shape
            self._plan_changed((lease.lane.provider, lease.lane.quota))

    def _joined(self, key: KeyState) -> None:
        """A key shares the quota of a sister: it was found so, not configured."""
        number = key.group.removeprefix("#")
        if number == key.group or not number.isdigit():
            return
        name = self._names.of_key(key)
        sister = self._names.of_key(self._keys.key(key.provider, int(number)))
        if self._names.join(key.provider, name, sister):
            self._pending[hashed("join", key.provider, name, sister)] = lambda: Fact(
                {"join": key.provider, "key": name, "with": sister}, math.inf
            )

    def begin_day(self, provider: str, turn: int) -> None:
        """A person has set the counters of a provider's day to zero, at `turn` (milliseconds)."""
        turn = max(turn, self._names.turn(provider) + 1)
        if self._names.begin_day(provider, turn):
            self._pending[hashed("days", provider)] = lambda: Fact(
                {"days": provider, "turn": turn}, math.inf
            )

    def everything(self) -> None:
        """The others have lost what they were told: all that holds is told again."""
        told, self._told = self._told, {}
        for name, fact in told.items():
            if fact.until > self._clock.wall():
                self._pending.setdefault(name, partial(Fact, fact.value, fact.until))

    def fresh(self) -> dict[str, tuple[Fact, Look]]:
        """Some of what has changed and is news, by name; the rest of it the next time."""
        found: dict[str, tuple[Fact, Look]] = {}
        while self._pending and len(found) < MOST:
            name, look = self._pending.popitem()
            fact = self._news(name, look())
            if fact is not None:
                self._told[name] = fact
                found[name] = fact, look
        return found

    def _news(self, name: str, fact: Fact | None) -> Fact | None:
        """What is to be said of `name`, if there is anything to say."""
        old = self._told.get(name)
        if fact is None:
            is_believed = old is not None and old.until > self._clock.wall() + SHORT
            return Fact(old.value, 0.0) if old is not None and is_believed else None
        is_same = old is not None and old.value == fact.value
        return None if is_same and old is not None and _is_near(old.until, fact.until) else fact

    def again(self, unheard: Mapping[str, tuple[Fact, Look]]) -> None:
        """Nobody has heard: say it the next time."""
        for name, (_, look) in unheard.items():
            self._told.pop(name, None)
            self._pending.setdefault(name, look)

    # How things stand

    def _rest(self, spot: Place) -> Fact | None:
        record, now = self._keys.availability.records.get(spot), self._clock.now()
        if record is None or not record.is_open or record.until <= now + SHORT:
            return None
        until = record.until if record.until < math.inf else now + UNTIL_RELOAD
        value = {
            "rest": list(self._names.public(spot)),
            "kind": record.kind.value,
            "soft": record.soft,
            "gap": record.gap,
            "opened": record.opened,
            "enough": record.enough,
            "sure": record.streak >= SURE,
        }
        return Fact(value, self._clock.wall() - now + until)

    def _key(self, key: KeyState) -> Fact | None:
        return Fact(self._key_value(key), math.inf) if key.is_struck else None

    def _key_value(self, key: KeyState) -> dict[str, Any]:
        why = redact(key.disabled, (key.secret,), limit=200)
        return {"key": self._names.of_key(key), "provider": key.provider, "why": why}

    def _limit(self, place: Place, meter: Meter) -> Fact:
        value = {"limit": list(place), "axis": meter.axis, "said": meter.shape().limit}
        return Fact(value, self._in_weeks())

    def _in_weeks(self) -> float:
        """When what was learned is forgotten; the same for a week, so that it is told once."""
        return math.ceil((self._clock.wall() + LEARNED_FOR) / WEEK) * WEEK

    def _plan(self, plan: tuple[str, str], axis: str) -> Fact:
        shape = self._keys.quotas.plans[plan].shapes[axis]
        return Fact({"plan": list(plan), "axis": axis, "shape": asdict(shape)}, self._in_weeks())

    # Believing

    def believe(self, facts: Mapping[str, Fact]) -> News:
        """What others have found holds here too, unless it is known better."""
        news = News()
        for name, fact in sorted(facts.items(), key=_order):
            if self._told.get(name) == fact:
                continue  # our own words
            self._told[name] = fact
            try:
                self._believe(fact, news)
            except (KeyError, TypeError, ValueError):
                continue  # not ours, or of a later version
        for provider in news.freed:
            self._keys.renew_all(provider)
        return news

    def _believe(self, fact: Fact, news: News) -> None:
        value = fact.value
        if "days" in value:
            self._believe_days(str(value["days"]), int(value["turn"]), news)
        elif "join" in value:
            self._believe_join(value["join"], value["key"], value["with"])
        elif "plan" in value and fact.until > self._clock.wall():
            self._believe_plan(value)
        elif "limit" in value and fact.until > self._clock.wall():
            self._believe_limit(value)
        elif "key" in value:
            self._believe_key(value, fact.until, news)
        elif "rest" in value:
            self._believe_rest(value, fact.until, news)

    def _believe_days(self, provider: str, turn: int, news: News) -> None:
        if self._names.knows(provider) and self._names.begin_day(provider, turn):
            self._keys.reset_daily(provider)
            news.freed.add(provider)

    def _believe_join(self, provider: str, one: str, other: str) -> None:
        roots = [self._names.root(provider, name) for name in (one, other)]
        if not self._names.join(provider, one, other):
            return
        for name, root in zip((one, other), roots, strict=True):
            key = self._names.key(provider, name)
            if key is not None:
                self._members.setdefault((provider, root), key)
        here = [self._members.pop((provider, root), None) for root in roots]
        mine = [key for key in here if key is not None]
        if mine:
            self._members[provider, self._names.root(provider, one)] = mine[0]
        if len(mine) == 2 and all(key.group.startswith("#") for key in mine):
            self._keys.unite(mine[1], mine[0])

    def _believe_limit(self, value: dict[str, Any]) -> None:
        spot = self._names.private(tuple(str(part) for part in value["limit"]))
        axis, said = str(value["axis"]), float(value["said"])
        if spot is not None and axis in PERIODS and 0.0 < said < math.inf:
            self._keys.quotas.recall(spot, axis, said)
            self._keys.touch(spot[1])

    def _believe_plan(self, value: dict[str, Any]) -> None:
        provider, model = (str(part) for part in value["plan"])
        axis, shape = str(value["axis"]), _shape(value["shape"])
        if axis in PERIODS and self._names.knows(provider):
            self._keys.quotas.believe((provider, model), axis, shape)
            self._keys.touch(provider)

    def _believe_key(self, value: dict[str, Any], until: float, news: News) -> None:
        key = self._names.key(str(value["provider"]), str(value["key"]))
        if key is None or not key.configured:
            return
        if until <= self._clock.wall():
            self._keys.switch(key, on=True)
            news.freed.add(key.provider)
        elif key.on:
            why = str(value["why"])[:200]
            self._keys.strike_out(key, why)
            news.rested = True
            words = f"key {key.masked} of {key.provider} is out of use, says another process"
            news.lines.append(f"{words}: {why}; enable_key() brings it back")

    def _believe_rest(self, value: dict[str, Any], until: float, news: News) -> None:
        spot = self._names.private(tuple(str(part) for part in value["rest"]))
        if spot is None or math.isinf(until):
            return
        records, now = self._keys.availability.records, self._clock.now()
        until -= self._clock.wall() - now
        old = records.get(spot)
        if until <= now:
            if old is not None and old.shared:
                del records[spot]
                news.freed.add(spot[1])
        elif old is None or not old.is_open or old.until + SHORT < until:
            self._keys.availability.rest(spot, _record(value, until))
            news.rested = True


def same_rule(one: Shape, other: Shape) -> bool:
    """Whether both count alike, whatever their limits."""
    return (one.kind, one.burst, one.phase) == (other.kind, other.burst, other.phase)


def _order(item: tuple[str, Fact]) -> int:
    """A new day, and who belongs together, before what follows from it."""
    value = item[1].value
    return 0 if isinstance(value, dict) and ("days" in value or "join" in value) else 1


def _is_near(one: float, other: float) -> bool:
    return one == other or abs(one - other) <= SHORT


def _record(value: dict[str, Any], until: float) -> Record:
    """Of a rest that somebody else has found; raises ValueError for one that cannot be."""
    gap, opened, enough = float(value["gap"]), int(value["opened"]), int(value["enough"])
    if not (0.0 <= gap < math.inf and opened >= 0 and enough >= 1):
        raise ValueError("not a rest")
    return Record(
        until,
        Kind(value["kind"]),
        soft=bool(value["soft"]),
        gap=gap,
        opened=opened,
        enough=enough,
        streak=SURE if value["sure"] else 0,
        shared=True,
    )


_SHAPE = {each.name for each in fields(Shape)}


def _shape(value: dict[str, Any]) -> Shape:
    """A rule as it was told; raises ValueError for one that cannot be."""
    shape = Shape(**{name: part for name, part in value.items() if name in _SHAPE})
    limit = 1.0 if shape.limit is None else shape.limit
    is_rule = shape.kind in ("bucket", "fixed", "sliding", "paced") and shape.unit in (0, 1, 2)
    if is_rule and 0 < shape.burst <= 1 and 0 <= shape.phase < DAY and 0 < limit < math.inf:
        return shape
    raise ValueError("not a rule")
