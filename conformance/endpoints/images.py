"""Images made here, without any registry: the harness' own, and images that differ from another by variables only.

Two layers: what Python needs (`rootfs.runtime_files`, changes seldom) and this package. Both are named by the hash of what is in
them, so that an image that the engine has is used again, and one that is out of date never.
"""

from __future__ import annotations

import functools
import io
import json
import sys
import tarfile
import tempfile
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import IO, Any, cast

import docker
from docker.errors import APIError, BuildError, DockerException, ImageNotFound

from conformance.endpoints import rootfs
from conformance.endpoints.errors import ImageMissing

__all__ = ["HARNESS", "RUNNER", "Variants", "build", "present", "pull_if_absent"]

Progress = Callable[[str], None]

#: What the image starts, behind the interpreter. The flags of a runner come behind it (P-BOOT-01).
HARNESS = ("-m", "conformance.harness")
#: The reference runner as a job server's image.
RUNNER = ("-m", "conformance.runner", "--port", "0")
_REPOSITORY = "beam-conformance"
#: The interpreter finds libraries of this machine by their paths; there is no shell and no name service to be configured.
_TEXTS = {
    "/etc/passwd": "root:x:0:0:root:/root:/\n",
    "/etc/group": "root:x:0:\n",
    "/etc/nsswitch.conf": "hosts: files dns\npasswd: files\ngroup: files\n",
}
_VARIABLES = {
    "PYTHONPATH": rootfs.LIBRARY,
    "PYTHONHOME": sys.base_prefix,
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUTF8": "1",
    "GRPC_VERBOSITY": "ERROR",
}


def build(client: docker.DockerClient, entry: Sequence[str] = HARNESS, progress: Progress = lambda message: None) -> str:
    """The name of an image that runs this package, built unless the engine has it; a few seconds the first time.

    `entry` are the interpreter's arguments. Raises ImageMissing if the engine does not take it, ToolMissing where it cannot be built.
    """
    try:
        return _on_top(client, _base(client, progress), entry)
    except (DockerException, OSError) as error:
        raise ImageMissing(
            f"the image of this package could not be built: {error}. See that the engine has room on its disk."
        ) from None


def present(client: docker.DockerClient, image: str) -> bool:
    """Whether the engine has this image already."""
    try:
        client.images.get(image)
    except ImageNotFound:
        return False
    return True


def pull_if_absent(client: docker.DockerClient, image: str, progress: Progress = lambda message: None) -> None:
    """Have the image on the engine. Raises ImageMissing if it is not there and cannot be pulled."""
    if present(client, image):
        return
    progress(f"pulling {image}")
    try:
        client.images.pull(image)
    except (DockerException, OSError) as error:
        raise ImageMissing(
            f"the image {image} is not on the engine and cannot be pulled ({error}). Check its name, or load it with 'docker load'."
        ) from None


@functools.cache
def _runtime() -> tuple[dict[str, Any], str]:
    files = rootfs.runtime_files()
    return files, rootfs.content_hash(files, json.dumps([_TEXTS, _VARIABLES]))


def _base(client: docker.DockerClient, progress: Progress) -> str:
    files, digest = _runtime()
    name = f"{_REPOSITORY}-python:{digest}"
    if not present(client, name):
        progress("building the harness' image from the running Python, once")
        archive = rootfs.tar(files, _TEXTS, directories=("/tmp", "/root"))
        changes = [f"ENV {key}={_quoted(value)}" for key, value in _VARIABLES.items()]
        client.api.import_image_from_data(archive, repository=name.split(":")[0], tag=digest, changes=changes)
        if not present(client, name):
            raise ImageMissing(f"the engine took in {name} and does not have it; look at the engine's log")
    return name


def _on_top(client: docker.DockerClient, base: str, entry: Sequence[str]) -> str:
    files = rootfs.package_files()
    lines = [f"FROM {base}", "ADD package.tar /", f"ENTRYPOINT {json.dumps([str(rootfs.interpreter()), *entry])}"]
    name = f"{_REPOSITORY}-{entry[1].rpartition('.')[2]}:{rootfs.content_hash(files, *lines)}"
    if not present(client, name):
        _build(client, lines, name, {"package.tar": rootfs.tar(files)})
    return name


def _build(client: docker.DockerClient, lines: list[str], name: str, context: Mapping[str, bytes] | None = None) -> None:
    """`docker build` of a few lines that run nothing."""
    with tempfile.TemporaryFile() as archive:
        _write_context(cast("IO[bytes]", archive), {"Dockerfile": "\n".join(lines).encode(), **(context or {})})
        archive.seek(0)
        try:
            client.images.build(fileobj=archive, custom_context=True, tag=name, rm=True, forcerm=True, nocache=True)
        except BuildError as error:
            raise ImageMissing(f"the engine could not build {name}: {error.msg}. Look at the engine's log.") from None


def _quoted(value: str) -> str:
    """For a line of a Dockerfile: nothing is expanded between single quotes."""
    if "\n" in value:
        raise ValueError(f"a variable of an image has one line, and this one has more: {value!r}")
    return "'" + value.replace("'", "'\"'\"'") + "'"


def _write_context(target: IO[bytes], members: Mapping[str, bytes]) -> None:
    with tarfile.open(fileobj=target, mode="w") as archive:
        for member, data in members.items():
            entry = tarfile.TarInfo(member)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


class Variants:
    """Images that are another one with variables set, removed together at the end.

    A DockerPayload has no variables (P-ENV-07), and pipeline options are one set a job, so that workers of one job that
    belong to different sessions are told apart by their images.
    """

    def __init__(self, client: docker.DockerClient, image: str) -> None:
        self.client = client
        self.image = image
        self._made: list[str] = []
        self._lock = threading.Lock()

    def make(self, variables: Mapping[str, str]) -> str:
        """The name of a new image with these variables. Raises ImageMissing."""
        name = f"{_REPOSITORY}-session:{uuid.uuid4().hex}"
        lines = [f"FROM {self.image}", *(f"ENV {key}={_quoted(value)}" for key, value in variables.items())]
        _build(self.client, lines, name)
        with self._lock:
            self._made.append(name)
        return name

    def close(self) -> None:
        """Remove them. One that a container still uses loses its name only."""
        with self._lock:
            made, self._made = self._made, []
        for name in made:
            try:
                self.client.images.remove(name, force=True)
            except (APIError, OSError):
                continue

    def __enter__(self) -> Variants:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
