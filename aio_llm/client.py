"""`AIO`, the front door: arguments become one request and a route, the engine does the rest."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable, Mapping
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Unpack

from aio_llm.cancel import CancelScope, CancelToken
from aio_llm.checks import Checks
from aio_llm.clock import Clock, SystemClock
from aio_llm.config import ProviderConfig, Routing, Settings, read_settings
from aio_llm.core import events
from aio_llm.core.availability import Place
from aio_llm.core.engine import Engine, Send, tokens_used
from aio_llm.core.report import Report
from aio_llm.core.routing import Router
from aio_llm.core.run import A, Run, Won
from aio_llm.core.scheduler import Scheduler
from aio_llm.core.sessions import check_session
from aio_llm.core.trail import Demand, Trail
from aio_llm.errors import InvalidRequestError, bare_errors
from aio_llm.fork import renew_after_fork
from aio_llm.openai_spelling import Chat
from aio_llm.options import (
    SAMPLING,
    ChatOptions,
    StreamOptions,
    check_keywords,
    seconds,
    takes,
)
from aio_llm.overview import Overview
from aio_llm.providers.base import BaseProvider, Call
from aio_llm.providers.registry import check_provider, make_provider
from aio_llm.requests import build_request
from aio_llm.state.base import Store
from aio_llm.tokens import estimate_messages

if TYPE_CHECKING:
    from aio_llm.stream import ChatStream
    from aio_llm.types import ChatCompletion, ChatRequest

_numbers = itertools.count(1)


class _Adapters(dict[str, BaseProvider]):
    """The adapters by label, each made when it is first asked for."""

    def __init__(self, configs: Iterable[ProviderConfig]) -> None:
        super().__init__()
        self._configs = {config.label: config for config in configs}

    def __missing__(self, label: str) -> BaseProvider:
        return self.setdefault(label, make_provider(self._configs[label]))


class AIO(Overview, Checks):
    """One dependable chat endpoint over many vendors, models and keys. Thread-safe.

    `providers`: `ProviderConfig` objects or dicts. All times in seconds. `timeout`: a whole
    call with all its attempts (a stream: until its first output); `idle_timeout`: between
    chunks; `max_wait`: waiting for capacity. `enable_validation=False` sends sampling options
    unchecked. `on_content_filter="next"` tries another model when a filter refuses. `routing`:
    what decides among targets that are free (aio_llm/core/rules.py). Raises `ConfigError` naming
    the field. Pickles as its configuration; safe to use after fork.
    """

    @bare_errors
    def __init__(
        self,
        providers: Iterable[ProviderConfig | Mapping[str, Any]] | None = None,
        auto_mode: bool = False,
        max_retries: int = 3,
        retry_delay: float = 1.0,
        max_delay: float = 60.0,
        backoff_multiplier: float = 2.0,
        timeout: float = 120.0,
        idle_timeout: float = 60.0,
        max_wait: float = 60.0,
        enable_logging: bool = False,
        enable_validation: bool = True,
        on_content_filter: Literal["stop", "next"] = "stop",
        routing: Routing = "priority",
        clock: Clock | None = None,
        **more: Any,
    ) -> None:
        given = {k: v for k, v in locals().items() if k in Settings.model_fields}
        self._start(read_settings({**given, **more}), clock)

    def _start(self, settings: Settings, clock: Clock | None) -> None:
        for provider in settings.providers:
            check_provider(provider)
        self.settings = settings
        self._clock = clock or SystemClock()
        if settings.enable_logging:
            events.enable()
        self._router = Router(settings)
        self._scheduler = Scheduler(settings, self._clock, store=self._open_store())
        self._adapters = _Adapters(settings.providers)
        self._report = Report(settings.alerts, self._clock)
        self._engine = Engine(settings, self._adapters, self._scheduler, self._clock, self._report)
        self._calls: dict[str, CancelScope] = {}
        renew_after_fork(self)
        self._prefix = f"aio-{os.urandom(4).hex()}"

    def _open_store(self) -> Store | None:
        if self.settings.state == "memory":
            return None
        from aio_llm.state import open_store

        is_real = isinstance(self._clock, SystemClock)
        return open_store(self.settings.state, "store" if is_real else "caller")

    @classmethod
    @bare_errors
    def from_dict(cls, values: Mapping[str, Any], clock: Clock | None = None) -> AIO:
        """An `AIO` from plain data, snake_case or camelCase; raises `ConfigError`."""
        from aio_llm.sources.data import settings_from_data

        return cls._of(settings_from_data(values), clock)

    @classmethod
    @bare_errors
    def from_file(cls, path: str | os.PathLike[str], clock: Clock | None = None) -> AIO:
        """An `AIO` from a JSON or TOML file; raises `ConfigError` naming file and field."""
        from aio_llm.sources.files import settings_from_file

        return cls._of(settings_from_file(path), clock)

    @classmethod
    @bare_errors
    def from_env(cls, environ: Mapping[str, str] | None = None, **settings: Any) -> AIO:
        """An `AIO` from GROQ_API_KEY(S), OPENROUTER_…, CEREBRAS_…, GOOGLE_… in the environment.

        Auto mode is on. `settings` are those of `AIO(...)`. Raises `ConfigError` that says
        what to set if there is no key at all.
        """
        from aio_llm.sources.environment import settings_from_environment

        clock = settings.pop("clock", None)
        found = settings_from_environment(os.environ if environ is None else environ, settings)
        return cls._of(found, clock)

    @classmethod
    def _of(cls, settings: Settings, clock: Clock | None) -> AIO:
        made = cls.__new__(cls)
        made._start(settings, clock)
        return made

    @takes(ChatOptions)
    def chat_completion(
        self, messages: str | Iterable[Any], **options: Unpack[ChatOptions]
    ) -> ChatCompletion:
        """The answer of the best target that has one. Thread-safe; raises `AIOError`.

        `messages`: a string or OpenAI-shaped messages. `options`: see `ChatOptions`; a misspelt
        one is a TypeError and nothing is sent.
        """
        check_keywords("chat_completion", options, ChatOptions)
        run = self._run(messages, options)
        won = self._perform(run, _ask)
        answer = won.answer
        closed: tuple[Place, ...] = ()
        try:
            if won.lease is not None:
                closed = self._scheduler.succeed(won.lease, tokens_used(answer.usage))
        finally:
            self._finish(run)
        answer.attempts = run.trail.attempts
        answer.latency = self._report.answered(run, won, answer.usage, closed=closed)
        answer.request_id = run.request.request_id
        return answer

    @takes(StreamOptions)
    def chat_completion_stream(
        self, messages: str | Iterable[Any], **options: Unpack[StreamOptions]
    ) -> ChatStream:
        """The answer in pieces; opened, with fallback, before this returns. Raises `AIOError`.

        `options`: see `StreamOptions`; a misspelt one is a TypeError and nothing is sent.
        """
        from aio_llm.stream import ChatStream, OpenedStream  # loads with the first stream

        check_keywords("chat_completion_stream", options, StreamOptions)
        how = options.get("on_interrupt", "raise")
        if how not in ("raise", "restart"):
            raise InvalidRequestError(f"on_interrupt: must be 'raise' or 'restart', got {how!r}")
        idle = seconds("idle_timeout", options.get("idle_timeout"), self.settings.idle_timeout)
        run = self._run(messages, options, stream=True)
        return ChatStream(
            self._engine,
            run,
            self._perform(run, OpenedStream),
            idle_timeout=idle,
            on_interrupt=how,
            finish=lambda: self._finish(run),
        )

    @cached_property
    def chat(self) -> Chat:
        """OpenAI's spelling: `aio.chat.completions.create(...)`."""
        return Chat(self)

    def cancel(self, request_id: str) -> bool:
        """Cancel the call named `request_id`; False if there is none. Any thread."""
        scope = self._calls.get(request_id)
        if scope is None:
            return False
        scope.cancel()
        return True

    def cancel_all(self) -> int:
        """Cancel every call in progress; returns how many. Any thread."""
        scopes = list(self._calls.values())
        for scope in scopes:
            scope.cancel()
        return len(scopes)

    def warmup(self) -> None:
        """Import the SDKs of all configured providers now instead of at their first call."""
        for config in self.settings.providers:
            self._adapters[config.label].warm_up()

    def close(self) -> None:
        """Cancel what is running and close all connections; idempotent."""
        self.cancel_all()
        for adapter in list(self._adapters.values()):
            adapter.close()
        if self._scheduler.sharing is not None:
            self._scheduler.sharing.close()

    def __enter__(self) -> AIO:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return {"settings": self.settings}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._start(state["settings"], None)

    def _run(
        self, messages: str | Iterable[Any], given: Mapping[str, Any], *, stream: bool = False
    ) -> Run:
        """Checked arguments of one call, registered so that it can be cancelled."""
        cancel = given.get("cancel")
        if cancel is not None and not isinstance(cancel, CancelToken):
            raise InvalidRequestError(f"cancel: must be a CancelToken, got {cancel!r}")
        started = self._clock.now()
        ends = started + seconds("timeout", given.get("timeout"), self.settings.timeout)
        max_wait = seconds("max_wait", given.get("max_wait"), self.settings.max_wait, zero=True)
        request = build_request(
            messages,
            {name: given[name] for name in SAMPLING if name in given},
            request_id=self._name(given.get("request_id")),
            extra_body=given.get("extra_body"),
            extra_headers=given.get("extra_headers"),
            metadata=given.get("metadata"),
            stream=stream,
            validate=self.settings.enable_validation,
        )
        run = Run(
            request,
            self.route(given),
            CancelScope(self._clock.now, ends, self._clock.rate),
            Trail(started, _demand(request), session=check_session(given.get("session"))),
            ends,
            max_wait,
            time.time(),
        )
        if self._calls.setdefault(request.request_id, run.scope) is not run.scope:
            raise InvalidRequestError(f"request_id: {request.request_id!r} is in use by a call")
        if cancel is not None:
            run.scope.watch(cancel)
        return run

    def _perform(self, run: Run, send: Send[A]) -> Won[A]:
        """The engine's answer; a call without one is over, and told."""
        try:
            return self._engine.perform(run, send)
        except BaseException as error:
            self._finish(run)
            self._report.ended(run, error)
            raise

    def _name(self, request_id: str | None) -> str:
        if request_id is None:
            return f"{self._prefix}-{next(_numbers)}"
        if not isinstance(request_id, str) or not request_id:
            raise InvalidRequestError("request_id: must be a non-empty string")
        return request_id

    def _finish(self, run: Run) -> None:
        run.scope.close()
        self._calls.pop(run.request.request_id, None)

    def after_fork(self) -> None:
        """The calls in progress are the parent's."""
        self._calls = {}
        self._prefix = f"aio-{os.urandom(4).hex()}"

    def __repr__(self) -> str:
        names = ", ".join(config.label for config in self.settings.providers)
        return f"AIO({names}; {len(list(self._scheduler.keys.keys()))} keys)"


def _ask(adapter: BaseProvider, request: ChatRequest, call: Call) -> ChatCompletion:
    return adapter.chat(request, call)


def _demand(request: ChatRequest) -> Demand:
    most = request.options.get("max_tokens")
    return Demand(
        lambda: estimate_messages(request.messages_json),
        most if isinstance(most, int) and most > 0 else None,
    )
