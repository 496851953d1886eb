"""What a runner must ignore, carry or refuse in the pipeline that it is given."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from conformance.harness import Session
from conformance.pipeline import Fn, Program, display
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, refused_naming, same
from conformance.suite.execution import RunnerUnderTest, raise_unless_done
from conformance.suite.run import Run
from conformance.suite.w_misc.rewriting import LATER_BYTES, mark_everywhere, named, with_odd_ids
from conformance.wire.api import pipeline_pb2 as pb

PAIRS = [("a", 1), ("b", 2), ("a", 3)]
GROUPS = {"a": [1, 3], "b": [2]}
ITEMS = [
    display("a text", "text", "k1", "some.namespace"),
    display("a number", 7),
    display("a truth", True),
    display("half", 0.5),
]


def _submitted(runner: RunnerUnderTest, label: str, change: Callable[[pb.Pipeline], None]) -> Run:
    """The run of a small program whose pipeline `change` altered after it was built."""
    program = Program("p")
    program.create(PAIRS).par_do(Fn("identity")).group_by_key().observe("out")

    def build(session: Session) -> pb.Pipeline:
        pipeline = program.build(session.environment())
        change(pipeline)
        return pipeline

    return runner.run_pipeline(build, label=label, any_outcome=True)


@asserts("MISC04/tolerated")
def test_display_data_tolerated(case: Case) -> Scenario:
    pairs = case.program.create(PAIRS)
    with case.program.composite("shown", inputs={"in": pairs}, display_data=ITEMS) as scope:
        mapped = scope.output(pairs.par_do(Fn("identity"), display_data=ITEMS))
    mapped.group_by_key().observe("out")
    run = yield
    same(run.groups("out"), GROUPS, rule="P-PIPE-03")


@asserts("MISC04/carried")
def test_display_data_carried(runner: RunnerUnderTest) -> None:
    run = _submitted(runner, "display-data", lambda pipeline: pipeline.display_data.extend(ITEMS))
    raise_unless_done(run.outcome)
    with runner.client() as client:
        returned = client.pipeline(run.outcome.job_id)
    same(list(returned.display_data), ITEMS, "the display data of the pipeline that GetPipeline returns", rule="P-JOB-11")


@asserts("MISC05/tolerated")
def test_annotations_tolerated(case: Case) -> Scenario:
    annotations = {"": b"", "beam-conformance:note": bytes(range(256)), "schwäbisch": "für".encode(), "config_row": b"\xff" * 64}
    pairs = case.program.create(PAIRS)
    with case.program.composite("noted", inputs={"in": pairs}, annotations=annotations) as scope:
        mapped = scope.output(pairs.par_do(Fn("identity"), annotations=annotations))
    mapped.group_by_key().observe("out")
    run = yield
    same(run.groups("out"), GROUPS, rule="P-PIPE-03")


@asserts("MISC06/dangling-collection-refused")
def test_dangling_collection_refused(runner: RunnerUnderTest) -> None:
    def change(pipeline: pb.Pipeline) -> None:
        named(pipeline, "identity").inputs["in"] = "no-such-collection"

    run = _submitted(runner, "dangling-collection", change)
    refused_naming(run, ["no-such-collection", "identity"], rule="P-PIPE-01")


def _dangling_coder(pipeline: pb.Pipeline) -> None:
    pipeline.components.pcollections[named(pipeline, "identity").outputs["out"]].coder_id = "no-such-id"


def _dangling_strategy(pipeline: pb.Pipeline) -> None:
    pipeline.components.pcollections[named(pipeline, "identity").outputs["out"]].windowing_strategy_id = "no-such-id"


def _dangling_root(pipeline: pb.Pipeline) -> None:
    pipeline.root_transform_ids.append("no-such-id")


def _dangling_environment(pipeline: pb.Pipeline) -> None:
    named(pipeline, "identity").environment_id = "no-such-id"


@asserts("MISC06/dangling-id-refused")
@pytest.mark.parametrize(
    "change",
    [_dangling_coder, _dangling_strategy, _dangling_root, _dangling_environment],
    ids=["coder", "strategy", "root", "environment"],
)
def test_dangling_id_refused(runner: RunnerUnderTest, change: Callable[[pb.Pipeline], None]) -> None:
    refused_naming(_submitted(runner, "dangling-id", change), ["no-such-id"], rule="P-PIPE-01")


@asserts("MISC06/two-producers-refused")
def test_two_producers_refused(runner: RunnerUnderTest) -> None:
    def change(pipeline: pb.Pipeline) -> None:
        twin = pipeline.components.transforms["twin"]
        twin.CopyFrom(named(pipeline, "identity"))
        twin.unique_name = "twin"
        pipeline.root_transform_ids.append("twin")

    run = _submitted(runner, "two-producers", change)
    refused_naming(run, ["twin", "identity"], rule="P-PIPE-02")


@asserts("MISC06/ids-are-opaque")
def test_ids_are_opaque(runner: RunnerUnderTest) -> None:
    run = _submitted(runner, "opaque-ids", with_odd_ids)
    raise_unless_done(run.outcome)
    same(run.groups("out"), GROUPS, rule="P-PIPE-01")


@asserts("MISC07/unknown-fields-tolerated")
def test_unknown_fields_tolerated(runner: RunnerUnderTest) -> None:
    run = _submitted(runner, "unknown-fields", mark_everywhere)
    raise_unless_done(run.outcome)
    same(run.groups("out"), GROUPS, rule="P-JOB-11")


@asserts("MISC07/unknown-fields-returned")
def test_unknown_fields_returned(runner: RunnerUnderTest) -> None:
    run = _submitted(runner, "unknown-fields", mark_everywhere)
    raise_unless_done(run.outcome)
    with runner.client() as client:
        returned = client.pipeline(run.outcome.job_id)
    holds(
        LATER_BYTES in returned.SerializeToString(),
        "GetPipeline returned the pipeline without the fields that the runner does not know",
        rule="P-JOB-11",
    )
