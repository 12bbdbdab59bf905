"""Property tests search the same examples every time: a red test is red for everybody."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("unit", max_examples=80, deadline=None, derandomize=True, database=None)
settings.load_profile("unit")
