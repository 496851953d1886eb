"""The harness as a process, started as a runner starts an SDK's boot program (P-ENV-06, P-BOOT-01): for PROCESS and DOCKER.

It finds its session by BEAM_CONFORMANCE_REPORT in the environment, or by the pipeline option `conformance_report`; without either it
runs functions but reports to nobody.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from google.protobuf import json_format

from conformance.harness import capabilities
from conformance.harness.artifacts import ArtifactFetcher
from conformance.harness.errors import LocalProtocolError, RemoteProtocolError
from conformance.harness.host import Host
from conformance.harness.observations import LifecycleEvent, Observation, Sink
from conformance.harness.reporting import RemoteCounters, RemoteGates, RemoteSink, Reporter
from conformance.harness.worker import Endpoints, Worker
from conformance.wire.api import provision_pb2

__all__ = ["main"]

REPORT_VARIABLE = "BEAM_CONFORMANCE_REPORT"
CAPABILITIES_VARIABLE = "BEAM_CONFORMANCE_CAPABILITIES"
#: Modules to import before anything runs, separated by blanks: they register functions beyond the library's.
FUNCTIONS_VARIABLE = "BEAM_CONFORMANCE_FUNCTIONS"
#: Where a worker's functions find what was staged, in the directory STAGED below it (P-BOOT-06).
DIRECTORY_VARIABLE = "SEMI_PERSISTENT_DIRECTORY"
STAGED = "staged"
REPORT_OPTION = "beam:option:conformance_report:v1"


class NobodySink(Sink):
    """Nobody listens."""

    def bundle_done(self, observations: list[Observation], committed: bool) -> None:
        """Forgotten."""

    def lifecycle(self, event: LifecycleEvent) -> None:
        """Forgotten."""


class ProcessHost(Host):
    """The host of the one worker of a process; errors go to the session and to stderr."""

    reporter: Reporter | None = None

    def connect(self, address: str) -> None:
        """Report to the session at `address`."""
        self.reporter = Reporter(address)
        self.sink = RemoteSink(self.reporter)
        self.gates = RemoteGates(self.reporter)
        self.counters = RemoteCounters(self.reporter)

    def error(self, error: Exception) -> None:
        super().error(error)
        self._tell("remote" if isinstance(error, RemoteProtocolError) else "local", str(error))

    def remote_error(self, error: RemoteProtocolError) -> None:
        super().remote_error(error)
        self._tell("remote", str(error))

    def _tell(self, side: str, text: str) -> None:
        print(f"{side}: {text}", file=sys.stderr)
        if self.reporter is not None:
            self.reporter.tell("error", side=side, text=text)


def _option(info: provision_pb2.ProvisionInfo | None) -> str:
    if info is None:
        return ""
    options = json_format.MessageToDict(info.pipeline_options)
    return str(options.get(REPORT_OPTION) or options.get("options", {}).get("conformance_report") or "")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one worker until the runner ends its Control stream; 0 if nothing of ours went wrong (P-BOOT-08)."""
    parser = argparse.ArgumentParser(prog="python -m conformance.harness", description=__doc__.splitlines()[0])
    for flag in ("id", "provision_endpoint", "control_endpoint", "logging_endpoint", "artifact_endpoint"):
        parser.add_argument(f"--{flag}", default="")
    parser.add_argument("--semi_persist_dir", default="", help="artifacts are put into its directory 'staged'")
    parser.add_argument("--transcript", default="", help="write the transcript to this file when done, as JSON")
    arguments, ignored = parser.parse_known_args(argv)
    # Prism puts quote characters around the id inside the argument (P-ENV-06).
    worker_id = arguments.id.strip("'\"")
    if not worker_id or not (arguments.provision_endpoint or arguments.control_endpoint):
        parser.error("give --id and --provision_endpoint, as a runner does; this program is not started by hand")
    if ignored:
        print(f"ignored arguments: {ignored}", file=sys.stderr)
    for module in os.environ.get(FUNCTIONS_VARIABLE, "").split():
        importlib.import_module(module)
    declared = os.environ.get(CAPABILITIES_VARIABLE)
    host = ProcessHost(NobodySink(), frozenset(declared.split()) if declared is not None else capabilities.DEFAULT)
    if address := os.environ.get(REPORT_VARIABLE):
        host.connect(address)
    endpoints = Endpoints(
        arguments.control_endpoint, arguments.logging_endpoint, arguments.artifact_endpoint, arguments.provision_endpoint
    )
    with _persistent(arguments.semi_persist_dir) as directory:
        _work(host, Worker(host, worker_id, endpoints), directory, address=address)
    if arguments.transcript:
        with open(arguments.transcript, "w", encoding="utf-8") as file:
            json.dump(host.transcript.to_json(), file)
    return 1 if any(isinstance(error, LocalProtocolError) for error in host.local_errors) else 0


def _persistent(directory: str) -> contextlib.AbstractContextManager[str]:
    """The directory that was given, which stays, or one of our own: workers of one machine must not share what they stage."""
    return contextlib.nullcontext(directory) if directory else tempfile.TemporaryDirectory(prefix="conformance-harness-")


def _work(host: ProcessHost, worker: Worker, directory: str, address: str | None) -> None:
    """Boot as P-BOOT-05 and P-BOOT-06 have it, then serve until Control ends."""
    os.environ[DIRECTORY_VARIABLE] = directory
    host.fetch_artifacts = ArtifactFetcher(Path(directory) / STAGED)
    worker.on_provision = lambda info: host.connect(_option(info)) if not address and _option(info) else None
    worker.run()


if __name__ == "__main__":
    sys.exit(main())
