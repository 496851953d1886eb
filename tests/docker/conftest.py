"""A Docker engine: the one that answers here, else one of our own, started for these tests and stopped after them.

Without an engine and without root these tests fail and say so: DOCKER environments are part of what is promised.
"""

from __future__ import annotations

from collections.abc import Iterator

import docker
import pytest

from conformance.endpoints import errors, images
from conformance.endpoints.engine import connect, private_engine


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """A client of the engine; DOCKER_HOST names it for everything that these tests start."""
    with pytest.MonkeyPatch.context() as patch:
        try:
            client = connect()
        except errors.NoEngine:
            with private_engine() as host:
                patch.setenv("DOCKER_HOST", host)
                client = connect()
                yield client
                client.close()
        else:
            yield client
            client.close()


@pytest.fixture(scope="session")
def image(engine: docker.DockerClient) -> str:
    """The harness' image."""
    return images.build(engine)
