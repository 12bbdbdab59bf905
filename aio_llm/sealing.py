"""Secrets in pickles: sealed, so that no search of bytes or logs finds them. Not encrypted."""

from __future__ import annotations

import os


def seal(secret: str) -> bytes:
    """`secret` behind a pad of its own length; `unseal` opens it without any key."""
    plain = secret.encode()
    pad = os.urandom(len(plain))
    return pad + bytes(a ^ b for a, b in zip(plain, pad, strict=True))


def unseal(sealed: bytes) -> str:
    """What was sealed; raises ValueError if that is no seal."""
    half = len(sealed) // 2
    return bytes(a ^ b for a, b in zip(sealed[:half], sealed[half:], strict=True)).decode()
