"""A program that forks with warm pools and a stream half read; run by test_processes.py.

Reads a configuration from standard input; writes what became of it as one JSON object.
"""

from __future__ import annotations

import json
import os
import sys

from aio_llm import AIO

CHILDREN = 4
QUESTIONS = 20


def wrong_answers(aio: AIO, who: str) -> int:
    """How many of so many calls did not bring this process its own answer."""
    vendors = [config.label for config in aio.settings.providers]
    wrong = 0
    for number in range(QUESTIONS):
        question = f"{who} asks {number}."
        vendor = vendors[number % len(vendors)]
        if number % 3:
            said = aio.chat_completion(question, provider=vendor).content
        else:
            said = aio.chat_completion_stream(question, provider=vendor).response.content
        wrong += not (said or "").endswith(question)
    return wrong


def forked(aio: AIO, number: int) -> int:
    """The process id of a child that asks in its own name; it exits with its wrong answers."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        code = wrong_answers(aio, f"child {number}")
    finally:
        os._exit(code)


def main() -> None:
    """Warm up, begin a stream, fork, ask side by side, finish the stream."""
    aio = AIO(**json.load(sys.stdin))
    before = wrong_answers(aio, "parent before")
    stream = aio.chat_completion_stream("parent in between")
    next(stream)
    children = [forked(aio, number) for number in range(CHILDREN)]
    beside = wrong_answers(aio, "parent beside")
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    text = stream.response.content
    print(json.dumps({"wrong": [before, beside], "codes": codes, "stream": text}))


if __name__ == "__main__":
    main()
