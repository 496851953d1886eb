"""Splittable functions on a hand-driven runner: parts, checkpoints, dynamic splits and their laws (P-SPL-04, P-SPL-05), progress."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import ScriptedRunner, Stage

from conformance.harness import Session
from conformance.harness.splitting import first_residual
from conformance.harness.trackers import OffsetTracker
from conformance.pipeline import Fn, coders, state
from conformance.pipeline.encoding import resolve
from conformance.wire import timestamps, urns
from conformance.wire.api import fn_pb2
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.values import WindowedValue

SIZED = coders.kv(coders.kv(coders.VARINT, coders.OFFSET_RANGE), coders.DOUBLE)
PAIR = coders.kv(coders.VARINT, coders.VARINT)


def sdf(stage: Stage, urn: str, fn: Fn, source: coders.CoderSpec, output: coders.CoderSpec) -> None:
    """source → one part of a splittable ParDo → sink"""
    payload = pb.ParDoPayload(do_fn=fn.to_spec(), restriction_coder_id=stage.graph.coder(coders.OFFSET_RANGE))
    made = stage.raw("sdf", urn, payload.SerializeToString(), {"in": stage.source(source)}, {"out": output})
    stage.sink(made["out"])


def ranged(value: int, start: int, end: int, watermark: int = timestamps.MIN) -> tuple[object, float]:
    return (value, ((start, end), watermark)), float(end - start)


def test_pair_split_and_truncate(runner: ScriptedRunner) -> None:
    runner.start_worker()
    paired = coders.kv(coders.VARINT, coders.OFFSET_RANGE)
    stage = Stage(runner, "pair")
    sdf(stage, urns.Transform.PAIR_WITH_RESTRICTION, Fn("range"), coders.VARINT, paired)
    _, instruction = runner.bundle(stage, [5])
    assert runner.values(instruction, stage) == [(5, ((0, 5), timestamps.MIN))]
    stage = Stage(runner, "split")
    sdf(stage, urns.Transform.SPLIT_AND_SIZE_RESTRICTIONS, Fn("range", splits=2), paired, SIZED)
    _, instruction = runner.bundle(stage, [(5, ((0, 5), timestamps.MIN))])
    assert runner.values(instruction, stage) == [ranged(5, 0, 2), ranged(5, 2, 5)]
    stage = Stage(runner, "truncate")
    sdf(stage, urns.Transform.TRUNCATE_SIZED_RESTRICTION, Fn("range", truncate=1), SIZED, SIZED)
    _, instruction = runner.bundle(stage, [ranged(5, 2, 5)])
    assert runner.values(instruction, stage) == [ranged(5, 2, 3)]


def test_a_self_checkpoint_gives_the_rest_back_in_the_input_coder(runner: ScriptedRunner) -> None:
    runner.start_worker()
    stage = Stage(runner)
    fn = Fn("range", every=2, delay=1500, step=10, estimator=True)
    sdf(stage, urns.Transform.PROCESS_SIZED_ELEMENTS_AND_RESTRICTIONS, fn, SIZED, PAIR)
    answer, instruction = runner.bundle(stage, [ranged(5, 0, 5)])
    assert runner.values(instruction, stage) == [(5, 0), (5, 1)]
    [root] = answer.process_bundle.residual_roots
    assert (root.requested_time_delay.seconds, root.requested_time_delay.nanos) == (1, 500_000_000)
    assert (root.application.transform_id, root.application.input_id) == ("sdf", "in")
    watermark = root.application.output_watermarks["out"]
    assert (watermark.seconds, watermark.nanos) == (0, 20_000_000)
    rest = resolve(stage.ports["source"]).decode(root.application.element)
    assert rest == WindowedValue(ranged(5, 2, 5, 20))


def test_leaving_claims_undone_fails_the_bundle(session: Session, runner: ScriptedRunner) -> None:
    from conformance.harness.api import SplittableDoFn

    class Lazy(SplittableDoFn):
        def process_range(self, ctx: object, tracker: OffsetTracker) -> None:
            tracker.try_claim(tracker.start)

    session.functions.dofn("lazy")(Lazy)
    runner.start_worker()
    stage = Stage(runner)
    sdf(stage, urns.Transform.PROCESS_SIZED_ELEMENTS_AND_RESTRICTIONS, Fn("lazy"), SIZED, PAIR)
    answer, _ = runner.bundle(stage, [ranged(5, 0, 5)])
    assert "without claiming all" in answer.error


def split_request(
    instruction: str, fraction: float, estimate: int, allowed: tuple[int, ...] = ()
) -> fn_pb2.ProcessBundleSplitRequest:
    desired = fn_pb2.ProcessBundleSplitRequest.DesiredSplit(
        fraction_of_remainder=fraction, estimated_input_elements=estimate, allowed_split_points=allowed
    )
    return fn_pb2.ProcessBundleSplitRequest(instruction_id=instruction, desired_splits={"source": desired})


def test_a_dynamic_split_inside_an_element_obeys_the_channel_law(session: Session, runner: ScriptedRunner) -> None:
    runner.start_worker()
    stage = Stage(runner)
    fn = Fn("range", gate="g", gate_at=2)
    sdf(stage, urns.Transform.PROCESS_SIZED_ELEMENTS_AND_RESTRICTIONS, fn, SIZED, PAIR)
    runner.add(stage)
    instruction = runner.start_bundle()
    runner.feed(runner.input(instruction, stage, {"source": [ranged(10, 0, 10), ranged(20, 0, 2)]}))
    assert session.gates.arrived("g")
    progress = runner.ask(process_bundle_progress=fn_pb2.ProcessBundleProgressRequest(instruction_id=instruction))
    remaining = [info for info in progress.process_bundle_progress.monitoring_infos if info.urn == urns.Metric.WORK_REMAINING]
    assert resolve(coders.iterable(coders.DOUBLE)).decode(remaining[0].payload) == [8.0]
    answer = runner.ask(process_bundle_split=split_request(instruction, 0.25, 2)).process_bundle_split
    [channel] = answer.channel_splits
    assert (channel.transform_id, channel.last_primary_element, channel.first_residual_element) == ("source", -1, 1)
    read = resolve(stage.ports["source"]).decode
    [primary] = [read(root.element).value for root in answer.primary_roots]
    [residual] = [read(root.application.element).value for root in answer.residual_roots]
    (start, middle), (again, end) = primary[0][1][0], residual[0][1][0]
    assert (start, end) == (0, 10)
    assert middle == again
    assert 2 <= middle < 10
    session.gates.open("g")
    final = runner.answer(instruction).process_bundle
    assert not final.residual_roots
    assert runner.values(instruction, stage) == [(10, position) for position in range(middle)]


def test_a_split_between_elements_stops_the_source_there(session: Session, runner: ScriptedRunner) -> None:
    runner.start_worker()
    stage = Stage(runner)
    stage.sink(stage.source(coders.VARINT).par_do(Fn("wait_at", gate="g", expr=["==", ["value"], 1])))
    runner.add(stage)
    instruction = runner.start_bundle()
    runner.feed(runner.input(instruction, stage, {"source": [0, 1, 2, 3, 4, 5]}))
    assert session.gates.arrived("g")
    answer = runner.ask(process_bundle_split=split_request(instruction, 0.5, 6)).process_bundle_split
    [channel] = answer.channel_splits
    assert (channel.last_primary_element, channel.first_residual_element) == (2, 3)
    assert not answer.primary_roots
    again = runner.ask(process_bundle_split=split_request(instruction, 0.0, 3)).process_bundle_split
    assert [each.first_residual_element for each in again.channel_splits] == [2]
    session.gates.open("g")
    assert not runner.answer(instruction).error
    assert runner.values(instruction, stage) == [0, 1]
    late = runner.ask(process_bundle_split=split_request(instruction, 0.5, 6))
    assert late.WhichOneof("response") == "process_bundle_split"
    assert not late.process_bundle_split.channel_splits


@pytest.mark.parametrize("estimate", [3, 2])
def test_a_split_behind_the_last_element_gives_back_what_was_not_told_of(
    session: Session, runner: ScriptedRunner, estimate: int
) -> None:
    session.script.add("behind_the_last", on="process_bundle_split")
    runner.start_worker()
    stage = Stage(runner)
    stage.sink(stage.source(coders.VARINT).par_do(Fn("wait_at", gate="g")))
    runner.add(stage)
    instruction = runner.start_bundle()
    runner.feed(runner.input(instruction, stage, {"source": [0, 1, 2]}))
    assert session.gates.arrived("g")
    answer = runner.ask(process_bundle_split=split_request(instruction, 0.5, estimate)).process_bundle_split
    [channel] = answer.channel_splits
    assert (channel.last_primary_element, channel.first_residual_element) == (estimate - 1, estimate)
    session.gates.open("g")
    assert not runner.answer(instruction).error
    assert runner.values(instruction, stage) == [0, 1, 2][:estimate]


def test_a_stage_with_state_is_not_split(session: Session, runner: ScriptedRunner) -> None:
    runner.start_worker()
    stage = Stage(runner)
    waiting = stage.source(PAIR).par_do(Fn("wait_at", gate="g"))
    stage.sink(waiting.par_do(Fn("count_by_key"), PAIR, state={"count": state.value(coders.VARINT)}))
    runner.add(stage)
    instruction = runner.start_bundle()
    runner.feed(runner.input(instruction, stage, {"source": [(1, 1), (1, 2), (1, 3)]}))
    assert session.gates.arrived("g")
    answer = runner.ask(process_bundle_split=split_request(instruction, 0.0, 3)).process_bundle_split
    assert not answer.channel_splits
    session.gates.open("g")
    assert not runner.answer(instruction).error


def test_questions_about_unknown_bundles_are_answered_empty(runner: ScriptedRunner) -> None:
    runner.start_worker()
    progress = runner.ask(process_bundle_progress=fn_pb2.ProcessBundleProgressRequest(instruction_id="never"))
    assert progress.WhichOneof("response") == "process_bundle_progress"
    split = runner.ask(process_bundle_split=split_request("never", 0.5, 1))
    assert split.WhichOneof("response") == "process_bundle_split"


@given(
    index=st.integers(-1, 20),
    more=st.integers(0, 20),
    done=st.floats(0, 1),
    fraction=st.floats(0, 1),
    allowed=st.lists(st.integers(0, 45), max_size=5),
)
def test_the_first_residual_is_behind_the_current_element_and_before_the_end(
    index: int, more: int, done: float, fraction: float, allowed: list[int]
) -> None:
    stop = index + 1 + more
    first = first_residual(index, done, stop, fraction, allowed)
    if first is not None:
        assert index < first < stop
        assert not allowed or first in allowed


@given(start=st.integers(0, 5), size=st.integers(0, 20), claims=st.integers(0, 20), fraction=st.floats(0, 1))
def test_tracker_splits_lose_and_double_nothing(start: int, size: int, claims: int, fraction: float) -> None:
    tracker = OffsetTracker(start, start + size, 0)
    claimed = [position for position in range(start, start + claims) if tracker.try_claim(position)]
    residual = tracker.try_split(fraction)
    position = claimed[-1] + 1 if claimed else start
    while tracker.try_claim(position):
        claimed.append(position)
        position += 1
    tracker.check_done()
    rest = list(range(*residual)) if residual else []
    assert claimed + rest == list(range(start, start + size))


def test_claims_must_increase() -> None:
    tracker = OffsetTracker(0, 5, 0)
    assert tracker.try_claim(3)
    with pytest.raises(Exception, match="must increase"):
        tracker.try_claim(3)
