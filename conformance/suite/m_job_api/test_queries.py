"""What can be asked about jobs: the list, the pipeline, metrics, options; what is said about jobs that nobody knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from google.protobuf import json_format

from conformance.endpoints import JobClient
from conformance.endpoints.errors import Refused
from conformance.endpoints.options import encode_options
from conformance.endpoints.outcome import state_name
from conformance.pipeline import Fn, Program, coders, windowing
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.m_job_api.driving import Job, held, plain, probing, refusal, run_program, started, still_serves
from conformance.suite.outcomes import NotExercised
from conformance.wire.api import job_pb2
from conformance.wire.api import pipeline_pb2 as pb

T = TypeVar("T")

NOBODY = "beam-conformance-no-such-job"

#: Every call that takes a job id, by name.
ASKING: dict[str, Callable[[JobClient], Any]] = {
    "GetState": lambda client: client.state(NOBODY),
    "GetStateStream": lambda client: list(client.state_stream(NOBODY, 10)),
    "GetMessageStream": lambda client: list(client.message_stream(NOBODY, 10)),
    "GetPipeline": lambda client: client.pipeline(NOBODY),
    "GetJobMetrics": lambda client: client.metrics(NOBODY),
}
#: Options that no runner knows, of every kind that a Struct holds.
OPTIONS: dict[str, Any] = {
    "conformance_text": "a ü/\"text\" with 'quotes'",
    "conformance_number": 0.5,
    "conformance_large": 2**60,
    "conformance_truth": True,
    "conformance_list": ["a", 1.5, False],
    "conformance_map": {"inner": {"deep": "x"}, "list": []},
    "conformance_empty": "",
}


def _listed(job: Job) -> Any:
    """The job's entry in GetJobs."""
    __tracebackhide__ = True
    listed = job.client.jobs()
    found = [info for info in listed if info.job_id == job.job_id]
    same(len(found), 1, f"entries for job {job.job_id} among the {len(listed)} that GetJobs lists", rule="P-JOB-10")
    return found[0]


@asserts("JOB15/listed")
def test_listed(runner: RunnerUnderTest) -> None:
    with started(runner, held) as job:
        job.is_held()
        running = state_name(_listed(job).state)
        holds(
            running not in ("DONE", "FAILED", "STOPPED"),
            f"GetJobs lists a job in the middle of a bundle as {running}",
            rule="P-JOB-10",
        )
        job.release()
        same(job.end(), "DONE", "the end of the job", rule="P-JOB-10")
        same(state_name(_listed(job).state), "DONE", "the state that GetJobs lists after the end", rule="P-JOB-10")


def _varied(program: Program) -> None:
    """A program with something of every kind of component."""
    created = program.create([("a", 1), ("b", 2)], timestamps=[1, 2], window=windowing.fixed(1000))
    with program.composite("outer", inputs={"in": created}) as scope:
        grouped = scope.output(created.group_by_key())
    opaque = grouped.par_do(Fn("map", expr=["get", ["value"], 0]), coders.custom(coders.JSON_URN, payload=b"p"))
    opaque.par_do(Fn("identity"), coders.STRING).observe("out")


def _without_dependencies(pipeline: pb.Pipeline) -> pb.Pipeline:
    """The pipeline as P-JOB-11 compares it: whether dependencies are the staged ones is open."""
    copy = pb.Pipeline()
    copy.CopyFrom(pipeline)
    for environment in copy.components.environments.values():
        del environment.dependencies[:]
    return copy


@asserts("JOB16/equivalent")
def test_pipeline_equivalent(runner: RunnerUnderTest) -> None:
    run = run_program(runner, _varied, label="varied")
    with probing(runner) as client:
        returned = _without_dependencies(client.pipeline(run.outcome.job_id))
    submitted = _without_dependencies(run.pipeline)
    same(list(returned.root_transform_ids), list(submitted.root_transform_ids), "the root transforms", rule="P-JOB-11")
    same(sorted(returned.requirements), sorted(submitted.requirements), "the requirements", rule="P-JOB-11")
    for kind in ("transforms", "pcollections", "coders", "windowing_strategies", "environments"):
        theirs, ours = (dict(getattr(each.components, kind)) for each in (returned, submitted))
        same(sorted(set(ours) - set(theirs)), [], f"{kind} that are missing", rule="P-JOB-11")
        for identifier, message in ours.items():
            same(theirs[identifier], message, f"{kind[:-1]} {identifier!r}", rule="P-JOB-11")


@asserts("JOB17/answered-after-done", alone=True)
def test_metrics_answered_after_done(case: Case) -> Scenario:
    plain(case.program)
    run = yield
    holds(run.outcome.metrics is not None, f"GetJobMetrics of a DONE job failed: {run.outcome.remarks}", rule="P-JOB-15")


def _kept(ask: Callable[[str], T], job_id: str) -> T:
    """What is answered of an earlier job. It may be that a runner does not tell such things at all, but not that it has no such job."""
    __tracebackhide__ = True
    try:
        return ask(job_id)
    except Refused as error:
        holds(error.code != "NOT_FOUND", f"the earlier job is forgotten: {error}", rule="P-JOB-10")
        raise


@asserts("JOB17/kept-behind-later-jobs")
def test_kept_behind_later_jobs(runner: RunnerUnderTest) -> None:
    first = run_program(runner, plain, label="first")
    run_program(runner, plain, label="second")
    with probing(runner) as client:
        job_id = first.outcome.job_id
        same(state_name(_kept(client.state, job_id)), "DONE", "the state of the earlier job", rule="P-JOB-10")
        same(
            sorted(_kept(client.pipeline, job_id).components.transforms),
            sorted(first.pipeline.components.transforms),
            "the transforms of the earlier job's pipeline",
            rule="P-JOB-10",
        )
        _kept(client.metrics, job_id)


@asserts("JOB18/answered")
def test_options_described(runner: RunnerUnderTest) -> None:
    with probing(runner) as client:
        options = client.describe_options()
    names = [option.name for option in options]
    holds(all(names), "an option is described without a name", rule="P-JOB-16")
    same(len(names), len(set(names)), "the number of different option names", rule="P-JOB-16")
    known = set(job_pb2.PipelineOptionType.Enum.values())
    same([option.name for option in options if option.type not in known], [], "options of unknown types", rule="P-JOB-16")


@asserts("JOB19/unknown-job-refused")
@pytest.mark.parametrize("method", list(ASKING))
def test_unknown_job_refused(runner: RunnerUnderTest, method: str) -> None:
    with probing(runner) as client:
        refusal(lambda: ASKING[method](client), f"{method} of an unknown job", "P-JOB-12")
        still_serves(runner, client, "P-JOB-12")


@asserts("JOB19/unknown-job-not-found")
@pytest.mark.parametrize("method", list(ASKING))
def test_unknown_job_not_found(runner: RunnerUnderTest, method: str) -> None:
    with probing(runner) as client:
        refused = refusal(lambda: ASKING[method](client), f"{method} of an unknown job", "P-JOB-12")
        same(refused.code, "NOT_FOUND", f"the status of {method} of an unknown job", rule="P-JOB-12")


@asserts("JOB19/unknown-preparation-refused")
def test_unknown_preparation_refused(runner: RunnerUnderTest) -> None:
    with probing(runner) as client:
        refusal(lambda: client.run(NOBODY), "Run of an unknown preparation", "P-JOB-12")
        still_serves(runner, client, "P-JOB-12")


@asserts("JOB21/name-echoed")
def test_name_echoed(runner: RunnerUnderTest) -> None:
    with started(runner, name="a-name-to-find-again") as job:
        job.end()
        same(_listed(job).job_name, "a-name-to-find-again", "the name that GetJobs lists", rule="P-JOB-10")


@asserts("JOB21/options-echoed")
def test_options_echoed(runner: RunnerUnderTest) -> None:
    with started(runner, options=OPTIONS) as job:
        job.end()
        _holds_options(_listed(job).pipeline_options, "GetJobs")


def _holds_options(struct: Any, where: str) -> None:
    """Each of OPTIONS is in the Struct, with its value; other entries are the runner's affair."""
    __tracebackhide__ = True
    found = json_format.MessageToDict(struct)
    for key, value in json_format.MessageToDict(encode_options(OPTIONS)).items():
        holds(key in found, f"{where} does not have option {key}", expected=key, observed=sorted(found), rule="P-JOB-14")
        same(found[key], value, f"option {key} in {where}", rule="P-JOB-14")


@asserts("JOB22/unknown-options-ignored", alone=True)
def test_unknown_options_ignored(case: Case) -> Scenario:
    case.options = dict(OPTIONS)
    plain(case.program)
    run = yield
    same(run.groups("out"), {"k": [1, 2, 3]}, rule="P-JOB-14")


@asserts("JOB22/options-reach-worker", alone=True)
def test_options_reach_worker(case: Case) -> Scenario:
    case.options = dict(OPTIONS)
    plain(case.program)
    run = yield
    provisioned = [worker.provision for worker in run.session.workers if worker.provision is not None]
    if not provisioned:
        raise NotExercised("no worker was given a provision endpoint")
    for info in provisioned:
        _holds_options(info.pipeline_options, "provision")
