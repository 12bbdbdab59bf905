"""The promises of the engine, held under any sequence of vendor behaviours, in virtual time."""

from __future__ import annotations

import pickle
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from aio_llm import AIO, AIOError, ChatCompletion, FakeClock, StreamInterruptedError
from aio_llm.core.keys import STRIKES_TO_DISABLE
from tests.engine.world import FAULTS, KEYS, MODELS, PROVIDERS, Seen, World, build, secret

TARGETS = st.tuples(
    st.sampled_from(PROVIDERS),
    st.sampled_from(MODELS),
    st.integers(min_value=0, max_value=KEYS - 1),
)
MAX_RETRIES = 2
TIMEOUT = 120.0
MAX_WAIT = 40.0
DAILY_LIMIT = 12
DAY = 86_400.0

# What must keep a target from being asked again before some moment: fault -> least seconds.
RESTS = {"minute": 30.0, "billing": 3600.0, "bad_key": 3600.0, "forbidden": 3600.0}
WEATHER = ["ok", "ok", "cut", *FAULTS]
STRIKING = ("bad_key", "forbidden", "billing")


class EngineUnderAnyWeather(RuleBasedStateMachine):
    """One `AIO`, any weather; and a second one that must not notice."""

    aio: AIO
    world: World

    @initialize()
    def begin(self) -> None:
        self.world = World(FakeClock())
        self.aio = build(
            self.world,
            daily_limit=DAILY_LIMIT,
            max_retries=MAX_RETRIES,
            timeout=TIMEOUT,
            max_wait=MAX_WAIT,
        )
        self.neighbour = build(self.world, daily_limit=DAILY_LIMIT)
        self.day_requests: dict[str, int] = {}
        self.day = self._today()

    @rule(which=TARGETS, outcome=st.sampled_from(WEATHER))
    def change(self, which: tuple[str, str, int], outcome: str) -> None:
        provider, model, key = which
        self.world.does[provider, model, secret(provider, key)] = outcome

    @rule(names=st.sets(st.sampled_from(PROVIDERS), min_size=1), outcome=st.sampled_from(WEATHER))
    def change_all(self, names: set[str], outcome: str) -> None:
        for provider in names:
            for model in MODELS:
                for key in range(KEYS):
                    self.world.does[provider, model, secret(provider, key)] = outcome

    @rule(seconds=st.sampled_from([0.5, 5.0, 31.0, 61.0, 3601.0, DAY]))
    def let_time_pass(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    @rule(provider=st.sampled_from(PROVIDERS), index=st.integers(0, KEYS - 1))
    def enable(self, provider: str, index: int) -> None:
        self.aio.enable_key(provider, secret(provider, index))
        lifted = [s for s in self.world.seen if s.key == secret(provider, index)]
        lifted += [s for s in self.world.seen if s.provider == provider and s.outcome == "billing"]
        self.world.seen = [s for s in self.world.seen if s not in lifted]

    @rule()
    def call(self) -> None:
        before, outcome = self._perform(lambda: self.aio.chat_completion("hi"))

        self._check_call(before, outcome)

    @rule(restart=st.booleans())
    def stream(self, restart: bool) -> None:
        def read() -> tuple[str, list[str], ChatCompletion]:
            how: Any = "restart" if restart else "raise"
            with self.aio.chat_completion_stream("hi", on_interrupt=how) as stream:
                pieces: list[str] = []
                for chunk in stream:
                    if chunk.restarted:
                        pieces.clear()
                    pieces.append(chunk.content)
                return stream.text, pieces, stream.response

        before, outcome = self._perform(read)
        if isinstance(outcome, StreamInterruptedError):
            assert outcome.partial
            return
        if isinstance(outcome, tuple):
            text, pieces, answer = outcome
            assert text == "".join(pieces) == answer.content  # I2: one target's text only
            assert text.startswith(f"{answer.provider}/{answer.model}/")
        self._check_call(before, outcome)

    def _perform(self, what: Any) -> tuple[int, Any]:
        """Run a call; returns how many requests were seen before it, and its outcome."""
        before, started = len(self.world.seen), self.world.clock.now()
        try:
            outcome: Any = what()
        except AIOError as error:
            outcome = error
        fresh = self.world.seen[before:]
        tries: dict[tuple[str, str, str], int] = {}
        for seen in fresh:
            if seen.outcome in ("minute", "minute_unsaid"):
                continue  # waiting for capacity is bounded by time, not by tries
            target = (seen.provider, seen.model, seen.key)
            tries[target] = tries.get(target, 0) + 1
        assert all(n <= 1 + MAX_RETRIES for n in tries.values())  # I1, I5
        assert self.world.clock.now() - started <= 2 * TIMEOUT + 1  # I1 (a restart begins anew)
        self._check_rests(before)
        self._count(fresh)
        return before, outcome

    def _check_rests(self, before: int) -> None:
        """I3: nobody is asked again before the moment it named."""
        for at, seen in enumerate(self.world.seen[before:], start=before):
            for earlier in self.world.seen[:at]:
                least = RESTS.get(earlier.outcome, 0.0)
                wider = earlier.outcome in ("billing", "bad_key")
                same = seen.key == earlier.key and (wider or seen.model == earlier.model)
                assert not same or seen.at - earlier.at > least - 1e-6, (earlier, seen)

    def _count(self, fresh: list[Seen]) -> None:
        """I7, I9: a key's vendor never sees more than its limit within one of its days."""
        if self._today() != self.day:
            self.day, self.day_requests = self._today(), {}
            fresh = [s for s in fresh if int(self._wall_at(s.at) // DAY) == self.day]
        for seen in fresh:
            self.day_requests[seen.key] = self.day_requests.get(seen.key, 0) + 1
        assert all(n <= DAILY_LIMIT for n in self.day_requests.values())

    def _today(self) -> int:
        return int(self.world.clock.wall() // DAY)

    def _wall_at(self, moment: float) -> float:
        return self.world.clock.wall() - (self.world.clock.now() - moment)

    def _check_call(self, before: int, outcome: Any) -> None:
        fresh = self.world.seen[before:]
        text = pickle.dumps(outcome) + repr(outcome).encode() + str(outcome).encode()
        assert b"canary-" not in text  # I11
        if isinstance(outcome, AIOError):
            failed = [a for a in outcome.attempts if a.kind is not None]
            assert len(failed) == len(fresh)  # I10: the error lists every attempt
            assert not any(seen.outcome in ("ok", "cut") for seen in fresh)  # I10

    @invariant()
    def every_lease_went_back(self) -> None:
        rows = self.aio.get_key_stats()["keys"]

        assert all(row["in_flight"] == 0 for row in rows)  # I6

    @invariant()
    def only_bad_keys_are_disabled(self) -> None:
        for row in self.aio.get_key_stats()["keys"]:
            if row["state"] == "disabled":
                assert row["errors_in_row"] >= STRIKES_TO_DISABLE  # I4
                assert row["last_error"] in STRIKING

    @invariant()
    def the_neighbour_notices_nothing(self) -> None:
        rows = self.neighbour.get_key_stats()["keys"]

        assert all(row["total_usage"] == 0 and row["state"] == "active" for row in rows)  # I14


EngineUnderAnyWeather.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None
)
TestEngineUnderAnyWeather = EngineUnderAnyWeather.TestCase
