"""The faults by name: a table from name to builder; what a vendor says is the vendor's own data.

| fault | on a call | on a stream |
|---|---|---|
| errors (429... 529, html_403, content_filter) | the vendor's error | the same, before any event |
| reset, close, hang | after the request, before any byte | the same |
| drip, slow | the healthy answer, slowly | the same |
| error_in_200 | a JSON error with status 200 | the same as json_instead_of_sse |
| html_200, empty_200 | a page, or nothing | the same |
| truncated_json | half a body | one event with half a chunk |
| no_choices, empty_content | no or empty choices | the same in chunks |
| redirect | to the trap, under another host name | the same |
| wrong_length | body shorter than announced, then closed | the same, role chunk only |
| sse_error_first, json_instead_of_sse | error_in_200 | as named |
| done_only | no_choices | as named |
| comments_then_error | error_in_200 after the wait | as named |
| role_then_cut, cut, cut_in_line | wrong_length | as named |
| cut_reset, stall | wrong_length and a reset, or silence | as named |
| no_finish | no finish reason in the choice | as named |
| sse_error | error_in_200 | as named |
| finish_error | partial text, finish reason "error" | as named |
| garbage, bad_utf8 | truncated_json | as named |
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from aio_llm.simulator import stream_faults as streams
from aio_llm.simulator.http1 import header_block, sized
from aio_llm.simulator.records import End, Event, Json, Play, Reply
from aio_llm.simulator.shot import Builder, Shot
from aio_llm.simulator.vendor import HTML_TYPE, JSON_TYPE, SSE_TYPE

_PAGE = b"<!DOCTYPE html><html><head><title>Welcome</title></head><body>Sign in</body></html>"
_TRAP = "/_sim/trap"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault's builder and its parameters with their defaults; times in seconds."""

    build: Builder
    params: Mapping[str, Any] = field(default_factory=dict)


def error(name: str) -> Builder:
    """The vendor's error of that name."""
    return lambda shot: shot.play(shot.error(name))


def _retry_after(shot: Shot) -> Play:
    reply = shot.error("limit")
    hint = header_block({"retry-after": f"{shot.params['seconds']:g}"})
    return shot.play(replace(reply, headers=reply.headers + hint))


def _vendor_reset(shot: Shot) -> Play:
    axis = "rpm" if shot.ask.vendor == "google-ai" else "tpm"
    case = {"limit": 12_000, "used": 11_800, "requested": 985} if axis == "tpm" else {"limit": 5}
    if shot.ask.vendor == "openrouter":
        case = {"limit": 20}
    return shot.play(shot.error("limit", axis=axis, wait=shot.params["seconds"], **case))


def _day(shot: Shot) -> Play:
    wait, axis = (shot.params["seconds"], "tpd" if shot.ask.vendor == "cerebras" else "rpd")
    wait = shot.vendor.day_wait if wait is None else wait
    limits = {"groq": 1000, "google-ai": 20, "openrouter": 50}
    limit = limits.get(shot.ask.vendor, 1_000_000)
    return shot.play(shot.error("limit", axis=axis, wait=wait, limit=limit, used=limit))


def _content_filter(shot: Shot) -> Play:
    problem = shot.vendor.problem("content_filter", shot.case)
    if problem.status == 200 and shot.ask.stream and isinstance(problem.body, dict):
        return shot.play(shot.stream([Event("finish", shot.vendor.sse(problem.body))]))
    return shot.play(shot.vendor.reply(problem, shot.ask.serial))


def _gone(name: str, end: End) -> Builder:
    return lambda shot: Play(name, [], end)


def _drip(shot: Shot) -> Play:
    play = shot.play(shot.healthy())
    return replace(play, steps=_byte_by_byte(play, shot.params["interval"]))


def _byte_by_byte(play: Play, interval: float) -> Iterator[bytes | float]:
    data = b"".join(step for step in play.steps if isinstance(step, bytes))
    head, _, body = data.partition(b"\r\n\r\n")
    yield head + b"\r\n\r\n"
    for position in range(len(body)):
        yield interval
        yield body[position : position + 1]


def _slow(shot: Shot) -> Play:
    play = shot.play(shot.healthy())
    return replace(play, steps=[shot.params["seconds"], *play.steps])


def _error_in_200(shot: Shot) -> Play:
    return shot.play(replace(shot.error("500"), status=200))


def _fixed_200(content_type: str, body: bytes) -> Builder:
    def build(shot: Shot) -> Play:
        kind = SSE_TYPE if shot.ask.stream and not body else content_type
        return shot.play(Reply(200, shot.vendor.headers(kind, shot.ask.serial), body))

    return build


def _truncated_json(shot: Shot) -> Play:
    reply = shot.healthy()
    if reply.events is None:
        return shot.play(replace(reply, body=reply.body[: len(reply.body) * 2 // 3]))
    line = next(event.data for event in reply.events if event.kind == "content").rstrip()
    half = Event("content", line[: len(line) * 2 // 3] + b"\n\n")
    return shot.play(replace(reply, events=(half,)))


def _no_choices(shot: Shot) -> Play:
    return shot.altered(lambda body: body | {shot.choices: []})


def _empty_content(shot: Shot) -> Play:
    if not shot.ask.stream:
        return shot.altered(lambda body: _emptied(body, shot.choices))
    events = list(shot.healthy().events or ())
    kept = [event for event in events if event.kind != "content"]
    blank = [shot.vendor.blank_event(shot.ask)] if shot.ask.vendor == "google-ai" else []
    return shot.play(shot.stream([*blank, *kept]))


def _emptied(body: Json, choices: str) -> Json:
    for choice in body.get(choices, ()):
        if "message" in choice:
            choice["message"] = {"role": "assistant", "content": ""}
        else:
            choice["content"] = {"parts": [{"text": ""}], "role": "model"}
    return body


def _redirect(shot: Shot) -> Play:
    to = shot.params["to"] or f"{shot.other_origin}{_TRAP}"
    headers = shot.vendor.headers(JSON_TYPE, shot.ask.serial) + header_block({"location": to})
    return shot.play(Reply(307, headers))


def _wrong_length(shot: Shot, end: End = End.CLOSE) -> Play:
    reply = shot.healthy()
    body = reply.body
    if reply.events is not None:
        body = shot.vendor.blank_event(shot.ask).data
    data = sized(replace(reply, body=body), extra=200) + body
    return Play(reply.status, [data, *streams.pause(end)], end)


def _wrong_length_reset(shot: Shot) -> Play:
    return _wrong_length(shot, End.RESET)


def _half_and_silence(shot: Shot) -> Play:
    reply = shot.healthy()
    return Play(reply.status, [sized(reply) + reply.body[: len(reply.body) // 2]], End.HANG)


def _late_error(shot: Shot) -> Play:
    play = _error_in_200(shot)
    return replace(play, steps=[shot.params["seconds"], *play.steps])


def _no_finish(shot: Shot) -> Play:
    return shot.altered(lambda body: _unfinished(body, shot.choices))


def _unfinished(body: Json, choices: str) -> Json:
    for choice in body.get(choices, ()):
        for name in ("finish_reason", "native_finish_reason"):
            choice.update({name: None} if name in choice else {})
        choice.pop("finishReason", None)
    return body


def _finish_error(shot: Shot) -> Play:
    body = shot.vendor.encode(shot.vendor.finish_error(shot.ask))
    return shot.play(Reply(200, shot.vendor.headers(JSON_TYPE, shot.ask.serial), body))


def by_kind(call: Builder, stream: Builder) -> Builder:
    """One builder for plain calls, another one for streams."""
    return lambda shot: (stream if shot.ask.stream else call)(shot)


_PLAIN = ("429", "insufficient_quota", "402", "401", "403", "400", "422", "context_length",
          "413", "404", "decommissioned", "500", "502", "503", "529", "html_403")  # fmt: skip
_AFTER = {"after": 2}

FAULTS: Mapping[str, Fault] = {
    **{name: Fault(error(name)) for name in _PLAIN},
    "429_retry_after": Fault(_retry_after, {"seconds": 30.0}),
    "429_vendor_reset": Fault(_vendor_reset, {"seconds": 432.5}),
    "429_day": Fault(_day, {"seconds": None}),
    "content_filter": Fault(_content_filter),
    "reset": Fault(_gone("reset", End.RESET)),
    "close": Fault(_gone("close", End.CLOSE)),
    "hang": Fault(_gone("hang", End.HANG)),
    "drip": Fault(_drip, {"interval": 1.0}),
    "slow": Fault(_slow, {"seconds": 1.0}),
    "error_in_200": Fault(_error_in_200),
    "html_200": Fault(_fixed_200(HTML_TYPE, _PAGE)),
    "empty_200": Fault(_fixed_200(JSON_TYPE, b"")),
    "truncated_json": Fault(_truncated_json),
    "no_choices": Fault(by_kind(_no_choices, streams.no_choices)),
    "empty_content": Fault(_empty_content),
    "redirect": Fault(_redirect, {"to": None}),
    "wrong_length": Fault(_wrong_length),
    "sse_error_first": Fault(by_kind(_error_in_200, streams.error_first)),
    "done_only": Fault(by_kind(_no_choices, streams.done_only)),
    "json_instead_of_sse": Fault(_error_in_200),
    "comments_then_error": Fault(
        by_kind(_late_error, streams.comments_then_error), {"seconds": 0.2}
    ),
    "role_then_cut": Fault(by_kind(_wrong_length, streams.role_then_cut)),
    "cut": Fault(by_kind(_wrong_length, streams.cut(End.CLOSE)), _AFTER),
    "cut_reset": Fault(by_kind(_wrong_length_reset, streams.cut(End.RESET)), _AFTER),
    "stall": Fault(by_kind(_half_and_silence, streams.cut(End.HANG)), _AFTER),
    "no_finish": Fault(by_kind(_no_finish, streams.no_finish), _AFTER),
    "sse_error": Fault(by_kind(_error_in_200, streams.error_after), _AFTER),
    "finish_error": Fault(by_kind(_finish_error, streams.finish_error), _AFTER),
    "garbage": Fault(by_kind(_truncated_json, streams.garbage), _AFTER),
    "bad_utf8": Fault(by_kind(_truncated_json, streams.bad_utf8), _AFTER),
    "cut_in_line": Fault(by_kind(_wrong_length, streams.cut_in_line), _AFTER),
}


def params_of(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fault's parameters, the given ones over the defaults; ValueError for unknown names."""
    fault = FAULTS.get(name)
    if fault is None:
        raise ValueError(f"no fault {name!r}; there are {', '.join(sorted(FAULTS))}")
    for param in given:
        if param not in fault.params:
            known = ", ".join(fault.params) or "no parameters"
            raise ValueError(f"fault {name!r} has no parameter {param!r}; it takes {known}")
    return {**fault.params, **given}
