"""Values of every kind in every position: what comes out has the bytes of what went in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.u_coders import positions
from conformance.suite.u_coders.vectors import DEEP, PLAIN, ROWS, SHARDED, UNKNOWN, Coded, published

#: Position → how to get there, and what must hold behind it.
_POSITIONS: dict[str, tuple[Callable[..., None], Callable[..., None]]] = {
    "as-value": (positions.into_values, positions.check_values),
    "as-key": (positions.into_keys, positions.check_keys),
    "as-side-input": (positions.into_side, positions.check_side),
    "as-state": (positions.into_state, positions.check_state),
    "as-state-key": (positions.into_state_keys, positions.check_state_keys),
}


def _survive(leaf: str, position: str, kinds: Mapping[str, Coded]) -> Callable[..., Any]:
    """The test of `leaf` for one position: one result a kind."""
    into, check = _POSITIONS[position]

    @asserts(f"{leaf}/{position}")
    @pytest.mark.parametrize("kind", list(kinds))
    def test(case: Case, kind: str) -> Scenario:
        into(case.program, kinds[kind])
        run = yield
        check(run, kinds[kind])

    return test


test_plain_as_value = _survive("COD02", "as-value", PLAIN)
test_plain_as_key = _survive("COD02", "as-key", PLAIN)
test_plain_as_side_input = _survive("COD02", "as-side-input", PLAIN)
test_plain_as_state = _survive("COD02", "as-state", PLAIN)
test_plain_as_state_key = _survive("COD02", "as-state-key", PLAIN)

test_nesting_as_value = _survive("COD03", "as-value", DEEP)
test_nesting_as_key = _survive("COD03", "as-key", DEEP)
test_nesting_as_side_input = _survive("COD03", "as-side-input", DEEP)
test_nesting_as_state = _survive("COD03", "as-state", DEEP)
test_nesting_as_state_key = _survive("COD03", "as-state-key", DEEP)

test_unknown_as_value = _survive("COD04", "as-value", UNKNOWN)
test_unknown_as_key = _survive("COD04", "as-key", UNKNOWN)
test_unknown_as_side_input = _survive("COD04", "as-side-input", UNKNOWN)
test_unknown_as_state = _survive("COD04", "as-state", UNKNOWN)
test_unknown_as_state_key = _survive("COD04", "as-state-key", UNKNOWN)

test_rows_as_value = _survive("COD09", "as-value", ROWS)
test_rows_as_key = _survive("COD09", "as-key", ROWS)
test_rows_as_side_input = _survive("COD09", "as-side-input", ROWS)
test_rows_as_state = _survive("COD09", "as-state", ROWS)
test_rows_as_state_key = _survive("COD09", "as-state-key", ROWS)

_SHARDED = {"sharded-key": SHARDED}
test_sharded_as_value = _survive("COD11", "as-value", _SHARDED)
test_sharded_as_key = _survive("COD11", "as-key", _SHARDED)
test_sharded_as_state_key = _survive("COD11", "as-state-key", _SHARDED)

_PUBLISHED = (
    "bytes",
    "string_utf8",
    "bool",
    "varint",
    "double",
    "kv",
    "iterable",
    "length_prefix",
    "nullable",
    "sharded_key",
    "row",
    "interval_window",
    "windowed_value",
)


@asserts("COD01/published-vectors-unchanged")
@pytest.mark.parametrize("kind", _PUBLISHED)
def test_published_vectors(case: Case, kind: str) -> Scenario:
    given = published(kind)
    assert given, f"fixtures/coders has no vector of {kind}"
    for number, each in enumerate(given):
        positions.into_values(case.program, each, f"v{number}")
    run = yield
    for number, each in enumerate(given):
        positions.check_values(run, each, f"v{number}")
