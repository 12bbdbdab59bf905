"""Addresses and headers that a person has written down: can they be sent at all?"""

from __future__ import annotations

from urllib.parse import urlsplit

_TOKEN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~")


def check_url(url: str) -> None:
    """Raise ValueError unless `url` is an http(s) address with a host."""
    if not url.startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https://")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("has a blank, a line break or a non-ASCII character")
    parts = urlsplit(url)
    if not parts.hostname:
        raise ValueError("has no host")
    if "@" in parts.netloc:
        raise ValueError("has a user name or password; put what the server wants into headers")
    if parts.port == 0:  # raises ValueError itself for a port that is no port
        raise ValueError("port 0 cannot be called")


def check_header(name: str, value: object) -> None:
    """Raise ValueError unless this can be sent as an HTTP header (RFC 9110, section 5)."""
    if not name or not name.isascii() or set(name.lower()) - _TOKEN:
        raise ValueError(f"{name!r} is no header name")
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise ValueError(f"the value of {name!r} must be printable ASCII without line breaks")


def without_password(url: str) -> str:
    """`url` as people may see it; what cannot be read as one shows nothing behind its scheme."""
    try:
        password = urlsplit(url).password
    except ValueError:
        return url.partition("://")[0] + "://…"
    return url if not password else url.replace(f":{password}@", ":…@")
