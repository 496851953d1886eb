"""Artifacts that only their own ecosystem can fetch, and the services that staging had before."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from conformance.suite.assertions import asserts
from conformance.suite.checks import Wrong, holds, same
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.m_job_api.driving import plain, probing, run_program, still_serves
from conformance.suite.n_artifacts.staging import embedded, run_with
from conformance.wire import rpc, urns
from conformance.wire.api import artifact_pb2
from conformance.wire.api import pipeline_pb2 as pb

HELD = b"what the client holds under that name"
#: Kind → the payload that names the package, and what the client calls it (endpoints.staging.name_of).
PACKAGES: dict[str, tuple[str, Any, str]] = {
    "pypi": (
        urns.Artifact.PYPI,
        pb.PyPIPayload(artifact_id="beam-conformance-none", version="1.2"),
        "beam-conformance-none==1.2",
    ),
    "maven": (urns.Artifact.MAVEN, pb.MavenPayload(artifact="org.beam.conformance:none:1.2"), "org.beam.conformance:none:1.2"),
    "deferred": (
        urns.Artifact.DEFERRED,
        pb.DeferredArtifactPayload(key="beam-conformance-key", data=b"\x00"),
        "beam-conformance-key",
    ),
}


@asserts("ART03/resolved-or-kept")
@pytest.mark.parametrize("kind", list(PACKAGES))
def test_resolved_or_kept(runner: RunnerUnderTest, kind: str) -> None:
    """A runner has the client resolve them, or fetches their bytes from it, or leaves PyPI and Maven to its workers (P-ART-04)."""
    urn, payload, name = PACKAGES[kind]
    wanted = embedded("package", HELD)
    wanted.type_urn, wanted.type_payload = urn, payload.SerializeToString(deterministic=True)
    staged = run_with(runner, [wanted], label=f"artifact-{kind}", held={name: HELD})
    [told] = staged.dependencies
    kept = kind != "deferred" and (told.type_urn, told.type_payload) == (wanted.type_urn, wanted.type_payload)
    if not kept:
        same(staged.fetched(), {"package": HELD}, f"what the worker fetched for a {kind} artifact", rule="P-ART-05")


SERVICES = {
    "staging": ("LegacyArtifactStagingService", "CommitManifest", artifact_pb2.CommitManifestRequest),
    "retrieval": ("LegacyArtifactRetrievalService", "GetManifest", artifact_pb2.GetManifestRequest),
}


@asserts("ART12/absent-or-refuses")
@pytest.mark.parametrize("service", list(SERVICES))
def test_legacy_services(runner: RunnerUnderTest, service: str) -> None:
    name, method, request = SERVICES[service]
    with probing(runner) as client:
        channel = rpc.insecure_channel(runner.endpoint.url)
        try:
            call = getattr(rpc.stub(channel, f"org.apache.beam.model.job_management.v1.{name}"), method)
            answer = call(request(), timeout=client.timeouts.prepare)
        except grpc.RpcError as error:
            code = error.code().name
            holds(code != "DEADLINE_EXCEEDED", f"{name} never answered", expected="an answer or an error", observed=code)
        else:
            raise Wrong(f"{name} answered a call without a token as if all were well", observed=str(answer), rule="P-BOOT-04")
        finally:
            channel.close()
        still_serves(runner, client, "P-BOOT-04")
    run = run_program(runner, plain, label=f"after-legacy-{service}")
    same(run.groups("out"), {"k": [1, 2, 3]}, "the outcome of the next job", rule="P-BOOT-04")
