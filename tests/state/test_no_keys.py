"""No text of a key is in any store, in no form."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from aio_llm.quota.shapes import Shape
from aio_llm.simulator import Simulator
from aio_llm.state import Claim, Fact, Granted, hashed
from tests.state.conftest import MakeStore

KEYS = [*Simulator(keys=3).keys("groq"), *Simulator(keys=3).keys("google-ai")]


def fill(make_store: MakeStore) -> None:
    """What a program with these keys leaves in a store."""
    store = make_store()
    for key in KEYS:
        name = hashed("groq", key, "llama", "rpm")
        wanted = Claim(name, Shape("bucket"), 30.0, 60.0, 1.0)
        answer = store.reserve([wanted], time.time())
        assert isinstance(answer, Granted)
        store.settle([(wanted, answer.entries[0], 0.0)], time.time())
        store.tell({hashed("groq", key): Fact({"disabled": True}, time.time() + 60)})


def found(data: bytes) -> list[str]:
    """The keys that are in `data`, as they are, quoted or in base64; or half of one."""
    forms = {
        form
        for key in KEYS
        for half in (key, key[: len(key) // 2], key[len(key) // 2 :])
        for form in (half, quote(half, safe=""), base64.b64encode(half.encode()).decode()[:-4])
    }
    return [form for form in forms if form.encode() in data]


def test_the_file_holds_no_key(make_store: MakeStore, url: str) -> None:
    fill(make_store)
    if url.startswith("redis"):
        data = everything_in_redis(url)
    else:
        folder = Path(url.removeprefix("sqlite:///")).parent
        data = b"".join(path.read_bytes() for path in folder.iterdir())

    assert found(data) == []
    assert all(hashed("groq", key).encode() in data for key in KEYS)


def everything_in_redis(url: str) -> bytes:
    """Names and values of all keys."""
    import redis  # an extra

    with redis.Redis.from_url(url) as client:
        readers: dict[bytes, Callable[[bytes], Any]] = {
            b"string": client.get,
            b"hash": client.hgetall,
            b"zset": lambda key: client.zrange(key, 0, -1),
        }
        everything = [(key, readers[client.type(key)](key)) for key in client.scan_iter()]
    return repr(everything).encode()
