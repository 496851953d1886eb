"""What a worker needs of the place that it runs in: the session of a test, or a process of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from conformance.harness import capabilities
from conformance.harness.errors import LocalProtocolError, RemoteProtocolError
from conformance.harness.functions import LIBRARY, Library
from conformance.harness.gates import Counters, Gates
from conformance.harness.observations import Sink
from conformance.harness.script import Script
from conformance.harness.transcript import Transcript

if TYPE_CHECKING:
    from conformance.harness.worker import Worker

__all__ = ["Host"]


class Host:
    """Shared by all workers of a session. The attributes may be changed before the job starts."""

    def __init__(self, sink: Sink, declared: frozenset[str] = capabilities.DEFAULT) -> None:
        self.sink = sink
        self.capabilities = declared
        self.transcript = Transcript()
        self.script = Script()
        self.gates = Gates()
        self.counters = Counters()
        #: The library of functions, and what this session adds to it.
        self.functions = Library(LIBRARY)
        #: Connect Logging when it is offered; call provision when it is offered.
        self.logging = True
        self.use_provision = True
        #: The bundle's answer before its outputs: legal, and faster on Prism.
        self.respond_first = False
        #: Send both metric shapes even if the runner reads short ids.
        self.both_metric_shapes = False
        #: Have all workers name their metrics by the same short ids: legal, since the ids belong to a worker (P-MET-03).
        self.equal_short_ids = False
        #: Embed outputs in answers where the runner declares that it reads them.
        self.embed_outputs = False
        #: Called by each worker before it connects Control, to fetch artifacts.
        self.fetch_artifacts: Callable[[Worker], None] | None = None
        #: Seconds that a worker waits for its bundles and streams once Control has ended.
        self.grace = 1.0
        self.local_errors: list[LocalProtocolError] = []
        self.remote_errors: list[RemoteProtocolError] = []
        self._errors_lock = threading.Lock()

    def remote_error(self, error: RemoteProtocolError) -> None:
        """The runner broke the protocol."""
        with self._errors_lock:
            self.remote_errors.append(error)

    def error(self, error: Exception) -> None:
        """Whoever's fault it was; an unexpected exception is ours."""
        if isinstance(error, RemoteProtocolError):
            self.remote_error(error)
            return
        if not isinstance(error, LocalProtocolError):
            wrapped = LocalProtocolError(f"{type(error).__name__}: {error}")
            wrapped.__cause__ = error
            error = wrapped
        with self._errors_lock:
            self.local_errors.append(error)
