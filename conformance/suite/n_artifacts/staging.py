"""Jobs with artifacts: what the client lists, two environments in one job, and workers that fetch what provision lists."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from attrs import field, frozen

from conformance.harness import RemoteProtocolError, Session
from conformance.harness.artifacts import Artifact, ArtifactFetcher
from conformance.harness.worker import Worker
from conformance.pipeline import Fn, Program, coders
from conformance.suite.checks import same
from conformance.suite.execution import RunnerUnderTest, raise_unless_done
from conformance.suite.outcomes import NotExercised
from conformance.suite.run import Run
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["LARGE", "SECOND", "Staged", "Two", "embedded", "file", "run_in_two", "run_with", "url"]

#: Above gRPC's default limit of 4 MiB; no two places are alike.
LARGE = random.Random(6).randbytes(6 << 20)
#: The id of the second environment of `run_in_two`.
SECOND = "second"
PAIRS = coders.kv(coders.STRING, coders.VARINT)
#: Paths that no machine has: whoever wants the bytes must ask the client.
NOWHERE = PurePosixPath("/beam-conformance-client-side-only")


def _role(name: str) -> dict[str, Any]:
    payload = pb.ArtifactStagingToRolePayload(staged_name=name)
    return {"role_urn": urns.ArtifactRole.STAGING_TO, "role_payload": payload.SerializeToString(deterministic=True)}


def file(name: str, staged: str = "") -> pb.ArtifactInformation:
    """A FILE of the client, staged under `staged` or its own name."""
    payload = pb.ArtifactFilePayload(path=str(NOWHERE / name))
    return pb.ArtifactInformation(
        type_urn=urns.Artifact.FILE, type_payload=payload.SerializeToString(deterministic=True), **_role(staged or name)
    )


def url(name: str) -> pb.ArtifactInformation:
    """The same by its URL."""
    payload = pb.ArtifactUrlPayload(url=f"file://{NOWHERE / name}")
    return pb.ArtifactInformation(
        type_urn=urns.Artifact.URL, type_payload=payload.SerializeToString(deterministic=True), **_role(name)
    )


def embedded(name: str, data: bytes) -> pb.ArtifactInformation:
    """Bytes in the pipeline itself."""
    payload = pb.EmbeddedFilePayload(data=data)
    return pb.ArtifactInformation(
        type_urn=urns.Artifact.EMBEDDED, type_payload=payload.SerializeToString(deterministic=True), **_role(name)
    )


class Fetching:
    """Has each worker fetch its artifacts; a fault is kept, so that the worker goes on and the job comes to its end."""

    def __init__(self) -> None:
        self._fetcher = ArtifactFetcher()
        self.faults: list[str] = []

    def __call__(self, worker: Worker) -> None:
        try:
            self._fetcher(worker)
        except RemoteProtocolError as error:
            self.faults.append(str(error))

    @property
    def artifacts(self) -> list[Artifact]:
        return self._fetcher.artifacts


@frozen
class Staged:
    """A job that ended DONE, and what its workers were told and fetched."""

    run: Run
    session: Session = field(repr=False)
    fetching: Fetching = field(repr=False)

    @property
    def workers(self) -> list[Worker]:
        """The workers that provision told of anything. Raises NotExercised if none was."""
        found = [worker for worker in self.session.workers if worker.provision is not None]
        if not found:
            raise NotExercised("no worker was given a provision endpoint, so none can know of its artifacts")
        return found

    @property
    def dependencies(self) -> list[Any]:
        """What provision lists for the first worker."""
        provision = self.workers[0].provision
        assert provision is not None
        return list(provision.dependencies)

    def fetched(self) -> dict[str, bytes]:
        """Staged name → bytes, of the first worker that fetched anything. Fails if the fetching did."""
        __tracebackhide__ = True
        same(self.fetching.faults, [], "what went wrong while workers fetched their artifacts", rule="P-ART-07")
        first = self.workers[0].worker_id
        return {artifact.staged_name: artifact.data for artifact in self.fetching.artifacts if artifact.worker_id == first}


def _files(contents: Mapping[str, bytes]) -> dict[str, bytes]:
    return {str(NOWHERE / name): data for name, data in contents.items()}


def _plain(program: Program) -> None:
    program.create([1, 2, 3]).par_do(Fn("with_key", key="k"), PAIRS).group_by_key().observe("out")


def run_with(
    runner: RunnerUnderTest,
    dependencies: Sequence[pb.ArtifactInformation],
    contents: Mapping[str, bytes] | None = None,
    *,
    label: str,
    environment: Callable[[Session], pb.Environment] | None = None,
    fetch: Callable[[Worker], None] | None = None,
    held: Mapping[str, bytes] | None = None,
    **job: Any,
) -> Staged:
    """Run a small program whose environment has these dependencies; `contents` are the client's files by name, `held` its packages."""
    __tracebackhide__ = True
    fetching = Fetching()

    def build(session: Session) -> pb.Pipeline:
        session.fetch_artifacts = fetch or fetching
        program = Program("p")
        _plain(program)
        return program.build(environment(session) if environment else session.environment(dependencies=dependencies))

    run = runner.run_pipeline(build, label=label, files={**_files(contents or {}), **(held or {})}, **job)
    return Staged(run, run.session, fetching)


@frozen
class Two:
    """A job with two environments, seen from both."""

    first: Staged
    second: Staged


def run_in_two(
    runner: RunnerUnderTest,
    build: Callable[[Program], object],
    dependencies: Sequence[pb.ArtifactInformation] = (),
    others: Sequence[pb.ArtifactInformation] = (),
    contents: Mapping[str, bytes] | None = None,
    *,
    label: str,
    setup: Callable[[Session], object] = lambda session: None,
) -> Two:
    """Run a program in the usual environment and in `SECOND`, each with a pool and dependencies of its own."""
    __tracebackhide__ = True
    first, second = runner.session(), runner.session()
    # One transcript for the job, as a recorder between runner and workers would see it.
    second.transcript = first.transcript
    fetching, other = Fetching(), Fetching()
    first.fetch_artifacts, second.fetch_artifacts = fetching, other
    setup(first)
    setup(second)
    with second:
        program = Program("p")
        build(program)
        pipeline = program.build(
            first.environment(dependencies=dependencies), others={SECOND: second.environment(dependencies=others)}
        )
        outcome = runner.submit(pipeline, first, label=label, files=_files(contents or {}))
    run = Run("", outcome, first, pipeline)
    runner.last_run = run
    raise_unless_done(outcome, first)
    return Two(Staged(run, first, fetching), Staged(Run("", outcome, second, pipeline), second, other))
