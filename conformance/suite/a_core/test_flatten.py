"""Flatten: unions of one, several and no PCollections, of different coders, and shared inputs."""

from __future__ import annotations

from conformance.pipeline import ENVIRONMENT, Fn, coders, windowing
from conformance.suite.a_core.functions import add
from conformance.suite.assertions import asserts
from conformance.suite.c_windowing.reading import SECOND, bounds
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import same, same_multiset

JSON_PAIRS = coders.kv(coders.JSON, coders.JSON)


@asserts("CORE11/union")
def test_union(case: Case) -> Scenario:
    parts = [case.program.create(values, name=f"c{index}") for index, values in enumerate([[1, 2], [2, 3, 3], [4]])]
    case.program.flatten(parts).observe("out")
    run = yield
    same(run.sorted_values("out"), [1, 2, 2, 3, 3, 4], rule="M-XF-11")


@asserts("CORE11/keeps-timestamp-and-window")
def test_keeps_timestamp_and_window(case: Case) -> Scenario:
    window = windowing.fixed(10 * SECOND)
    first = case.program.create(["a", "b"], timestamps=[1000, 11_000], window=window, name="first")
    second = case.program.create(["c"], timestamps=[2000], window=window, name="second")
    case.program.flatten([first, second]).observe("out")
    run = yield
    same_multiset(
        [(seen.value, seen.timestamp, bounds(seen.window)) for seen in run.seen("out")],
        [("a", 1000, (0, 10_000)), ("b", 11_000, (10_000, 20_000)), ("c", 2000, (0, 10_000))],
        "values, timestamps and windows",
        rule="M-XF-11",
    )


@asserts("CORE11/then-grouped")
def test_then_grouped(case: Case) -> Scenario:
    first = case.program.create([("a", 1), ("b", 2)], name="first")
    second = case.program.create([("a", 3), ("c", 4)], name="second")
    case.program.flatten([first, second]).group_by_key().observe("out")
    run = yield
    same_multiset(
        [(key, sorted(values)) for key, values in run.values("out")], [("a", [1, 3]), ("b", [2]), ("c", [4])], rule="M-XF-11"
    )


@asserts("CORE12/every-element-twice")
def test_every_element_twice(case: Case) -> Scenario:
    created = case.program.create([1, 2, 2])
    case.program.flatten([created, created]).observe("out")
    run = yield
    same(run.sorted_values("out"), [1, 1, 2, 2, 2, 2], rule="M-XF-11")


@asserts("CORE12/every-element-twice-in-groups")
def test_every_element_twice_in_groups(case: Case) -> Scenario:
    created = case.program.create([("a", 1), ("b", 2)])
    case.program.flatten([created, created]).group_by_key().observe("out")
    run = yield
    same(run.groups("out"), {"a": [1, 1], "b": [2, 2]}, rule="M-XF-11")


@asserts("CORE13/zero-inputs")
def test_zero_inputs(case: Case) -> Scenario:
    nothing = case.program.flatten([], coder=coders.kv(coders.STRING, coders.VARINT))
    nothing.observe("mapped")
    nothing.group_by_key().observe("grouped")
    case.program.flatten([nothing, case.program.create([("a", 1)])], name="both").observe("both")
    run = yield
    same(run.values("mapped"), [], "what a ParDo saw", rule="M-XF-11")
    same(run.values("grouped"), [], "what a grouping yielded", rule="M-XF-11")
    same(run.values("both"), [("a", 1)], "the Flatten of nothing and of one element", rule="M-XF-11")


@asserts("CORE13/empty-input-among-others")
def test_empty_input_among_others(case: Case) -> Scenario:
    pairs = coders.kv(coders.STRING, coders.VARINT)
    empty = case.program.create([], coder=pairs, name="empty")
    full = case.program.create([("a", 1), ("a", 2)], name="full")
    dropped = full.par_do(Fn("drop"))
    case.program.flatten([empty, full, dropped]).group_by_key().observe("out")
    run = yield
    same(run.groups("out"), {"a": [1, 2]}, rule="M-XF-11")


@asserts("CORE14/inputs-of-different-coders")
def test_inputs_of_different_coders(case: Case) -> Scenario:
    numbers = case.program.create([1, 300], coder=coders.VARINT, name="numbers")
    texts = case.program.create([2, 400], coder=coders.JSON, name="texts")
    case.program.flatten([texts, numbers], coder=coders.JSON, environment=ENVIRONMENT).observe("out")
    run = yield
    same(run.sorted_values("out"), [1, 2, 300, 400], rule="M-XF-11")


@asserts("CORE14/output-of-another-coder")
def test_output_of_another_coder(case: Case) -> Scenario:
    first = case.program.create([1, 300], coder=coders.JSON, name="first")
    second = case.program.create([None, 400], coder=coders.nullable(coders.VARINT), name="second")
    case.program.flatten([first, second], coder=coders.nullable(coders.JSON), environment=ENVIRONMENT).observe("out")
    run = yield
    same_multiset(run.values("out"), [1, 300, None, 400], rule="M-XF-11")


@asserts("CORE14/transcoded-keys-group")
def test_transcoded_keys_group(case: Case) -> Scenario:
    first = case.program.create([("a", 1), ("b", 2)], coder=coders.kv(coders.STRING, coders.VARINT), name="first")
    second = case.program.create([("a", 3)], coder=JSON_PAIRS, name="second")
    case.program.flatten([first, second], coder=JSON_PAIRS, environment=ENVIRONMENT).group_by_key().observe("out")
    run = yield
    same_multiset([(key, sorted(values)) for key, values in run.values("out")], [("a", [1, 3]), ("b", [2])], rule="M-XF-11")


@asserts("CORE15/shared-input")
def test_shared_input(case: Case) -> Scenario:
    shared = case.program.create([("a", 1), ("b", 2)], name="shared")
    other = case.program.create([("c", 3)], name="other")
    case.program.flatten([shared, other]).observe("flattened")
    shared.group_by_key().observe("grouped")
    run = yield
    same(run.sorted_values("flattened"), [("a", 1), ("b", 2), ("c", 3)], "the Flatten", rule="M-XF-17")
    same(run.groups("grouped"), {"a": [1], "b": [2]}, "the grouping", rule="M-XF-17")


@asserts("CORE16/nested")
def test_nested(case: Case) -> Scenario:
    first, second, third = (case.program.create([value], name=f"c{value}") for value in (1, 2, 3))
    inner = case.program.flatten([first, second], name="inner")
    case.program.flatten([inner, third], name="outer").observe("out")
    run = yield
    same(run.sorted_values("out"), [1, 2, 3], rule="M-XF-11")


@asserts("CORE16/diamond")
def test_diamond(case: Case) -> Scenario:
    created = case.program.create([1, 2])
    tens = created.par_do(add(10), name="tens")
    hundreds = created.par_do(add(100), name="hundreds")
    flattened = case.program.flatten([created, tens, hundreds])
    flattened.par_do(Fn("identity")).observe("out")
    run = yield
    same(run.sorted_values("out"), [1, 2, 11, 12, 101, 102], rule="M-XF-11")
