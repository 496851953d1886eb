"""Provision: what a worker is told of itself, of its artifacts and of its runner."""

from __future__ import annotations

import hashlib
import re

from conformance.harness.capabilities import DEFAULT
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.m_job_api.driving import plain
from conformance.suite.n_artifacts.staging import embedded, file, run_in_two, run_with
from conformance.suite.n_artifacts.test_staging import in_both
from conformance.suite.outcomes import NotExercised
from conformance.suite.run import Run
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.api import provision_pb2

URN = re.compile(r"[a-z][a-z0-9_.-]*(:[A-Za-z0-9_.-]+)+")
#: What a retrieval token without dependencies may be (P-BOOT-04).
NO_ARTIFACTS = ("", "__no_artifacts_staged__")


def _provisioned(run: Run) -> list[provision_pb2.ProvisionInfo]:
    """What provision said to each worker. Raises NotExercised if it was offered to none."""
    found = [worker.provision for worker in run.session.workers if worker.provision is not None]
    if not found:
        raise NotExercised("no worker was given a provision endpoint")
    return found


def _names(dependencies: list[pb.ArtifactInformation]) -> list[str]:
    return [pb.ArtifactStagingToRolePayload.FromString(each.role_payload).staged_name for each in dependencies]


@asserts("ART04/roles-kept")
def test_roles_kept(runner: RunnerUnderTest) -> None:
    dependencies = [file("a.txt"), embedded("requirements", b"x==1\n"), embedded("worker", b"ELF"), embedded("odd", b"?")]
    dependencies[1].role_urn, dependencies[1].role_payload = urns.ArtifactRole.PIP_REQUIREMENTS_FILE, b""
    dependencies[2].role_urn, dependencies[2].role_payload = urns.ArtifactRole.GO_WORKER_BINARY, b""
    dependencies[3].role_urn, dependencies[3].role_payload = "beam-conformance:role:nobody_knows:v1", b"\xff\x00payload"
    staged = run_with(runner, dependencies, {"a.txt": b"A"}, label="roles")
    same(
        [(each.role_urn, each.role_payload) for each in staged.dependencies],
        [(each.role_urn, each.role_payload) for each in dependencies],
        "the roles that the worker was told of",
        rule="P-ART-05",
    )


@asserts("ART07/listed-in-order")
def test_listed_in_order(runner: RunnerUnderTest) -> None:
    names = ["m", "a", "z", "b"]
    staged = run_with(runner, [file(name) for name in names], {name: name.encode() for name in names}, label="in-order")
    same(_names(staged.dependencies), names, "the artifacts that provision lists", rule="P-BOOT-03")


@asserts("ART07/own-environment-only")
def test_own_environment_only(runner: RunnerUnderTest) -> None:
    contents = {name: name.encode() for name in ("a", "b", "c")}
    two = run_in_two(runner, in_both, [file("a"), file("b")], [file("c")], contents, label="own-environment")
    same(_names(two.first.dependencies), ["a", "b"], "what the first environment's worker was told of", rule="P-BOOT-03")
    same(_names(two.second.dependencies), ["c"], "what the second environment's worker was told of", rule="P-BOOT-03")


@asserts("ART07/hash-right-or-none")
def test_hash_right_or_none(runner: RunnerUnderTest) -> None:
    staged = run_with(runner, [file("a.txt")], {"a.txt": b"some bytes"}, label="hash")
    right = hashlib.sha256(b"some bytes").hexdigest()
    for artifact in staged.dependencies:
        if artifact.type_urn == urns.Artifact.FILE:
            found = pb.ArtifactFilePayload.FromString(artifact.type_payload).sha256
            holds(
                found in ("", right), f"the sha256 of the artifact is {found}", expected=right, observed=found, rule="P-BOOT-05"
            )


@asserts("ART09/endpoints", alone=True)
def test_endpoints(case: Case) -> Scenario:
    plain(case.program)
    run = yield
    started = {
        event.worker_id: event.message
        for event in run.transcript.events("pool", "StartWorker", "R->S", kind="StartWorkerRequest")
    }
    if not started:
        raise NotExercised("the pool started no worker")
    for worker in run.session.workers:
        info, request = worker.provision, started[worker.worker_id]
        for name in ("control_endpoint", "logging_endpoint", "artifact_endpoint"):
            told = bool(getattr(request, name).url) or (info is not None and bool(getattr(info, name).url))
            holds(told, f"worker {worker.worker_id!r} was told of no {name}", rule="P-BOOT-02")


@asserts("ART09/no-artifacts-token", alone=True)
def test_no_artifacts_token(case: Case) -> Scenario:
    plain(case.program)
    run = yield
    for info in _provisioned(run):
        if not info.dependencies:
            token = info.retrieval_token
            holds(
                token in NO_ARTIFACTS,
                f"the retrieval token is {token!r}",
                expected=NO_ARTIFACTS,
                observed=token,
                rule="P-BOOT-04",
            )


@asserts("ART10/capabilities-are-urns", alone=True)
def test_capabilities_are_urns(case: Case) -> Scenario:
    plain(case.program)
    run = yield
    for info in _provisioned(run):
        found = list(info.runner_capabilities)
        same([each for each in found if not URN.fullmatch(each)], [], "runner capabilities that are no URNs", rule="P-BOOT-03")
        same(len(found), len(set(found)), "the number of different runner capabilities", rule="P-BOOT-03")


@asserts("ART11/none-unless-declared", alone=True)
def test_no_siblings_unless_declared(case: Case) -> Scenario:
    case.capabilities = tuple(sorted(DEFAULT - {urns.Protocol.SIBLING_WORKERS}))
    plain(case.program)
    run = yield
    for info in _provisioned(run):
        same(list(info.sibling_worker_ids), [], "the siblings that a worker was told of", rule="P-BOOT-08")
