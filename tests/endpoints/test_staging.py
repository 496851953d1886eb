"""Artifact staging: the client's side rule by rule on scripted services, and what arrives at the workers of real runners."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from endpoint_helpers import ScriptedJobs, impulses, par_dos, serving, worker_pool

from conformance.endpoints import (
    ArtifactUnreadable,
    Endpoint,
    EndpointDied,
    JobClient,
    Phase,
    PhaseTimeout,
    Refused,
    StagingViolation,
    Timeouts,
    Wants,
    classify,
)
from conformance.endpoints.staging import CHUNK_BYTES, artifact_bytes, dependencies
from conformance.harness.transcript import End, Transcript
from conformance.wire import rpc, urns
from conformance.wire.api import artifact_pb2 as art
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.api import provision_pb2

STATES_ONLY = Wants(messages="never", metrics=False)


def _artifact(type_urn: str, payload: Any, name: str = "") -> Any:
    role = pb.ArtifactStagingToRolePayload(staged_name=name).SerializeToString() if name else b""
    return pb.ArtifactInformation(
        type_urn=type_urn,
        type_payload=payload.SerializeToString(),
        role_urn=urns.ArtifactRole.STAGING_TO if name else "",
        role_payload=role,
    )


def embedded(data: bytes, name: str = "") -> Any:
    return _artifact(urns.Artifact.EMBEDDED, pb.EmbeddedFilePayload(data=data), name)


def file(path: Path | str, name: str = "") -> Any:
    return _artifact(urns.Artifact.FILE, pb.ArtifactFilePayload(path=str(path)), name)


def url(text: str, name: str = "") -> Any:
    return _artifact(urns.Artifact.URL, pb.ArtifactUrlPayload(url=text), name)


def needing(*artifacts: Any) -> Any:
    pipeline = impulses()
    pipeline.components.environments["env"].urn = urns.Env.EXTERNAL
    pipeline.components.environments["env"].dependencies.extend(artifacts)
    return pipeline


# --- bytes of artifacts --------------------------------------------------------------------------------------------------


def test_bytes_of_each_type(tmp_path: Path) -> None:
    path = tmp_path / "a file with spaces"
    path.write_bytes(b"x" * (CHUNK_BYTES + 1))
    for artifact in (embedded(path.read_bytes()), file(path), url(path.as_uri())):
        assert [len(chunk) for chunk in artifact_bytes(artifact)] == [CHUNK_BYTES, 1]
    assert list(artifact_bytes(embedded(b""))) == []
    assert list(artifact_bytes(file("/only/in/memory"), {"/only/in/memory": b"here"})) == [b"here"]


@pytest.mark.parametrize(
    ("artifact", "told"),
    [
        (file("/no/such/file"), r"/no/such/file cannot be read \(No such file or directory\)"),
        (url("https://example.invalid/x.jar"), "not a file:// URL"),
        (url("file://elsewhere/x.jar"), "not a file:// URL of this machine"),
        (_artifact(urns.Artifact.PYPI, pb.PyPIPayload(artifact_id="x")), "pypi:v1 cannot be turned into bytes"),
        (pb.ArtifactInformation(), r"type \(none\) cannot"),
    ],
)
def test_what_cannot_be_read(artifact: Any, told: str) -> None:
    with pytest.raises(ArtifactUnreadable, match=told):
        list(artifact_bytes(artifact))


def test_dependencies_of_every_environment_and_alternative() -> None:
    """P-ART-01: AnyOf alternatives included."""
    pipeline = needing(embedded(b"1"))
    inner = [pb.Environment(urn=urns.Env.EXTERNAL, dependencies=[embedded(data)]) for data in (b"2", b"3")]
    any_of = pipeline.components.environments["any"]
    any_of.urn = urns.Env.ANYOF
    any_of.payload = pb.AnyOfEnvironmentPayload(environments=inner).SerializeToString()
    assert sorted(pb.EmbeddedFilePayload.FromString(each.type_payload).data for each in dependencies(pipeline)) == [
        b"1",
        b"2",
        b"3",
    ]


# --- the conversation, scripted ------------------------------------------------------------------------------------------


class Staging:
    """A staging service that asks what the test says and keeps every answer."""

    def __init__(self, *asks: Any) -> None:
        self.asks = asks
        self.token = ""
        self.answers: list[list[Any]] = []

    def ReverseArtifactRetrievalService(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        first = next(requests)
        self.token = first.staging_token
        assert first.WhichOneof("response") is None
        yield from self.asks
        for ask in self.asks:
            answer = [next(requests)]
            while ask.HasField("get_artifact") and not answer[-1].is_last:
                answer.append(next(requests))
            self.answers.append(answer)


def resolve(*artifacts: Any) -> Any:
    return art.ArtifactRequestWrapper(resolve_artifact=art.ResolveArtifactsRequest(artifacts=artifacts))


def get(artifact: Any) -> Any:
    return art.ArtifactRequestWrapper(get_artifact=art.GetArtifactRequest(artifact=artifact))


def _run(staging: object, pipeline: Any, *, transcript: Transcript | None = None, timeouts: Timeouts | None = None) -> Any:
    jobs = ScriptedJobs()
    with serving(jobs, staging) as address:
        jobs.staging_url = address
        with JobClient(address, transcript, timeouts, end_event=End) as client:
            return client.run_job(pipeline, wants=STATES_ONLY)


def test_the_whole_conversation(tmp_path: Path) -> None:
    """All asked at once (P-ART-03): answered in order, each ended by a wrapper of its own without data (P-ART-02)."""
    large = tmp_path / "large"
    large.write_bytes(bytes(range(256)) * (CHUNK_BYTES // 128))
    artifacts = [embedded(b"small", "a"), file(large, "b"), embedded(b"", "c")]
    staging = Staging(resolve(*artifacts), *map(get, artifacts), resolve())
    transcript = Transcript()
    outcome = _run(staging, needing(*artifacts), transcript=transcript)
    assert outcome.done
    assert staging.token == "token"
    resolved, *contents, nothing = staging.answers
    assert list(resolved[0].resolve_artifact_response.replacements) == artifacts
    assert nothing[0].HasField("resolve_artifact_response")
    for answer, expected in zip(contents, [b"small", large.read_bytes(), b""], strict=True):
        assert b"".join(part.get_artifact_response.data for part in answer[:-1]) == expected
        assert [part.is_last for part in answer] == [False] * (len(answer) - 1) + [True]
        assert answer[-1].get_artifact_response.data == b""
        assert all(part.HasField("get_artifact_response") for part in answer)
    events = transcript.events(plane="artifact")
    assert len([event for event in events if event.direction == "R->C"]) == 5 + 1
    assert events[-1].message == End("OK")


def test_the_stream_is_served_when_there_is_nothing_to_stage() -> None:
    """P-ART-06."""
    staging = Staging()
    assert _run(staging, impulses()).done
    assert staging.token == "token"


def test_a_runner_that_asks_for_a_file_that_nobody_listed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("not for runners")
    staging = Staging(get(file(secret)))
    outcome = _run(staging, needing(embedded(b"x")))
    assert isinstance(outcome.error, StagingViolation)
    assert "no environment of the pipeline lists" in str(outcome.error)
    assert outcome.error.exit_code == 1
    assert staging.answers == []
    assert classify(outcome) == "failed"


def test_a_runner_that_asks_for_nothing() -> None:
    outcome = _run(Staging(art.ArtifactRequestWrapper()), impulses())
    assert isinstance(outcome.error, StagingViolation)


def test_a_file_that_is_gone_is_our_fault() -> None:
    gone = file("/gone/since/then")
    outcome = _run(Staging(get(gone)), needing(gone))
    assert isinstance(outcome.error, ArtifactUnreadable)
    assert outcome.phase == Phase.STAGE
    assert outcome.error.exit_code == 4
    assert classify(outcome) == "caller"


def _refuse(requests: Iterator[Any], context: Any) -> Iterator[Any]:
    context.abort(grpc.StatusCode.INVALID_ARGUMENT, "bad token")
    yield


def test_a_refused_staging_stream() -> None:
    class Refusing:
        ReverseArtifactRetrievalService = staticmethod(_refuse)

    outcome = _run(Refusing(), impulses())
    assert isinstance(outcome.error, Refused)
    assert (outcome.error.phase, outcome.error.text) == (Phase.STAGE, "bad token")
    assert classify(outcome) == "refused"


def test_a_staging_stream_that_never_ends() -> None:
    over = threading.Event()

    class Hanging:
        def ReverseArtifactRetrievalService(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
            context.add_callback(over.set)
            over.wait(30)
            return iter(())

    outcome = _run(Hanging(), impulses(), timeouts=Timeouts(stage=0.5))
    assert isinstance(outcome.error, PhaseTimeout)
    assert (outcome.error.phase, outcome.error.waited_for) == (Phase.STAGE, "the runner to complete staging")


# --- real runners --------------------------------------------------------------------------------------------------------


def _as_a_worker_would(start: Any) -> dict[str, bytes]:
    """What a container's boot program fetches for a worker (P-BOOT-03, P-BOOT-05): staged name to contents."""
    metadata = [("worker_id", start.worker_id)]
    with rpc.insecure_channel(start.provision_endpoint.url) as channel:
        provision = rpc.stub(channel, "org.apache.beam.model.fn_execution.v1.ProvisionService")
        info = provision.GetProvisionInfo(provision_pb2.GetProvisionInfoRequest(), metadata=metadata, timeout=10).info
    fetched: dict[str, bytes] = {}
    with rpc.insecure_channel(start.artifact_endpoint.url) as channel:
        retrieval = rpc.stub(channel, "org.apache.beam.model.job_management.v1.ArtifactRetrievalService")
        request = art.ResolveArtifactsRequest(artifacts=info.dependencies)
        for artifact in retrieval.ResolveArtifacts(request, metadata=metadata, timeout=10).replacements:
            name = pb.ArtifactStagingToRolePayload.FromString(artifact.role_payload).staged_name
            chunks = retrieval.GetArtifact(art.GetArtifactRequest(artifact=artifact), metadata=metadata, timeout=10)
            fetched[name] = b"".join(chunk.data for chunk in chunks)
    return fetched


def _staged_for(endpoint: Endpoint, pipeline_for: Callable[[dict[str, str]], Any], environment: str) -> dict[str, bytes]:
    """Runs a job whose worker in `environment` fetches its artifacts and does nothing more; the job is then cancelled."""
    asked = threading.Event()
    starts: list[Any] = []

    def started(request: Any) -> None:
        starts.append(request)
        asked.set()

    fetched: dict[str, bytes] = {}
    fetched_or_failed = threading.Event()

    def fetch() -> None:
        try:
            if asked.wait(20):
                fetched.update(_as_a_worker_would(starts[0]))
        finally:
            fetched_or_failed.set()

    fetcher = threading.Thread(target=fetch)
    with worker_pool(started) as mine, worker_pool(lambda request: None) as other, JobClient(endpoint) as client:
        fetcher.start()
        pools = {name: mine if name == environment else other for name in ("one", "two")}
        outcome = client.run_job(pipeline_for(pools), cancel_after=fetched_or_failed)
        fetcher.join()
        assert outcome.state == "CANCELLED", outcome
    return fetched


@pytest.mark.parametrize("environment", ["one", "two"])
def test_two_environments_get_their_own_artifacts(real: Endpoint, tmp_path: Path, environment: str) -> None:
    """Also under the same staged name (P-ART-01); FILE, URL, EMBEDDED, one larger than a chunk, one empty."""
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(name.encode() * CHUNK_BYTES)
        (tmp_path / f"{name}.url").write_bytes(b"by url for " + name.encode())
        (tmp_path / f"{name}.empty").touch()

    def pipeline_for(pools: dict[str, str]) -> Any:
        pipeline = par_dos(pools)
        # The Python service runs one stage after another, and the first one waits for its worker for ever.
        if real.profile.name == "python":
            for name in pools.keys() - {environment}:
                del pipeline.components.transforms[f"do_{name}"]
                pipeline.root_transform_ids.remove(f"do_{name}")
        for name in pools:
            pipeline.components.environments[name].dependencies.extend(
                [
                    embedded(b"embedded for " + name.encode(), "same.txt"),
                    file(tmp_path / name, "large.bin"),
                    url((tmp_path / f"{name}.url").as_uri(), "url.txt"),
                    file(tmp_path / f"{name}.empty", "empty"),
                ]
            )
        return pipeline

    fetched = _staged_for(real, pipeline_for, environment)
    if real.profile.name == "python":
        real.restart()
    assert fetched == {
        "same.txt": b"embedded for " + environment.encode(),
        "large.bin": environment.encode() * CHUNK_BYTES,
        "url.txt": b"by url for " + environment.encode(),
        "empty": b"",
    }


def test_the_real_services_complete_a_stream_without_dependencies(real: Endpoint) -> None:
    """P-ART-06, with the stream opened although the profile allows to leave it out."""
    transcript = Transcript()
    with JobClient(real, transcript, end_event=End) as client:
        outcome = client.run_job(impulses(), wants=Wants(staging="always"))
    assert Phase.STAGE in dict(outcome.timings)
    events = transcript.events(plane="artifact")
    assert events[0].message.staging_token
    assert events[-1].message == End("OK")


def test_an_unknown_token_is_refused_by_the_python_service_and_kills_prism(python_service: Endpoint) -> None:
    """P-JOB-12: the one answers NOT_FOUND, the other dereferences nil."""
    from conformance.endpoints import open_endpoint

    with JobClient(python_service) as client:
        prepared = client.prepare(impulses())
        prepared.staging_session_token = "no such token"
        with pytest.raises(Refused, match="NOT_FOUND"):
            client.stage(prepared, impulses())
    with open_endpoint("prism") as prism, JobClient(prism) as client:
        prepared = client.prepare(impulses())
        prepared.staging_session_token = "no such token"
        with pytest.raises(EndpointDied, match="died in phase 'stage'"):
            client.stage(prepared, impulses())
