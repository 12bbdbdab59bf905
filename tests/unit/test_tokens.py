"""Estimates of tokens: near the truth on every kind of text, and above it once taught."""

from __future__ import annotations

import base64
import heapq
import inspect
import json
import json.decoder
import random
import re
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from aio_llm import ConfigError
from aio_llm.tokens import MEDIUM, estimate, estimate_messages, tiktoken_counter

_PIECE = re.compile(r"[A-Za-z]+|\d{1,3}|[^\x00-\x7f]|[^\sA-Za-z\d]")

# What counting pieces gives, relative to o200k_base, by kind of text: it was measured with that
# vocabulary, which cannot be had without a download.
PIECES_PER_TOKEN = {"english": 1.03, "python": 0.98, "json": 1.05, "russian": 1.11,
                    "chinese": 1.03, "base64": 0.50}  # fmt: skip

ENGLISH = textwrap.dedent("""\
    The reason to own several keys is the sum of their quotas. A call that is refused has cost a
    round trip and, with some vendors, a piece of the next minute as well; a call that waits while
    another key could have answered has cost the patience of whoever asked. So nothing is sent
    before there is room for it: requests and tokens are reserved, settled with what the answer
    really used, and given back if the vendor never saw them.

    ## What happens when a vendor is down?

    1. Its breaker opens after five failures, and the next target in order is tried at once.
    2. Half a minute later one real call is let through; if it succeeds, the rest follow.
    3. Nobody's key is disabled because of it: an outage isn't the fault of a key.

    It doesn't matter whether you're in a notebook, a script or a web server. "Why not simply
    retry?", you may ask. Because everybody retries, the server that was slow becomes a server
    that is gone, and the quota that was nearly spent is spent on being told so.
    """)
RUSSIAN = textwrap.dedent("""\
    Смысл нескольких ключей в том, что их квоты складываются. Отклонённый запрос стоит времени,
    а у некоторых поставщиков ещё и части следующей минуты; запрос, который ждёт, пока другой
    ключ мог бы ответить, стоит терпения того, кто спросил. Поэтому ничего не отправляется, пока
    для этого нет места: запросы и токены резервируются, после ответа пересчитываются, а если
    поставщик их так и не увидел, возвращаются обратно. Когда поставщик недоступен, следующий
    в очереди получает запрос сразу, и ни один ключ из-за этого не отключается.
    """)
CHINESE = (
    "拥有多个密钥的意义在于它们的配额可以相加。被拒绝的请求浪费了一次往返的时间，"
    "有些供应商甚至会因此扣除下一分钟的额度；如果另一个密钥本可以立即回答，"
    "那么等待的请求就浪费了提问者的耐心。因此在没有余量之前什么都不会发送："
    "请求数和令牌数会先被预留，得到回答之后再按照实际用量结算，"
    "如果供应商根本没有收到请求，预留的部分就会退还。当某个供应商出现故障时，"
    "队列中的下一个目标会马上接手，任何密钥都不会因此被停用。"
)
_CHANCE = random.Random(7)
RECORDS = [
    {"id": _CHANCE.randrange(10**6), "score": round(_CHANCE.random(), 3), "tags": ["new", "red"],
     "name": f"item {number}", "ok": True, "parent": None}
    for number in range(40)
]  # fmt: skip
SAMPLES: list[tuple[str, str]] = [
    ("english", ENGLISH),
    ("english", str(vars(heapq)["__about__"])),
    ("python", inspect.getsource(json.decoder)),
    ("python", inspect.getsource(textwrap)),
    ("json", json.dumps(RECORDS)),
    ("json", json.dumps(RECORDS, separators=(",", ":"))),
    ("json", json.dumps(RECORDS, indent=2)),
    ("russian", RUSSIAN),
    ("chinese", CHINESE),
    ("base64", base64.b64encode(_CHANCE.randbytes(2000)).decode()),
]


def true_count(kind: str, text: str) -> float:
    """Tokens of o200k_base, by pieces."""
    weights = {"a": 0.0, "0": 1.0, ".": 0.75, "中": 0.75, "я": 0.27}
    pieces = _PIECE.findall(text)
    words = [piece for piece in pieces if piece.isascii() and piece.isalpha()]
    counted = sum(1 + max(len(word) - 8, 0) / 5 for word in words)
    return (counted + sum(weights[kind_of(piece)] for piece in pieces)) / PIECES_PER_TOKEN[kind]


def kind_of(piece: str) -> str:
    """A letter of a word, a digit, a mark, a Chinese character, another character."""
    if piece.isascii():
        return "a" if piece.isalpha() else "0" if piece.isdigit() else "."
    return "中" if piece >= "\u2e80" else "я"


@pytest.mark.parametrize(("kind", "text"), SAMPLES, ids=[kind for kind, _ in SAMPLES])
@pytest.mark.parametrize("times", [1, 40], ids=["short", "long"])
def test_an_estimate_is_near_the_truth_and_rather_above_it(
    kind: str, text: str, times: int
) -> None:
    truth = true_count(kind, text) * times

    found = estimate(text * times)

    assert 0.9 * truth <= found <= 1.4 * truth


@pytest.mark.parametrize(("kind", "text"), SAMPLES, ids=[kind for kind, _ in SAMPLES])
def test_text_and_its_bytes_cost_the_same(kind: str, text: str) -> None:
    assert estimate(text.encode()) == pytest.approx(estimate(text), rel=0.05)


def test_hidden_runs_are_found_within_prose() -> None:
    _, inline = SAMPLES[-1]

    found = estimate(ENGLISH + inline)

    assert found >= 0.85 * (true_count("english", ENGLISH) + true_count("base64", inline))


SMALL: list[tuple[str | bytes, int, int]] = [
    ("", 0, 0), (b"", 0, 0), (" ", 0, 1), ("a", 1, 1), ("Hello!", 2, 3), ("\ud800", 1, 3),
    ("😀", 2, 3), (b"\xff\xfe", 1, 4), ("0" * 30, 10, 30), ("é", 1, 1), ("न" * 10, 3, 10),
    ("한" * 10, 5, 10), ("\x00\n\t\r", 1, 4),
]  # fmt: skip


@pytest.mark.parametrize(("text", "least", "most"), SMALL)
def test_odd_texts_cost_something_sensible(text: str | bytes, least: int, most: int) -> None:
    assert least <= estimate(text) <= most


@given(st.text() | st.binary())
def test_any_text_has_an_estimate_within_its_size(text: str | bytes) -> None:
    size = len(text) if isinstance(text, bytes) else len(text.encode("utf-8", "surrogatepass"))

    assert 0 <= estimate(text) <= 2 * size


@given(st.text(max_size=2000), st.text(max_size=2000))
def test_more_text_never_costs_less(text: str, more: str) -> None:
    longer = text + " " * 2000 + more

    assert estimate(longer) >= estimate(more + " " * 2000)


def messages(*texts: str) -> bytes:
    """Turns as they are sent."""
    return bytes(to_json([{"role": "user", "content": text} for text in texts]))


@pytest.mark.parametrize("times", [1, 20], ids=["short", "long"])
@pytest.mark.parametrize("turns", [1, 4])
@pytest.mark.parametrize(("kind", "text"), SAMPLES, ids=[kind for kind, _ in SAMPLES])
def test_messages_cost_their_texts_and_a_little_for_each(
    kind: str, text: str, turns: int, times: int
) -> None:
    truth = (true_count(kind, text) * times + 4) * turns + 3

    found = estimate_messages(messages(*[text * times] * turns))

    assert 0.88 * truth <= found <= 1.5 * truth


def test_many_short_messages_cost_four_tokens_more_each() -> None:
    texts = [ENGLISH[start : start + 60] for start in range(0, 1200, 3)]

    found = estimate_messages(messages(*texts))

    bare = estimate("".join(texts))
    assert found == pytest.approx(bare + 4 * len(texts), rel=0.1)


@pytest.mark.parametrize(("text", "most"), [("Hi", 9), ("", 8), ("What is 2 + 2?", 16)])
def test_a_short_question_is_not_blown_up_by_its_frame(text: str, most: int) -> None:
    assert 4 <= estimate_messages(messages(text)) <= most


DATA = base64.b64encode(bytes(range(256)) * 1200).decode()
QUESTION: dict[str, object] = {"type": "text", "text": "What is this?"}
MEDIA: dict[str, dict[str, object]] = {
    "inline image": {"type": "image_url",
                     "image_url": {"url": f"data:image/png;base64,{DATA}", "detail": "low"}},
    "inline image with a parameter": {
        "type": "image_url",
        "image_url": {"url": f"data:image/svg+xml;charset=utf-8;base64,{DATA}"}},
    "image behind a URL": {"type": "image_url",
                           "image_url": {"url": "https://example.org/picture.png"}},
    "recording": {"type": "input_audio", "input_audio": {"data": DATA, "format": "wav"}},
    "recording, format first": {"type": "input_audio",
                                "input_audio": {"format": "wav", "data": DATA}},
    "file": {"type": "file", "file": {"filename": "a.pdf",
                                      "file_data": f"data:application/pdf;base64,{DATA}"}},
    "film": {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{DATA}"}},
}  # fmt: skip


def parts(*found: dict[str, object]) -> bytes:
    """One turn of several parts."""
    return bytes(to_json([{"role": "user", "content": list(found)}]))


@pytest.mark.parametrize("medium", MEDIA)
@pytest.mark.parametrize("count", [1, 3])
def test_a_medium_costs_the_same_however_large_it_is(medium: str, count: int) -> None:
    found = estimate_messages(parts(QUESTION, *[MEDIA[medium]] * count))

    assert count * MEDIUM <= found <= count * (MEDIUM + 60) + 30


def test_text_around_inline_images_is_still_counted() -> None:
    image = MEDIA["inline image"]

    found = estimate_messages(
        parts({"type": "text", "text": ENGLISH}, image, {"type": "text", "text": RUSSIAN}, image)
    )

    assert found - 2 * MEDIUM == pytest.approx(estimate(ENGLISH) + estimate(RUSSIAN), rel=0.25)


def test_base64_that_is_pasted_into_a_text_is_text() -> None:
    pasted = f'<img src="data:image/png;base64,{DATA[:4000]}">'

    found = estimate_messages(parts({"type": "text", "text": pasted}))

    assert found >= 0.6 * 4000
    assert found < MEDIUM + 2 * 4000


def test_tool_calls_are_counted_with_their_arguments() -> None:
    arguments = json.dumps({"words": ENGLISH})
    call = {"id": "call_1", "type": "function",
            "function": {"name": "read", "arguments": arguments}}  # fmt: skip

    found = estimate_messages(to_json([{"role": "assistant", "tool_calls": [call]}]))

    assert estimate(ENGLISH) <= found <= 1.4 * estimate(ENGLISH) + 60


@given(st.binary(max_size=300) | st.lists(st.sampled_from(
    [b'"type":"', b'"data":"', b";base64,", b'":"data:', b'"', b'"role":"', b"{", b"AAAA",
     b'"type":"image_url"', b'"type":"input_audio"'])).map(b"".join))  # fmt: skip
def test_anything_at_all_has_an_estimate(soup: bytes) -> None:
    assert estimate_messages(soup) >= 3


STAND_IN = """class Encoding:
    def encode_ordinary(self, text):
        return text.split()

def get_encoding(name):
    if name != "o200k_base":
        raise ValueError(f"Unknown encoding {name}.")
    return Encoding()
"""
OFFLINE = "def get_encoding(name):\n    raise ConnectionError('no route to host')\n"


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a library called tiktoken can be put, so that it is found before a real one."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tiktoken", raising=False)
    return tmp_path / "tiktoken.py"


def test_without_tiktoken_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tiktoken", None)  # as if it were not installed

    with pytest.raises(ConfigError, match=r'pip install "aio-llm\[tokens\]"'):
        tiktoken_counter()


@pytest.mark.parametrize(
    ("source", "encoding", "words"),
    [
        (OFFLINE, "o200k_base", "'o200k_base' .*could not be loaded.*ConnectionError.*TIKTOKEN_"),
        (STAND_IN, "o300k", "'o300k' .*could not be loaded.*check the name"),
    ],
    ids=["no network", "no such name"],
)
def test_a_vocabulary_that_cannot_be_loaded_is_named(
    library: Path, source: str, encoding: str, words: str
) -> None:
    library.write_text(source, encoding="utf-8")

    with pytest.raises(ConfigError, match=words) as caught:
        tiktoken_counter(encoding)

    assert caught.value.__context__ is None


def test_tiktoken_counts_where_it_is_installed(library: Path) -> None:
    library.write_text(STAND_IN, encoding="utf-8")

    count = tiktoken_counter()

    assert count("as many as it says") == 5
