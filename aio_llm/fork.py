"""What must be made anew in a forked child: locks that may be held, sockets that are shared.

An object that registers here gets its `after_fork()` called in every child, before any
other code of the child runs (POSIX fork(2); `os.register_at_fork`).
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class ForkAware(Protocol):
    """Anything that can put itself right in a forked child."""

    def after_fork(self) -> None: ...


_registered: weakref.WeakSet[ForkAware] = weakref.WeakSet()


def renew_after_fork(thing: ForkAware) -> None:
    """Call `thing.after_fork()` in every child forked from now on; holds no reference."""
    _registered.add(thing)


generation = 0
"""How many forks lie between the first process and this one."""


def _renew_all() -> None:
    global generation
    generation += 1
    for thing in list(_registered):
        thing.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
