"""Set, map and multimap state: distinct keys, one key cleared, all cleared, absent keys (M-STATE-10, M-STATE-11)."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from conformance.pipeline import Fn, coders, state
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import same
from conformance.suite.f_state.functions import scripted
from conformance.suite.f_state.reading import answers

MAP = state.map_(coders.STRING, coders.VARINT)
MULTIMAP = state.multimap(coders.STRING, coders.VARINT)
SETS = pytest.mark.parametrize("protocol", ["multimap", "bag"])
Protocol = Literal["multimap", "bag"]


@SETS
@asserts("STATE09/member-once")
def test_member_once(case: Case, protocol: Protocol) -> Scenario:
    steps = [["state", "set", "add", member] for member in ("b", "a", "b", "b")]
    cell = state.set_(coders.STRING, protocol)
    scripted(case, case.program.create([("k", 1)]), [*steps, ["state", "set", "read"]], state={"set": cell})
    run = yield
    same(answers(run), {"k": [["a", "b"]]}, "the members", rule="M-STATE-11")


@SETS
@asserts("STATE09/contains")
def test_contains(case: Case, protocol: Protocol) -> Scenario:
    steps = [
        ["state", "set", "contains", "a"],
        ["state", "set", "add", "a"],
        ["state", "set", "contains", "a"],
        ["state", "set", "contains", "b"],
    ]
    scripted(case, case.program.create([("k", 1)]), steps, state={"set": state.set_(coders.STRING, protocol)})
    run = yield
    same(answers(run), {"k": [False, True, False]}, "a before, a after, b", rule="M-STATE-11")


@SETS
@asserts("STATE09/cleared-is-empty")
def test_set_cleared_is_empty(case: Case, protocol: Protocol) -> Scenario:
    steps = [
        ["state", "set", "add", "a"],
        ["state", "set", "add", "b"],
        ["state", "set", "clear"],
        ["state", "set", "read"],
        ["state", "set", "add", "c"],
        ["state", "set", "read"],
    ]
    scripted(case, case.program.create([("k", 1)]), steps, state={"set": state.set_(coders.STRING, protocol)})
    run = yield
    same(answers(run), {"k": [[], ["c"]]}, "after the clear, and after one more add", rule="M-STATE-10")


@asserts("STATE09/removed-is-gone")
def test_removed_is_gone(case: Case) -> Scenario:
    steps = [
        ["state", "set", "add", "a"],
        ["state", "set", "add", "b"],
        ["state", "set", "remove", "a"],
        ["state", "set", "contains", "a"],
        ["state", "set", "read"],
    ]
    scripted(case, case.program.create([("k", 1)]), steps, state={"set": state.set_(coders.STRING)})
    run = yield
    same(answers(run), {"k": [False, ["b"]]}, "membership of a, and the members", rule="M-STATE-11")


@asserts("STATE10/absent-and-present")
def test_map_absent_and_present(case: Case) -> Scenario:
    steps = [
        ["state", "map", "get", "a"],
        ["state", "map", "put", "a", 1],
        ["state", "map", "get", "a"],
        ["state", "map", "get", "b"],
    ]
    scripted(case, case.program.create([("k", 1)]), steps, state={"map": MAP})
    run = yield
    same(answers(run), {"k": [None, 1, None]}, "a before, a after, b", rule="M-STATE-10")


@asserts("STATE10/put-replaces")
def test_map_put_replaces(case: Case) -> Scenario:
    steps = [
        ["state", "map", "put", "a", 1],
        ["state", "map", "put", "b", 2],
        ["state", "map", "put", "a", 3],
        ["state", "map", "get", "a"],
        ["state", "map", "entries"],
    ]
    scripted(case, case.program.create([("k", 1)]), steps, state={"map": MAP})
    run = yield
    same(answers(run), {"k": [3, [("a", 3), ("b", 2)]]}, "the value of a, and all entries", rule="M-STATE-11")


@asserts("STATE10/kept-between-elements")
def test_map_kept_between_elements(case: Case) -> Scenario:
    # each element first looks for what all of them put, then puts it
    keyed = case.program.create([("k", number) for number in range(4)])
    steps = [["state", "map", "get", "x"], ["state", "map", "put", "x", 7], ["state", "map", "get", "x"]]
    scripted(case, keyed, steps, state={"map": MAP})
    run = yield
    found = sorted((before or 0, after) for _, (before, after) in run.values("out"))
    same(found, [(0, 7), (7, 7), (7, 7), (7, 7)], "x before and after each element", rule="M-STATE-10")


@asserts("STATE10/removed-is-gone")
def test_map_removed_is_gone(case: Case) -> Scenario:
    steps = [
        ["state", "map", "put", "a", 1],
        ["state", "map", "put", "b", 2],
        ["state", "map", "remove", "a"],
        ["state", "map", "remove", "never"],
        ["state", "map", "get", "a"],
        ["state", "map", "get", "b"],
    ]
    scripted(case, case.program.create([("k", 1)]), steps, state={"map": MAP})
    run = yield
    same(answers(run), {"k": [None, 2]}, "a and b after a was removed", rule="M-STATE-10")


@asserts("STATE10/cleared-is-empty")
def test_map_cleared_is_empty(case: Case) -> Scenario:
    steps = [
        ["state", "map", "put", "a", 1],
        ["state", "map", "put", "b", 2],
        ["state", "map", "clear"],
        ["state", "map", "get", "a"],
        ["state", "map", "get", "b"],
    ]
    scripted(case, case.program.create([("k", 1)]), steps, state={"map": MAP})
    run = yield
    same(answers(run), {"k": [None, None]}, "a and b after all was cleared", rule="M-STATE-10")


@asserts("STATE11/put-adds")
def test_multimap_put_adds(case: Case) -> Scenario:
    steps = [["state", "map", "put", "a", number] for number in (1, 2, 2)]
    steps += [
        ["state", "map", "put", "b", 9],
        ["state", "map", "get", "a"],
        ["state", "map", "get", "b"],
        ["state", "map", "get", "c"],
    ]
    scripted(case, case.program.create([("k", 1)]), steps, state={"map": MULTIMAP})
    run = yield
    same(answers(run), {"k": [[1, 2, 2], [9], []]}, "values of a, b and the absent c", rule="M-STATE-10")


@asserts("STATE11/one-key-cleared")
def test_multimap_one_key_cleared(case: Case) -> Scenario:
    steps = [["state", "map", "put", key, number] for key, number in (("a", 1), ("b", 2), ("a", 3), ("c", 4))]
    steps += [["state", "map", "remove", "a"], ["state", "map", "remove", "never"]]
    steps += [["state", "map", "get", key] for key in "abc"]
    scripted(case, case.program.create([("k", 1)]), steps, state={"map": MULTIMAP})
    run = yield
    same(answers(run), {"k": [[], [2], [4]]}, "values of a, b and c after a was removed", rule="M-STATE-10")


@asserts("STATE11/put-after-remove")
def test_multimap_put_after_remove(case: Case) -> Scenario:
    steps = [
        ["state", "map", "put", "a", 1],
        ["state", "map", "remove", "a"],
        ["state", "map", "put", "a", 2],
        ["state", "map", "remove", "a"],
        ["state", "map", "put", "a", 3],
        ["state", "map", "put", "a", 4],
        ["state", "map", "get", "a"],
    ]
    scripted(case, case.program.create([("k", 1)]), steps, state={"map": MULTIMAP})
    run = yield
    same(answers(run), {"k": [[3, 4]]}, "values of a", rule="M-STATE-10")


@asserts("STATE11/per-key-of-the-element")
def test_multimap_per_key_of_the_element(case: Case) -> Scenario:
    steps = [["state", "map", "put", "a", ["val"]], ["state", "map", "get", "a"]]
    scripted(case, case.program.create([("j", 1), ("k", 2)]), steps, state={"map": MULTIMAP})
    run = yield
    same(answers(run), {"j": [[1]], "k": [[2]]}, "values of a", rule="M-STATE-01")


@asserts("STATE12/each-key-once")
def test_keys_each_once(case: Case) -> Scenario:
    steps: list[Any] = [["state", "map", "keys"]]
    steps += [["state", "map", "put", key, number] for key, number in (("b", 1), ("a", 2), ("b", 3), ("", 4))]
    scripted(case, case.program.create([("k", 1)]), [*steps, ["state", "map", "keys"]], state={"map": MULTIMAP})
    run = yield
    same(answers(run), {"k": [[], ["", "a", "b"]]}, "keys at first and after the puts", rule="M-STATE-10")


@asserts("STATE12/removed-key-not-listed")
def test_removed_key_not_listed(case: Case) -> Scenario:
    steps = [
        ["state", "map", "put", "a", 1],
        ["state", "map", "put", "b", 2],
        ["state", "map", "remove", "a"],
        ["state", "map", "keys"],
    ]
    scripted(case, case.program.create([("k", 1)]), steps, state={"map": MULTIMAP})
    run = yield
    same(answers(run), {"k": [["b"]]}, "the keys after a was removed", rule="M-STATE-10")


@asserts("STATE12/clear-of-keys-clears-all")
def test_clear_of_keys_clears_all(case: Case) -> Scenario:
    steps = [["state", "map", "put", key, 1] for key in "abc"]
    steps += [["state", "map", "clear"], ["state", "map", "keys"], ["state", "map", "get", "a"], ["state", "map", "put", "d", 5]]
    scripted(case, case.program.create([("k", 1)]), [*steps, ["state", "map", "keys"]], state={"map": MULTIMAP})
    run = yield
    same(answers(run), {"k": [[], [], ["d"]]}, "keys, values of a, and keys after one more put", rule="M-STATE-10")


@asserts("STATE12/many-keys")
def test_many_keys(case: Case) -> Scenario:
    fn = Fn("suite_fill_map", observer=case.program.prefix + "out", entries=1000)
    cell = state.multimap(coders.VARINT, coders.VARINT)
    case.program.create([("k", 1)]).par_do(fn, coders.BYTES, state={"map": cell})
    run = yield
    same(run.values("out"), [("k", (1000, 1000, 20))], "keys, different keys, values found of 20 asked for", rule="P-STATE-06")


@asserts("STATE13/entries-of-all-keys", alone=True)
def test_entries_of_all_keys(case: Case) -> Scenario:
    steps: list[Any] = [["state", "map", "entries"]]
    steps += [["state", "map", "put", key, number] for key, number in (("b", 1), ("a", 2), ("b", 3))]
    scripted(case, case.program.create([("k", 1)]), [*steps, ["state", "map", "entries"]], state={"map": MULTIMAP})
    run = yield
    same(answers(run), {"k": [[], [("a", [2]), ("b", [1, 3])]]}, "entries at first and after the puts", rule="P-STATE-09")


@asserts("STATE13/follows-removal", alone=True)
def test_entries_follow_removal(case: Case) -> Scenario:
    steps = [["state", "map", "put", key, number] for key, number in (("a", 1), ("b", 2), ("a", 3))]
    steps += [
        ["state", "map", "remove", "a"],
        ["state", "map", "entries"],
        ["state", "map", "clear"],
        ["state", "map", "entries"],
    ]
    scripted(case, case.program.create([("k", 1)]), steps, state={"map": MULTIMAP})
    run = yield
    same(answers(run), {"k": [[("b", [2])], []]}, "entries after a was removed, and after all was", rule="P-STATE-09")


@asserts("STATE14/keys-by-their-bytes")
def test_keys_by_their_bytes(case: Case) -> Scenario:
    cell = state.multimap(coders.BYTES, coders.VARINT)
    steps = [["state", "map", "put", key, number] for key, number in ((b"", 1), (b"\x00", 2), (b"\x00\x00", 3), (b"\x00", 4))]
    steps += [["state", "map", "get", key] for key in (b"", b"\x00", b"\x00\x00")]
    scripted(case, case.program.create([("k", 1)]), [*steps, ["state", "map", "keys"]], state={"map": cell})
    run = yield
    expected = {"k": [[1], [2, 4], [3], [b"", b"\x00", b"\x00\x00"]]}
    same(answers(run), expected, "values of three keys, and the keys", rule="M-STATE-10")


@asserts("STATE14/keys-of-unknown-coder")
def test_map_keys_of_unknown_coder(case: Case) -> Scenario:
    cell = state.multimap(coders.JSON, coders.JSON)
    steps = [
        ["state", "map", "put", ["list", "a", 1], ["list", "one"]],
        ["state", "map", "put", ["list", "a", 2], "two"],
        ["state", "map", "put", ["list", "a", 1], None],
        ["state", "map", "get", ["list", "a", 1]],
        ["state", "map", "get", ["list", "a", 2]],
        ["state", "map", "keys"],
    ]
    scripted(case, case.program.create([("k", 1)]), steps, state={"map": cell})
    run = yield
    expected = {"k": [[None, ["one"]], ["two"], [["a", 1], ["a", 2]]]}
    # keys that are lists are sorted inside by `answers` as well; these are sorted already
    same(answers(run), expected, "values of two keys, and the keys", rule="P-STATE-08")
