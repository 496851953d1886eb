"""An endpoint: a job service that was started from here, or attached to. Opened by address, closed in every case.

`open_endpoint` is the only way in; what is started and how stands in `launchers`, what is known of it in `profiles`.
"""

from __future__ import annotations

import abc
import threading
import time
from types import TracebackType
from typing import Any

from conformance.endpoints import reach
from conformance.endpoints.address import Address, parse
from conformance.endpoints.errors import AddressError, EndpointDied, NotManaged, PhaseTimeout, ToolMissing
from conformance.endpoints.launchers import LAUNCHERS, Launch, Progress
from conformance.endpoints.process import ManagedProcess
from conformance.endpoints.profiles import PROFILES, Profile
from conformance.endpoints.proxy import Proxy

__all__ = ["Attached", "Endpoint", "Launched", "Proxied", "open_endpoint"]


class Endpoint(abc.ABC):
    """A job service. A context manager; leaving it ends what was started."""

    #: Whether it was started from here, and so can be restarted and has a log.
    managed: bool

    def __init__(self, address: Address, profile: Profile) -> None:
        self.address = address
        self.profile = profile

    @property
    def mode(self) -> str | None:
        """The mode that its address asks for, for all jobs; None if a program's own decides."""
        return self.address.option("mode")

    def options(self, mode: str = "batch") -> dict[str, Any]:
        """The pipeline options that a job gets here, for a program of this mode."""
        return self.profile.options_for(self.mode or mode, self.variants)

    @property
    def variants(self) -> tuple[str, ...]:
        """The sets of options that its address asks for by name."""
        asked = self.address.option("with")
        return tuple(asked.split("+")) if asked else ()

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """HOST:PORT of the job service; it changes with a restart."""

    @property
    @abc.abstractmethod
    def version(self) -> str | None:
        """The version of the runner, where that can be told."""

    @abc.abstractmethod
    def alive(self) -> bool:
        """Whether its process runs (managed) or it accepts connections (attached)."""

    @abc.abstractmethod
    def gone(self, seconds: float = 2.0) -> bool:
        """Whether it is dead or dies within so many seconds: after a connection broke, its process may still be ending."""

    @abc.abstractmethod
    def restart(self) -> None:
        """End it and start it anew. Raises NotManaged for an attached one."""

    @abc.abstractmethod
    def log_tail(self, lines: int = 40) -> str:
        """The last lines of its log; empty for an attached one."""

    @abc.abstractmethod
    def close(self) -> None:
        """End what was started. Safe to call twice."""

    def died(self, phase: str, what: str) -> EndpointDied:
        """The error to raise for a death seen in `phase`."""
        return EndpointDied(
            f"The endpoint {self.address} died in phase '{phase}': {what}. "
            + (
                "Look at its log for the cause; it can be restarted."
                if self.managed
                else "Look at its log for the cause, and start it again."
            ),
            phase=phase,
            log_tail=self.log_tail(),
        )

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class Attached(Endpoint):
    """A job service that runs whether we are here or not."""

    managed = False

    def __init__(self, address: Address, profile: Profile, timeout_scale: float) -> None:
        super().__init__(address, profile)
        reach.check_job_service(self.url, profile.ready_seconds * timeout_scale)

    @property
    def url(self) -> str:
        return self.address.target

    @property
    def version(self) -> str | None:
        return None

    def alive(self) -> bool:
        return reach.listens(self.url)

    def gone(self, seconds: float = 2.0) -> bool:
        return not reach.listens(self.url, seconds)

    def restart(self) -> None:
        raise NotManaged(
            f"{self.address} was not started from here and cannot be restarted from here. "
            f"Restart it yourself, or use an address that this suite starts (prism, python, reference)."
        )

    def log_tail(self, lines: int = 40) -> str:
        return ""

    def close(self) -> None:
        pass


class Launched(Endpoint):
    """A job service in a process of its own."""

    managed = True

    def __init__(self, address: Address, profile: Profile, launch: Launch, timeout_scale: float) -> None:
        super().__init__(address, profile)
        self._launch = launch
        self._scale = timeout_scale
        self._lock = threading.Lock()
        self._closed = False
        self._process, self._url = self._start()

    @property
    def url(self) -> str:
        return self._url

    @property
    def version(self) -> str | None:
        return self._launch.version()

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        return self._process.alive()

    def gone(self, seconds: float = 2.0) -> bool:
        return self._process.wait_for_exit(seconds)

    def restart(self) -> None:
        with self._lock:
            self._process.close()
            if not self._closed:
                self._process, self._url = self._start()

    def log_tail(self, lines: int = 40) -> str:
        return self._process.log_tail(lines)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._process.close()

    def _start(self) -> tuple[ManagedProcess, str]:
        seconds = self.profile.ready_seconds * max(1.0, self._scale)  # a scale below 1 is for verdicts, not for a start
        deadline = time.monotonic() + seconds
        program = self._launch.argv[0]
        try:
            process = ManagedProcess(self._launch.argv, dict(self._launch.env))
        except OSError as error:
            raise ToolMissing(
                f"{program} could not be started ({error.strerror}). Check that it is a program for this machine."
            ) from error
        try:
            match = process.wait_for_line(self._launch.ready, seconds)
            if match is None:
                raise self._not_ready(process, seconds)
            # The number first: looking up "localhost" may ask a name server, which once took 5 s.
            url = f"127.0.0.1:{match[1]}"
            if not reach.listens(url):
                url = f"localhost:{match[1]}"
            reach.check_job_service(url, max(1.0, deadline - time.monotonic()))
        except BaseException:
            process.close()
            raise
        return process, url

    def _not_ready(self, process: ManagedProcess, seconds: float) -> Exception:
        # The log ended, or time is up; a process whose log has ended is at its end too.
        if not process.wait_for_exit(0.5 if process.alive() else 0):
            return PhaseTimeout("launch", f"{self.address} to say that it listens; it said:\n{process.log_tail(10)}\n", seconds)
        status = process.returncode or 0
        return self._launch.explain(status, process.log_tail()) or EndpointDied(
            f"The endpoint {self.address} ended with exit status {status} before it was ready. "
            f"Run {' '.join(self._launch.argv)!r} by hand to see why.",
            phase="launch",
            log_tail=process.log_tail(),
        )


class Proxied(Endpoint):
    """Another endpoint behind a proxy with one fault of the wire."""

    def __init__(self, address: Address, inner: Endpoint, fault: str) -> None:
        super().__init__(address, inner.profile)
        self._inner = inner
        self._proxy = Proxy(fault)
        self.managed = inner.managed

    @property
    def mode(self) -> str | None:
        return self._inner.mode

    @property
    def variants(self) -> tuple[str, ...]:
        return self._inner.variants

    @property
    def url(self) -> str:
        return self._proxy.front(self._inner.url)

    @property
    def version(self) -> str | None:
        return self._inner.version

    def alive(self) -> bool:
        return self._inner.alive()

    def gone(self, seconds: float = 2.0) -> bool:
        return self._inner.gone(seconds)

    def restart(self) -> None:
        self._inner.restart()

    def log_tail(self, lines: int = 40) -> str:
        return self._inner.log_tail(lines)

    def close(self) -> None:
        self._inner.close()
        self._proxy.close()


def open_endpoint(address: Address | str, *, progress: Progress = lambda message: None, timeout_scale: float = 1.0) -> Endpoint:
    """Start or attach to what `address` names, and return once its job service answers.

    `progress` is told what takes long (building Prism, fetching Flink). Raises AddressError,
    ToolMissing, NoEngine, ImageMissing, EndpointUnreachable,
    NotAJobService, EndpointDied or PhaseTimeout.
    """
    if isinstance(address, str):
        address = parse(address)
    if address.kind == "proxy":
        fault, _, inner = address.target.partition("@")
        return Proxied(address, open_endpoint(inner, progress=progress, timeout_scale=timeout_scale), fault)
    profile = PROFILES[address.kind]
    for name in (address.option("with") or "").split("+"):
        if name and name not in profile.variants:
            raise AddressError(f"{profile.name} has no options named {name!r}: with= takes {', '.join(profile.variants)}.")
    if address.kind == "grpc":
        return Attached(address, profile, timeout_scale)
    return Launched(address, profile, LAUNCHERS[address.kind](address, progress), timeout_scale)
