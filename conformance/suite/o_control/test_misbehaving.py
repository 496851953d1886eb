"""Control answers of every illegal kind: to bundles, splits, residuals; workers that go away at odd moments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from conformance.harness import Session
from conformance.harness.streams import CHANNELS, Duplex
from conformance.harness.threads import THREADS
from conformance.harness.transcript import Transcript
from conformance.pipeline import Fn, Program, coders, state
from conformance.suite.assertions import asserts
from conformance.suite.checks import holds, same
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.m_job_api.driving import PAIRS, held, plain, run_program, started
from conformance.suite.o_control.misbehaving import GROUPS, PATIENCE, misbehave
from conformance.suite.o_control.test_instructions import ASKED, held_groups, two_groupings
from conformance.suite.o_control.watching import BRIEF, bundles, descriptors, until
from conformance.wire import urns
from conformance.wire.api import fn_pb2

RANGE = coders.OFFSET_RANGE
POSITIONS = coders.kv(coders.VARINT, coders.VARINT)

# Answers to bundles

#: What is wrong with the answer to a bundle; all outputs were sent.
ANSWERS = ["twice", "stranger", "wrong_kind", "no_kind"]


def _with(action: Any, transform: str, **fields: Any) -> Callable[[Session], object]:
    return lambda session: session.script.add(action, transform=transform, **fields)


@asserts("CTRL02/odd-answers-survived")
@pytest.mark.parametrize("answer", ANSWERS)
def test_odd_answers(runner: RunnerUnderTest, answer: str) -> None:
    what = {
        "twice": "a bundle was answered twice",
        "stranger": "an answer came to an instruction that never was",
        "wrong_kind": "a bundle was answered with samples",
        "no_kind": "a bundle was answered with nothing",
    }[answer]
    misbehave(runner, f"answer-{answer}", two_groupings, _with(answer, "key1"), what, "P-CTL-02")


def _metrics(*infos: dict[str, Any], data: dict[str, bytes] | None = None) -> Callable[[Session], object]:
    response = fn_pb2.ProcessBundleResponse(monitoring_data=data or {})
    for info in infos:
        response.monitoring_infos.add(**info)
    return _with("answer", "observe", response=response)


#: Metrics that no runner can make sense of, in the answer of the last bundle.
METRICS: dict[str, Callable[[Session], object]] = {
    "unknown-urn": _metrics(
        {"urn": "beam-conformance:metric:none:v1", "type": "beam-conformance:metrics:none:v1", "payload": b"\xff"}
    ),
    "broken-payload": _metrics(
        {"urn": urns.Metric.USER_DISTRIBUTION_INT64, "type": urns.MetricType.DISTRIBUTION_INT64, "payload": b"\xff\xff"}
    ),
    "nothing": _metrics({}),
    "meaningless-short-id": _metrics(data={"no-such-short-id": b"\x01"}),
}


@asserts("MET12/odd-reports-survived")
@pytest.mark.parametrize("metrics", list(METRICS))
def test_odd_metrics(runner: RunnerUnderTest, metrics: str) -> None:
    what = f"a bundle reported metrics of the kind {metrics!r}"
    misbehave(runner, f"metrics-{metrics}", plain, METRICS[metrics], what, "P-MET-05", right=lambda run: None)


# Errors


def _huge(session: Session) -> None:
    session.script.add("error", transform="with_key", times=1000, text="reason " * 150_000)


@asserts("CTRL16/huge-reason")
def test_huge_reason(runner: RunnerUnderTest) -> None:
    misbehave(runner, "huge-reason", plain, _huge, "a bundle failed with a reason of a mebibyte", "P-CTL-19", may_be_done=False)


# Splits and residuals


def _root(transform: str, element: bytes = b"\x00") -> fn_pb2.BundleApplication:
    return fn_pb2.BundleApplication(transform_id=transform, input_id="in", element=element)


def _deferring(program: Program) -> None:
    ranged = program.create([3]).par_do(Fn("range"), POSITIONS, restriction_coder=RANGE, name="ranged")
    ranged.observe("out")


def _residual(session: Session) -> None:
    response = fn_pb2.ProcessBundleResponse()
    response.residual_roots.add(application=_root("no-such-transform"))
    session.script.add("answer", transform="ranged", skip=1, response=response)


@asserts("SDF08/lost-rest-is-no-success")
def test_residual_of_nobody(runner: RunnerUnderTest) -> None:
    """A bundle defers work to a transform that does not exist: it can never be run, so that the job can never be DONE."""
    misbehave(
        runner,
        "residual-of-nobody",
        _deferring,
        _residual,
        "a bundle deferred work to a transform that does not exist",
        "P-CTL-20",
        may_be_done=False,
    )


def _channel(source: str, last: int, first: int, *roots: str) -> fn_pb2.ProcessBundleSplitResponse:
    answer = fn_pb2.ProcessBundleSplitResponse()
    answer.channel_splits.add(transform_id=source, last_primary_element=last, first_residual_element=first)
    answer.primary_roots.extend(_root(transform) for transform in roots)
    answer.residual_roots.extend(fn_pb2.DelayedBundleApplication(application=_root(transform)) for transform in roots)
    return answer


#: Answers to a split request that make no sense for a bundle of eight elements; {} stands for its source.
SPLITS = {
    "unknown-source": lambda source: _channel("no-such-source", 0, 1),
    "indices-crossed": lambda source: _channel(source, 5, 2),
    "before-the-first": lambda source: _channel(source, -7, -6),
    "roots-of-nobody": lambda source: _channel(source, 0, 2, "no-such-transform"),
}


@asserts("CTRL11/odd-answers-survived")
@pytest.mark.parametrize("split", list(SPLITS))
def test_odd_splits(runner: RunnerUnderTest, split: str) -> None:
    """What such a worker then does with its elements is its own affair: only an end, and the next job, are owed."""
    runner.needs("split of elements")
    session = runner.session()
    with started(runner, held_groups, session=session) as job:
        job.is_held()
        bundle = bundles(session, "wait_at")[0]  # any of them: all have the same descriptor
        descriptor = descriptors(session)[bundle.process_bundle.process_bundle_descriptor_id]
        [source] = [key for key, each in descriptor.transforms.items() if each.spec.urn == urns.Runner.DATA_SOURCE]
        fault = session.script.add("answer", on="process_bundle_split", response=SPLITS[split](source))
        asked = until(lambda: any(each is fault for each, _ in list(session.script.log)), ASKED)
        job.release()
        state = job.end(PATIENCE * runner.settings.timeout_scale)
        if not asked:
            runner.never_saw("split of elements", f"the runner did not ask a bundle to split in {ASKED:g} s")
        holds(state in ("DONE", "FAILED"), f"the job ended {state}", expected="DONE or FAILED", observed=state, rule="P-SPL-04")
    after = run_program(runner, plain, label=f"after-split-{split}", patience=PATIENCE)
    same(after.groups("out"), GROUPS, "the outcome of the next job", rule="P-SPL-04")


# Workers that go away, or come twice


@asserts("CTRL01/second-connection-survived")
def test_second_connection(runner: RunnerUnderTest) -> None:
    """A second Control stream under a worker's id is refused or takes over, and goes away: the job ends in either case, and truly."""
    with started(runner, held) as job:
        job.is_held()
        worker = job.session.workers[0]
        url = worker.endpoints.control
        twin = Duplex(
            CHANNELS.acquire(url),
            Transcript(),
            service="BeamFnControl",
            method="Control",
            plane="control",
            worker_id=worker.worker_id,
            url=url,
        )
        THREADS.run(lambda: list(twin))
        twin.ended.wait(BRIEF / 4)
        twin.cancel()
        twin.ended.wait(job.soon)
        CHANNELS.release(url)
        job.release()
        state = job.end(PATIENCE * runner.settings.timeout_scale)
        holds(state in ("DONE", "FAILED"), f"the job ended {state}", expected="DONE or FAILED", observed=state, rule="P-CH-01")
        if state == "DONE":
            same(job.as_run().groups("out"), GROUPS, "the outcome of a job whose worker connected twice", rule="P-CH-01")
    after = run_program(runner, plain, label="after-second-connection", patience=PATIENCE)
    same(after.groups("out"), GROUPS, "the outcome of the next job", rule="P-CH-01")


def _stateful(program: Program) -> None:
    pairs = program.create([("k", 1), ("k", 2), ("k", 3)])
    counted = pairs.par_do(Fn("count_by_key"), PAIRS, state={"count": state.value(coders.VARINT)}, name="counts")
    counted.group_by_key().observe("out")


MOMENTS: dict[str, tuple[Callable[[Program], object], Callable[[Session], object]]] = {
    "leaves-behind-its-answer": (two_groupings, _with("leave", "key1")),
    "dies-instead-of-answering": (two_groupings, _with("exit", "key1")),
    "loses-state-stream": (_stateful, _with("drop", "counts", plane="state", at=0)),
}


@asserts("LIFE13/any-moment")
@pytest.mark.parametrize("moment", list(MOMENTS))
def test_gone(runner: RunnerUnderTest, moment: str) -> None:
    program, fault = MOMENTS[moment]
    misbehave(runner, f"worker-{moment}", program, fault, f"a worker went away: {moment}", "P-CH-12")


def _loses_logging(session: Session) -> None:
    session.script.add("drop", transform="key1", plane="logging")


@asserts("LOG01/lost-logging-survived")
def test_lost_logging(runner: RunnerUnderTest) -> None:
    misbehave(runner, "lost-logging", two_groupings, _loses_logging, "a worker ended Logging early", "P-CH-07")


# Data


@asserts("DATA02/odd-outputs-survived")
@pytest.mark.parametrize("outputs", ["double_terminators", "stray_output"])
def test_odd_outputs(runner: RunnerUnderTest, outputs: str) -> None:
    what = {"double_terminators": "each output was ended twice", "stray_output": "outputs came for a sink that nobody has"}[
        outputs
    ]
    misbehave(runner, f"outputs-{outputs}", two_groupings, _with(outputs, "key1"), what, "P-DATA-02")


@asserts("DATA01/cut-element-is-no-success")
def test_cut_element(runner: RunnerUnderTest) -> None:
    misbehave(
        runner,
        "cut-element",
        two_groupings,
        _with("cut_outputs", "key1", times=1000),
        "the last element of an output lacks a byte",
        "P-DATA-04",
        may_be_done=False,
    )
