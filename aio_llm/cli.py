"""The command line: `aio-llm`, or `python -m aio_llm`. Not an application: one call, one look.

Answers go to stdout, everything about them to stderr. Exit codes: 0 done, 1 it failed,
2 wrong usage or configuration, 130 interrupted. Nothing heavy is imported before a command
needs it, so that `--help` is quick.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aio_llm.client import AIO
    from aio_llm.stream import ChatStream
    from aio_llm.types import ChatCompletion

Command = Callable[[argparse.Namespace], int]

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    _print_anything()
    if given[:1] == ["simulator"]:
        return _simulator(given[1:])
    parser = build_parser()
    options = parser.parse_args(given)
    if options.command is None:
        parser.print_help(sys.stderr)
        return USAGE
    return _guarded(options.command, options)


def build_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = argparse.ArgumentParser(
        prog="aio-llm",
        description="One dependable chat endpoint out of a pile of LLM API keys.",
        epilog='Start here: "aio-llm demo" needs no key.',
    )
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    _add_demo(commands)
    _add_chat(commands)
    _add_explain(commands)
    _add_keys(commands)
    commands.add_parser("simulator", help="run the simulated vendors in the foreground")
    return parser


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser("demo", help="see what it does when vendors fail; needs no key")
    demo.set_defaults(command=_demo)


def _add_chat(commands: Any) -> None:
    chat = commands.add_parser("chat", help="ask once; keys come from the environment")
    chat.add_argument("prompt", nargs="*", help='what to ask; none or "-": read it from stdin')
    chat.add_argument("-m", "--model", help='"model" or "provider/model"; default: by priority')
    chat.add_argument("-p", "--provider", help="only this provider")
    chat.add_argument("-f", "--fallback", action="store_true", help="then everybody else")
    chat.add_argument("-s", "--system", help="a system message")
    chat.add_argument("--no-stream", action="store_true", help="print the answer when it is whole")
    chat.add_argument("--json", action="store_true", help="the answer with all about it as JSON")
    _add_config(chat, _chat)


def _add_explain(commands: Any) -> None:
    explain = commands.add_parser("explain", help="whom a call would ask now; sends nothing")
    explain.add_argument("-m", "--model", help='"model" or "provider/model"')
    explain.add_argument("-p", "--provider", help="only this provider")
    explain.add_argument("--json", action="store_true", help="the rows as JSON")
    _add_config(explain, _explain)


def _add_keys(commands: Any) -> None:
    keys = commands.add_parser("keys", help="ask the vendors whether the keys work; no tokens")
    keys.add_argument("--json", action="store_true", help="the rows as JSON")
    _add_config(keys, _keys)


def _add_config(parser: argparse.ArgumentParser, command: Command) -> None:
    parser.add_argument(
        "-c", "--config", metavar="FILE", help="a JSON or TOML file instead of the environment"
    )
    parser.set_defaults(command=command)


def _guarded(command: Command, options: argparse.Namespace) -> int:
    """Run a command; its errors are words for people, not tracebacks."""
    from aio_llm.errors import AIOError, ConfigError

    try:
        return command(options)
    except AIOError as error:
        _tell(f"{type(error).__name__}: {error}")
        return USAGE if isinstance(error, ConfigError) else FAILED
    except KeyboardInterrupt:
        _tell("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left (`| head`): no more of it, no complaint.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _demo(options: argparse.Namespace) -> int:
    from aio_llm.demo import run

    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "*"  # its vendors are on this machine
    return run()


def _chat(options: argparse.Namespace) -> int:
    messages = [{"role": "user", "content": _prompt(options.prompt)}]
    if options.system:
        messages.insert(0, {"role": "system", "content": options.system})
    with _aio(options) as aio:
        wanted = {**_wanted(options), "fallback": options.fallback}
        if options.json or options.no_stream:
            _print_answer(aio.chat_completion(messages, **wanted), as_json=options.json)
        else:
            _print_stream(aio.chat_completion_stream(messages, **wanted))
    return DONE


def _wanted(options: argparse.Namespace) -> dict[str, Any]:
    """Whom to ask. A file may leave auto mode off; nobody named means everybody here."""
    anybody = options.model is None and options.provider is None
    return {
        "model": options.model,
        "provider": options.provider,
        "auto_mode": True if anybody else None,
    }


def _print_stream(stream: ChatStream) -> None:
    with stream:
        try:
            for piece in stream.text_chunks():
                _write(piece)
        finally:
            _write("\n")
        _tell_who(stream.response)


def _print_answer(answer: ChatCompletion, *, as_json: bool) -> None:
    if as_json:
        _write(_json(_as_data(answer)))
        return
    _write(f"{answer.content}\n")
    _tell_who(answer)


def _as_data(answer: ChatCompletion) -> dict[str, Any]:
    names = ("content", "provider", "model", "key", "finish_reason", "latency", "cost")
    found: dict[str, Any] = {name: getattr(answer, name) for name in names}
    found["usage"] = answer.usage.model_dump(mode="json") if answer.usage else None
    found["attempts"] = [step.model_dump(mode="json") for step in answer.attempts]
    return found


def _tell_who(answer: ChatCompletion) -> None:
    """Who answered, and who was asked before."""
    for step in answer.attempts:
        if step.kind is not None:
            _tell(f"tried {step}")
    tokens = f", {answer.usage.total_tokens} tokens" if answer.usage else ""
    cost = f", ${answer.cost:.6f}" if answer.cost else ""
    who = f"{answer.provider}/{answer.model} {answer.key}"
    _tell(f"answered by {who} in {answer.latency:.2f} s{tokens}{cost}")


def _explain(options: argparse.Namespace) -> int:
    with _aio(options) as aio:
        rows = aio.explain(**_wanted(options))
    for row in rows:
        row["available_in"] = None if row["available_in"] == math.inf else row["available_in"]
    lines = [
        (row["provider"], row["model"], row["key"], row["reason"] or "would be tried")
        for row in rows
    ]
    _show(rows, lines, options)
    return DONE


def _keys(options: argparse.Namespace) -> int:
    with _aio(options) as aio:
        checks = aio.validate_config()
    names = ("provider", "key", "status", "reason", "latency")
    rows = [{name: getattr(check, name) for name in names} for check in checks]
    _show(rows, [(c.provider, c.key, c.status, c.reason) for c in checks], options)
    return DONE if all(checks) else FAILED


def _show(rows: list[Any], lines: Iterable[Sequence[str]], options: argparse.Namespace) -> None:
    """Rows as JSON, or as columns for people."""
    if options.json:
        _write(_json(rows))
        return
    table = [list(line) for line in lines]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        _write("  ".join(cells).rstrip() + "\n")


def _json(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _simulator(argv: Sequence[str]) -> int:
    from aio_llm.simulator.__main__ import main as serve

    return serve(argv)


def _aio(options: argparse.Namespace) -> AIO:
    from aio_llm.client import AIO

    return AIO.from_file(options.config) if options.config else AIO.from_env()


def _prompt(words: Sequence[str]) -> str:
    text = " ".join(words)
    if text not in ("", "-"):
        return text
    if sys.stdin.isatty():
        _tell("what do you want to ask? (end with Ctrl-D)")
    return sys.stdin.read()


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _tell(words: str) -> None:
    sys.stderr.write(f"{words}\n")


def _print_anything() -> None:
    """A terminal that cannot show a character shows `?` instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
