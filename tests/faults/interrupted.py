"""A program whose user presses Ctrl-C in every call; run by test_ctrl_c.py.

Reads a configuration from standard input; writes one JSON line per interrupted call.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable

from aio_llm import AIO


def called(aio: AIO, vendor: str) -> None:
    """Interrupted before the headers of an answer."""
    aio.chat_completion("hang", provider=vendor)


def opened(aio: AIO, vendor: str) -> None:
    """Interrupted before the headers of a stream."""
    aio.chat_completion_stream("hang", provider=vendor)


def read(aio: AIO, vendor: str) -> None:
    """Interrupted between two pieces of a stream."""
    for chunk in aio.chat_completion_stream("stall", provider=vendor):
        print(json.dumps({"piece": chunk.content}), flush=True)


SITUATIONS: dict[str, Callable[[AIO, str], None]] = {
    "called": called,
    "opened": opened,
    "read": read,
}


def outcome(situation: Callable[[AIO, str], None], aio: AIO, vendor: str) -> dict[str, object]:
    """What came out of the interrupted call, and the answer to the next one."""
    ended = "no interrupt"
    try:
        situation(aio, vendor)
    except BaseException as error:
        ended = type(error).__name__
    answer = aio.chat_completion("next", provider=vendor)
    (row,) = aio.get_key_stats(vendor)["keys"]
    facts = {name: row[name] for name in ("in_flight", "total_errors", "errors_in_row")}
    return {"ended": ended, "next": answer.content, "attempts": len(answer.attempts), **facts}


def main() -> None:
    """Every vendor in every situation."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell ignores it
    aio = AIO(**json.load(sys.stdin))
    aio.warmup()
    for vendor in [config.label for config in aio.settings.providers]:
        for name, situation in SITUATIONS.items():
            said = outcome(situation, aio, vendor)
            print(json.dumps({"vendor": vendor, "situation": name, **said}), flush=True)


if __name__ == "__main__":
    main()
