"""The job service and the life of workers, over real gRPC."""

from __future__ import annotations

import threading
from concurrent import futures
from typing import Any

import grpc
import pytest

from conformance.endpoints import staging
from conformance.harness.session import Session
from conformance.pipeline import Fn, Program, coders
from conformance.runner import bundles, serve
from conformance.runner.rules import Rules
from conformance.runner.server import run_on_loop
from conformance.wire import rpc, urns
from conformance.wire.api import artifact_pb2, fn_pb2, google_pb2, job_pb2, provision_pb2
from conformance.wire.api import pipeline_pb2 as pb
from tests.runner.conftest import Client

JOB = "org.apache.beam.model.job_management.v1."
FN = "org.apache.beam.model.fn_execution.v1."


def simple(values: Any = (1, 2)) -> Program:
    program = Program()
    program.create(list(values), coders.VARINT).observe("o")
    return program


def gated() -> Program:
    program = Program()
    program.create([1], coders.VARINT).par_do(Fn("wait_at", gate="g"), name="wait").redistribute_arbitrarily().observe("o")
    return program


def code_of(call: Any, request: Any) -> grpc.StatusCode:
    """The status that a call fails with; streams are read to their end."""
    try:
        answer = call(request, timeout=10)
        list(() if hasattr(answer, "DESCRIPTOR") else answer)
    except grpc.RpcError as error:
        return error.code()
    raise AssertionError("the call did not fail")


# ---- what clients see


def test_a_job_goes_from_stopped_to_done_and_its_streams_tell_so(client, session):
    job = client.start(simple().build(session.environment()))
    first = client.wait(job)
    assert first.states == ["STOPPED", "STARTING", "RUNNING", "DONE"]
    late = client.wait(job)
    assert late == first
    states = [event.state for event in client.jobs.GetStateStream(job_pb2.GetJobStateRequest(job_id=job), timeout=10)]
    assert [job_pb2.JobState.Enum.Name(each) for each in states] == first.states
    assert client.jobs.GetState(job_pb2.GetJobStateRequest(job_id=job)).state == job_pb2.JobState.DONE
    assert job in [info.job_id for info in client.jobs.GetJobs(job_pb2.GetJobsRequest()).job_info]


def test_the_state_of_a_preparation_is_published_at_once(client, session):
    preparation = client.prepare(simple().build(session.environment()))
    stream = client.jobs.GetStateStream(job_pb2.GetJobStateRequest(job_id=preparation), timeout=10)
    assert next(stream).state == job_pb2.JobState.STOPPED
    client.jobs.Run(job_pb2.RunJobRequest(preparation_id=preparation))
    assert [event.state for event in stream][-1] == job_pb2.JobState.DONE


def test_the_pipeline_comes_back_as_submitted(client, session):
    pipeline = simple().build(session.environment())
    job = client.start(pipeline)
    client.wait(job)
    assert client.jobs.GetPipeline(job_pb2.GetJobPipelineRequest(job_id=job)).pipeline == pipeline


@pytest.mark.parametrize(
    ("method", "request_type"),
    [
        ("GetState", job_pb2.GetJobStateRequest),
        ("GetStateStream", job_pb2.GetJobStateRequest),
        ("GetMessageStream", job_pb2.JobMessagesRequest),
        ("GetPipeline", job_pb2.GetJobPipelineRequest),
        ("GetJobMetrics", job_pb2.GetJobMetricsRequest),
        ("Cancel", job_pb2.CancelJobRequest),
    ],
)
def test_unknown_jobs_are_not_found(client, method, request_type):
    assert code_of(getattr(client.jobs, method), request_type(job_id="nobody")) == grpc.StatusCode.NOT_FOUND


def test_unknown_preparations_and_drain(client):
    assert code_of(client.jobs.Run, job_pb2.RunJobRequest(preparation_id="nobody")) == grpc.StatusCode.NOT_FOUND
    assert code_of(client.jobs.Drain, job_pb2.DrainJobRequest(job_id="nobody")) == grpc.StatusCode.NOT_FOUND


def test_refusals_tell_every_reason(client, session):
    pipeline = simple().build(session.environment())
    pipeline.requirements.append("example:requirement:v1")
    for environment in pipeline.components.environments.values():
        environment.urn = "example:env:v1"
    with pytest.raises(grpc.RpcError) as caught:
        client.prepare(pipeline, state_page_bytes=-1)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    for word in ("example:requirement:v1", "example:env:v1", "state_page_bytes"):
        assert word in caught.value.details()


def test_options_are_described(client):
    options = client.jobs.DescribePipelineOptions(job_pb2.DescribePipelineOptionsRequest()).options
    assert {"worker_start_timeout", "state_page_bytes", "data_streams"} <= {each.name for each in options}
    assert all(each.description and each.default_value for each in options)


# ---- failures


def test_a_failing_function_fails_the_job_with_its_text_before_the_state(client, session):
    program = Program()
    program.create([1], coders.VARINT).par_do(Fn("fail", text="division by cucumber"), name="broken").observe("o")
    outcome = client.run(program.build(session.environment()))
    assert outcome.states[-1] == "FAILED"
    assert any("division by cucumber" in each for each in outcome.errors)
    assert session.observations.values_of("o") == []


@pytest.mark.parametrize("fault", [{"action": "exit"}, {"action": "drop"}, {"action": "drop", "plane": "data"}])
def test_a_lost_worker_fails_the_job_and_names_it(client, session, fault):
    session.script.add(**fault, transform="middle")  # by then its streams are open, and it owes outputs
    program = Program()
    made = program.create([1], coders.VARINT).redistribute_arbitrarily(name="one")
    made.par_do(Fn("identity"), name="middle").redistribute_arbitrarily(name="two").observe("o")
    outcome = client.run(program.build(session.environment()))
    assert outcome.state == "FAILED"
    assert any("ended its" in each and outcome.id in each for each in outcome.errors)


def test_a_pool_that_refuses_fails_the_job_with_its_text(client, session):
    session.script.add("error", on="start_worker", text="no room")
    outcome = client.run(simple().build(session.environment()))
    assert outcome.state == "FAILED"
    assert any("no room" in each for each in outcome.errors)


def test_a_pool_that_is_not_there_fails_the_job(client, session):
    environment = session.environment()
    session.close()
    outcome = client.run(simple().build(environment), worker_start_timeout=5)
    assert outcome.state == "FAILED"
    assert any("StartWorker" in each for each in outcome.errors)


def test_a_worker_that_never_connects_fails_the_job_in_time(client, session):
    session.script.add("never", on="start_worker")
    outcome = client.run(simple().build(session.environment()), worker_start_timeout=0.2)
    assert outcome.state == "FAILED"
    assert any("within 0.2 s" in each and "worker_start_timeout" in each for each in outcome.errors)


# ---- cancel


def test_cancel_stops_a_running_job(client, session):
    job = client.start(gated().build(session.environment()))
    assert session.gates.arrived("g")
    state = client.jobs.Cancel(job_pb2.CancelJobRequest(job_id=job)).state
    assert state in (job_pb2.JobState.CANCELLING, job_pb2.JobState.CANCELLED)
    outcome = client.wait(job)
    assert outcome.states[-2:] == ["CANCELLING", "CANCELLED"]
    session.gates.open("g")
    assert session.wait_ended(10)
    assert session.observations.values_of("o") == []
    assert client.jobs.Cancel(job_pb2.CancelJobRequest(job_id=job)).state == job_pb2.JobState.CANCELLED


def test_cancel_of_a_job_that_is_done_changes_nothing(client, session):
    job = client.start(simple().build(session.environment()))
    client.wait(job)
    assert client.jobs.Cancel(job_pb2.CancelJobRequest(job_id=job)).state == job_pb2.JobState.DONE


def test_cancel_before_run(client, session):
    job = client.prepare(simple().build(session.environment()))
    assert client.jobs.Cancel(job_pb2.CancelJobRequest(job_id=job)).state == job_pb2.JobState.CANCELLED
    assert code_of(client.jobs.Run, job_pb2.RunJobRequest(preparation_id=job)) == grpc.StatusCode.FAILED_PRECONDITION


def test_cancel_while_workers_are_asked_for(client, session):
    """There is no plan yet when Run is answered; what comes before it is done behind it."""
    job = client.prepare(simple().build(session.environment()))
    jobs = client.server._jobs

    async def run_and_cancel() -> None:
        await jobs.Run(job_pb2.RunJobRequest(preparation_id=job), None)
        jobs.jobs[job].driver.cancel()

    run_on_loop(run_and_cancel())
    outcome = client.wait(job)
    assert outcome.states[-2:] == ["CANCELLING", "CANCELLED"]
    assert session.observations.values_of("o") == []


def test_a_defect_in_planning_fails_the_job(client, session, monkeypatch):
    class Broken(Rules):
        def fuses(self) -> bool:
            raise RuntimeError("no plan today")

    monkeypatch.setattr(client.server._jobs, "_rules", lambda: Broken(0))
    outcome = client.run(simple().build(session.environment()))
    assert outcome.state == "FAILED"
    assert any("defect" in each and "no plan today" in each for each in outcome.errors)
    assert session.wait_ended(10)


# ---- metrics


def counters(infos: Any) -> dict[str, int]:
    return {each.labels["NAME"]: each.payload[0] for each in infos if each.urn == urns.Metric.USER_SUM_INT64}


@pytest.mark.parametrize("fail", [False, True])
def test_metrics_are_committed_once_for_each_committed_bundle(client, session, fail):
    program = Program()
    made = program.create([1, 2, 3], coders.VARINT).par_do(Fn("metrics", updates=[["counter", "first", 1]]), name="first")
    second = made.redistribute_arbitrarily().par_do(Fn("metrics", updates=[["counter", "second", ["value"]]]), name="second")
    if fail:
        second.par_do(Fn("fail", text="no", at=2), name="fail")
    outcome = client.run(program.build(session.environment()))
    assert outcome.state == ("FAILED" if fail else "DONE")
    metrics = client.metrics(outcome.id)
    assert counters(metrics.committed) == ({"first": 3} if fail else {"first": 3, "second": 6})
    assert counters(metrics.attempted).items() >= counters(metrics.committed).items()
    labels = [(each.urn, tuple(sorted(each.labels.items()))) for each in metrics.committed]
    assert len(labels) == len(set(labels))


def test_metrics_of_a_job_that_is_done_wait_for_a_worker_that_names_them_late(client, session, monkeypatch):
    """A busy worker takes its time over the names of short ids; politeness at the end is not what metrics depend on."""
    monkeypatch.setattr(bundles, "GRACE", 0.0)
    program = Program()
    program.create([1, 2], coders.VARINT).par_do(Fn("metrics", updates=[["counter", "n", ["value"]]]), name="count")
    outcome = client.run(program.build(session.environment()))
    assert outcome.state == "DONE", outcome.errors
    assert counters(client.metrics(outcome.id).committed) == {"n": 3}


def test_metrics_of_a_running_job_are_attempted_only(client, session):
    program = Program()
    made = program.create([1], coders.VARINT).par_do(Fn("metrics", updates=[["counter", "n", 5]]), name="count")
    made.par_do(Fn("wait_at", gate="g"), name="wait")
    job = client.start(program.build(session.environment()))
    assert session.gates.arrived("g")
    metrics = client.metrics(job)
    assert counters(metrics.attempted) == {"n": 5}
    assert counters(metrics.committed) == {}
    session.gates.open("g")
    assert client.wait(job).state == "DONE"
    assert counters(client.metrics(job).committed) == {"n": 5}


# ---- environments and artifacts


def embedded(name: str, data: bytes) -> pb.ArtifactInformation:
    role = pb.ArtifactStagingToRolePayload(staged_name=name).SerializeToString()
    payload = pb.EmbeddedFilePayload(data=data).SerializeToString()
    return pb.ArtifactInformation(
        type_urn=urns.Artifact.EMBEDDED, type_payload=payload, role_urn=urns.ArtifactRole.STAGING_TO, role_payload=role
    )


def test_artifacts_of_each_environment_reach_its_worker(client):
    big = bytes(range(256)) * 20_000
    with Session() as one, Session() as two:
        first = one.environment(dependencies=[embedded("same", b"one"), embedded("empty", b"")])
        inner = two.environment(dependencies=[embedded("same", big)])
        docker = pb.Environment(urn=urns.Env.DOCKER, payload=pb.DockerPayload(container_image="example").SerializeToString())
        docker.dependencies.append(embedded("same", b"docker"))
        other = pb.Environment(
            urn=urns.Env.ANYOF, payload=pb.AnyOfEnvironmentPayload(environments=[docker, inner]).SerializeToString()
        )
        program = Program()
        program.create([1], coders.VARINT).par_do(Fn("identity"), coders.VARINT, name="across", environment="other").par_do(
            Fn("wait_at", gate="g"), name="wait"
        ).observe("o")
        pipeline = program.build(first, {"other": other})
        prepared = client.jobs.Prepare(job_pb2.PrepareJobRequest(pipeline=pipeline), timeout=10)
        refused = job_pb2.RunJobRequest(preparation_id=prepared.preparation_id)
        assert code_of(client.jobs.Run, refused) == grpc.StatusCode.FAILED_PRECONDITION
        stager = rpc.stub(client.channel, JOB + "ArtifactStagingService")
        call = stager.ReverseArtifactRetrievalService
        staging.stage(call, prepared.staging_session_token, staging.dependencies(pipeline))
        client.jobs.Run(refused, timeout=10)
        assert one.gates.arrived("g")
        retrieval = rpc.stub(client.channel, JOB + "ArtifactRetrievalService")
        provision = rpc.stub(client.channel, FN + "ProvisionService")
        for session, contents in ((one, {"same": b"one", "empty": b""}), (two, {"same": big})):
            (worker,) = {each.worker_id for each in session.transcript if each.plane == "pool" and each.direction == "R->S"}
            info = provision.GetProvisionInfo(
                provision_pb2.GetProvisionInfoRequest(), metadata=(("worker_id", worker),), timeout=10
            ).info
            found = {}
            for artifact in info.dependencies:
                assert artifact.role_urn == urns.ArtifactRole.STAGING_TO
                chunks = [
                    each.data for each in retrieval.GetArtifact(artifact_pb2.GetArtifactRequest(artifact=artifact), timeout=10)
                ]
                assert all(len(each) <= 2 << 20 for each in chunks)
                found[pb.ArtifactStagingToRolePayload.FromString(artifact.role_payload).staged_name] = b"".join(chunks)
            assert found == contents
            assert info.control_endpoint.url == info.logging_endpoint.url == info.artifact_endpoint.url == client.server.url
        one.gates.open("g")
        assert client.wait(prepared.preparation_id).state == "DONE"


def test_artifacts_that_were_never_staged_cannot_be_fetched(client):
    retrieval = rpc.stub(client.channel, JOB + "ArtifactRetrievalService")
    path = pb.ArtifactFilePayload(path="/etc/hostname").SerializeToString()
    artifact = pb.ArtifactInformation(type_urn=urns.Artifact.FILE, type_payload=path)
    assert code_of(retrieval.GetArtifact, artifact_pb2.GetArtifactRequest(artifact=artifact)) == grpc.StatusCode.NOT_FOUND


def test_an_unknown_staging_token_is_refused(client):
    stager = rpc.stub(client.channel, JOB + "ArtifactStagingService")
    request = iter([artifact_pb2.ArtifactResponseWrapper(staging_token="nobody")])
    assert code_of(stager.ReverseArtifactRetrievalService, request) == grpc.StatusCode.INVALID_ARGUMENT


def test_options_reach_the_worker_unchanged(client, session):
    pipeline = gated().build(session.environment())
    options = google_pb2.Struct()
    options.update({"beam:option:example:v1": {"nested": [1, "two", None, True]}})
    prepared = client.jobs.Prepare(job_pb2.PrepareJobRequest(pipeline=pipeline, pipeline_options=options), timeout=10)
    client.jobs.Run(job_pb2.RunJobRequest(preparation_id=prepared.preparation_id), timeout=10)
    assert session.gates.arrived("g")
    worker = session.workers[0].worker_id
    provision = rpc.stub(client.channel, FN + "ProvisionService")
    info = provision.GetProvisionInfo(provision_pb2.GetProvisionInfoRequest(), metadata=(("worker_id", worker),), timeout=10).info
    assert info.pipeline_options == options
    session.gates.open("g")
    client.wait(prepared.preparation_id)


def test_a_process_environment_runs_and_ends(client, session):
    outcome = client.run(simple().build(session.process_environment()))
    assert outcome.state == "DONE", outcome.errors
    assert sorted(session.observations.values_of("o")) == [1, 2]


def test_a_process_that_dies_fails_the_job_with_its_output(client, tmp_path):
    script = tmp_path / "worker"
    script.write_text("#!/bin/sh\necho no libraries here\nexit 3\n")
    script.chmod(0o755)
    payload = pb.ProcessPayload(command=str(script)).SerializeToString()
    outcome = client.run(simple().build(pb.Environment(urn=urns.Env.PROCESS, payload=payload)))
    assert outcome.state == "FAILED"
    assert any("exit code 3" in each and "no libraries here" in each for each in outcome.errors)


def test_a_command_that_does_not_exist_fails_the_job(client):
    payload = pb.ProcessPayload(command="/nowhere/worker").SerializeToString()
    outcome = client.run(simple().build(pb.Environment(urn=urns.Env.PROCESS, payload=payload)))
    assert outcome.state == "FAILED"
    assert any("/nowhere/worker" in each for each in outcome.errors)


# ---- strangers


def test_calls_without_a_known_worker_id_are_refused(client):
    control = rpc.stub(client.channel, FN + "BeamFnControl")
    request = fn_pb2.GetProcessBundleDescriptorRequest(process_bundle_descriptor_id="x")
    for metadata in ((), (("worker_id", "stranger"),)):
        with pytest.raises(grpc.RpcError) as caught:
            control.GetProcessBundleDescriptor(request, metadata=metadata, timeout=10)
        assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION


# ---- many


def test_sixteen_jobs_at_once_are_isolated(client):
    def one(number: int) -> tuple[str, list[int]]:
        with Session() as session:
            program = Program()
            program.create([("k", number), ("k", number + 1)]).group_by_key().observe("o")
            outcome = client.run(program.build(session.environment()))
            return outcome.state, sorted(session.observations.values_of("o")[0][1])

    with futures.ThreadPoolExecutor(16) as pool:
        results = list(pool.map(one, range(32)))
    assert results == [("DONE", [number, number + 1]) for number in range(32)]


def test_jobs_leave_no_threads_and_no_workers_behind(client):
    def job() -> None:
        with Session() as session:
            assert client.run(simple().build(session.environment())).state == "DONE"
            assert session.wait_ended(10)

    job()
    before = threading.active_count()
    for _ in range(20):
        job()
    assert threading.active_count() <= before + 8


def test_stopping_the_server_ends_its_jobs():
    with Session() as session:
        server = serve()
        client = Client(server)
        job = client.start(gated().build(session.environment()))
        assert session.gates.arrived("g")
        waiting = futures.ThreadPoolExecutor(1).submit(client.wait, job)
        server.stop()
        assert waiting.result(10).state == "CANCELLED"
        session.gates.open("g")
        assert session.wait_ended(10)
