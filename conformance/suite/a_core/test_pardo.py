"""ParDo: what it emits, where the output goes, several outputs and several consumers, composites around it, and fusion."""

from __future__ import annotations

from conformance.pipeline import Fn, coders, windowing
from conformance.suite.a_core.functions import (
    FLAT_VALUES,
    PARITY,
    REPEAT_BY_VALUE,
    TWICE,
    WITH_SIDE,
    add,
    shift_timestamp,
)
from conformance.suite.assertions import asserts
from conformance.suite.c_windowing.reading import SECOND, bounds
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import same, same_multiset

PAIRS = coders.kv(coders.STRING, coders.VARINT)


@asserts("CORE03/zero-one-many")
def test_zero_one_many(case: Case) -> Scenario:
    case.program.create([0, 1, 3]).par_do(REPEAT_BY_VALUE).observe("out")
    run = yield
    same_multiset(run.values("out"), [1, 3, 3, 3], rule="M-XF-18")


@asserts("CORE03/outputs-inherit-timestamp-and-window")
def test_outputs_inherit(case: Case) -> Scenario:
    created = case.program.create(["a", "b"], timestamps=[1500, 12_000], window=windowing.fixed(10 * SECOND))
    created.par_do(TWICE).par_do(Fn("identity")).observe("out")
    run = yield
    seen = [(each.value, each.timestamp, bounds(each.window)) for each in run.seen("out")]
    same_multiset(
        seen,
        2 * [("a", 1500, (0, 10_000)), ("b", 12_000, (10_000, 20_000))],
        "values, timestamps and windows",
        rule="M-TIME-07",
    )


@asserts("CORE03/earlier-timestamp-carried")
def test_earlier_timestamp_carried(case: Case) -> Scenario:
    created = case.program.create(["a", "b"], timestamps=[5000, -7])
    created.par_do(shift_timestamp(-3000)).par_do(Fn("identity")).observe("out")
    run = yield
    seen = [(each.value, each.timestamp) for each in run.seen("out")]
    same_multiset(seen, [("a", 2000), ("b", -3007)], "values and timestamps", rule="M-TIME-09")


@asserts("CORE04/empty-input")
def test_empty_input(case: Case) -> Scenario:
    nothing = case.program.create([], coder=coders.VARINT)
    nothing.par_do(Fn("identity")).par_do(Fn("with_key", key="k"), PAIRS).group_by_key().observe("grouped")
    nothing.par_do(TWICE).observe("out")
    case.program.create([1], name="witness").observe("witness")
    run = yield
    same(run.values("witness"), [1], "what ran beside the empty PCollection", rule="M-XF-17")
    same(run.values("out"), [], rule="M-WM-12")
    same(run.values("grouped"), [], rule="M-WM-12")


@asserts("CORE04/empty-output")
def test_empty_output(case: Case) -> Scenario:
    created = case.program.create([1, 2, 3])
    created.par_do(Fn("drop")).par_do(Fn("identity")).observe("out")
    created.observe("in")
    run = yield
    same(run.values("out"), [], rule="M-XF-18")
    same(run.sorted_values("in"), [1, 2, 3], "the input", rule="M-XF-18")


@asserts("CORE05/each-tag-its-own-elements")
def test_each_tag_its_own_elements(case: Case) -> Scenario:
    tags = ["even", "odd"]
    outputs = case.program.create([1, 2, 3, 4, 5]).par_do(PARITY, dict.fromkeys(tags, coders.VARINT))
    for tag in tags:
        outputs[tag].observe(tag)
    run = yield
    same(run.sorted_values("even"), [2, 4], "output 'even'", rule="M-XF-17")
    same(run.sorted_values("odd"), [1, 3, 5], "output 'odd'", rule="M-XF-17")


@asserts("CORE05/one-element-to-several-tags")
def test_one_element_to_several_tags(case: Case) -> Scenario:
    outputs = {"number": coders.VARINT, "json": coders.JSON, "nullable": coders.nullable(coders.VARINT)}
    for tag, output in case.program.create([7, 300]).par_do(Fn("fan_out", tags=list(outputs)), outputs).items():
        output.observe(tag)
    run = yield
    for tag in outputs:
        same(run.sorted_values(tag), [7, 300], f"output {tag!r}", rule="M-XF-17")


@asserts("CORE06/unconsumed-tag")
def test_unconsumed_tag(case: Case) -> Scenario:
    outputs = case.program.create([1, 2, 3, 4, 5]).par_do(PARITY, dict.fromkeys(["even", "odd"], coders.VARINT))
    outputs["odd"].observe("odd")
    run = yield
    same(run.sorted_values("odd"), [1, 3, 5], "the consumed output", rule="M-XF-17")


@asserts("CORE06/unconsumed-grouping")
def test_unconsumed_grouping(case: Case) -> Scenario:
    pairs = case.program.create([("a", 1), ("b", 2)])
    pairs.group_by_key()
    pairs.observe("out")
    run = yield
    same(run.sorted_values("out"), [("a", 1), ("b", 2)], "what the other consumer saw", rule="M-XF-17")


@asserts("CORE08/each-consumer-sees-all")
def test_each_consumer_sees_all(case: Case) -> Scenario:
    shared = case.program.create([1, 2, 2, 3]).par_do(Fn("identity"))
    names = ("first", "second", "third")
    for name in names:
        shared.par_do(Fn("identity"), name=f"consume_{name}").observe(name)
    run = yield
    for name in names:
        same(run.sorted_values(name), [1, 2, 2, 3], f"what consumer {name!r} saw", rule="M-XF-17")


@asserts("CORE08/grouping-beside-pardo")
def test_grouping_beside_pardo(case: Case) -> Scenario:
    pairs = case.program.create([("a", 1), ("b", 2), ("a", 3)])
    pairs.group_by_key().observe("grouped")
    pairs.par_do(Fn("identity")).observe("mapped")
    run = yield
    same(run.groups("grouped"), {"a": [1, 3], "b": [2]}, "what the grouping saw", rule="M-XF-17")
    same(run.sorted_values("mapped"), [("a", 1), ("a", 3), ("b", 2)], "what the ParDo saw", rule="M-XF-17")


@asserts("CORE08/consumers-of-grouping")
def test_consumers_of_grouping(case: Case) -> Scenario:
    groups = case.program.create([("a", 1), ("b", 2), ("a", 3)]).group_by_key()
    groups.observe("first")
    groups.par_do(Fn("identity")).observe("second")
    run = yield
    for name in ("first", "second"):
        same(run.groups(name), {"a": [1, 3], "b": [2]}, f"what consumer {name!r} saw", rule="M-XF-17")
        same(len(run.values(name)), 2, f"the number of groups that consumer {name!r} saw", rule="M-XF-17")


@asserts("CORE09/same-with-and-without-break")
def test_same_with_and_without_break(case: Case) -> Scenario:
    numbers = [1, 2, 3, 5, 8]
    fused = case.program.create(numbers, name="fused").par_do(REPEAT_BY_VALUE).par_do(add(10))
    fused.observe("fused")
    broken = case.program.create(numbers, name="broken").par_do(REPEAT_BY_VALUE)
    keyed = broken.par_do(Fn("with_key", key="k"), PAIRS).group_by_key()
    keyed.par_do(FLAT_VALUES, coders.VARINT).par_do(add(10)).observe("broken")
    run = yield
    expected = sorted(number + 10 for number in numbers for _ in range(number))
    same(run.sorted_values("fused"), expected, "the chain without a grouping", rule="M-BNDL-11")
    same(run.sorted_values("broken"), expected, "the chain with a grouping", rule="M-BNDL-11")


@asserts("CORE09/side-input-from-own-ancestor")
def test_side_input_from_own_ancestor(case: Case) -> Scenario:
    numbers = case.program.create([1, 2, 3])
    side = numbers.par_do(add(10), name="side")
    numbers.par_do(
        WITH_SIDE, coders.kv(coders.VARINT, coders.iterable(coders.VARINT)), side_inputs={"side": side.as_iterable()}
    ).observe("out")
    run = yield
    same(
        sorted((value, sorted(beside)) for value, beside in run.values("out")),
        [(number, [11, 12, 13]) for number in (1, 2, 3)],
        "each element with its side input",
        rule="M-SIDE-11",
    )


@asserts("CORE10/empty-composite-passes-data-through")
def test_empty_composite(case: Case) -> Scenario:
    created = case.program.create(["a", "b"], timestamps=[1000, 2000])
    with case.program.composite("nothing", inputs={"in": created}) as scope:
        passed = scope.output(created)
    passed.observe("out")
    run = yield
    same_multiset([(seen.value, seen.timestamp) for seen in run.seen("out")], [("a", 1000), ("b", 2000)], rule="M-XF-16")
