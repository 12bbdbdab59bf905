"""What keys, groups and windows are called where others can read it: the same in every process.

A process numbers its keys as its own configuration does, and another one has other keys, in
another order. So a key is called by its hash, a group that was configured by the hash of its
name, and keys that turned out to share a quota by the smallest hash among them. No name lets
anybody read a key. The caller holds the keys' lock.
"""

from __future__ import annotations

from aio_llm.allowances import PERIODS
from aio_llm.core.availability import Place
from aio_llm.core.key_state import KeyState
from aio_llm.core.keys import KeyManager
from aio_llm.faults import Scope
from aio_llm.quota.shapes import DAY
from aio_llm.state.base import hashed

_GROUPS = (Scope.GROUP.value, Scope.GROUP_MODEL.value)
_KEYS = (Scope.KEY.value, Scope.KEY_MODEL.value)


class PublicNames:
    """Names of one configuration's keys, groups and windows, and back again."""

    def __init__(self, keys: KeyManager) -> None:
        self._keys = keys
        self._labels = {key.provider for key in keys.keys(None)}
        self._ids: dict[KeyState, str] = {}
        self._found: dict[str, dict[str, KeyState]] = {}
        self._roots: dict[tuple[str, str], str] = {}
        self._groups: dict[str, dict[str, str]] = {}
        self._days: dict[str, int] = {}
        self._windows: dict[tuple[Place, str], str] = {}

    def of_key(self, key: KeyState) -> str:
        """A key by its hash."""
        known = self._ids.get(key)
        if known is None:
            known = self._ids[key] = hashed("key", key.provider, key.secret)[:16]
        return known

    def key(self, provider: str, name: str) -> KeyState | None:
        """The key that is called so, None if this process has no such key."""
        known = self._found.get(provider)
        if known is None and provider in self._labels:
            mine = {self.of_key(key): key for key in self._keys.keys(provider)}
            known = self._found[provider] = mine
        return None if known is None else known.get(name)

    def public(self, spot: Place) -> Place:
        """A place as all processes call it."""
        if spot[0] in _KEYS:
            name = self.of_key(self._keys.key(spot[1], int(spot[2])))
        elif spot[0] in _GROUPS:
            name = self._of_group(spot[1], spot[2])
        else:
            return spot
        return (*spot[:2], name, *spot[3:])

    def private(self, spot: Place) -> Place | None:
        """A place as this process calls it; None if it has no such provider, key or group."""
        if len(spot) < 2 or spot[1] not in self._labels:
            return None
        if spot[0] not in (*_KEYS, *_GROUPS):
            return spot
        if spot[0] in _GROUPS:
            name = self._group(spot[1], spot[2])
        else:
            key = self.key(spot[1], spot[2])
            name = None if key is None else str(key.index)
        return None if name is None else (*spot[:2], name, *spot[3:])

    def knows(self, provider: str) -> bool:
        """Whether that provider is configured here."""
        return provider in self._labels

    def _of_group(self, provider: str, group: str) -> str:
        number = group.removeprefix("#")
        if number == group or not number.isdigit():
            return hashed("group", provider, group)[:16]
        return self.root(provider, self.of_key(self._keys.key(provider, int(number))))

    def _group(self, provider: str, name: str) -> str | None:
        known = self._groups.get(provider)
        if known is None:
            groups = {key.group for key in self._keys.keys(provider)}
            known = {self._of_group(provider, group): group for group in groups}
            self._groups[provider] = known
        return known.get(name)

    # Keys that turned out to share a quota

    def root(self, provider: str, name: str) -> str:
        """The name of the group that a key, or a group, belongs to."""
        while (further := self._roots.get((provider, name))) is not None:
            name = further
        return name

    def join(self, provider: str, one: str, other: str) -> bool:
        """Two groups are one from now on; False if they were already."""
        first, second = sorted((self.root(provider, one), self.root(provider, other)))
        if first == second:
            return False
        self._roots[provider, second] = first
        self._groups.pop(provider, None)
        self._windows.clear()
        return True

    # Windows

    def window(self, quota: Place, axis: str) -> str:
        """Where one limit of a quota is counted by all."""
        known = self._windows.get((quota, axis))
        if known is None:
            day = self._day_of(quota[1]) if PERIODS[axis] == DAY else ()
            known = hashed(*self.public(quota), axis, *day)
            self._windows[quota, axis] = known
        return known

    def day(self, key: KeyState) -> str:
        """Where all count the requests of a key's day."""
        place = ("day", key.provider, str(key.index))
        known = self._windows.get((place, ""))
        if known is None:
            day = self._day_of(key.provider)
            known = self._windows[place, ""] = hashed("day", key.provider, key.secret, *day)
        return known

    def turn(self, provider: str) -> int:
        """When a person set the counters of the day to zero, 0 if nobody has."""
        return self._days.get(provider, 0)

    def _day_of(self, provider: str) -> tuple[str, ...]:
        turn = self.turn(provider)
        return (str(turn),) if turn else ()

    def begin_day(self, provider: str, turn: int) -> bool:
        """A person has set the counters of the day to zero, at `turn` (epoch milliseconds): they
        are kept under other names from now on. False if that is known.
        """
        if turn <= self.turn(provider):
            return False
        self._days[provider] = turn
        self._windows.clear()
        return True
