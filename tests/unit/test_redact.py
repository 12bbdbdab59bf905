"""What looks like a key is never shown, and a mask tells keys apart without telling them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio_llm.faults import mask, redact

PREFIXES = ("gsk_", "sk-or-v1-", "sk-proj-", "sk-", "csk-", "AIza", "sk-ant-api03-", "xai-", "hf_")
TAIL = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=20)
KEYS = st.tuples(st.sampled_from(PREFIXES), TAIL).map("".join)
WORDS = st.text(st.characters(codec="utf-8"), max_size=30)


@given(KEYS)
def test_a_mask_shows_at_most_eight_characters(key: str) -> None:
    shown = mask(key)

    assert len(shown) == 9
    assert key[4:-4] not in shown


@given(st.text(max_size=19))
def test_a_short_key_shows_nothing_but_its_end(key: str) -> None:

    assert len(mask(key)) <= 3
    assert not key or key not in mask(key)


@given(KEYS, WORDS, WORDS)
def test_what_looks_like_a_key_is_taken_out_of_any_text(key: str, before: str, after: str) -> None:
    assert key not in redact(f"{before} {key} {after}")


@given(st.text("abc!$%&/()=?", min_size=8), WORDS)
def test_a_known_secret_is_taken_out_whatever_it_looks_like(secret: str, words: str) -> None:

    assert secret not in redact(f"{words}«{secret}»{words}", [secret])


CARRIERS = (
    "Incorrect API key provided: {}. You can find it at …",
    '{{"error": {{"message": "bad", "key": "{}"}}}}',
    "https://x.test/v1beta/models?key={}&alt=sse",
    "Authorization: Bearer {}",
    "authorization: bearer {}",
    "('x-goog-api-key', '{}')",
)


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_key_is_found_wherever_vendors_put_it(carrier: str, prefix: str) -> None:
    key = prefix + "T3stT3stT3stT3stT3stT3stT3st"

    shown = redact(carrier.format(key))

    assert key not in shown
    assert "T3stT3st" not in shown


def test_a_strange_key_in_an_address_or_a_header_is_taken_out() -> None:

    assert "0123456789abcdef" not in redact("Bearer 0123456789abcdef")
    assert "0123456789abcdef" not in redact("https://x.test/?key=0123456789abcdef")


def test_a_long_text_is_cut() -> None:

    assert len(redact("x" * 100_000, limit=500)) == 500


def test_plain_words_are_left_alone() -> None:
    words = (
        "Rate limit reached for model `llama-3.3-70b-versatile`: try again in 7m12.5s (task-key)"
    )

    assert redact(words) == words
