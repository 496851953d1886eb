"""Combines: per key and globally, lifted by the runner or not, expanded by the client, in windows, in two stages."""

from __future__ import annotations

from conformance.pipeline import Fn, coders, windowing
from conformance.pipeline.builder import PCollection
from conformance.pipeline.coders import CoderSpec
from conformance.suite.a_core.functions import WITH_SIDE
from conformance.suite.assertions import asserts
from conformance.suite.c_windowing.reading import SECOND, bounds, stamped
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import same, same_multiset
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

SUM = Fn("sum")
PAIRS = [("a", 1), ("b", 2), ("a", 3), ("a", 10)]
SUMS = [("a", 14), ("b", 2)]
TEN = windowing.fixed(10 * SECOND)


def _combine_payload(collection: PCollection, fn: Fn, accumulator: CoderSpec) -> bytes:
    payload = pb.CombinePayload(combine_fn=fn.to_spec(), accumulator_coder_id=collection.program.graph.coder(accumulator))
    return payload.SerializeToString(deterministic=True)


@asserts("CORE26/combines-values-of-each-key")
def test_combines_values_of_each_key(case: Case) -> Scenario:
    case.program.create(PAIRS).combine_per_key(SUM, coders.VARINT, coders.VARINT).observe("out")
    run = yield
    same_multiset(run.values("out"), SUMS, "the sums", rule="M-COMB-01")


@asserts("CORE26/extracts-once")
def test_extracts_once(case: Case) -> Scenario:
    # extraction adds 1000 to the sum: twice, or on a part, shows
    parts = [case.program.create([("a", number), ("b", 1)], name=f"c{number}") for number in (1, 20, 300)]
    case.program.flatten(parts).combine_per_key(Fn("sum_plus", plus=1000), coders.VARINT, coders.VARINT).observe("out")
    run = yield
    same_multiset(run.values("out"), [("a", 1321), ("b", 1003)], "the sums plus 1000", rule="M-COMB-05")


@asserts("CORE26/accumulator-unlike-output")
def test_accumulator_unlike_output(case: Case) -> Scenario:
    accumulator = coders.kv(coders.DOUBLE, coders.VARINT)
    pairs = [("a", 1), ("b", 2), ("a", 4), ("a", 4)]
    case.program.create(pairs).combine_per_key(Fn("mean"), accumulator, coders.DOUBLE).observe("out")
    run = yield
    same_multiset(run.values("out"), [("a", 3.0), ("b", 2.0)], "the means", rule="M-COMB-02")


@asserts("CORE26/accumulator-of-unknown-coder")
def test_accumulator_of_unknown_coder(case: Case) -> Scenario:
    case.program.create(PAIRS).combine_per_key(Fn("concat"), coders.JSON, coders.JSON).observe("out")
    run = yield
    seen = [(key, sorted(values)) for key, values in run.values("out")]
    same_multiset(seen, [("a", [1, 3, 10]), ("b", [2])], "the collected values", rule="P-PIPE-12")


@asserts("CORE26/combines-by-window")
def test_combines_by_window(case: Case) -> Scenario:
    created = case.program.create(PAIRS, timestamps=[0, 1, 10_000, 9999], window=TEN)
    created.combine_per_key(SUM, coders.VARINT, coders.VARINT).observe("out")
    run = yield
    seen = [(seen.value, bounds(seen.window)) for seen in run.seen("out")]
    expected = [(("a", 11), (0, 10_000)), (("b", 2), (0, 10_000)), (("a", 3), (10_000, 20_000))]
    same_multiset(seen, expected, "the sums and their windows", rule="M-COMB-02")


@asserts("CORE26/combines-sessions")
def test_combines_sessions(case: Case) -> Scenario:
    pairs = [("a", 1), ("a", 2), ("a", 4), ("b", 8), ("a", 16)]
    moments = [0, 15_000, 8000, 4000, 50_000]
    created = case.program.create(pairs, timestamps=moments, window=windowing.sessions(10 * SECOND))
    created.combine_per_key(SUM, coders.VARINT, coders.VARINT).observe("out")
    run = yield
    seen = [(seen.value, bounds(seen.window)) for seen in run.seen("out")]
    expected = [(("a", 7), (0, 25_000)), (("b", 8), (4000, 14_000)), (("a", 16), (50_000, 60_000))]
    same_multiset(seen, expected, "the sums and their sessions", rule="M-COMB-03")


@asserts("CORE26/earliest-timestamp")
def test_earliest_timestamp(case: Case) -> Scenario:
    created = case.program.create([("a", 1), ("a", 2), ("b", 3)], timestamps=[7000, 3000, 5000])
    windowed = created.window_into(TEN, timestamp_combiner="earliest")
    windowed.combine_per_key(SUM, coders.VARINT, coders.VARINT).observe("out")
    run = yield
    same_multiset(stamped(run, "out"), [(("a", 3), 3000), (("b", 3), 5000)], "sums and timestamps", rule="M-COMB-04")


@asserts("CORE26/empty-input")
def test_empty_input(case: Case) -> Scenario:
    empty = case.program.create([], coder=coders.kv(coders.STRING, coders.VARINT))
    empty.combine_per_key(SUM, coders.VARINT, coders.VARINT).observe("out")
    case.program.create([1], name="witness").observe("witness")
    run = yield
    same(run.values("witness"), [1], "what ran beside the empty PCollection", rule="M-XF-17")
    same(run.values("out"), [], "the output", rule="M-COMB-05")


def _expanded(pairs: PCollection, first: str) -> PCollection:
    """A combine in its parts, as leaves: what `first` names, grouping, merge, extract."""
    fn, accumulator, output = Fn("mean"), coders.kv(coders.DOUBLE, coders.VARINT), coders.DOUBLE
    key = pairs.key_coder
    parts = urns.Transform
    partial = pairs.combine_leaf(first, fn, accumulator, coders.kv(key, accumulator), "first")
    merged = partial.group_by_key().combine_leaf(
        parts.COMBINE_PER_KEY_MERGE_ACCUMULATORS, fn, accumulator, coders.kv(key, accumulator), "merge"
    )
    return merged.combine_leaf(parts.COMBINE_PER_KEY_EXTRACT_OUTPUTS, fn, accumulator, coders.kv(key, output), "extract")


MEANS = [("a", 14 / 3), ("b", 2.0)]


@asserts("CORE26/parts-already-expanded")
def test_parts_already_expanded(case: Case) -> Scenario:
    _expanded(case.program.create(PAIRS), urns.Transform.COMBINE_PER_KEY_PRECOMBINE).observe("out")
    run = yield
    same_multiset(run.values("out"), MEANS, "the means", rule="P-PIPE-15")


@asserts("CORE28/converted-accumulators-merge")
def test_converted_accumulators_merge(case: Case) -> Scenario:
    _expanded(case.program.create(PAIRS), urns.Transform.COMBINE_PER_KEY_CONVERT_TO_ACCUMULATORS).observe("out")
    run = yield
    same_multiset(run.values("out"), MEANS, "the means", rule="P-PIPE-15")


@asserts("CORE27/grouped-values")
def test_grouped_values(case: Case) -> Scenario:
    groups = case.program.create(PAIRS).group_by_key()
    payload = _combine_payload(groups, SUM, coders.VARINT)
    with case.program.composite(
        "combine_values", urns.Transform.COMBINE_GROUPED_VALUES, payload, inputs={"in": groups}, environment="harness"
    ) as scope:
        sums = scope.output(
            groups.par_do(Fn("combine_grouped_values", combine=SUM.to_json()), coders.kv(coders.STRING, coders.VARINT))
        )
    sums.observe("out")
    run = yield
    same_multiset(run.values("out"), SUMS, "the sums", rule="M-COMB-01")


@asserts("CORE27/grouped-values-as-leaf")
def test_grouped_values_as_leaf(case: Case) -> Scenario:
    groups = case.program.create(PAIRS).group_by_key()
    output = coders.kv(coders.STRING, coders.VARINT)
    groups.combine_leaf(urns.Transform.COMBINE_GROUPED_VALUES, SUM, coders.VARINT, output, "combine").observe("out")
    run = yield
    same_multiset(run.values("out"), SUMS, "the sums", rule="P-PIPE-15")


@asserts("CORE29/one-value")
def test_one_value(case: Case) -> Scenario:
    case.program.create([1, 20, 300]).combine_globally(SUM, coders.VARINT, coders.VARINT).observe("out")
    run = yield
    same(run.values("out"), [321], rule="M-COMB-07")


@asserts("CORE29/default-for-empty-input")
def test_default_for_empty_input(case: Case) -> Scenario:
    empty = case.program.create([], coder=coders.VARINT)
    empty.combine_globally(Fn("sum_plus", plus=1000), coders.VARINT, coders.VARINT, default=True).observe("out")
    run = yield
    same(run.values("out"), [1000], rule="M-COMB-07")


@asserts("CORE29/no-default-beside-a-result")
def test_no_default_beside_a_result(case: Case) -> Scenario:
    numbers = case.program.create([1, 20, 300])
    numbers.combine_globally(SUM, coders.VARINT, coders.VARINT, default=True).observe("out")
    run = yield
    same(run.values("out"), [321], rule="M-COMB-07")


@asserts("CORE29/nothing-without-default")
def test_nothing_without_default(case: Case) -> Scenario:
    empty = case.program.create([], coder=coders.VARINT)
    empty.combine_globally(SUM, coders.VARINT, coders.VARINT).observe("out")
    case.program.create([1], name="witness").observe("witness")
    run = yield
    same(run.values("witness"), [1], "what ran beside the empty PCollection", rule="M-XF-17")
    same(run.values("out"), [], rule="M-COMB-07")


@asserts("CORE29/one-value-a-window")
def test_one_value_a_window(case: Case) -> Scenario:
    created = case.program.create([1, 2, 4], timestamps=[0, 30_000, 9999], window=TEN)
    created.combine_globally(SUM, coders.VARINT, coders.VARINT).observe("out")
    run = yield
    seen = [(seen.value, bounds(seen.window)) for seen in run.seen("out")]
    same_multiset(seen, [(5, (0, 10_000)), (2, (30_000, 40_000))], "the sums and their windows", rule="M-COMB-07")


def _in_two_stages(pairs: PCollection) -> PCollection:
    """Sums by key and one of three nonces, then by key."""
    nonce = coders.kv(coders.STRING, coders.VARINT)
    spread = pairs.par_do(Fn("map", expr=["kv", ["kv", ["key"], ["%", ["val"], 3]], ["val"]]), coders.kv(nonce, coders.VARINT))
    partial = spread.combine_per_key(SUM, coders.VARINT, coders.VARINT, name="hot")
    back = partial.par_do(Fn("map", expr=["kv", ["get", ["key"], 0], ["val"]]), coders.kv(coders.STRING, coders.VARINT))
    return back.combine_per_key(SUM, coders.VARINT, coders.VARINT, name="cold")


@asserts("CORE30/two-stages-equal-one")
def test_two_stages_equal_one(case: Case) -> Scenario:
    pairs = [("hot", number) for number in range(1, 101)] + [("cold", 7)]
    _in_two_stages(case.program.create(pairs)).observe("out")
    run = yield
    same_multiset(run.values("out"), [("hot", 5050), ("cold", 7)], "the sums", rule="M-COMB-08")


@asserts("CORE30/two-stages-in-sliding-windows")
def test_two_stages_in_sliding_windows(case: Case) -> Scenario:
    window = windowing.sliding(10 * SECOND, 5 * SECOND)
    created = case.program.create([("k", 1), ("k", 2), ("k", 4), ("k", 8)], timestamps=[1000, 6000, 7000, 12_000], window=window)
    _in_two_stages(created).observe("out")
    run = yield
    seen = [(seen.value, bounds(seen.window)) for seen in run.seen("out")]
    sums = {(-5000, 5000): 1, (0, 10_000): 7, (5000, 15_000): 14, (10_000, 20_000): 8}
    same_multiset(seen, [(("k", total), span) for span, total in sums.items()], "the sums and windows", rule="M-COMB-08")


@asserts("CORE31/reads-side-input")
def test_reads_side_input(case: Case) -> Scenario:
    side = case.program.create([100, 200], name="side")
    groups = case.program.create(PAIRS).group_by_key()
    with_side = groups.par_do(
        WITH_SIDE, coders.kv(groups.coder, coders.iterable(coders.VARINT)), side_inputs={"side": side.as_iterable()}
    )
    # ((key, values), side values) → (key, sum of both)
    both = ["+", ["sum", ["get", ["key"], 1]], ["sum", ["val"]]]
    with_side.par_do(Fn("map", expr=["kv", ["get", ["key"], 0], both]), coders.kv(coders.STRING, coders.VARINT)).observe("out")
    run = yield
    same_multiset(run.values("out"), [("a", 314), ("b", 302)], "the sums with the side input", rule="M-COMB-06")


@asserts("CORE33/sibling-combines-apart")
def test_sibling_combines_apart(case: Case) -> Scenario:
    pairs = case.program.create(PAIRS)
    pairs.combine_per_key(SUM, coders.VARINT, coders.VARINT, name="sum").observe("sum")
    pairs.combine_per_key(Fn("mean"), coders.kv(coders.DOUBLE, coders.VARINT), coders.DOUBLE, name="mean").observe("mean")
    pairs.combine_per_key(Fn("count"), coders.VARINT, coders.VARINT, name="count").observe("count")
    run = yield
    same_multiset(run.values("sum"), SUMS, "the sums", rule="M-COMB-01")
    same_multiset(run.values("mean"), MEANS, "the means", rule="M-COMB-01")
    same_multiset(run.values("count"), [("a", 3), ("b", 1)], "the counts", rule="M-COMB-01")
