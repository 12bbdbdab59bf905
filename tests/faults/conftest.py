"""Every test here runs for every adapter, called and streamed, unless it says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import pytest

from aio_llm.simulator import Simulator
from tests.conftest import MakeAIO
from tests.faults.scene import MODES, VENDORS, Scene, partner

Stage = Callable[..., Scene]


@pytest.fixture(scope="session", autouse=True)
def _sdks() -> None:
    """Loading an SDK takes a second, which no measurement should contain."""
    for name in ("openai", "groq", "google.genai"):
        import_module(name)


@pytest.fixture(params=VENDORS)
def vendor(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stage(sim: Simulator, make_aio: MakeAIO, vendor: str, mode: str) -> Stage:
    """Builds the scene of one vendor and mode; takes what `make_aio` takes."""

    def build(**settings: object) -> Scene:
        aio = make_aio(vendor, partner(vendor), **settings)  # type: ignore[arg-type]
        return Scene(sim, aio, vendor, partner(vendor), mode)

    return build
