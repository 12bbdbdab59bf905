"""An application that logs as carelessly as it can."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from loguru import logger


@pytest.fixture
def careless(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """Every line of a sink at TRACE with diagnose and backtrace; stdlib logging at DEBUG too."""
    lines: list[str] = []
    number = logger.add(
        lambda line: lines.append(str(line)),
        level="TRACE",
        diagnose=True,
        backtrace=True,
        format="{time} {level} {name}:{line} {message} {extra} {exception}",
    )
    logger.enable("aio_llm")
    caplog.set_level(logging.DEBUG)
    yield lines
    logger.remove(number)
    logger.disable("aio_llm")
