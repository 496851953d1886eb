"""Ordered list state: order by sort key, half-open ranges for reading and clearing (M-STATE-12). Values are bytes (P-STATE-10)."""

from __future__ import annotations

from typing import Any

from conformance.pipeline import coders, state
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import same
from conformance.suite.f_state.functions import scripted
from conformance.suite.f_state.reading import answers, unordered

LIST = state.ordered_list(coders.BYTES)


def _adds(*sort_keys: int) -> list[list[Any]]:
    return [["state", "list", "add", sort_key, str(sort_key).encode()] for sort_key in sort_keys]


def _entries(*sort_keys: int) -> list[tuple[int, bytes]]:
    return [(sort_key, str(sort_key).encode()) for sort_key in sort_keys]


@asserts("STATE15/unset-reads-empty")
def test_unset_reads_empty(case: Case) -> Scenario:
    steps = [["state", "list", "read"], ["state", "list", "read", 0, 10]]
    scripted(case, case.program.create([("k", 1)]), steps, state={"list": LIST})
    run = yield
    same(answers(run), {"k": [[], []]}, "reads of the whole list and of a range", rule="P-STATE-07")


@asserts("STATE15/ascending-sort-keys")
def test_ascending_sort_keys(case: Case) -> Scenario:
    steps = [*_adds(5, -3, 1_000_000, 0, 3), ["state", "list", "read"]]
    scripted(case, case.program.create([("k", 1)]), steps, state={"list": LIST})
    run = yield
    same(answers(run, ordered=True), {"k": [_entries(-3, 0, 3, 5, 1_000_000)]}, "the list", rule="M-STATE-12")


@asserts("STATE15/equal-sort-keys-all-kept")
def test_equal_sort_keys_all_kept(case: Case) -> Scenario:
    steps = [["state", "list", "add", 7, value] for value in (b"a", b"b", b"a")]
    scripted(case, case.program.create([("k", 1)]), [*steps, ["state", "list", "read"]], state={"list": LIST})
    run = yield
    same(unordered(answers(run)), {"k": [[(7, b"a"), (7, b"a"), (7, b"b")]]}, "the list", rule="M-STATE-12")


@asserts("STATE15/appends-of-all-elements")
def test_appends_of_all_elements(case: Case) -> Scenario:
    keyed = case.program.create([("k", number) for number in (4, 2, 9, 1)])
    steps = [["state", "list", "add", ["val"], b"x"], ["state", "list", "read"]]
    scripted(case, keyed, steps, state={"list": LIST})
    run = yield
    longest = max((read for _, [read] in run.values("out")), key=len)
    same(longest, [(1, b"x"), (2, b"x"), (4, b"x"), (9, b"x")], "the longest read", rule="M-STATE-12")


@asserts("STATE16/half-open-range")
def test_half_open_range(case: Case) -> Scenario:
    steps = [*_adds(4, 1, 3, 2, 5), ["state", "list", "read", 2, 4]]
    scripted(case, case.program.create([("k", 1)]), steps, state={"list": LIST})
    run = yield
    same(answers(run, ordered=True), {"k": [_entries(2, 3)]}, "the range [2, 4)", rule="M-STATE-12")


@asserts("STATE16/empty-ranges")
def test_empty_ranges(case: Case) -> Scenario:
    steps = [*_adds(1, 5), ["state", "list", "read", 2, 5], ["state", "list", "read", 6, 100], ["state", "list", "read", 1, 2]]
    scripted(case, case.program.create([("k", 1)]), steps, state={"list": LIST})
    run = yield
    expected = {"k": [[], [], _entries(1)]}
    same(answers(run, ordered=True), expected, "the ranges [2, 5), [6, 100) and [1, 2)", rule="M-STATE-12")


@asserts("STATE16/negative-sort-keys")
def test_negative_sort_keys(case: Case) -> Scenario:
    steps = [*_adds(-1, 0, -5, 1), ["state", "list", "read", -5, 0], ["state", "list", "read", -4, 1]]
    scripted(case, case.program.create([("k", 1)]), steps, state={"list": LIST})
    run = yield
    expected = {"k": [_entries(-5, -1), _entries(-1, 0)]}
    same(answers(run, ordered=True), expected, "the ranges [-5, 0) and [-4, 1)", rule="M-STATE-12")


@asserts("STATE17/range-cleared")
def test_range_cleared(case: Case) -> Scenario:
    steps = [*_adds(1, 2, 3, 4, 5), ["state", "list", "clear", 2, 4], ["state", "list", "read"]]
    scripted(case, case.program.create([("k", 1)]), steps, state={"list": LIST})
    run = yield
    same(answers(run, ordered=True), {"k": [_entries(1, 4, 5)]}, "the list without [2, 4)", rule="M-STATE-12")


@asserts("STATE17/all-cleared")
def test_all_cleared(case: Case) -> Scenario:
    steps = [*_adds(1, -2, 3), ["state", "list", "clear"], ["state", "list", "read"]]
    scripted(case, case.program.create([("k", 1)]), steps, state={"list": LIST})
    run = yield
    same(answers(run, ordered=True), {"k": [[]]}, "the list after the clear", rule="M-STATE-12")


@asserts("STATE17/append-after-clear")
def test_append_after_clear(case: Case) -> Scenario:
    steps = [*_adds(1, 2, 3), ["state", "list", "clear", 1, 3], *_adds(2), ["state", "list", "read"]]
    scripted(case, case.program.create([("k", 1)]), steps, state={"list": LIST})
    run = yield
    same(answers(run, ordered=True), {"k": [_entries(2, 3)]}, "the list", rule="P-STATE-05")


@asserts("STATE17/clear-of-unset", alone=True)
def test_clear_of_unset(case: Case) -> Scenario:
    steps = [["state", "list", "clear"], ["state", "list", "clear", 0, 10], ["state", "list", "read"]]
    scripted(case, case.program.create([("k", 1)]), steps, state={"list": LIST})
    run = yield
    same(answers(run), {"k": [[]]}, "the read after clears of nothing", rule="P-STATE-07")
