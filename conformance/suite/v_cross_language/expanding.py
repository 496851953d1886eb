"""Jobs part of which comes from an expansion service: the client's functions in one environment, the expansion's in another."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen

from conformance.harness import Session
from conformance.harness.artifacts import Artifact, ArtifactFetcher
from conformance.harness.expansion import ExpansionService, client_files
from conformance.harness.offers import OFFERS
from conformance.pipeline import ENVIRONMENT, CoderSpec, PCollection, Program, external
from conformance.suite.checks import holds
from conformance.suite.execution import RunnerUnderTest, raise_unless_done
from conformance.suite.run import Run
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["Expanded", "Service", "run_expanded"]

#: Where the client keeps what it fetched from a service: paths that no machine has, so that the runner must ask for the bytes.
_FETCHED = "/beam-conformance-from-expansion"


@frozen
class Service:
    """The service as a scenario uses it: `expand` asks it over the wire, and splices what it answers."""

    program: Program
    server: ExpansionService

    def expand(
        self,
        name: str,
        urn: str,
        payload: bytes = b"",
        inputs: Mapping[str, PCollection] | None = None,
        output_coders: Mapping[str, CoderSpec] | None = None,
    ) -> dict[str, PCollection]:
        return external.expand(self.program, self.server.ask, name, urn, payload, inputs, output_coders)


@frozen
class Expanded:
    """A job that ended DONE, seen from both environments."""

    #: What the client's environment saw; `theirs` is the expansion's.
    ours: Run
    theirs: Run
    fetched: tuple[Artifact, ...] = ()

    def ran_there(self, *names: str, rule: str = "P-XP-08") -> None:
        """Transforms whose unique names hold one of `names` ran in the expansion's environment, and all there are came of expansions."""
        __tracebackhide__ = True
        there, here = _ran(self.theirs), _ran(self.ours)
        for name in names:
            holds(
                any(name in each for each in there) and not any(name in each for each in here),
                f"{name!r} did not run in the environment that the expansion names",
                expected=f"{name} in the expansion's environment",
                observed=f"there {sorted(there)}, in the client's {sorted(here)}",
                rule=rule,
            )


def _ran(run: Run) -> set[str]:
    return {event.transform for event in run.session.observations.events}


def run_expanded(
    runner: RunnerUnderTest,
    build: Callable[[Program, Service], object],
    *,
    label: str,
    dependencies: Sequence[pb.ArtifactInformation] = (),
    files: Mapping[str, bytes] | None = None,
    requirements: tuple[str, ...] = (),
    own_coders: bool = False,
    **job: Any,
) -> Expanded:
    """Run a program that asks a service for expansions. `dependencies` and `files` are those of the service's environment, which
    the client fetches from it and stages as its own; `requirements` and `own_coders` are the service's."""
    __tracebackhide__ = True
    ours, theirs = runner.session(), runner.session()
    # One transcript for the job, as a recorder between runner and workers would see it.
    theirs.transcript = ours.transcript
    fetchers = [ArtifactFetcher(), ArtifactFetcher()]
    ours.fetch_artifacts, theirs.fetch_artifacts = fetchers
    with contextlib.ExitStack() as stack:
        stack.enter_context(theirs)
        environment = theirs.environment(dependencies=dependencies)
        server = stack.enter_context(ExpansionService(OFFERS, environment, files, requirements, own_coders))
        program = Program("p")
        build(program, Service(program, server))
        pipeline = program.build(ours.environment())
        staged = _take_dependencies(pipeline, server)
        outcome = runner.submit(pipeline, ours, label=label, files=staged, **job)
    run = Run("", outcome, ours, pipeline)
    runner.last_run = run
    raise_unless_done(outcome, _both(ours, theirs))
    return Expanded(run, Run("", outcome, theirs, pipeline), tuple(each for fetcher in fetchers for each in fetcher.artifacts))


def _both(ours: Session, theirs: Session) -> Session:
    """The client's session, with what either harness holds against the runner."""
    for error in theirs.remote_errors:
        ours.remote_error(error)
    return ours


def _take_dependencies(pipeline: pb.Pipeline, server: ExpansionService) -> dict[str, bytes]:
    """Have the dependencies of every expansion's environment listed as the client's own files; their contents by path."""
    staged: dict[str, bytes] = {}
    for number, (environment_id, environment) in enumerate(sorted(pipeline.components.environments.items())):
        if environment_id == ENVIRONMENT or not environment.dependencies:
            continue
        taken, files = client_files(server.url, environment, f"{_FETCHED}/{number}")
        environment.CopyFrom(taken)
        staged |= files
    return staged
