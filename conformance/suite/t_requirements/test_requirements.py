"""Requirements of a pipeline: unknown ones stop it, known ones are understood or declined."""

from __future__ import annotations

from conformance.harness import Session
from conformance.pipeline import Fn, Program, coders, state, windowing
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, refused_naming, same, same_multiset
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.m_job_api.driving import plain, run_program
from conformance.suite.run import Run
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

UNKNOWN = "beam-conformance:requirement:nobody_knows_this:v1"
PAIRS = coders.kv(coders.STRING, coders.VARINT)
COUNT = {"count": state.value(coders.VARINT)}


def _require_unknown(pipeline: pb.Pipeline) -> None:
    pipeline.requirements.append(UNKNOWN)


def _unknown(runner: RunnerUnderTest) -> Run:
    return run_program(runner, plain, label="unknown-requirement", change=_require_unknown, any_outcome=True)


@asserts("REQ01/refused-naming")
def test_refused_naming(runner: RunnerUnderTest) -> None:
    refused_naming(_unknown(runner), [UNKNOWN], rule="P-PIPE-05")


@asserts("REQ01/nothing-run")
def test_nothing_run(runner: RunnerUnderTest) -> None:
    run = _unknown(runner)
    bundles = run.transcript.events("control", direction="R->S", kind="InstructionRequest")
    same(len(bundles), 0, "the instructions that a worker got for a pipeline with an unknown requirement", rule="P-JOB-13")


def _counting(program: Program) -> None:
    pairs = program.create([("a", 1), ("b", 2), ("a", 3), ("a", 4)])
    pairs.par_do(Fn("count_by_key"), state=COUNT).observe("out")


COUNTED = [("a", 1), ("a", 2), ("a", 3), ("b", 1)]


@asserts("REQ02/understood", alone=True)
def test_stateful(case: Case) -> Scenario:
    _counting(case.program)
    run = yield
    _requires(run, urns.Requirement.REQUIRES_STATEFUL_PROCESSING)
    same_multiset(run.values("out"), COUNTED, rule="P-PIPE-05")


def _requires(run: Run, urn: str) -> None:
    """The program does what the test is about: the pipeline lists the requirement."""
    assert urn in run.pipeline.requirements, run.pipeline.requirements


@asserts("REQ03/understood", alone=True)
def test_splittable(case: Case) -> Scenario:
    pairs = coders.kv(coders.VARINT, coders.VARINT)
    created = case.program.create([5, 2])
    created.par_do(Fn("range", splits=2), pairs, restriction_coder=coders.OFFSET_RANGE).observe("out")
    run = yield
    _requires(run, urns.Requirement.REQUIRES_SPLITTABLE_DOFN)
    expected = [(end, position) for end in (5, 2) for position in range(end)]
    same_multiset(run.values("out"), expected, "the positions", rule="P-PIPE-05")


@asserts("REQ04/understood", alone=True)
def test_finalization(case: Case) -> Scenario:
    created = case.program.create([1, 2, 3])
    finalizing = Fn("finalizer", observer=case.program.prefix + "finalized")
    created.par_do(finalizing, requests_finalization=True).observe("out")
    run = yield
    _requires(run, urns.Requirement.REQUIRES_BUNDLE_FINALIZATION)
    same(run.sorted_values("out"), [1, 2, 3], rule="P-PIPE-05")


@asserts("REQ05/understood", alone=True)
def test_stable_input(case: Case) -> Scenario:
    created = case.program.create([1, 2, 3])
    created.par_do(Fn("identity"), requires_stable_input=True).observe("out")
    run = yield
    _requires(run, urns.Requirement.REQUIRES_STABLE_INPUT)
    same(run.sorted_values("out"), [1, 2, 3], rule="P-PIPE-05")


@asserts("REQ06/understood", alone=True)
def test_time_sorted_input(case: Case) -> Scenario:
    times = [50, 10, 40, 20, 30, 45]
    values = [("a" if time < 45 else "b", time) for time in times]
    pairs = case.program.create(values, timestamps=times)
    ordered = Fn("program", on_element=[["observe", case.program.prefix + "out", ["val"]]])
    pairs.par_do(ordered, PAIRS, state=COUNT, requires_time_sorted_input=True)
    run = yield
    _requires(run, urns.Requirement.REQUIRES_TIME_SORTED_INPUT)
    seen = run.seen("out")
    for key, expected in (("a", [10, 20, 30, 40]), ("b", [45, 50])):
        same([each.value for each in seen if each.key == key], expected, f"the order of key {key!r}", rule="M-STATE-16")


@asserts("REQ07/understood", alone=True)
def test_on_window_expiration(case: Case) -> Scenario:
    created = case.program.create(
        [("a", 1), ("b", 2), ("a", 3), ("a", 4)], timestamps=[1, 2, 3, 10_001], window=windowing.fixed(10_000)
    )
    expiring = Fn(
        "program",
        on_element=[["do", "count", "write", ["val"]]],
        on_expiration=[["observe", case.program.prefix + "expired", ["kv", ["key"], ["max"]]], ["emit", ["kv", ["key"], 1]]],
    )
    after = created.par_do(expiring, PAIRS, state=COUNT, on_window_expiration="expiry")
    after.group_by_key().observe("out")
    run = yield
    _requires(run, urns.Requirement.REQUIRES_ON_WINDOW_EXPIRATION)
    expected = [("a", 9999), ("b", 9999), ("a", 19_999)]
    same_multiset(run.values("expired"), expected, "the windows that expired, by key", rule="P-TMR-10")


@asserts("REQ08/used-without-declaration")
def test_used_without_declaration(runner: RunnerUnderTest) -> None:
    def build(session: Session) -> pb.Pipeline:
        program = Program("p")
        _counting(program)
        return program.build(session.environment(), requirements=[], check=False)

    run = runner.run_pipeline(build, label="undeclared-state", any_outcome=True)
    if run.outcome.state == "DONE":
        same_multiset(run.values("out"), COUNTED, "the counts of a job that ended DONE", rule="P-PIPE-05")
    else:
        refused_naming(run, [urns.Requirement.REQUIRES_STATEFUL_PROCESSING, "stateful", "state"], rule="P-PIPE-05")
    holds(not run.pipeline.requirements, "our pipeline lists a requirement")
