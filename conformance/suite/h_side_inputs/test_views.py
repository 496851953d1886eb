"""Views of one window: every element, by key, empty, large, of any coder, from any producer (M-SIDE-01, M-SIDE-04, M-SIDE-06)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from conformance.pipeline import Fn, PCollection, coders
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import same, same_multiset
from conformance.suite.f_state.functions import scripted
from conformance.suite.f_state.reading import unordered
from conformance.suite.h_side_inputs.functions import NO_VALUE, SEVERAL_VALUES
from conformance.suite.outcomes import NotExercised
from conformance.suite.run import Run

PAIRS = coders.kv(coders.STRING, coders.VARINT)
VALUES = [["side", "side", "values"]]


def _main(case: Case, values: Sequence[Any] = (1, 2)) -> PCollection:
    return case.program.create(list(values), name="main")


def _read(run: Run, observer: str = "out") -> list[Any]:
    """(element, answers) of everything processed, in a fixed order."""
    return sorted((key, [unordered(answer) for answer in answers]) for key, answers in run.values(observer))


@asserts("SIDE01/every-element")
def test_every_element(case: Case) -> Scenario:
    side = case.program.create([3, 1, 300, 1], name="side")
    scripted(case, _main(case), VALUES, side_inputs={"side": side.as_iterable()})
    run = yield
    # sorted by their text
    same(_read(run), [(number, [[1, 1, 3, 300]]) for number in (1, 2)], "element and view", rule="M-SIDE-01")


@asserts("SIDE01/value-of-unknown-coder")
def test_value_of_unknown_coder(case: Case) -> Scenario:
    side = case.program.create([{"a": 1}, None, "text", [1, [2]]], coder=coders.JSON, name="side")
    scripted(case, _main(case, [1]), VALUES, side_inputs={"side": side.as_iterable()})
    run = yield
    [(_, [values])] = run.values("out")
    same_multiset(values, [{"a": 1}, None, "text", [1, [2]]], "the view", rule="P-STATE-09")


@asserts("SIDE01/main-elements-unchanged")
def test_main_elements_unchanged(case: Case) -> Scenario:
    side = case.program.create(["s"], name="side")
    main = case.program.create([("k", 1), ("j", 2)], timestamps=[1000, 2000], name="main")
    out = scripted(case, main, [["emit", ["value"]]], coder=PAIRS, side_inputs={"side": side.as_iterable()})
    out.observe("emitted")
    run = yield
    found = [(seen.value, seen.timestamp) for seen in run.seen("emitted")]
    same_multiset(found, [(("k", 1), 1000), (("j", 2), 2000)], "outputs and timestamps", rule="M-TIME-07")


@asserts("SIDE02/values-of-a-key")
def test_values_of_a_key(case: Case) -> Scenario:
    side = case.program.create([("a", 1), ("b", 2), ("a", 3), ("a", 3), ("ab", 4)], name="side")
    steps = [["side", "side", "get", ["value"]]]
    scripted(case, _main(case, ["a", "b", "ab"]), steps, side_inputs={"side": side.as_multimap()})
    run = yield
    same(_read(run), [("a", [[1, 3, 3]]), ("ab", [[4]]), ("b", [[2]])], "key and its values", rule="M-SIDE-04")


@asserts("SIDE02/unknown-key-has-none")
def test_unknown_key_has_none(case: Case) -> Scenario:
    side = case.program.create([("a", 1)], name="side")
    steps = [["side", "side", "get", ["value"]], ["side", "side", "get", "a"]]
    scripted(case, _main(case, ["b", ""]), steps, side_inputs={"side": side.as_multimap()})
    run = yield
    same(_read(run), [("", [[], [1]]), ("b", [[], [1]])], "values of an unknown key, and of a", rule="M-SIDE-04")


@asserts("SIDE03/distinct-keys")
def test_distinct_keys(case: Case) -> Scenario:
    side = case.program.create([("a", 1), ("b", 2), ("a", 3), ("", 4)], name="side")
    scripted(case, _main(case, [1]), [["side", "side", "keys"]], side_inputs={"side": side.as_multimap()})
    run = yield
    same(_read(run), [(1, [["", "a", "b"]])], "the keys", rule="M-SIDE-01")


@asserts("SIDE04/bulk-equals-lookups")
def test_bulk_equals_lookups(case: Case) -> Scenario:
    side = case.program.create([("a", 1), ("b", 2), ("a", 3)], name="side")
    fn = Fn("suite_bulk", observer=case.program.prefix + "out")
    _main(case, [1]).par_do(fn, coders.BYTES, side_inputs={"side": side.as_multimap()})
    run = yield
    [(announced, items)] = run.values("out")
    if not announced:
        raise NotExercised("this runner does not announce that it serves keys with their values in bulk")
    same(unordered(list(items)), [("a", [1, 3]), ("b", [2])], "keys with their values", rule="M-SIDE-01")


@asserts("SIDE05/one-value")
def test_one_value(case: Case) -> Scenario:
    side = case.program.create([42], name="side")
    fn = Fn("suite_singleton", observer=case.program.prefix + "out")
    _main(case).par_do(fn, coders.BYTES, side_inputs={"side": side.as_iterable(view=Fn("singleton_view"))})
    run = yield
    same(run.sorted_values("out"), [(1, 42), (2, 42)], "element and value", rule="M-SIDE-02")


@asserts("SIDE05/default-of-none")
def test_default_of_none(case: Case) -> Scenario:
    side = case.program.create([], coder=coders.VARINT, name="side")
    fn = Fn("suite_singleton", observer=case.program.prefix + "out", default=7)
    _main(case).par_do(fn, coders.BYTES, side_inputs={"side": side.as_iterable(view=Fn("singleton_view"))})
    run = yield
    same(run.sorted_values("out"), [(1, 7), (2, 7)], "element and default", rule="M-SIDE-02")


@pytest.mark.parametrize(("values", "text"), [([], NO_VALUE), ([1, 2], SEVERAL_VALUES)], ids=["none", "several"])
@asserts("SIDE05/error-fails-the-job", any_outcome=True)
def test_error_fails_the_job(case: Case, values: list[int], text: str) -> Scenario:
    side = case.program.create(values, coder=coders.VARINT, name="side")
    fn = Fn("suite_singleton", observer=case.program.prefix + "out")
    _main(case).par_do(fn, coders.BYTES, side_inputs={"side": side.as_iterable(view=Fn("singleton_view"))})
    run = yield
    if run.outcome.state not in ("DONE", "FAILED"):
        run.outcome.raise_for_error()
    same(run.outcome.state, "FAILED", "the job's end", rule="M-SIDE-02")
    same(text in run.outcome.error_text, True, "whether the reader's own words are handed on", rule="M-BNDL-04")


@asserts("SIDE06/views-are-the-sdks")
def test_views_are_the_sdks(case: Case) -> Scenario:
    # a list and a dictionary: the same two access patterns below view functions that no runner has heard of
    values = case.program.create([5, 6, 5], name="values")
    pairs = case.program.create([("a", 1), ("b", 2)], name="pairs")
    sides = {
        "list": values.as_iterable(view=Fn("a_list_view", indexed=True)),
        "dict": pairs.as_multimap(view=Fn("a_dict_view", unique=True)),
    }
    scripted(case, _main(case, [1]), [["side", "list", "values"], ["side", "dict", "items"]], side_inputs=sides)
    run = yield
    same(_read(run), [(1, [[5, 5, 6], [("a", [1]), ("b", [2])]])], "list and dictionary", rule="M-SIDE-02")


@asserts("SIDE07/empty-iterable")
def test_empty_iterable(case: Case) -> Scenario:
    side = case.program.create([], coder=coders.VARINT, name="side")
    scripted(case, _main(case), VALUES, side_inputs={"side": side.as_iterable()})
    run = yield
    same(_read(run), [(1, [[]]), (2, [[]])], "element and view", rule="M-SIDE-04")


@asserts("SIDE07/empty-multimap")
def test_empty_multimap(case: Case) -> Scenario:
    side = case.program.create([("a", 1)], name="side").par_do(Fn("drop"))
    steps = [["side", "side", "get", "a"], ["side", "side", "keys"]]
    scripted(case, _main(case), steps, side_inputs={"side": side.as_multimap()})
    run = yield
    same(_read(run), [(1, [[], []]), (2, [[], []])], "element, values of a key, and keys", rule="M-SIDE-04")


@asserts("SIDE07/empty-main")
def test_empty_main(case: Case) -> Scenario:
    side = case.program.create([1, 2], name="side")
    main = case.program.create([], coder=coders.VARINT, name="main")
    scripted(case, main, VALUES, side_inputs={"side": side.as_iterable()})
    side.observe("side")
    run = yield
    same(run.values("out"), [], "elements processed", rule="M-WM-12")
    same(run.sorted_values("side"), [1, 2], "elements of the side input", rule="M-SIDE-11")


@pytest.mark.parametrize(
    ("coder", "keys"),
    [
        (coders.JSON, [["a", 1], ["a", 2], None]),
        (coders.BYTES, [b"", b"\x00", b"\x00\x00"]),
        (coders.kv(coders.STRING, coders.VARINT), [("a", 1), ("a", 300)]),
        (coders.nullable(coders.VARINT), [None, 0, 300]),
    ],
    ids=["unknown", "bytes", "kv", "nullable"],
)
@asserts("SIDE09/key-of-any-coder")
def test_key_of_any_coder(case: Case, coder: coders.CoderSpec, keys: list[Any]) -> Scenario:
    pairs = [(key, number) for number, key in enumerate([*keys, *keys])]
    side = case.program.create(pairs, coders.kv(coder, coders.VARINT), name="side")
    main = case.program.create(keys, coder, name="main")
    # the main element goes in by its value, so that the key is encoded anew
    scripted(case, main, [["note", ["value"]], ["side", "side", "get", ["value"]]], side_inputs={"side": side.as_multimap()})
    run = yield
    found = [(key, sorted(values)) for _, (key, values) in run.values("out")]
    expected = [(key, [number, number + len(keys)]) for number, key in enumerate(keys)]
    same_multiset(found, expected, "key and its values", rule="M-SIDE-04")


@asserts("SIDE16/groups-as-values")
def test_groups_as_values(case: Case) -> Scenario:
    grouped = case.program.create([("a", 1), ("b", 2), ("a", 3)], name="side").group_by_key()
    scripted(case, _main(case), VALUES, side_inputs={"side": grouped.as_iterable()})
    run = yield
    found = [unordered([(key, list(values)) for key, values in view]) for _, [view] in run.values("out")]
    same(found, 2 * [[("a", [1, 3]), ("b", [2])]], "the groups read", rule="M-SIDE-01")


@asserts("SIDE16/multimap-of-groups")
def test_multimap_of_groups(case: Case) -> Scenario:
    grouped = case.program.create([("a", 1), ("b", 2), ("a", 3)], name="side").group_by_key()
    steps = [["side", "side", "get", ["value"]]]
    scripted(case, _main(case, ["a", "b", "c"]), steps, side_inputs={"side": grouped.as_multimap()})
    run = yield
    found = sorted((key, [sorted(group) for group in groups]) for key, [groups] in run.values("out"))
    same(found, [("a", [[1, 3]]), ("b", [[2]]), ("c", [])], "key and its groups", rule="M-SIDE-04")


@asserts("SIDE16/nested-iterables")
def test_nested_iterables(case: Case) -> Scenario:
    lists = [[["a", "b"], []], [], [["c"]]]
    coder = coders.iterable(coders.iterable(coders.STRING))
    side = case.program.create(lists, coder, name="side")
    scripted(case, _main(case, [1]), VALUES, side_inputs={"side": side.as_iterable()})
    run = yield
    [(_, [view])] = run.values("out")
    found = [[list(inner) for inner in outer] for outer in view]
    same_multiset(found, lists, "the lists read", rule="M-SIDE-01")


@asserts("SIDE17/flattened")
def test_flattened(case: Case) -> Scenario:
    parts = [case.program.create(values, name=f"c{index}") for index, values in enumerate([[1, 2], [2, 300]])]
    scripted(case, _main(case), VALUES, side_inputs={"side": case.program.flatten(parts).as_iterable()})
    run = yield
    same(_read(run), [(number, [[1, 2, 2, 300]]) for number in (1, 2)], "element and view", rule="M-XF-11")


@asserts("SIDE17/flattened-of-different-coders")
def test_flattened_of_different_coders(case: Case) -> Scenario:
    narrow = case.program.create([1, 300], coder=coders.VARINT, name="narrow")
    wide = case.program.create([2, "x"], coder=coders.JSON, name="wide")
    side = case.program.flatten([narrow, wide], coder=coders.JSON)
    scripted(case, _main(case, [1]), VALUES, side_inputs={"side": side.as_iterable()})
    run = yield
    [(_, [values])] = run.values("out")
    same_multiset(values, [1, 300, 2, "x"], "the view", rule="M-XF-11")


@asserts("SIDE18/many-elements")
def test_many_elements(case: Case) -> Scenario:
    side = case.program.impulse("source").par_do(Fn("suite_numbered", count=20_000, size=20), coders.BYTES, name="numbered")
    fn = Fn("suite_view_size", observer=case.program.prefix + "out")
    _main(case, [1]).par_do(fn, coders.BYTES, side_inputs={"side": side.as_iterable()})
    run = yield
    same(run.values("out"), [(1, (20_000, 20_000, 400_000))], "values, different values and bytes read", rule="P-STATE-06")


@asserts("SIDE18/larger-than-a-message", alone=True)
def test_larger_than_a_message(case: Case) -> Scenario:
    side = case.program.impulse("source").par_do(Fn("suite_numbered", count=384, size=16_384), coders.BYTES, name="numbered")
    fn = Fn("suite_view_size", observer=case.program.prefix + "out")
    _main(case, [1]).par_do(fn, coders.BYTES, side_inputs={"side": side.as_iterable()})
    run = yield
    same(run.values("out"), [(1, (384, 384, 384 * 16_384))], "values, different values and bytes read", rule="P-STATE-06")


@asserts("SIDE18/large-values-of-keys", alone=True)
def test_large_values_of_keys(case: Case) -> Scenario:
    made = Fn("suite_numbered_pairs", keys=3, count=40, size=50_000)
    side = case.program.impulse("source").par_do(made, coders.kv(coders.STRING, coders.BYTES), name="numbered")
    fn = Fn("suite_lookup_size", observer=case.program.prefix + "out")
    _main(case, ["k0", "k2", "none"]).par_do(fn, coders.BYTES, side_inputs={"side": side.as_multimap()})
    run = yield
    expected = [("k0", (3, 40, 2_000_000)), ("k2", (3, 40, 2_000_000)), ("none", (3, 0, 0))]
    same(run.sorted_values("out"), expected, "key, number of keys, its values and bytes", rule="P-STATE-06")
