"""Who is measured: an `AIO`, and the vendors' own SDKs asked in turns, as they are by default.

`ask` does one job and returns the wait that was added to the vendor's own time: seconds of the
quota's time before the last attempt, plus the real seconds that the client itself took.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tests.quota.worlds import Job, VendorWorld, World, providers

from .quota_clock import ScaledClock, real_seconds
from .quota_server import latency

ATTEMPT = 30.0
"""Seconds a client waits for one answer."""

PATIENCE = 900.0
"""Seconds a call may take and wait."""


class Contender(Protocol):
    """A client of all the vendors; thread-safe."""

    def ask(self, job: Job) -> float: ...

    def leave(self) -> None:
        """Give up what still waits."""

    def close(self) -> None: ...


class Ours:
    """One `AIO` for all threads."""

    def __init__(
        self, world: World, urls: Mapping[str, str], clock: ScaledClock, state: str | None
    ) -> None:
        from aio_llm import AIO, CancelToken

        entries = [
            entry | {"timeout": ATTEMPT} for entry in providers(world, lambda name: urls[name])
        ]
        more: dict[str, Any] = {} if state is None else {"state": state}
        self._aio = AIO(
            entries, auto_mode=True, clock=clock, timeout=PATIENCE, max_wait=PATIENCE, **more
        )
        self._aio.warmup()
        self._token = CancelToken()
        self._clock = clock
        self._vendors = {vendor.name: vendor for vendor in world.vendors}

    def ask(self, job: Job) -> float:
        """One call; raises `AIOError`."""
        began = self._clock.now()
        answer = self._aio.chat_completion(job.text, max_tokens=job.max_tokens, cancel=self._token)
        took = self._clock.now() - began
        queued = answer.latency - answer.attempts[-1].latency
        theirs = latency(self._vendors[answer.provider], job.number)
        return queued + (took - queued - theirs) / self._clock.rate

    def leave(self) -> None:
        """Cancel what still waits."""
        self._token.cancel()

    def close(self) -> None:
        """Close all connections."""
        self._aio.close()


class Raw:
    """The openai SDK with its own retries (google-genai, which has none, for Google), one client
    per key, asked in turns.
    """

    def __init__(
        self, world: World, urls: Mapping[str, str], clock: ScaledClock, state: str | None
    ) -> None:
        self._clock = clock
        http = _fast_client(clock.rate)
        lanes = [
            (vendor, make(vendor, key, urls[vendor.name], http), model)
            for vendor, key, model in world.lanes()
            for make in (_google if vendor.provider == "google-ai" else _openai,)
        ]
        self._lanes = itertools.cycle(lanes)
        self._lock = threading.Lock()

    def ask(self, job: Job) -> float:
        """One call with the next lane; raises what the SDK raises."""
        with self._lock:
            vendor, send, model = next(self._lanes)
        began = self._clock.now()
        _here.sent = []
        send(model, job)
        took = self._clock.now() - began
        retried = _here.sent[-1] - _here.sent[0] if _here.sent else 0.0
        queued = retried * self._clock.rate
        return queued + (took - queued - latency(vendor, job.number)) / self._clock.rate

    def leave(self) -> None:
        """It cannot be interrupted."""

    def close(self) -> None:
        """The process ends anyway."""


_here = threading.local()
Send = Callable[[str, Job], object]


def _openai(vendor: VendorWorld, key: str, url: str, http: Any) -> Send:
    import openai

    if vendor.provider == "groq":
        url += "/openai/v1"
    client = openai.OpenAI(api_key=key, base_url=url, http_client=http)

    def send(model: str, job: Job) -> object:
        messages: Any = [{"role": "user", "content": job.text}]
        limit: Any = {"max_tokens": job.max_tokens}
        return client.chat.completions.create(model=model, messages=messages, **limit)

    return send


def _google(vendor: VendorWorld, key: str, url: str, http: Any) -> Send:
    from google import genai

    options = genai.types.HttpOptions(base_url=url, httpx_client=http)
    client = genai.Client(api_key=key, http_options=options)

    def send(model: str, job: Job) -> object:
        config: Any = {"max_output_tokens": job.max_tokens}
        return client.models.generate_content(model=model, contents=job.text, config=config)

    return send


_LONGEST = 120.0  # seconds of Retry-After that the SDK obeys
_FIRST, _MOST = 0.5, 8.0  # seconds the SDK backs off without one, doubled each time


def _fast_client(rate: float) -> Any:
    """An HTTP client that lets the SDK's timeouts and pauses pass `rate` times as fast.

    The SDK sleeps in real seconds: the header that it obeys first tells it the same wait, scaled.
    """
    import httpx2

    class Faster(httpx2.HTTPTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            _here.sent.append(real_seconds())
            response = super().handle_request(request)
            if response.status_code in (408, 409, 429) or response.status_code >= 500:
                tries = int(request.headers.get("x-stainless-retry-count", "0"))
                pause = _pause(response.headers.get("retry-after"), tries)
                if pause <= _LONGEST:
                    response.headers["retry-after-ms"] = f"{pause / rate * 1e3:.3f}"
            return response

    limits = httpx2.Limits(max_connections=1_000)
    return httpx2.Client(transport=Faster(limits=limits), timeout=ATTEMPT / rate)


def _pause(hint: str | None, tries: int) -> float:
    """Seconds the SDK would wait, as its source says."""
    try:
        wait = float(hint or "")
    except ValueError:
        wait = 0.0
    backoff = min(_FIRST * 2.0**tries, _MOST) * (1 - 0.25 * random.random())
    return wait if wait > 0 else backoff


CONTENDERS: Mapping[str, type[Ours] | type[Raw]] = {"aio_llm": Ours, "openai SDK": Raw}
