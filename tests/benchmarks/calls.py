"""Processor time of one call, with a short and with a long history."""

from __future__ import annotations

from .callers import history, ours, raw
from .measure import Measured, Setup, cpu_of, micro, take_turns


def one_message(setup: Setup, sdk: str) -> list[Measured]:
    """A call with one message."""
    return [_compare("call", sdk, 1, setup)]


def long_history(setup: Setup, sdk: str) -> list[Measured]:
    """A call with 50 messages."""
    return [_compare("history", sdk, 50, setup)]


def _compare(figure: str, sdk: str, messages: int, setup: Setup) -> Measured:
    turns = history(messages)
    base, mine = raw(sdk, setup.origin, turns), ours(sdk, setup.origin, turns)
    times = 100 if messages == 1 else 15
    for caller in (base, mine):
        cpu_of(caller.chat, times // 2)
    took = take_turns(
        lambda: cpu_of(base.chat, times),
        lambda: cpu_of(mine.chat, times * 2),
        setup.rounds(25, 5),
    )
    return Measured(figure, took.ratios, f"{micro(took.ours)} : {micro(took.base)}", sdk)
