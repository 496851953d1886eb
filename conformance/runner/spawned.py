"""Workers that the runner starts itself: processes by command, containers by image. What they have in common is `Spawned`.

A container runs in the host's network, as every runner has it on Linux (P-ENV-07). The engine removes it as soon as it ends, also
when this runner was killed: a harness ends with its Control stream (P-BOOT-08).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import threading
from typing import Any, Protocol

from conformance.runner.fnapi import WorkerLost
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["Spawned", "flags", "spawned"]

#: How much of a worker's output an error message shows.
TAIL_BYTES = 4000
#: One call to the engine; a pull may take minutes.
ENGINE_SECONDS = 600


def flags(worker_id: str, url: str) -> list[str]:
    """What a worker is started with (P-BOOT-01); all else it learns from provision."""
    return [f"--id={worker_id}", f"--provision_endpoint={url}"]


class Spawned(Protocol):
    """A worker that this runner started."""

    #: The command or image, for messages.
    name: str

    async def start(self) -> None:
        """Raises WorkerLost telling why it cannot be started."""

    async def wait(self) -> int | None:
        """Its exit code when it has ended; None if nobody knows."""

    def tail(self) -> str:
        """The end of its output."""

    async def end(self, grace: float) -> None:
        """Gives it `grace` seconds to end by itself, its Control stream having ended, then ends it. Leaves nothing behind."""


def spawned(environment: Any, worker_id: str, url: str) -> Spawned:
    """The worker of a PROCESS or DOCKER environment, not started yet."""
    if environment.urn == urns.Env.PROCESS:
        return _Process(pb.ProcessPayload.FromString(environment.payload), worker_id, url)
    return _Container(pb.DockerPayload.FromString(environment.payload).container_image, worker_id, url)


class _Process:
    def __init__(self, payload: Any, worker_id: str, url: str) -> None:
        self.name = payload.command
        self._command = [payload.command, *flags(worker_id, url)]
        self._env = {**os.environ, **payload.env}
        self._process: asyncio.subprocess.Process | None = None
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  (closed in end)

    async def start(self) -> None:
        try:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, env=self._env, stdin=asyncio.subprocess.DEVNULL, stdout=self._output, stderr=self._output
            )
        except OSError as error:
            raise WorkerLost(f"cannot start {self.name!r}: {error}") from None

    async def wait(self) -> int | None:
        assert self._process is not None
        return await self._process.wait()

    def tail(self) -> str:
        self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, self._output.tell() - TAIL_BYTES))
        return self._output.read().decode(errors="replace")

    async def end(self, grace: float) -> None:
        if self._process is not None:
            try:
                await asyncio.wait_for(self._process.wait(), grace)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
                await self._process.wait()
        self._output.close()


class _Container:
    """Calls to the engine block, so that they run in threads; two threads stay with the container, one a stream of the engine."""

    def __init__(self, image: str, worker_id: str, url: str) -> None:
        self.name = image
        planes = [f"--{plane}_endpoint={url}" for plane in ("control", "logging", "artifact")]
        self._command = [*flags(worker_id, url), *planes]
        self._worker_id = worker_id
        self._container: Any = None
        self._client: Any = None
        self._output = b""
        self._ended = asyncio.Event()
        self._code: int | None = None
        self._loop = asyncio.get_running_loop()
        #: Set when the job is over before the container is started.
        self._unwanted = threading.Event()

    async def start(self) -> None:
        await asyncio.to_thread(self._start)

    async def wait(self) -> int | None:
        await self._ended.wait()
        return self._code

    def tail(self) -> str:
        return self._output.decode(errors="replace")

    async def end(self, grace: float) -> None:
        self._unwanted.set()
        if self._container is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), grace)
        await asyncio.to_thread(self._remove)

    def _start(self) -> None:
        # Imported here: only this kind of environment needs it, and it takes a fifth of a second.
        import docker
        from docker.errors import DockerException

        try:
            self._client = docker.from_env(timeout=ENGINE_SECONDS)
            self._client.ping()
        except (DockerException, OSError) as error:
            where = os.environ.get("DOCKER_HOST", "the usual socket")
            text = f"no docker engine answers ({where}: {error}); start one, or set DOCKER_HOST for the runner"
            raise WorkerLost(f"{urns.Env.DOCKER}: {text}") from None
        try:
            self._pull_if_absent()
            self._container = self._client.containers.create(
                self.name,
                self._command,
                network_mode="host",
                auto_remove=True,
                labels={"beam-conformance.worker": self._worker_id},
            )
            # Both streams are open before it starts, so that nothing of a container that ends at once is lost with it.
            output = self._container.attach(stdout=True, stderr=True, stream=True, logs=True)
            waiting = threading.Thread(
                target=self._await_end, args=(output,), name=f"container of {self._worker_id}", daemon=True
            )
            if self._unwanted.is_set():
                self._remove()
                return
            self._container.start()
            waiting.start()
        except (DockerException, OSError) as error:
            self._remove()
            raise WorkerLost(f"cannot start a container of {self.name!r}: {error}") from None

    def _pull_if_absent(self) -> None:
        from docker.errors import ImageNotFound

        try:
            self._client.images.get(self.name)
        except ImageNotFound:
            self._client.images.pull(self.name)

    def _await_end(self, output: Any) -> None:
        from docker.errors import DockerException

        with contextlib.suppress(DockerException, OSError):
            for chunk in output:
                self._output = (self._output + chunk)[-TAIL_BYTES:]
        # The end of its output is its end. What it ended with is known until the engine has removed it.
        with contextlib.suppress(DockerException, OSError):
            self._code = int(self._container.wait()["StatusCode"])
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._ended.set)

    def _remove(self) -> None:
        from docker.errors import DockerException

        if self._container is not None:
            # Gone already, or on its way: both are well.
            with contextlib.suppress(DockerException, OSError):
                self._container.remove(force=True)
        if self._client is not None:
            self._client.close()
