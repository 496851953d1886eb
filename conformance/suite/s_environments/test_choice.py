"""Which environment runs what: AnyOf, default, unknown ones, several at once, resource hints."""

from __future__ import annotations

from conformance.harness import Session
from conformance.pipeline import Fn, Program, coders
from conformance.suite.assertions import asserts
from conformance.suite.checks import refused_naming, same
from conformance.suite.execution import RunnerUnderTest, raise_unless_done
from conformance.suite.m_job_api.driving import plain, run_program
from conformance.suite.n_artifacts.staging import SECOND, embedded, run_in_two, run_with
from conformance.suite.n_artifacts.test_staging import in_both
from conformance.suite.run import Run
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

GROUPED = {"k": [1, 2, 3]}
PAIRS = coders.kv(coders.STRING, coders.VARINT)
UNKNOWN = "beam-conformance:env:nobody_knows_this:v1"
UNKNOWN_TOO = "beam-conformance:env:nor_does_anybody_know_that:v1"
HINTS = {
    urns.Resource.MIN_RAM_BYTES: b"1048576",
    urns.Resource.CPU_COUNT: b"1",
    urns.Resource.MAX_ACTIVE_BUNDLES_PER_WORKER: b"4",
}


def any_of(*alternatives: pb.Environment) -> pb.Environment:
    payload = pb.AnyOfEnvironmentPayload(environments=alternatives)
    return pb.Environment(urn=urns.Env.ANYOF, payload=payload.SerializeToString(deterministic=True))


def _unknown(session: Session, urn: str = UNKNOWN) -> pb.Environment:
    return pb.Environment(urn=urn, payload=b"\x0a\x01x", capabilities=sorted(session.capabilities))


def _in_default_environment(runner: RunnerUnderTest) -> Run:
    def environment(session: Session) -> pb.Environment:
        return pb.Environment(urn=urns.Env.DEFAULT, capabilities=sorted(session.capabilities))

    return run_program(runner, plain, label="default", environment=environment, any_outcome=True)


@asserts("ENV05/runs")
def test_default_runs(runner: RunnerUnderTest) -> None:
    run = _in_default_environment(runner)
    raise_unless_done(run.outcome, run.session)
    same(run.groups("out"), GROUPED, rule="M-REJ-01")


@asserts("ENV05/chosen-or-refused")
def test_default_chosen_or_refused(runner: RunnerUnderTest) -> None:
    run = _in_default_environment(runner)
    if run.outcome.state == "DONE":
        same(run.groups("out"), GROUPED, "the results of a job that ended DONE", rule="M-REJ-01")
        return
    refused_naming(run, [urns.Env.DEFAULT, "default environment", "environment"], rule="M-REJ-01")


@asserts("ENV06/resolved")
def test_any_of_resolved(runner: RunnerUnderTest) -> None:
    run = run_program(runner, plain, label="any-of-one", environment=lambda session: any_of(session.environment()))
    same(run.groups("out"), GROUPED, rule="P-ENV-01")


@asserts("ENV06/unsupported-skipped")
def test_any_of_unsupported_skipped(runner: RunnerUnderTest) -> None:
    def environment(session: Session) -> pb.Environment:
        return any_of(_unknown(session), session.environment())

    run = run_program(runner, plain, label="any-of-two", environment=environment)
    same(run.groups("out"), GROUPED, rule="P-ENV-01")


@asserts("ENV06/dependencies-of-chosen")
def test_any_of_dependencies(runner: RunnerUnderTest) -> None:
    wanted = embedded("chosen.txt", b"of the chosen one")

    def environment(session: Session) -> pb.Environment:
        other = _unknown(session)
        other.dependencies.append(embedded("other.txt", b"of the other one"))
        return any_of(other, session.environment(dependencies=[wanted]))

    staged = run_with(runner, [], label="any-of-dependencies", environment=environment)
    same(staged.fetched(), {"chosen.txt": b"of the chosen one"}, "what the worker fetched", rule="P-ENV-01")


@asserts("ENV06/none-supported-refused")
def test_any_of_none_supported(runner: RunnerUnderTest) -> None:
    def environment(session: Session) -> pb.Environment:
        return any_of(_unknown(session), _unknown(session, UNKNOWN_TOO))

    run = run_program(runner, plain, label="any-of-unknown", environment=environment, any_outcome=True)
    refused_naming(run, [UNKNOWN, UNKNOWN_TOO, urns.Env.ANYOF], rule="M-REJ-01")


def _chain(program: Program) -> None:
    """Elements that go from one environment to the other and back, with and without a grouping between."""
    created = program.create([1, 2, 3])
    there = created.par_do(Fn("observe_through", observer="there"), environment=SECOND)
    back = there.par_do(Fn("observe_through", observer="back"))
    grouped = back.par_do(Fn("with_key", key="k"), PAIRS).group_by_key()
    grouped.par_do(Fn("observe", observer="grouped"), coders.BYTES, environment=SECOND)


@asserts("ENV07/each-in-its-own")
def test_each_in_its_own(runner: RunnerUnderTest) -> None:
    two = run_in_two(runner, _chain, label="two-environments")
    first, second = two.first.run, two.second.run
    same(second.sorted_values("there"), [1, 2, 3], "what the second environment saw", rule="P-PIPE-09")
    same(first.sorted_values("back"), [1, 2, 3], "what came back to the first environment", rule="P-PIPE-09")
    same(second.groups("grouped"), GROUPED, "the groups in the second environment", rule="P-PIPE-09")
    strays = [*first.values("there"), *first.values("grouped"), *second.values("back")]
    same(strays, [], "what was run in the wrong environment", rule="P-PIPE-09")


@asserts("ENV07/unused-harmless")
def test_unused_harmless(runner: RunnerUnderTest) -> None:
    two = run_in_two(runner, plain, label="unused-environment")
    same(two.first.run.groups("out"), GROUPED, rule="P-ENV-02")


@asserts("ENV08/equal-environments")
def test_equal_environments(runner: RunnerUnderTest) -> None:
    def build(session: Session) -> pb.Pipeline:
        program = Program("p")
        in_both(program)
        return program.build(session.environment(), others={SECOND: session.environment()})

    run = runner.run_pipeline(build, label="equal-environments")
    same(run.groups("out"), GROUPED, rule="P-PIPE-09")


def _hinted(runner: RunnerUnderTest, hints: dict[str, bytes], label: str) -> Run:
    return run_program(runner, plain, label=label, environment=lambda session: session.environment(resource_hints=hints))


@asserts("ENV09/known-hints-harmless")
def test_known_hints_harmless(runner: RunnerUnderTest) -> None:
    same(_hinted(runner, HINTS, "hints").groups("out"), GROUPED, rule="M-REJ-01")


@asserts("ENV09/unknown-hints-harmless")
def test_unknown_hints_harmless(runner: RunnerUnderTest) -> None:
    hints = {"beam-conformance:resources:nobody_knows_this:v1": b"\xff\x00\xfe", "no urn at all": b""}
    same(_hinted(runner, hints, "unknown-hints").groups("out"), GROUPED, rule="M-REJ-01")


@asserts("ENV10/refused-by-name")
def test_refused_by_name(runner: RunnerUnderTest) -> None:
    run = run_program(runner, plain, label="unknown-environment", environment=_unknown, any_outcome=True)
    refused_naming(run, [UNKNOWN], rule="M-REJ-01")
