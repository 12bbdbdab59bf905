"""Builders of what can go wrong with a stream, before its first content and after it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aio_llm.simulator.http1 import chunk, chunked, compact_json, joined, stream_steps
from aio_llm.simulator.records import End, Event, Play, RealSeconds, Reply
from aio_llm.simulator.shot import Builder, Shot

_SETTLE = RealSeconds(0.02)  # the client gets to read before a reset would discard what was sent
_COMMENT = Event("comment", b": keep-alive\n\n")


def pause(end: End) -> list[bytes | float]:
    """A short wait before a reset, so that the client has read what came before."""
    return [_SETTLE] if end is End.RESET else []


def upto(events: Sequence[Event], after: int) -> list[Event]:
    """The events before the finish, with at most `after` content events."""
    kept: list[Event] = []
    for event in events:
        if event.kind in ("finish", "usage", "done"):
            break
        if event.kind == "content":
            after -= 1
            if after < 0:
                break
        kept.append(event)
    return kept


def broken(shot: Shot, reply: Reply, events: Sequence[Event], end: End) -> Play:
    """The events without the end of the chunked body, then the end."""
    first = [shot.latency] if shot.latency else []
    steps = [*first, chunked(reply), *stream_steps(events, shot.delay), *pause(end)]
    return Play(reply.status, joined(steps), end)


def shortened(shot: Shot, extra: Sequence[Event]) -> Play:
    """Some content, then other events than the true ones, then a proper end."""
    reply = shot.healthy()
    if reply.events is None:
        return shot.play(reply)
    kept = upto(reply.events, shot.params["after"])
    return shot.play(replace(reply, events=(*kept, *extra)))


def cut(end: End) -> Builder:
    """Some content, then the connection ends (or falls silent) inside the chunked body."""

    def build(shot: Shot) -> Play:
        reply = shot.healthy()
        if reply.events is None:
            return shot.play(reply)
        return broken(shot, reply, upto(reply.events, shot.params["after"]), end)

    return build


def cut_in_line(shot: Shot) -> Play:
    """Some content, then a chunk with half an event, then a proper end of the body."""
    reply = shot.healthy()
    if reply.events is None:
        return shot.play(reply)
    kept = upto(reply.events, shot.params["after"])
    line = kept[-1].data.rstrip()
    return shot.play(replace(reply, events=(*kept, Event("usage", line[: len(line) // 2]))))


def no_finish(shot: Shot) -> Play:
    """Some content, then a proper end."""
    return shortened(shot, ())


def error_after(shot: Shot) -> Play:
    """Some content, then the vendor's error event."""
    return shortened(shot, [_error(shot)])


def finish_error(shot: Shot) -> Play:
    """Some content, then a choice that ends with an error."""
    return shortened(shot, [Event("finish", shot.vendor.sse(shot.vendor.finish_error(shot.ask)))])


def garbage(shot: Shot) -> Play:
    """Some content, then an event that is not JSON."""
    return shortened(shot, [Event("usage", b"data: {not json\n\n")])


def bad_utf8(shot: Shot) -> Play:
    """Some content, then an event that is not UTF-8."""
    return shortened(shot, [Event("usage", b'data: {"id":"\xff\xfe\xfa"}\n\n')])


def error_first(shot: Shot) -> Play:
    """The vendor's error event and nothing before it."""
    return shot.play(shot.stream([_error(shot)]))


def done_only(shot: Shot) -> Play:
    """Only the terminator; for a vendor without one, nothing at all."""
    done = [event for event in shot.healthy().events or () if event.kind == "done"]
    return shot.play(shot.stream(done))


def no_choices(shot: Shot) -> Play:
    """One chunk with an empty list of choices, then the terminator."""
    body = shot.vendor.finish_error(shot.ask) | {shot.choices: []}
    done = [event for event in shot.healthy().events or () if event.kind == "done"]
    return shot.play(shot.stream([Event("content", shot.vendor.sse(body)), *done]))


def comments_then_error(shot: Shot) -> Play:
    """Comments during the given seconds, then the vendor's error event."""
    reply = shot.stream([_error(shot)])
    beat = shot.params["seconds"] / 4
    steps: list[bytes | float] = [chunked(reply)]
    for _ in range(4):
        steps += [chunk(_COMMENT.data), beat]
    error = reply.events[0].data if reply.events else compact_json({})
    return Play(200, [*steps, chunk(error) + b"0\r\n\r\n"])


def role_then_cut(shot: Shot) -> Play:
    """The first chunk without text, then the connection ends."""
    reply = shot.stream([])
    return broken(shot, reply, [shot.vendor.blank_event(shot.ask)], End.CLOSE)


def _error(shot: Shot) -> Event:
    problem = shot.vendor.problem("503", shot.case)
    return Event("finish", shot.vendor.stream_error(shot.ask, problem))
