"""The policy table: a row for every kind, and the rows that must never change."""

from __future__ import annotations

import pytest

from aio_llm.core.policy import POLICY, Next, Rest, Strike, judge
from aio_llm.faults import Category, Fault, Kind, Scope


def test_every_kind_has_a_row_and_a_category() -> None:
    assert set(POLICY) == set(Kind)
    assert all(isinstance(Fault(kind, Scope.KEY).category, Category) for kind in Kind)


@pytest.mark.parametrize("kind", Kind)
def test_only_what_a_key_did_counts_against_a_key(kind: Kind) -> None:
    is_key_fault = Fault(kind, Scope.KEY).category is Category.AUTH or kind is Kind.BILLING

    assert (judge(Fault(kind, Scope.KEY)).strike is Strike.KEY) == is_key_fault


@pytest.mark.parametrize("kind", Kind)
def test_the_request_stops_only_where_nobody_else_could_do_better(kind: Kind) -> None:
    stops = judge(Fault(kind, Scope.REQUEST)).next is Next.STOP

    assert stops == (kind in (Kind.BAD_REQUEST, Kind.CONTENT_FILTER, Kind.CANCELLED))


OF_THE_REQUEST = (Kind.BAD_REQUEST, Kind.CONTEXT_LENGTH, Kind.TOO_LARGE, Kind.UNSUPPORTED,
                  Kind.CONTENT_FILTER, Kind.GENERATION_FAILED)  # fmt: skip


@pytest.mark.parametrize("kind", OF_THE_REQUEST)
def test_what_the_request_did_makes_nobody_rest(kind: Kind) -> None:
    rule = judge(Fault(kind, Scope.REQUEST))

    assert (rule.rest, rule.strike) == (Rest.NONE, Strike.NOBODY)


PROVIDERS_FAULT = (Kind.SERVER, Kind.BAD_RESPONSE, Kind.NETWORK, Kind.TIMEOUT, Kind.EMPTY)


@pytest.mark.parametrize("kind", PROVIDERS_FAULT)
def test_after_a_failure_of_the_vendor_the_call_goes_elsewhere(kind: Kind) -> None:
    rule = judge(Fault(kind, Scope.PROVIDER))

    assert (rule.next, rule.rest) == (Next.ELSEWHERE, Rest.BACKOFF)


CATEGORIES = {
    Category.RATE_LIMIT: {Kind.MINUTE_LIMIT, Kind.DAY_LIMIT, Kind.BILLING, Kind.UPSTREAM_LIMIT},
    Category.AUTH: {Kind.BAD_KEY, Kind.ACCOUNT_DISABLED, Kind.FORBIDDEN},
    Category.INVALID_REQUEST: {*OF_THE_REQUEST, Kind.MODEL_NOT_FOUND},
    Category.SERVER: {Kind.SERVER, Kind.BAD_RESPONSE, Kind.EMPTY, Kind.REDIRECT},
    Category.NETWORK: {Kind.NETWORK, Kind.TIMEOUT, Kind.BLOCKED},
    Category.UNKNOWN: {Kind.CANCELLED, Kind.UNKNOWN},
}
RETRYABLE = (Category.RATE_LIMIT, Category.SERVER, Category.NETWORK)


@pytest.mark.parametrize("category", Category)
def test_a_caller_sees_six_categories(category: Category) -> None:
    faults = [Fault(kind, Scope.KEY) for kind in Kind]
    seen = [fault for fault in faults if fault.category is category]

    assert {fault.kind for fault in seen} == CATEGORIES[category]
    assert all(fault.is_retryable == (category in RETRYABLE) for fault in seen)
