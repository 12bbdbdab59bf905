"""The project's figures: what is measured, what it must be, what it should be, and who measures."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """`limit` and `aim` are bounds from above; from below if `larger` is better."""

    what: str
    limit: float | None = None
    aim: float | None = None
    unit: str = ""
    larger: bool = False

    def reaches(self, value: float, bound: float | None) -> bool:
        """`value` keeps the bound, if there is one."""
        if bound is None:
            return True
        return value >= bound if self.larger else value <= bound


FIGURES = {
    "front door": Figure("CPU of import and `AIO(config)` : `import openai`", 0.4, 0.28),
    "sdks loaded": Figure("vendor SDKs loaded by it", 0),
    "import": Figure("CPU of `import aio_llm` : `import pydantic, loguru`", 0.25, 0.05),
    "call": Figure("CPU of a call with 1 message : raw SDK", 0.75, 0.35),
    "history": Figure("CPU of a call with 50 messages : raw SDK", 0.2, 0.06),
    "chunk": Figure("CPU of a streamed chunk : raw SDK", 0.25, 0.06),
    "connections": Figure("connections for 10 streams in a row", 1),
    "throughput": Figure("calls per second : raw SDK", 1.4, 3, larger=True),
    "choosing": Figure("choosing a target, 10,000 keys : 10 keys", 2, 1.3),
    "choosing cost": Figure("choosing a target", 10, 1, "µs"),
    "key memory": Figure("memory of one more key, its SDK client included", 9, unit="kB"),
    "large AIO": Figure("memory of 100 providers with 10 keys", 20, unit="MB"),
    "growth": Figure("memory gained in 10,000 calls", 1, unit="MB"),
    "cancel": Figure("cancel to exception, median", 5, 1, "ms"),
    "worst cancel": Figure("cancel to exception, worst", 50, unit="ms"),
    "ceiling": Figure("answers per second the server could give", larger=True),
}


@dataclass(frozen=True)
class Benchmark:
    """A function of this package that yields figures; `group` is what `--only` takes."""

    group: str
    module: str
    function: str
    arguments: tuple[str, ...] = ()


def _each(group: str, module: str, function: str) -> list[Benchmark]:
    sdks = ("openai", "groq", "google")
    return [Benchmark(group, module, function, (sdk,)) for sdk in sdks]


BENCHMARKS = (
    Benchmark("import", "imports", "front_door"),
    Benchmark("import", "imports", "package"),
    *_each("call", "calls", "one_message"),
    *_each("history", "calls", "long_history"),
    *_each("chunk", "streams", "per_chunk"),
    *_each("connections", "streams", "connections"),
    Benchmark("throughput", "crowds", "throughput", ("16", "0")),
    Benchmark("throughput", "crowds", "throughput", ("64", "0")),
    Benchmark("throughput", "crowds", "throughput", ("64", "20")),
    Benchmark("throughput", "crowds", "ceilings"),
    Benchmark("choosing", "choosing", "choosing"),
    *_each("memory", "memory", "per_key"),
    Benchmark("memory", "memory", "large"),
    Benchmark("memory", "memory", "growth"),
    Benchmark("cancel", "cancelling", "cancelling"),
)
