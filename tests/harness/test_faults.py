"""Every fault that a script can inject shows on the wire as it says."""

from __future__ import annotations

import pytest
from scripted import WAIT, ScriptedRunner, Stage

from conformance.harness import End, Note, Session
from conformance.harness.capabilities import DEFAULT
from conformance.pipeline import Fn, coders
from conformance.wire import urns
from conformance.wire.api import fn_pb2
from conformance.wire.coders import CoderError, global_window, varint, windowed_value
from conformance.wire.values import WindowedValue


def observed(runner: ScriptedRunner) -> Stage:
    """source → observer that passes on → sink"""
    stage = Stage(runner)
    stage.sink(stage.source(coders.VARINT).par_do(Fn("observe_through", observer="o"), name="through"))
    return stage


def test_an_error_at_an_element(session: Session, runner: ScriptedRunner) -> None:
    session.script.add("error", at=1, text="second element")
    runner.start_worker()
    answer, _ = runner.bundle(observed(runner), [1, 2, 3])
    assert answer.error.startswith("second element\n")
    assert [each.value for each in session.observations.uncommitted] == [1]
    assert any(isinstance(event.message, Note) for event in session.transcript)
    answer, _ = runner.bundle(observed(runner), [1, 2, 3])
    assert not answer.error
    assert session.observations.values_of("o") == [1, 2, 3]
    assert [each.attempt for each in session.observations["o"]] == [2, 1, 1]


def test_an_error_instead_of_the_answer_commits_nothing(session: Session, runner: ScriptedRunner) -> None:
    session.script.add("error", text="at the end", transform="through")
    runner.start_worker()
    answer, _ = runner.bundle(observed(runner), [1])
    assert answer.error == "at the end"
    assert session.observations["o"] == []


def test_late_never_twice(session: Session, runner: ScriptedRunner) -> None:
    session.script.add("late", gate="g")
    session.script.add("twice", skip=1)
    session.script.add("never", skip=2)
    runner.start_worker()
    stage = observed(runner)
    runner.add(stage)
    late = runner.start_bundle()
    runner.feed(runner.input(late, stage, {"source": [1]}))
    assert session.gates.arrived("g")
    assert runner.unanswered(late)
    session.gates.open("g")
    assert not runner.answer(late).error
    answer, twice = runner.bundle(stage, [2])
    assert runner.answer(twice) == answer
    never = runner.start_bundle()
    runner.feed(runner.input(never, stage, {"source": [3]}))
    runner.output(never, stage)
    answer, _ = runner.bundle(stage, [4])
    assert runner.unanswered(never)
    assert 3 not in session.observations.values_of("o")


@pytest.mark.parametrize("plane", ["control", "data"])
def test_dropping_a_stream(session: Session, runner: ScriptedRunner, plane: str) -> None:
    session.script.add("drop", at=0, plane=plane)
    runner.start_worker()
    stage = observed(runner)
    runner.add(stage)
    instruction = runner.start_bundle()
    runner.feed(runner.input(instruction, stage, {"source": [1]}))
    if plane == "data":
        runner.answer(instruction)
        runner.end()
    assert session.wait_ended(WAIT)
    assert any(isinstance(event.message, End) and event.plane == plane for event in session.transcript)


def test_a_worker_that_dies(session: Session, runner: ScriptedRunner) -> None:
    session.script.add("exit", at=0)
    runner.start_worker()
    stage = observed(runner)
    runner.add(stage)
    instruction = runner.start_bundle()
    runner.feed(runner.input(instruction, stage, {"source": [1]}))
    assert session.wait_ended(WAIT)
    assert runner.unanswered(instruction)
    assert session.observations["o"] == []


def test_answer_before_outputs(session: Session, runner: ScriptedRunner) -> None:
    session.respond_first = True
    runner.start_worker()
    _, instruction = runner.bundle(observed(runner), [1])
    runner.output(instruction, observed(runner))
    kinds = [
        event.plane
        for event in session.transcript.events(direction="S->R")
        if event.kind == "Elements" or (event.kind == "InstructionResponse" and event.message.HasField("process_bundle"))
    ]
    assert kinds == ["control", "data"]


def test_terminators_with_data_missing_and_double(session: Session, runner: ScriptedRunner) -> None:
    session.script.add("data_in_terminator")
    session.script.add("no_terminators", skip=1)
    session.script.add("double_terminators", skip=2)
    runner.start_worker()
    stage = observed(runner)
    shapes = []
    for value in (1, 2, 3):
        runner.bundle(stage, [value])
        [sent] = session.transcript.events(plane="data", direction="S->R", kind="Elements")[-1:]
        shapes.append([(bool(entry.data), entry.is_last) for entry in sent.message.data])
    assert shapes == [[(True, True)], [(True, False)], [(True, False), (False, True), (False, True)]]


def test_odd_answers_to_split_and_progress(session: Session, runner: ScriptedRunner) -> None:
    odd = fn_pb2.ProcessBundleSplitResponse()
    odd.channel_splits.add(transform_id="source", last_primary_element=7, first_residual_element=3)
    session.script.add("answer", on="process_bundle_split", response=odd)
    session.script.add("error", on="process_bundle_progress", text="no progress for you")
    runner.start_worker()
    split = runner.ask(process_bundle_split=fn_pb2.ProcessBundleSplitRequest(instruction_id="x"))
    assert split.process_bundle_split == odd
    progress = runner.ask(process_bundle_progress=fn_pb2.ProcessBundleProgressRequest(instruction_id="x"))
    assert progress.error == "no progress for you"


def test_refusing_to_start(session: Session, runner: ScriptedRunner) -> None:
    session.script.add("error", on="start_worker", text="not today")
    assert runner.start_worker().error == "not today"
    assert session.workers == []


def test_answers_of_no_use(session: Session, runner: ScriptedRunner) -> None:
    """Another kind, no content, and one more to an instruction that never was; each breaks the protocol, which the script tells."""
    session.script.add("wrong_kind")
    session.script.add("no_kind", skip=1)
    session.script.add("stranger", skip=2)
    runner.start_worker()
    stage = observed(runner)
    assert not session.script.breaks_protocol
    assert runner.bundle(stage, [1])[0].WhichOneof("response") == "sample_data"
    assert session.script.breaks_protocol
    assert runner.bundle(stage, [2])[0].WhichOneof("response") is None
    answer, _ = runner.bundle(stage, [3])
    assert runner.answer("no-such-instruction").process_bundle == answer.process_bundle


def test_legal_faults_break_nothing(session: Session, runner: ScriptedRunner) -> None:
    session.script.add("error")
    session.script.add("answer", on="process_bundle_progress", response=fn_pb2.ProcessBundleProgressResponse())
    runner.start_worker()
    runner.bundle(observed(runner), [1])
    runner.ask(process_bundle_progress=fn_pb2.ProcessBundleProgressRequest(instruction_id="none"))
    assert len(session.script.log) == 2
    assert not session.script.breaks_protocol


def test_a_worker_that_leaves_in_peace(session: Session, runner: ScriptedRunner) -> None:
    session.script.add("leave")
    runner.start_worker()
    stage = observed(runner)
    answer, instruction = runner.bundle(stage, [1])
    assert not answer.error
    assert runner.values(instruction, stage) == [1]
    runner.end()
    assert session.wait_ended(WAIT)


def test_outputs_cut_and_astray(session: Session, runner: ScriptedRunner) -> None:
    session.script.add("stray_output")
    session.script.add("cut_outputs", skip=1)
    runner.start_worker()
    stage = observed(runner)
    _, astray = runner.bundle(stage, [7])
    assert runner.values(astray, stage) == [7]
    assert {entry.transform_id for each in runner.data for entry in each.data if entry.instruction_id == astray} >= {
        "sink",
        "no-such-sink",
    }
    _, cut = runner.bundle(stage, [7])
    with pytest.raises(CoderError):
        runner.output(cut, stage)


def test_elements_with_metadata_are_read_where_declared() -> None:
    """Bit 7 of the pane byte, and nested bytes behind the pane (P-COD-09): read by a worker that said so, refused by another."""
    plain = windowed_value(varint(), global_window()).encode(WindowedValue(7))
    head, value = plain[:-2], plain[-1:]
    assert plain[-2] == 0x0F
    element = head + bytes([0x8F]) + b"\x02\x08\x01" + value
    for declared in (True, False):
        extra = {urns.Protocol.ELEMENT_METADATA} if declared else set()
        with Session(capabilities=DEFAULT | extra) as session, ScriptedRunner(session) as served:
            served.start_worker()
            stage = observed(served)
            served.add(stage)
            instruction = served.start_bundle()
            elements = fn_pb2.Elements()
            elements.data.add(instruction_id=instruction, transform_id="source", data=element)
            elements.data.add(instruction_id=instruction, transform_id="source", is_last=True)
            served.feed(elements)
            answer = served.answer(instruction)
            assert bool(answer.error) is not declared
            assert session.observations.values_of("o") == ([7] if declared else [])
            assert bool(session.remote_errors) is not declared
