"""GroupByKey and CoGroupByKey in bounded execution: contents, keys by their bytes, large keys and groups."""

from __future__ import annotations

import math
from typing import Any

import pytest

from conformance.pipeline import Fn, coders, windowing
from conformance.suite.a_core.functions import COUNT_UP, KEY_LENGTH, long_key, long_value
from conformance.suite.assertions import asserts
from conformance.suite.c_windowing.reading import SECOND, bounds, window_groups
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same, same_multiset
from conformance.suite.run import Run

KILO = 1000


def _groups(run: Run, observer: str = "out") -> list[tuple[Any, list[Any]]]:
    """The groups as they came, each with its values sorted; a key that came twice is there twice."""
    return [(key, sorted(values)) for key, values in run.values(observer)]


@asserts("CORE18/groups-every-value")
def test_groups_every_value(case: Case) -> Scenario:
    case.program.create([("a", 1), ("b", 2), ("a", 3), ("a", 4)]).group_by_key().observe("out")
    run = yield
    same_multiset(_groups(run), [("a", [1, 3, 4]), ("b", [2])], "the groups", rule="M-BATCH-01")


@asserts("CORE18/keeps-equal-values")
def test_keeps_equal_values(case: Case) -> Scenario:
    case.program.create([("a", 1), ("a", 1), ("b", 1), ("a", 1)]).group_by_key().observe("out")
    run = yield
    same_multiset(_groups(run), [("a", [1, 1, 1]), ("b", [1])], "the groups", rule="M-BATCH-04")


@asserts("CORE18/groups-by-window-too")
def test_groups_by_window_too(case: Case) -> Scenario:
    pairs = [("a", 1), ("a", 2), ("b", 3), ("a", 4)]
    created = case.program.create(pairs, timestamps=[0, 10_000, 500, 9999], window=windowing.fixed(10 * SECOND))
    created.group_by_key().observe("out")
    run = yield
    expected = {("a", 0, 10_000): [1, 4], ("a", 10_000, 20_000): [2], ("b", 0, 10_000): [3]}
    same(window_groups(run, "out"), expected, "the groups by key and window", rule="M-TRIG-03")


@asserts("CORE18/values-of-unknown-coder")
def test_values_of_unknown_coder(case: Case) -> Scenario:
    values = [{"x": 1}, [1, "two", None], "", {"hex": "ff"}]
    pairs = [("a", value) for value in values]
    case.program.create(pairs, coder=coders.kv(coders.STRING, coders.JSON)).group_by_key().observe("out")
    run = yield
    same([key for key, _ in run.values("out")], ["a"], "the keys", rule="P-PIPE-12")
    same_multiset(run.values("out")[0][1], values, "the values of the group", rule="P-PIPE-12")


@asserts("CORE19/no-groups")
def test_no_groups(case: Case) -> Scenario:
    empty = case.program.create([], coder=coders.kv(coders.STRING, coders.VARINT))
    empty.group_by_key().observe("out")
    case.program.create([1], name="witness").observe("witness")
    run = yield
    same(run.values("witness"), [1], "what ran beside the empty PCollection", rule="M-XF-17")
    same(run.values("out"), [], "the groups", rule="M-TRIG-05")


@asserts("CORE20/equal-keys-of-different-bytes-apart")
def test_equal_keys_of_different_bytes(case: Case) -> Scenario:
    pairs = [(0.0, 1), (-0.0, 2), (0.0, 3), (1.0, 4)]
    case.program.create(pairs, coder=coders.kv(coders.DOUBLE, coders.VARINT)).group_by_key().observe("out")
    run = yield
    # by repr: 0.0 == -0.0 here too
    seen = [(repr(key), sorted(values)) for key, values in run.values("out")]
    same_multiset(seen, [("0.0", [1, 3]), ("-0.0", [2]), ("1.0", [4])], "the groups", rule="M-COMB-10")


@asserts("CORE20/unequal-keys-of-same-bytes-together")
def test_unequal_keys_of_same_bytes(case: Case) -> Scenario:
    pairs = [(math.nan, 1), (1.0, 2), (math.nan, 3)]
    case.program.create(pairs, coder=coders.kv(coders.DOUBLE, coders.VARINT)).group_by_key().observe("out")
    run = yield
    seen = [(repr(key), sorted(values)) for key, values in run.values("out")]
    same_multiset(seen, [("nan", [1, 3]), ("1.0", [2])], "the groups", rule="M-COMB-10")


@asserts("CORE20/keys-of-unknown-coder")
def test_keys_of_unknown_coder(case: Case) -> Scenario:
    # 1, 1.0 and true are equal in Python and have three different JSON forms
    pairs = [(1, 1), (1.0, 2), (True, 3), (1, 4), (True, 5), (["x"], 6), (["x"], 7)]
    case.program.create(pairs, coder=coders.kv(coders.JSON, coders.VARINT)).group_by_key().observe("out")
    run = yield
    seen = [(repr(key), sorted(values)) for key, values in run.values("out")]
    expected = [("1", [1, 4]), ("1.0", [2]), ("True", [3, 5]), ("['x']", [6, 7])]
    same_multiset(seen, expected, "the groups", rule="P-PIPE-14")


@asserts("CORE20/composite-keys")
def test_composite_keys(case: Case) -> Scenario:
    pair = coders.kv(coders.STRING, coders.STRING)
    case.program.create(
        [(("ab", "c"), 1), (("a", "bc"), 2), (("ab", "c"), 3), (("", "abc"), 4)],
        coder=coders.kv(pair, coders.VARINT),
        name="pairs",
    ).group_by_key().observe("pairs")
    case.program.create(
        [(["ab", "c"], 1), (["a", "bc"], 2), (["ab", "c"], 3), (["abc"], 4), ([], 5)],
        coder=coders.kv(coders.iterable(coders.STRING), coders.VARINT),
        name="lists",
    ).group_by_key().observe("lists")
    run = yield
    pairs = [(("ab", "c"), [1, 3]), (("a", "bc"), [2]), (("", "abc"), [4])]
    same_multiset(_groups(run, "pairs"), pairs, "the groups of pairs", rule="P-PIPE-14")
    lists = [(list(key), values) for key, values in _groups(run, "lists")]
    same_multiset(
        lists, [(["ab", "c"], [1, 3]), (["a", "bc"], [2]), (["abc"], [4]), ([], [5])], "the groups of lists", rule="P-PIPE-14"
    )


@asserts("CORE21/keys-of-many-bytes", alone=True)
@pytest.mark.parametrize("size", [10 * KILO, 100 * KILO, 1000 * KILO, 5000 * KILO])
def test_keys_of_many_bytes(case: Case, size: int) -> Scenario:
    # the function makes the key, so that the pipeline itself stays small
    numbers = case.program.create([1, 2, 3])
    keyed = numbers.par_do(long_key(size), coders.kv(coders.BYTES, coders.VARINT))
    keyed.group_by_key().par_do(KEY_LENGTH, coders.kv(coders.VARINT, coders.iterable(coders.VARINT))).observe("out")
    run = yield
    same_multiset(_groups(run), [(size, [1, 2, 3])], "length of the key and values of the group", rule="P-CH-08")


@asserts("CORE21/long-keys-that-differ-at-the-end")
def test_long_keys_that_differ_at_the_end(case: Case) -> Scenario:
    stem = "k" * 100 * KILO
    pairs = [(stem + "a", 1), (stem + "b", 2), (stem + "a", 3), (stem, 4)]
    case.program.create(pairs).group_by_key().observe("out")
    run = yield
    seen = [(key[len(stem) :], sorted(values)) for key, values in run.values("out")]
    same_multiset(seen, [("a", [1, 3]), ("b", [2]), ("", [4])], "the ends of the keys and their values", rule="P-PIPE-14")


@asserts("CORE22/many-values")
def test_many_values(case: Case) -> Scenario:
    count = 20 * KILO
    numbers = case.program.create([count]).par_do(COUNT_UP)
    numbers.par_do(Fn("with_key", key="k"), coders.kv(coders.STRING, coders.VARINT)).group_by_key().observe("out")
    run = yield
    groups = run.values("out")
    same([key for key, _ in groups], ["k"], "the keys", rule="M-BNDL-13")
    same(len(groups[0][1]), count, "the number of values", rule="M-BNDL-13")
    holds(sorted(groups[0][1]) == list(range(count)), "the values are not those that went in", rule="M-BNDL-13")


@asserts("CORE22/values-larger-than-a-message", alone=True)
def test_values_larger_than_a_message(case: Case) -> Scenario:
    count, size = 24, 512 * KILO
    numbers = case.program.create(list(range(count)))
    keyed = numbers.par_do(long_value(size), coders.kv(coders.STRING, coders.BYTES))
    values = keyed.group_by_key().par_do(Fn("ungroup"), keyed.coder)
    values.par_do(Fn("map", expr=["kv", ["key"], ["len", ["val"]]]), coders.kv(coders.STRING, coders.VARINT)).observe("out")
    run = yield
    same(run.values("out"), [("k", size)] * count, "key and length of each value", rule="M-BNDL-13")


@asserts("CORE23/iterated-twice")
def test_iterated_twice(case: Case) -> Scenario:
    groups = case.program.create([("a", 1), ("a", 2), ("b", 3)]).group_by_key()
    twice = Fn("map", expr=["kv", ["key"], ["list", ["sorted", ["val"]], ["sorted", ["val"]]]])
    groups.par_do(twice, coders.kv(coders.STRING, coders.JSON)).observe("out")
    run = yield
    expected = [("a", [[1, 2], [1, 2]]), ("b", [[3], [3]])]
    same_multiset(run.values("out"), expected, "key, first and second iteration", rule="M-BATCH-11")


@asserts("CORE23/many-values-iterated-twice")
def test_many_values_iterated_twice(case: Case) -> Scenario:
    count = 20 * KILO
    keyed = case.program.create([count]).par_do(COUNT_UP).par_do(Fn("with_key", key="k"), coders.kv(coders.STRING, coders.VARINT))
    both = ["list", ["sum", ["val"]], ["sum", ["val"]], ["len", ["val"]]]
    keyed.group_by_key().par_do(Fn("map", expr=both), coders.JSON).observe("out")
    run = yield
    total = count * (count - 1) // 2
    same(run.values("out"), [[total, total, count]], "sums of the first and second iteration, and the number", rule="M-BATCH-11")


@asserts("CORE24/empty-keys")
def test_empty_keys(case: Case) -> Scenario:
    case.program.create([(b"", 1), (b"a", 2), (b"", 3)], name="bytes").group_by_key().observe("bytes")
    case.program.create([("", 1), ("a", 2), ("", 3)], name="text").group_by_key().observe("text")
    run = yield
    same_multiset(_groups(run, "bytes"), [(b"", [1, 3]), (b"a", [2])], "groups of bytes", rule="P-PIPE-14")
    same_multiset(_groups(run, "text"), [("", [1, 3]), ("a", [2])], "groups of strings", rule="P-PIPE-14")


@asserts("CORE24/null-key")
def test_null_key(case: Case) -> Scenario:
    pairs = [(None, 1), ("", 2), ("a", 3), (None, 4)]
    coder = coders.kv(coders.nullable(coders.STRING), coders.VARINT)
    case.program.create(pairs, coder=coder).group_by_key().observe("out")
    run = yield
    same_multiset(_groups(run), [(None, [1, 4]), ("", [2]), ("a", [3])], "the groups", rule="P-PIPE-14")


def _sorted_join(joined: dict[str, list[Any]]) -> dict[str, list[Any]]:
    return {tag: sorted(values) for tag, values in joined.items()}


@asserts("CORE25/joins-inputs")
def test_joins_inputs(case: Case) -> Scenario:
    names = case.program.create([("k1", "ada"), ("k2", "bob"), ("k1", "abe")], name="names")
    ages = case.program.create([("k1", 30), ("k3", 40)], name="ages")
    names.co_group_by_key({"ages": ages}, tag="names").observe("out")
    run = yield
    seen = [(key, _sorted_join(joined)) for key, joined in run.values("out")]
    expected = [
        ("k1", {"names": ["abe", "ada"], "ages": [30]}),
        ("k2", {"names": ["bob"], "ages": []}),
        ("k3", {"names": [], "ages": [40]}),
    ]
    same_multiset(seen, expected, "the joined keys", rule="M-XF-14")


@asserts("CORE25/joins-three-inputs-by-window")
def test_joins_three_inputs_by_window(case: Case) -> Scenario:
    window = windowing.fixed(10 * SECOND)
    tags = ("left", "middle", "right")
    left, middle, right = (
        case.program.create([("k", 1), ("k", 2)], timestamps=[position, 10_000 + position], window=window, name=tag)
        for position, tag in enumerate(tags)
    )
    left.co_group_by_key({"middle": middle, "right": right}, tag="left").observe("out")
    run = yield
    seen = [(seen.value[0], bounds(seen.window), _sorted_join(seen.value[1])) for seen in run.seen("out")]
    expected = [("k", (start, start + 10_000), {tag: [value] for tag in tags}) for start, value in ((0, 1), (10_000, 2))]
    same_multiset(seen, expected, "the joined keys and windows", rule="M-XF-14")
