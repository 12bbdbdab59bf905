"""What adapters on an SDK share: its one client, its connections, what the vendor lacks."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

from aio_llm.allowances import Allowance, told_by_headers
from aio_llm.config import ProviderConfig
from aio_llm.fork import renew_after_fork
from aio_llm.providers.base import BaseProvider, Call
from aio_llm.providers.presets import SO_ANYWAY, Preset
from aio_llm.transport import ConnectionPool
from aio_llm.types import ChatRequest


class SdkProvider(BaseProvider):
    """A vendor's row of presets.py on the vendor's SDK, which loads at the first call."""

    def __init__(self, config: ProviderConfig, preset: Preset) -> None:
        super().__init__(config)
        self.preset = preset
        self.base_url = config.base_url or preset.base_url
        self.pool = ConnectionPool()
        self._sdk: Any = None
        self._making = threading.Lock()
        renew_after_fork(self)

    @abstractmethod
    def key_header(self, secret: str) -> dict[str, str]:
        """The header that says who asks."""

    def sign(self, call: Call, extra: Mapping[str, str] | None = None) -> None:
        """Have this call's requests carry its key and the configured headers.

        Not through the SDK: groq logs the headers it is given, at DEBUG and in full; and a
        header from the environment could replace it there.
        """
        call.scope.headers = {
            **self.config.headers,
            **(extra or {}),
            **self.key_header(call.target.secret),
        }

    @abstractmethod
    def make_client(self) -> Any:
        """Import the SDK and make its client."""

    def client(self) -> Any:
        """The SDK's one client, see `sign`; one for each key would cost 2.5 to 11 kB."""
        if self._sdk is None:
            with self._making:
                if self._sdk is None:
                    self._sdk = self.make_client()
        return self._sdk

    def after_fork(self) -> None:
        """Another thread of the parent may have been making the client."""
        self._making = threading.Lock()

    def allowances(self, call: Call, wall: float) -> tuple[Allowance, ...]:
        """What the headers of the answer say."""
        answer = call.scope.answer
        if answer is None:
            return ()
        return told_by_headers(answer.headers, wall, requests=self.preset.habits.header)

    def unsupported(self, request: ChatRequest) -> str | None:
        """The first field given that the preset's row says this vendor refuses."""
        for name in self.preset.lacks:
            value = request.options.get(name)
            if value is not None and value != SO_ANYWAY.get(name):
                return name
        return None

    def warm_up(self) -> None:
        """Import the SDK and make its client."""
        self.client()

    def reset(self) -> None:
        """Close what is idle; connections in use were closed by the interrupt itself."""
        self.pool.close()

    def close(self) -> None:
        """Close idle connections."""
        self.pool.close()
