"""Google Cloud Storage on this machine: fake-gcs-server, built once from the Go module proxy, and what programs wrote to it.

The emulator speaks the JSON interface that the three SDKs' own connectors speak; nothing here stands in for a connector.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from conformance.endpoints.errors import ToolMissing
from conformance.endpoints.process import ManagedProcess
from conformance.sdks import builds
from conformance.sdks.builds import Progress

__all__ = ["Emulator", "emulator", "server_binary"]

MODULE, VERSION = "github.com/fsouza/fake-gcs-server", "v1.56.1"
#: One bucket a run; each row has a prefix of its own in it.
BUCKET = "conformance"
READY_SECONDS = 30.0
HOST = "127.0.0.1"
ATTEMPTS = 5


class Emulator:
    """A running emulator."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._call("POST", "/storage/v1/b", json.dumps({"name": BUCKET}).encode())

    def lines(self, prefix: str) -> list[str]:
        """All lines of all objects whose names begin so."""
        query = urllib.parse.urlencode({"prefix": prefix})
        names = [item["name"] for item in json.loads(self._call("GET", f"/storage/v1/b/{BUCKET}/o?{query}")).get("items", [])]
        objects = [self._call("GET", f"/storage/v1/b/{BUCKET}/o/{urllib.parse.quote(name, safe='')}?alt=media") for name in names]
        return [line for content in objects for line in content.decode("utf-8").splitlines()]

    def _call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(self.url + path, body, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=READY_SECONDS) as answer:
            content: bytes = answer.read()
            return content


def server_binary(progress: Progress = lambda message: None) -> Path:
    """The emulator's program: on $PATH, in the cache, or built into it. Raises ToolMissing without Go."""
    if found := shutil.which("fake-gcs-server"):
        return Path(found)
    target = platformdirs.user_cache_path("beam-conformance") / "fake-gcs-server" / VERSION / "fake-gcs-server"
    if os.access(target, os.X_OK):
        return target
    go = shutil.which("go")
    if go is None:
        raise ToolMissing(
            "The emulator of Google Cloud Storage is built with Go, which is not on $PATH. Install it (https://go.dev/dl)."
        )
    progress(f"building fake-gcs-server {VERSION} with Go, once; this takes some minutes")
    builds.install_go(go, f"{MODULE}@{VERSION}", target, progress)
    return target


@contextlib.contextmanager
def emulator(progress: Progress = lambda message: None) -> Iterator[Emulator]:
    """An emulator for the time of the block. Raises ToolMissing."""
    binary = server_binary(progress)
    for _ in range(ATTEMPTS):
        port = _free_port()
        process = ManagedProcess([str(binary), "-scheme", "http", "-host", HOST, "-port", str(port), "-backend", "memory"])
        try:
            if process.wait_for_line(re.compile("server started at"), READY_SECONDS) is not None and not process.wait_for_exit(
                0.2
            ):
                yield Emulator(f"http://{HOST}:{port}")
                return
            said = process.log_tail(10)
        finally:
            process.close()
    raise ToolMissing(f"fake-gcs-server did not start; it said:\n{said}\nRun {binary} by hand to see why.")


def _free_port() -> int:
    """A port that is free now. The server does not tell which one it got when the system may choose, so another try follows where
    somebody else was quicker."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
