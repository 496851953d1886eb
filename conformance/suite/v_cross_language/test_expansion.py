"""What a runner makes of pipelines that expansion services had a part in: environments, coders, dependencies (P-XP-04, P-XP-08)."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.harness.offers import TEST, schema
from conformance.pipeline import Fn, Program, coders, external, windowing
from conformance.suite.assertions import asserts
from conformance.suite.checks import holds, same, same_multiset
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.n_artifacts.staging import file
from conformance.suite.v_cross_language.expanding import Expanded, Service, run_expanded
from conformance.wire import urns
from conformance.wire.api import expansion_pb2, schema_pb2

WORDS = ["a", "b", "c"]
PREFIX = external.configuration(schema(data=str), data="0")
TEXT_PAIRS = coders.kv(coders.VARINT, coders.STRING)
NUMBER_PAIRS = coders.kv(coders.STRING, coders.VARINT)
#: The identifier of a schema transform of ours, and what configures it.
AFFIX = "beam:schematransform:beam-conformance:affix:v1"
AFFIX_SCHEMA = schema(prefix=str, times=int, suffixes=[str])
AFFIXED = ["0-0-a+é", "0-0-b+é", "0-0-c+é"]


# The expansion itself


def _prefixed(runner: RunnerUnderTest, label: str) -> Expanded:
    def build(program: Program, service: Service) -> None:
        words = program.create(WORDS)
        service.expand("prefixed", TEST + "prefix", PREFIX, {"in": words})["output"].observe("out")

    return run_expanded(runner, build, label=label)


@asserts("XL01/runs-in-its-environment")
def test_runs_in_its_environment(runner: RunnerUnderTest) -> None:
    _prefixed(runner, "expansion").ran_there("affix", rule="P-XP-04")


@asserts("XL03/prefix")
def test_prefix(runner: RunnerUnderTest) -> None:
    run = _prefixed(runner, "expansion-prefix")
    same(run.ours.sorted_values("out"), ["0a", "0b", "0c"], "what came back from the expansion", rule="P-XP-08")


@asserts("XL01/expanded-twice")
def test_expanded_twice(runner: RunnerUnderTest) -> None:
    def build(program: Program, service: Service) -> None:
        once = service.expand("prefixed", TEST + "prefix", PREFIX, {"in": program.create(WORDS)})["output"]
        service.expand("prefixed", TEST + "prefix", PREFIX, {"in": once})["output"].observe("out")

    run = run_expanded(runner, build, label="expansion-twice")
    same(run.ours.sorted_values("out"), ["00a", "00b", "00c"], "the outcome of two expansions in a row", rule="P-XP-02")


@asserts("XL02/discovered-runs")
def test_discovered(runner: RunnerUnderTest) -> None:
    """The configuration is made of the schema that discovery tells, as a client does that knows the identifier alone."""
    told: list[expansion_pb2.SchemaTransformConfig] = []

    def build(program: Program, service: Service) -> None:
        config = service.server.discover()[AFFIX]
        told.append(config)
        values = {"prefix": "0-", "times": 2, "suffixes": ["+", "é"]}
        payload = external.schema_transform(AFFIX, config.config_schema, **values)
        [main], [out] = config.input_pcollection_names, config.output_pcollection_names
        made = service.expand("discovered", urns.Expansion.SCHEMA_TRANSFORM, payload, {main: program.create(WORDS)})
        made[out].observe("out")

    run = run_expanded(runner, build, label="expansion-discovered")
    assert [field.name for field in told[0].config_schema.fields] == ["prefix", "times", "suffixes"], told
    same(run.ours.sorted_values("out"), AFFIXED, "the outcome of a transform that was discovered", rule="P-XP-07")


@asserts("XL07/configured-by-row")
def test_schema_transform(runner: RunnerUnderTest) -> None:
    payload = external.schema_transform(AFFIX, AFFIX_SCHEMA, prefix="0-", times=2, suffixes=["+", "é"])

    def build(program: Program, service: Service) -> None:
        words = program.create(WORDS)
        service.expand("affixed", urns.Expansion.SCHEMA_TRANSFORM, payload, {"input": words})["output"].observe("out")

    run = run_expanded(runner, build, label="expansion-schema-transform")
    same(run.ours.sorted_values("out"), AFFIXED, "the outcome of a schema transform", rule="P-XP-07")
    run.ran_there("affix", rule="P-XP-04")


@asserts("XL08/built-by-class")
def test_class_lookup(runner: RunnerUnderTest) -> None:
    payload = external.class_lookup(
        "org.beam.conformance.Affix",
        (schema(prefix=str), {"prefix": "0-"}),
        ("withTimes", schema(times=int), {"times": 2}),
        ("withSuffixes", schema(suffixes=[str]), {"suffixes": ["+", "é"]}),
    )

    def build(program: Program, service: Service) -> None:
        words = program.create(WORDS)
        service.expand("affixed", urns.Expansion.JAVA_CLASS_LOOKUP, payload, {"input": words})["output"].observe("out")

    run = run_expanded(runner, build, label="expansion-class-lookup")
    same(run.ours.sorted_values("out"), AFFIXED, "the outcome of a transform that was built by its class", rule="P-XP-07")


@asserts("XL09/runs-by-its-parts")
def test_managed(runner: RunnerUnderTest) -> None:
    payload = external.schema_transform(urns.Managed.ICEBERG_READ, schema(table=str), table="t")

    def build(program: Program, service: Service) -> None:
        service.expand("managed", urns.Expansion.SCHEMA_TRANSFORM, payload)["output"].observe("out")

    run = run_expanded(runner, build, label="expansion-managed")
    same(run.ours.sorted_values("out"), ["t-0", "t-1", "t-2"], "the outcome of a managed source", rule="P-PIPE-04")


# Inputs, outputs, side inputs


@asserts("XL03/inputs-outputs-and-side-input")
def test_multi(runner: RunnerUnderTest) -> None:
    def build(program: Program, service: Service) -> None:
        inputs = {
            "main1": program.create(["a", "b"], name="one"),
            "main2": program.create(["c"], name="two"),
            "side": program.create(["s", "t"], name="three"),
        }
        made = service.expand("multi", TEST + "multi", inputs=inputs)
        made["main"].observe("main")
        made["side"].observe("side")

    run = run_expanded(runner, build, label="expansion-multi")
    expected = [("a", ["s", "t"]), ("b", ["s", "t"]), ("c", ["s", "t"])]
    same(run.ours.sorted_values("main"), expected, "both main inputs beside the side input", rule="M-SIDE-01")
    same(run.ours.sorted_values("side"), ["ss", "tt"], "the other output", rule="P-XP-08")
    run.ran_there("beside", "double")


@asserts("XL03/side-input-of-the-window")
def test_windowed_side_input(runner: RunnerUnderTest) -> None:
    fixed = windowing.fixed(10_000)

    def build(program: Program, service: Service) -> None:
        inputs = {
            "main1": program.create(["a", "b"], timestamps=[1_000, 11_000], window=fixed, name="one"),
            "main2": program.create(["c"], timestamps=[12_000], window=fixed, name="two"),
            "side": program.create(["s", "t"], timestamps=[2_000, 13_000], window=fixed, name="three"),
        }
        made = service.expand("multi", TEST + "multi", inputs=inputs)
        made["main"].observe("main")

    run = run_expanded(runner, build, label="expansion-windowed-side-input")
    expected = [("a", ["s"]), ("b", ["t"]), ("c", ["t"])]
    same(run.ours.sorted_values("main"), expected, "elements beside the side input of their window", rule="M-SIDE-04")


# Groupings


@asserts("XL04/groups")
@pytest.mark.parametrize("key", ["standard", "unknown"])
def test_group_by_key(runner: RunnerUnderTest, key: str) -> None:
    """A grouping is nobody's: its input is the client's, its output is read by a function of the service and then by the client's. Keys
    of an unknown coder must have one form on all three stages (P-PIPE-12)."""
    keyed = coders.kv(coders.VARINT if key == "standard" else coders.JSON, coders.STRING)

    def build(program: Program, service: Service) -> None:
        pairs = program.create([(0, "a"), (1, "c"), (0, "b")], keyed)
        groups = service.expand("grouped", TEST + "gbk", inputs={"in": pairs})["output"]
        groups.observe("groups")
        alone = groups.par_do(Fn("ungroup"), keyed, name="ungroup")
        service.expand("again", "beam-conformance:transform:passed_through:v1", inputs={"in": alone})["output"].observe("again")

    run = run_expanded(runner, build, label=f"expansion-grouped-{key}")
    same(run.ours.groups("groups"), {0: ["a", "b"], 1: ["c"]}, "the groups of an expansion's grouping", rule="P-PIPE-14")
    same(run.ours.sorted_values("again"), [(0, "a"), (0, "b"), (1, "c")], "the pairs that crossed again", rule="P-XP-08")


@asserts("XL04/coder-ids-are-opaque")
def test_own_coders(runner: RunnerUnderTest) -> None:
    """The key's coder stands twice in the pipeline: by the client's id before the grouping, by the service's behind it (P-COD-05)."""

    def build(program: Program, service: Service) -> None:
        pairs = program.create([(0, "a"), (1, "c"), (0, "b")], TEXT_PAIRS)
        service.expand("grouped", TEST + "gbk", inputs={"in": pairs})["output"].observe("groups")

    run = run_expanded(runner, build, label="expansion-own-coders", own_coders=True)
    same(run.ours.groups("groups"), {0: ["a", "b"], 1: ["c"]}, "the groups, whose key coder has two ids", rule="P-COD-05")


@asserts("XL04/joins")
def test_co_group_by_key(runner: RunnerUnderTest) -> None:
    def build(program: Program, service: Service) -> None:
        inputs = {
            "col1": program.create([(0, "1"), (0, "2"), (1, "3")], TEXT_PAIRS, name="one"),
            "col2": program.create([(0, "4"), (1, "5"), (1, "6"), (2, "7")], TEXT_PAIRS, name="two"),
        }
        service.expand("joined", TEST + "cgbk", inputs=inputs)["output"].observe("out")

    run = run_expanded(runner, build, label="expansion-joined")
    joined = {0: ["1", "2", "4"], 1: ["3", "5", "6"], 2: ["7"]}
    same(run.ours.groups("out"), joined, "the join of two inputs from another language", rule="M-XF-14")
    run.ran_there("tag_col1", "untag", "concatenate")


@asserts("XL05/per-key")
def test_combine_per_key(runner: RunnerUnderTest) -> None:
    def build(program: Program, service: Service) -> None:
        pairs = program.create([("a", 1), ("a", 2), ("b", 3)], NUMBER_PAIRS)
        service.expand("combined", TEST + "compk", inputs={"in": pairs})["output"].observe("out")

    run = run_expanded(runner, build, label="expansion-combine-per-key")
    same(run.ours.sorted_values("out"), [("a", 3), ("b", 3)], "the sums by key", rule="M-COMB-01")


@asserts("XL05/globally")
def test_combine_globally(runner: RunnerUnderTest) -> None:
    def build(program: Program, service: Service) -> None:
        numbers = program.create([1, 2, 3])
        service.expand("combined", TEST + "comgl", inputs={"in": numbers})["output"].observe("out")

    run = run_expanded(runner, build, label="expansion-combine-globally")
    same(run.ours.values("out"), [6], "the sum of all", rule="M-COMB-01")


@asserts("XL06/flattens")
def test_flatten(runner: RunnerUnderTest) -> None:
    def build(program: Program, service: Service) -> None:
        inputs = {"i0": program.create([1, 2], name="one"), "i1": program.create([3, 2], name="two")}
        service.expand("flattened", TEST + "flatten", inputs=inputs)["output"].observe("out")

    run = run_expanded(runner, build, label="expansion-flatten")
    same(run.ours.sorted_values("out"), [1, 2, 2, 3], "the union", rule="M-XF-11")


@asserts("XL06/flattens-both-languages")
def test_flatten_both(runner: RunnerUnderTest) -> None:
    """One input was made by the client's language, one by the service's: the union is read by both."""

    def build(program: Program, service: Service) -> None:
        theirs = service.expand("made", TEST + "prefix", PREFIX, {"in": program.create(["a"], name="one")})["output"]
        ours = program.create(["b"], name="two")
        union = service.expand("flattened", TEST + "flatten", inputs={"i0": theirs, "i1": ours})["output"]
        union.observe("out")
        service.expand("again", TEST + "prefix", PREFIX, {"in": union})["output"].observe("again")

    run = run_expanded(runner, build, label="expansion-flatten-both")
    same(run.ours.sorted_values("out"), ["0a", "b"], "the union", rule="M-XF-11")
    same(run.ours.sorted_values("again"), ["00a", "0b"], "the union as the other language read it", rule="M-XF-11")


@asserts("XL06/partitions")
def test_partition(runner: RunnerUnderTest) -> None:
    def build(program: Program, service: Service) -> None:
        made = service.expand("parted", TEST + "partition", inputs={"in": program.create([1, 2, 3, 4, 6])})
        made["0"].observe("even")
        made["1"].observe("odd")

    run = run_expanded(runner, build, label="expansion-partition")
    parts = (run.ours.sorted_values("even"), run.ours.sorted_values("odd"))
    same(parts, ([2, 4, 6], [1, 3]), "the two parts", rule="M-XF-17")
    run.ran_there("partition")


# State, rows, dependencies


@asserts("XL10/state-in-another-language")
def test_state(runner: RunnerUnderTest) -> None:
    """The key of state is the key of the data, byte for byte, whatever environments an element came through (P-PIPE-12)."""
    keyed = coders.kv(coders.JSON, coders.VARINT)

    def build(program: Program, service: Service) -> None:
        pairs = program.create([(key, 0) for key in ("a", "b", "a", "a")], keyed)
        service.expand("counted", "beam-conformance:transform:count_by_key:v1", inputs={"in": pairs})["output"].observe("out")

    requirements = (urns.Requirement.REQUIRES_STATEFUL_PROCESSING,)
    run = run_expanded(runner, build, label="expansion-state", requirements=requirements)
    same(run.ours.sorted_values("out"), [("a", 1), ("a", 2), ("a", 3), ("b", 1)], "counts by key", rule="P-PIPE-12")
    run.ran_there("count")


_ROWS = schema(name=str, inner=schema(number=int, flag=bool), list=[float], blob=bytes)


def _nullable_rows() -> schema_pb2.Schema:
    made = schema_pb2.Schema()
    made.CopyFrom(_ROWS)
    for field in made.fields:
        field.type.nullable = True
    return made


@asserts("XL11/rows-unharmed")
@pytest.mark.parametrize("nullable", [False, True], ids=["required", "nullable"])
def test_rows(runner: RunnerUnderTest, nullable: bool) -> None:
    row = coders.row(_nullable_rows() if nullable else _ROWS)
    rows: list[tuple[Any, ...]] = [("é", (-1, True), [0.5, -0.0], b"\x00\xff"), ("", (2**62, False), [], b"")]
    rows += [(None, None, None, None), ("x", None, [1.0], None)] if nullable else []

    def build(program: Program, service: Service) -> None:
        made = program.create(rows, row)
        service.expand("passed", "beam-conformance:transform:passed_through:v1", inputs={"in": made})["output"].observe("out")

    run = run_expanded(runner, build, label="expansion-rows")
    same_multiset(run.ours.values("out"), rows, "the rows after two languages and a grouping", rule="P-COD-01")
    run.ran_there("ungroup")


@asserts("ART08/reach-their-worker")
def test_dependencies(runner: RunnerUnderTest) -> None:
    contents = {"theirs.txt": b"of the service's language"}
    listed = file("theirs.txt")
    path = "/beam-conformance-client-side-only/theirs.txt"

    def build(program: Program, service: Service) -> None:
        words = program.create(WORDS)
        service.expand("prefixed", TEST + "prefix", PREFIX, {"in": words})["output"].observe("out")

    run = run_expanded(runner, build, label="expansion-dependencies", dependencies=[listed], files={path: contents["theirs.txt"]})
    theirs = {worker.worker_id for worker in run.theirs.session.workers}
    told = {artifact.staged_name: artifact.data for artifact in run.fetched if artifact.worker_id in theirs}
    same(told, contents, "what the expansion's worker fetched", rule="P-BOOT-03")
    others = [artifact.staged_name for artifact in run.fetched if artifact.worker_id not in theirs]
    holds(not others, "the client's own worker was given the expansion's dependencies", observed=others, rule="P-BOOT-03")
