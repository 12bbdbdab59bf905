"""Vendors: one file per SDK, one row per OpenAI-compatible endpoint, nothing else.

Adding one: an OpenAI-compatible endpoint is configuration (`provider="custom"`, `base_url=`);
a known vendor is a row in presets.py; an SDK is a file with a `BaseProvider`.
"""
