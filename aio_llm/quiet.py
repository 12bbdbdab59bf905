"""Our log records are off by default, as a library's should be.

loguru is a sixth of this library's start-up time and does nothing for a program that does not
use it, so it is not imported for this. If the application imports it, before or after us, our
records are disabled at that moment: before the application can have said whether it wants
them, so that its `logger.enable("aio_llm")` counts.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType

NAME = "aio_llm"


class _DisableOnImport:
    """A finder that waits for somebody to import loguru."""

    _asking = False

    def find_spec(
        self, name: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The usual finders' spec of loguru, with one line run after it."""
        if name != "loguru" or self._asking:
            return None
        from importlib.util import find_spec

        self._asking = True
        try:
            spec = find_spec(name)
        finally:
            self._asking = False
        if spec is not None and spec.loader is not None:
            spec.loader.exec_module = self._then_disable(  # type: ignore[method-assign]
                spec.loader.exec_module
            )
        return spec

    def _then_disable(self, run: Any) -> Any:
        def exec_module(module: ModuleType) -> None:
            run(module)
            module.logger.disable(NAME)
            if self in sys.meta_path:
                sys.meta_path.remove(self)

        return exec_module


def disable_by_default() -> None:
    """Disable our records in loguru now, or as soon as it is imported."""
    if "loguru" in sys.modules:
        sys.modules["loguru"].logger.disable(NAME)
    else:
        sys.meta_path.insert(0, _DisableOnImport())
