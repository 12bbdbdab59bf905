"""`python -m aio_llm demo`: what happens when vendors fail, shown without a key.

The vendors are simulated on this machine, the SDKs that talk to them are the real ones. Every
scene makes claims and checks them against what arrived at the vendors, not only against the
answer; the exit code is 0 only if all of them held.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

from aio_llm.cancel import CancelToken
from aio_llm.client import AIO
from aio_llm.errors import AIOError, RequestCancelledError
from aio_llm.simulator import Simulator
from aio_llm.types import Attempt

WIDTH = 80
MARK = "[SIMULATED]"


@dataclass
class Stage:
    """Where a scene plays: simulated vendors, something to write to, and what proved untrue."""

    sim: Simulator
    out: TextIO
    untrue: list[str] = field(default_factory=list)

    def say(self, label: str, words: str) -> None:
        """One line, cut to the width of a narrow terminal."""
        line = f"  {label:<8}{words}"
        self.out.write((line if len(line) <= WIDTH else line[: WIDTH - 3] + "...") + "\n")

    def trail(self, attempts: Iterable[Attempt], label: str = "tried") -> None:
        """Who was asked, and what came of it."""
        for step in attempts:
            status = f"{step.status} " if step.status else ""
            rests = f", rests {step.cooled_for:.0f} s" if step.cooled_for else ""
            self.say(label, f"{step.provider:<11}{step.key:<11}{status}{step.outcome}{rests}")
            label = ""

    def claim(self, words: str, holds: bool) -> None:
        """Say what has just been shown, or that it was not so."""
        self.say("ok" if holds else "WRONG", words)
        if not holds:
            self.untrue.append(words)

    def arrived(self) -> list[str]:
        """The chat requests that have reached the vendors, as "groq key 1", oldest first."""
        asked = [one for one in self.sim.requests if one.method == "POST"]
        return [f"{r.vendor} key {self.sim.keys(r.vendor).index(r.key) + 1}" for r in asked]

    @contextmanager
    def aio(self, *vendors: str) -> Iterator[AIO]:
        """A client of one model of each of these vendors, the first vendor preferred."""
        ranked = [
            self.sim.provider(vendor, priority=100 - 10 * place, models=self.sim.models(vendor)[:1])
            for place, vendor in enumerate(vendors)
        ]
        with AIO(providers=ranked, auto_mode=True) as made:
            yield made


@dataclass(frozen=True)
class Scene:
    """One thing that can happen, and the function that shows it."""

    title: str
    play: Callable[[Stage], None]


def priority(stage: Stage) -> None:
    """The highest number is asked first; a vendor named in the call is asked alone."""
    vendors = ("groq", "cerebras", "google-ai", "openrouter")
    with stage.aio(*vendors) as aio:
        answer = aio.chat_completion("Hello!")
        stage.say("answer", answer.content)
        stage.claim(
            "the first by priority answered, one request", stage.arrived() == ["groq key 1"]
        )
        for vendor in vendors[1:]:
            stage.say("answer", aio.chat_completion("Hello!", provider=vendor).content)
    named = [f"{vendor} key 1" for vendor in vendors[1:]]
    stage.claim("each vendor named in a call was the one asked", stage.arrived()[1:] == named)


def rate_limit(stage: Stage) -> None:
    """A key that is told to wait rests, the next one answers at once."""
    stage.sim.inject("429_retry_after", key=stage.sim.keys("groq")[0], seconds=30)
    with stage.aio("groq", "cerebras") as aio:
        first = aio.chat_completion("Hello!")
        stage.trail(first.attempts, "call 1")
        second = aio.chat_completion("Hello again!")
        stage.trail(second.attempts, "call 2")
    stage.claim("call 1 went on to key 2 at once", first.latency < 5 and _by(first) == "groq ok")
    stage.claim(
        "call 2 left key 1 alone: 3 requests in all, not 4",
        stage.arrived() == ["groq key 1", "groq key 2", "groq key 2"],
    )


def dead_key(stage: Stage) -> None:
    """A refused key is set aside, not asked with every call."""
    stage.sim.inject("401", key=stage.sim.keys("google-ai")[0])
    with stage.aio("google-ai") as aio:
        stage.trail(aio.chat_completion("Hello!").attempts, "call 1")
        stage.trail(aio.chat_completion("Hello again!").attempts, "call 2")
        row = aio.get_key_stats("google-ai")["keys"][0]
    stage.claim(f"key 1 is {row['state']}: {row['reason']}", row["reason"] == "bad_key")
    stage.claim(
        "it was asked once, never again by call 2",
        stage.arrived() == ["google-ai key 1", "google-ai key 2", "google-ai key 2"],
    )


def outage(stage: Stage) -> None:
    """When a vendor is down, the next one answers, and no key is blamed."""
    stage.sim.inject("503", vendor="groq")
    with stage.aio("groq", "openrouter") as aio:
        first = aio.chat_completion("Hello!")
        stage.trail(first.attempts, "call 1")
        stage.trail(aio.chat_completion("Hello again!").attempts, "call 2")
        disabled = aio.get_key_stats()["disabled"]
    stage.claim("the next vendor answered", _by(first) == "openrouter ok")
    stage.claim(
        "call 2 did not knock at the closed door again",
        stage.arrived() == ["groq key 1", "openrouter key 1", "openrouter key 2"],
    )
    stage.claim("an outage disables no key", disabled == 0)


def stream_before_output(stage: Stage) -> None:
    """A stream that breaks before its first word is replaced unseen."""
    stage.sim.inject("sse_error_first", vendor="groq")
    with stage.aio("groq", "google-ai") as aio:
        stream = aio.chat_completion_stream("Tell me about the sea.")
        stage.trail(stream.attempts)
        pieces = [chunk.content for chunk in stream if chunk.content]
    stage.say("stream", "|".join(pieces))
    whole = "".join(pieces) == "google-ai/gemini-2.5-flash says: Tell me about the sea."
    stage.claim("the reader saw one clean answer", whole and stream.finish_reason == "stop")
    stage.claim(
        "both vendors were asked, once each",
        stage.arrived() == ["groq key 1", "google-ai key 1"],
    )


def stream_after_output(stage: Stage) -> None:
    """A stream that breaks after output starts again elsewhere, and says so."""
    stage.sim.inject("cut", vendor="groq", after=2)
    texts: list[list[str]] = [[]]
    with stage.aio("groq", "cerebras") as aio:
        stream = aio.chat_completion_stream("Tell me about the sea.", on_interrupt="restart")
        for chunk in stream:
            if chunk.restarted:
                texts.append([])
            texts[-1].append(chunk.content)
    for label, pieces in zip(("stream", "restart", "restart"), texts, strict=False):
        stage.say(label, "|".join(piece for piece in pieces if piece))
    stage.trail(stream.attempts)
    told = len(texts) == 2 and "".join(texts[0]).startswith("groq/")
    stage.claim("the break was announced before the text began anew", told)
    whole = "".join(texts[-1]) == "cerebras/gpt-oss-120b says: Tell me about the sea."
    stage.claim("the second text is whole", whole and stream.text == "".join(texts[-1]))
    stage.claim(
        "both vendors were asked, once each", stage.arrived() == ["groq key 1", "cerebras key 1"]
    )


def cancel(stage: Stage) -> None:
    """A call that hangs ends within milliseconds of `cancel()`, and hangs up."""
    hanging = stage.sim.inject("hang", vendor="openrouter")
    token = CancelToken()
    pressed: list[float] = []
    with stage.aio("openrouter") as aio:
        person = threading.Thread(target=_press, args=(stage.sim, token, pressed), daemon=True)
        person.start()
        raised = ""
        try:
            aio.chat_completion("Are you there?", cancel=token, timeout=10)
        except RequestCancelledError as error:
            raised = type(error).__name__
        ended = time.perf_counter()
        person.join()
        took = (ended - pressed[0]) * 1000
        stage.say("cancel", f"{raised or 'nothing'} came {took:.1f} ms after cancel()")
        stage.claim("it came at once", bool(raised) and took < 500)
        hung_up = stage.sim.wait_for(lambda: stage.sim.active == 0)
        stage.claim("the vendor saw the connection close", hung_up and stage.sim.aborted == 1)
        hanging.remove()
        stage.say("answer", aio.chat_completion("And now?").content)
        errors = aio.get_key_stats()["total_errors"]
    stage.claim("the next call works, and no key is blamed", not errors)
    stage.claim("two requests in all: nothing was retried", stage.sim.count("openrouter") == 2)


def _press(sim: Simulator, token: CancelToken, pressed: list[float]) -> None:
    sim.wait_for(lambda: sim.active == 1)
    pressed.append(time.perf_counter())
    token.cancel()


def key_table(stage: Stage) -> None:
    """What each key has done and may do, to be asked for at any time."""
    sim = stage.sim
    first, second = sim.keys("groq")
    sim.inject("401", key=second)
    limited = sim.provider(
        "groq", priority=100, api_keys=[{"key": first, "daily_limit": 1}, second]
    )
    with AIO(providers=[limited, sim.provider("cerebras")], auto_mode=True) as aio:
        for _ in range(3):
            aio.chat_completion("Hello!")
        rows = aio.get_key_stats()["keys"]
    stage.say("", f"{'vendor':<11}{'key':<11}{'state':<9}{'reason':<13}{'today':>5}{'limit':>7}")
    for row in rows:
        stage.say("", _row(row))
    secrets = [key for vendor in ("groq", "cerebras") for key in sim.keys(vendor)]
    seen = [sim.count(key=key) for key in secrets]
    stage.claim(
        f"the table counts what the vendors saw: {seen}",
        [row["used_today"] for row in rows] == seen and sum(seen) == 4,
    )
    states = [row["reason"] for row in rows]
    stage.claim(
        "the spent key and the dead key rest, the others do not",
        states == ["daily_limit", "bad_key", "", ""],
    )


def _row(row: dict[str, Any]) -> str:
    limit = "-" if row["limit"] is None else row["limit"]
    return (
        f"{row['provider']:<11}{row['key']:<11}{row['state']:<9}{row['reason'] or '-':<13}"
        f"{row['used_today']:>5}{limit:>7}"
    )


def _by(answer: Any) -> str:
    return f"{answer.attempts[-1].provider} {answer.attempts[-1].outcome}"


SCENES: tuple[Scene, ...] = (
    Scene("priority: the highest number is asked first", priority),
    Scene("429: a limited key rests, the next key answers", rate_limit),
    Scene("a dead key is set aside", dead_key),
    Scene("outage: the next vendor answers", outage),
    Scene("a stream breaks before its first word", stream_before_output),
    Scene("a stream breaks after output, on_interrupt='restart'", stream_after_output),
    Scene("cancel a call that hangs", cancel),
    Scene("the key table", key_table),
)

_WELCOME = f"""\
{MARK} No key is used and nothing leaves this machine: the vendors are
simulated on 127.0.0.1, the SDKs talking to them are the real ones.
"""
_NEXT = """\
next: export GROQ_API_KEY=...   (or OPENROUTER_, CEREBRAS_, GEMINI_API_KEY)
      python -m aio_llm chat "Hello"
"""


def run(out: TextIO | None = None, scenes: Sequence[Scene] = SCENES) -> int:
    """Play the scenes; 0 if every one did what it says, else 1. Writes to stdout by default."""
    out = out or sys.stdout
    out.write(_WELCOME)
    failed: list[str] = []
    with Simulator(keys=2) as sim:
        for number, scene in enumerate(scenes, 1):
            out.write(f"\n{MARK} {number}/{len(scenes)}  {scene.title}\n")
            if not _plays(scene, Stage(sim, out)):
                failed.append(f"{number} ({scene.title})")
            out.flush()
    return _close(out, failed)


def _plays(scene: Scene, stage: Stage) -> bool:
    stage.sim.clear()
    try:
        scene.play(stage)
    except AIOError as error:
        stage.claim(f"no error, but there was {type(error).__name__}: {error}", holds=False)
    return not stage.untrue


def _close(out: TextIO, failed: Sequence[str]) -> int:
    if failed:
        out.write(f"\n{MARK} these scenes did not do what they say: {'; '.join(failed)}\n")
        return 1
    out.write(f"\n{_NEXT}\n{MARK} every scene did what it says\n")
    return 0
