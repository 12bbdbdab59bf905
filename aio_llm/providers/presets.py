"""What is known of each vendor: one row each. Model lists are dated 2026-11 and only defaults
for `AIO.from_env()`; limits change monthly and are learned, not written here. How a vendor
counts does not change: its windows, and what a token is.
"""

from __future__ import annotations

from dataclasses import dataclass

UTC = "UTC"
PACIFIC = "America/Los_Angeles"


@dataclass(frozen=True, slots=True)
class Habits:
    """How a vendor counts. `minute`, `day`: bucket, fixed or sliding (safe where unknown).
    `burst`: what fits in at once, as a share of the limit. `tokens`: all of them, only the input,
    or what a request may cost at most (reserved: prompt and max_tokens, never given back).
    `counts_refused`: refused requests count too. `header`: the limit that plain
    `x-ratelimit-*-requests` headers are about.
    """

    minute: str = "sliding"
    day: str = "sliding"
    burst: float = 1.0
    tokens: str = "total"
    counts_refused: bool = True
    header: str = ""


UNKNOWN = Habits()


@dataclass(frozen=True, slots=True)
class Preset:
    """One vendor. `adapter`: module of this package. `day`: time zone whose midnight resets
    daily limits. `lacks`: request fields it refuses, unless they say what is so anyway.
    `rename`: ours -> its field names.
    `strict_history`: it refuses other vendors' fields in answers sent back to it.
    `shared_suffix`: models with it share one quota. `env`: names before `_API_KEY(S)`.
    `habits`: how it counts what is used.
    """

    name: str
    adapter: str
    base_url: str
    env: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    day: str = UTC
    aliases: tuple[str, ...] = ()
    lacks: frozenset[str] = frozenset()
    rename: tuple[tuple[str, str], ...] = ()
    key_path: str = "/models"
    chat_path: str = "/chat/completions"
    asks_usage: bool = True
    shared_suffix: str = ""
    strict_history: bool = False
    habits: Habits = UNKNOWN


SO_ANYWAY = {"n": 1, "logprobs": False, "parallel_tool_calls": True}
"""Values a vendor without the field need not be asked for."""

_GROQ_LACKS = frozenset({"n", "logprobs", "top_logprobs", "logit_bias"})

PRESETS: tuple[Preset, ...] = (
    Preset(
        "openrouter",
        "openai_compatible",
        "https://openrouter.ai/api/v1",
        env=("OPENROUTER",),
        models=("meta-llama/llama-3.3-70b-instruct:free", "openai/gpt-oss-20b:free"),
        key_path="/key",
        asks_usage=False,
        shared_suffix=":free",
        habits=Habits(day="fixed"),
    ),
    Preset(
        "groq",
        "groq",
        "https://api.groq.com",
        env=("GROQ",),
        models=("llama-3.3-70b-versatile", "llama-3.1-8b-instant"),
        lacks=_GROQ_LACKS,
        key_path="/openai/v1/models",
        strict_history=True,
        chat_path="/openai/v1/chat/completions",
        habits=Habits("bucket", "bucket", counts_refused=False, header="rpd"),
    ),
    Preset(
        "cerebras",
        "openai_compatible",
        "https://api.cerebras.ai/v1",
        env=("CEREBRAS",),
        models=("gpt-oss-120b", "zai-glm-4.7"),
        lacks=frozenset({"n", "logit_bias"}),
        rename=(("max_tokens", "max_completion_tokens"),),
        strict_history=True,
        habits=Habits("bucket", "bucket", burst=1 / 3, tokens="reserved", counts_refused=False),
    ),
    Preset(
        "google-ai",
        "google",
        "https://generativelanguage.googleapis.com",
        env=("GOOGLE_AI", "GOOGLE", "GEMINI"),
        models=("gemini-2.5-flash", "gemini-2.5-flash-lite"),
        day=PACIFIC,
        aliases=("google", "gemini"),
        lacks=frozenset({"logit_bias", "parallel_tool_calls", "user"}),
        habits=Habits("fixed", "fixed", tokens="input"),
    ),
    Preset("custom", "openai_compatible", ""),
)

_BY_NAME = {name: row for row in PRESETS for name in (row.name, *row.aliases)}


def preset(name: str) -> Preset | None:
    """The row of a vendor by its name or alias, None if unknown."""
    return _BY_NAME.get(name.strip().lower().replace("_", "-"))


def vendor_names() -> list[str]:
    """Every name `provider=` accepts, aliases included, sorted."""
    return sorted(_BY_NAME)
