"""The harness in containers, for DOCKER environments: the engine, the image, and an image a session.

Nothing is looked for until an assertion or `--environment docker` needs it, so that a run without them never needs an engine.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping

import docker

from conformance.endpoints import engine, images
from conformance.endpoints.errors import EndpointError
from conformance.harness import Session
from conformance.suite.outcomes import NotExercised
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["Containers"]


class Containers:
    """One a process. What it made on the engine is removed by `close`; the harness' image stays for the next run."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._variants: images.Variants | None = None
        #: Why there are no containers; learned once a run.
        self._missing = ""

    def environment(
        self,
        session: Session,
        variables: Mapping[str, str] | None = None,
        dependencies: Iterable[pb.ArtifactInformation] = (),
    ) -> pb.Environment:
        """A DOCKER environment whose workers report to `session`. Raises NotExercised where no engine answers."""
        __tracebackhide__ = True
        image = self._opened().make({**session.process_variables(), **(variables or {})})
        return session.docker_environment(image, dependencies)

    def _opened(self) -> images.Variants:
        __tracebackhide__ = True
        with self._lock:
            if self._missing:
                raise NotExercised(self._missing)
            if self._variants is None:
                try:
                    client = engine.connect()
                    self._variants = images.Variants(client, images.build(client))
                except EndpointError as error:
                    self._missing = str(error)
                    raise NotExercised(self._missing) from None
            return self._variants

    def client(self) -> docker.DockerClient:
        """A client of the engine. Raises NotExercised where none answers."""
        __tracebackhide__ = True
        return self._opened().client

    def close(self) -> None:
        """Remove the images of this run's sessions."""
        with self._lock:
            if self._variants is not None:
                self._variants.close()
                self._variants.client.close()
                self._variants = None
