"""How many tokens a request will cost, guessed before it is sent.

Not a tokenizer: those differ between vendors by a factor of two on some languages, load for a
second and cost milliseconds per text. Here the bytes of a text are counted by class, a weight
each; what a model really counts is learned per model from its answers (`Correction`). The
weights were fitted, to err high, on o200k counts of English, code, JSON, Russian, Chinese and
base64; long texts are judged by a sample.
"""

from __future__ import annotations

import importlib
import math
import string
from bisect import bisect_right
from collections.abc import Sequence
from typing import AnyStr, Protocol

from aio_llm.errors import ConfigError

MEDIUM = 1000
"""Tokens one image, recording or file is taken for. Vendors: 258 per tile (Gemini), 765 for
1024 x 1024 (OpenAI), about 1,600 at most (Anthropic); sound 32 per second (Gemini).
"""

_LETTERS = string.ascii_letters.encode()
_JOINTS = b"+/=-_"  # inside base64, URLs and identifiers
_MARKS = bytes(set(string.punctuation.encode()) - set(_JOINTS + b"\\"))
_CONTROLS = bytes([*range(32), 127])
_LONG_WORD = 6  # letters; no language's mean is longer
_LETTER_IN_A_RUN = 0.45  # tokens more than a letter of a word

# Bytes, tokens each of them costs, and what it adds to the length of unbroken runs of letters.
# The next class is looked for in what the former ones have left, so frequent ones stand first.
_CLASSES = (
    (_LETTERS, 0.23, 1),
    (b" ", 0.0, -_LONG_WORD),
    (bytes(range(0x80, 0xC2)), 0.0, 0),  # continuations in UTF-8
    (bytes(range(0xE2, 0xF0)), 0.8, 0),  # CJK, Hangul, typographic marks: three bytes
    (bytes(range(0xC2, 0xE0)), 0.26, 0),  # Cyrillic, Greek, Arabic, accents: two bytes
    (_MARKS, 0.85, -_LONG_WORD),
    (string.digits.encode(), 0.82, 0),
    (b"\\", 0.3, -_LONG_WORD),
    (_CONTROLS, 0.2, -_LONG_WORD),
    (_JOINTS, 0.85, 0),
    (b"\xe0\xe1", 0.5, 0),  # scripts of India, Thai, Georgian: three bytes
    (bytes(range(0xF0, 0x100)), 2.0, 0),  # emoji: four bytes
)

_WHOLE = 8192  # bytes or characters up to which every one is counted
_WIDTH = 128
_PLACES = [(n + n * 0.618034 % 1) / 64 for n in range(64)]  # of 64 blocks: no text has this period


def estimate(text: str | bytes) -> int:
    """Tokens of a text (bytes: UTF-8), more likely too many than too few; 0 for none.

    Against o200k 0.9 to 1.3 of the truth on texts of the kinds named above.
    """
    if not text:
        return 0
    if isinstance(text, bytes):
        data = _sample(text)
        return math.ceil(_weigh(data) * len(text) / len(data))
    sample = _sample(text)
    data = sample.encode("utf-8", "surrogatepass")
    return math.ceil(_weigh(data) * len(text) / len(sample))


def _sample(text: AnyStr) -> AnyStr:
    """`text` itself, or blocks from all over it."""
    size = len(text)
    if size <= _WHOLE:
        return text
    starts = [int(place * (size - _WIDTH)) for place in _PLACES]
    return text[:0].join([text[start : start + _WIDTH] for start in starts])


def _weigh(data: bytes, unbroken: int = 0) -> float:
    """Tokens of bytes, by class. `unbroken`: start value of the length of runs.

    Letters left over when every gap between words has had its share stand in runs that no
    vocabulary knows (base64, hashes), which become tokens of a character or two.
    """
    tokens = 0.0
    for members, weight, run in _CLASSES:
        rest = data.translate(None, members)
        count = len(data) - len(rest)
        if count:
            tokens += count * weight
            unbroken += count * run
            if not rest:
                break
            data = rest
    return tokens + _LETTER_IN_A_RUN * max(unbroken, 0)


_FRAME = 15.2  # tokens that `{"role":"user","content":""},` weighs, and about every part as well
_FRAME_RUN = 14 * _LONG_WORD - 15  # what it takes from the length of runs: 14 marks, 15 letters
_ESCAPE = 0.25  # tokens that a backslash weighs too much where it only escapes
_PER_MESSAGE = 4  # tokens vendors put around each message
_PRIMING = 3  # tokens every answer is begun with


def estimate_messages(messages_json: bytes) -> int:
    """Prompt tokens of messages encoded as in `ChatRequest.messages_json`.

    Images, recordings and files cost `MEDIUM` each, whether they are inside or behind a URL.
    Tool definitions are no messages: add `estimate` of their JSON.
    """
    has_parts = b'"type":"' in messages_json
    text = _without_media(messages_json) if has_parts else messages_json
    sample = _sample(text)
    frames = turns = sample.count(b'"role":"')
    if has_parts:
        frames += sample.count(b'"type":"')
    tokens = _weigh(sample, frames * _FRAME_RUN) - frames * _FRAME + turns * _PER_MESSAGE
    tokens -= sample.count(b"\\") * _ESCAPE
    if len(sample) < len(text):
        tokens *= len(text) / len(sample)
    media = sum(text.count(kind) for kind in _MEDIA) if has_parts else 0
    return max(math.ceil(tokens), 0) + _PRIMING + media * MEDIUM


def _without_media(data: bytes) -> bytes:
    """Messages without the contents of inline files."""
    return _cut(_cut(data, b";base64,", b'":"data:'), b'"data":"', b"")


_MEDIA = (b'"type":"image', b'"type":"input_', b'"type":"audio', b'"type":"video',
          b'"type":"file"', b'"type":"document"')  # fmt: skip
_LONGEST_MIME = 120


def _cut(data: bytes, mark: bytes, opening: bytes) -> bytes:
    """`data` without what stands between each `mark` and the end of its JSON string.

    Only where `opening` begins that string: inside a text its quotes would be escaped.
    """
    kept = []
    done = 0
    found = data.find(mark)
    while found >= 0:
        start = found + len(mark)
        if not opening or data.find(opening, max(found - _LONGEST_MIME, done), found) >= 0:
            kept.append(data[done:start])
            done = start = max(data.find(b'"', start), start)
        found = data.find(mark, start)
    return b"".join([*kept, data[done:]]) if kept else data


class TokenCounter(Protocol):
    """Counts the tokens of a text; called from many threads."""

    def __call__(self, text: str) -> int: ...


def tiktoken_counter(encoding: str = "o200k_base") -> TokenCounter:
    """A counter by OpenAI's tokenizer; raises `ConfigError` without the extra `tokens`, or if
    the vocabulary cannot be had: tiktoken downloads it once, to `TIKTOKEN_CACHE_DIR`.
    """
    problem = ""
    try:
        tiktoken = importlib.import_module("tiktoken")
        encode = tiktoken.get_encoding(encoding).encode_ordinary
    except ImportError:
        problem = 'tiktoken is not installed; pip install "aio-llm[tokens]"'
    except (OSError, ValueError, LookupError) as error:  # requests' errors are OSErrors
        problem = (
            f"the vocabulary {encoding!r} of tiktoken could not be loaded"
            f" ({type(error).__name__}); it is downloaded at first use: check the name and the"
            " network, or set TIKTOKEN_CACHE_DIR to a folder that has it"
        )
    if problem:
        raise ConfigError(problem)

    def count(text: str) -> int:
        return len(encode(text))

    return count


_TEMPLATE = 50  # tokens; see `Correction`
_LEAST, _GREATEST = 0.3, 4.0
_ABSURD = 10**8  # tokens nobody sends in one request


_LENGTHS = (128, 512, 1024)
"""Borders of length, in tokens, between prompts that have a factor each."""

_UNSURE = 0.05
"""Deviation of a factor that was taken from another model or another length."""


class _Average:
    """A moving average with its mean deviation, as TCP guesses round trips (RFC 6298).

    The first value takes the place of the guess that stood there; the next ones count like in a
    plain average.
    """

    __slots__ = ("deviation", "mean", "seen")

    def __init__(self, mean: float, deviation: float, seen: float = 0.0) -> None:
        self.mean = mean
        self.deviation = deviation
        self.seen = seen

    def learn(self, value: float) -> None:
        if self.seen:
            away = value - self.mean
            self.deviation += (abs(away) - self.deviation) / 4
            self.mean += away / (self.seen + 1.0)
        else:
            self.mean = value
        self.seen = min(self.seen + 1.0, 7.0)

    @property
    def high(self) -> float:
        """What few values exceed; always a bit above the mean, however steady they are."""
        return self.mean + max(2 * self.deviation, 0.01 * self.mean)


class Correction:
    """What a model really counts, learned from its answers; errs high.

    The prompt is the estimate times a learned factor, one for each class of length: a frame of
    some tokens goes around every prompt, which is much of a short one and nothing of a long one.
    Not thread-safe: for use under the owner's lock.
    """

    __slots__ = ("_completion", "_factors")

    def __init__(self) -> None:
        self._factors = [_Average(1.0, 0.075) for _ in range(len(_LENGTHS) + 1)]
        self._completion = _Average(400.0, 100.0)

    def predict(self, prompt_estimate: int, max_tokens: int | None) -> tuple[int, int]:
        """Input and output tokens to reserve. `max_tokens` is what a vendor may reserve; without
        it the output is what answers have cost so far (600 before the first one).
        """
        guess = prompt_estimate if 0 < prompt_estimate < _ABSURD else 0
        factor = min(max(self._factor(guess).high, _LEAST), _GREATEST)
        template = _TEMPLATE if factor > 1 else 0
        prompt = (guess + template) * factor - template
        if max_tokens is not None and 0 < max_tokens < _ABSURD:
            return _up(prompt), _up(max_tokens)
        return _up(prompt), _up(self._completion.high)

    def _factor(self, estimate: int) -> _Average:
        """The factor of that length; of a class without answers yet a guess by its neighbour."""
        own = bisect_right(_LENGTHS, estimate)
        for near in (own, own - 1, own + 1, own - 2, own + 2):
            if 0 <= near < len(self._factors) and self._factors[near].seen:
                known = self._factors[near]
                return known if near == own else _Average(max(1.0, known.mean), _UNSURE)
        return self._factors[own]

    def learn(self, prompt_estimate: int, prompt: int, completion: int) -> None:
        """An answer cost `prompt` and `completion` tokens; 0 and absurd counts teach nothing."""
        if 0 < prompt_estimate < _ABSURD and 0 < prompt < _ABSURD:
            template = _TEMPLATE if prompt > prompt_estimate else 0
            factor = (prompt + template) / (prompt_estimate + template)
            own = self._factors[bisect_right(_LENGTHS, prompt_estimate)]
            own.learn(min(max(factor, _LEAST), _GREATEST))
        if 0 < completion < _ABSURD:
            self._completion.learn(float(completion))

    def like(self) -> Correction:
        """A first guess for another model: the same texts are counted there."""
        made = Correction()
        for mine, theirs in zip(self._factors, made._factors, strict=True):
            if mine.seen:
                theirs.mean, theirs.deviation = mine.mean, max(mine.deviation, _UNSURE)
        return made

    def state(self) -> list[float]:
        """Three numbers per average to be kept; `of` makes the same `Correction` of them."""
        known = (*self._factors, self._completion)
        return [number for one in known for number in (one.mean, one.deviation, one.seen)]

    @classmethod
    def of(cls, state: Sequence[float]) -> Correction:
        """The `Correction` that was kept; a new one if `state` is damaged."""
        made = cls()
        kept = list(state) if isinstance(state, list | tuple) else []
        numbers = [float(n) for n in kept if isinstance(n, int | float) and 0 <= n < _ABSURD]
        if len(numbers) == len(kept) == len(made.state()):
            averages = [_Average(*numbers[i : i + 3]) for i in range(0, len(numbers), 3)]
            if all(_LEAST <= factor.mean <= _GREATEST for factor in averages[:-1]):
                made._factors, made._completion = averages[:-1], averages[-1]
        return made


def _up(tokens: float) -> int:
    """Rounded up, but not for the last bit of a float."""
    return math.ceil(tokens - 1e-6)
