"""What goes into the engine and what comes out: events and commands, frozen values."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen

from conformance.runner.plan import ScriptEvent

__all__ = [
    "BundleDiscarded",
    "BundleDone",
    "BundleFailed",
    "BundleSplit",
    "CancelRequested",
    "Command",
    "DrainRequested",
    "Event",
    "Finalize",
    "JobCancelled",
    "JobDone",
    "JobDrained",
    "JobFailed",
    "Residual",
    "RunBundle",
    "ScriptServed",
    "Split",
    "Started",
    "Tick",
    "WakeAt",
]

#: (transform id, timer family id)
Family = tuple[str, str]


# ---- events


@frozen
class Started:
    """The job begins."""


@frozen
class Residual:
    """An application that a bundle handed back (P-CTL-20). `watermarks`: output local name → ms."""

    transform: str
    input: str
    element: bytes
    delay: int = 0
    watermarks: Mapping[str, int] = field(factory=dict)


@frozen
class BundleDone:
    """A bundle was answered without error and all its streams ended (P-CTL-18)."""

    bundle: str
    #: PCollection → chunks of whole elements.
    outputs: Mapping[str, list[bytes]] = field(factory=dict)
    timers: Mapping[Family, list[bytes]] = field(factory=dict)
    residuals: tuple[Residual, ...] = ()
    finalize: bool = False


@frozen
class BundleSplit:
    """A running bundle gave up a part: elements from `first_residual` on, and these restrictions (P-SPL-04, P-SPL-05)."""

    bundle: str
    first_residual: int | None = None
    residuals: tuple[Residual, ...] = ()


@frozen
class BundleFailed:
    """A bundle was answered with an error, or its worker was lost; then nothing is tried again."""

    bundle: str
    error: str
    lost: bool = False


@frozen
class BundleDiscarded:
    """A bundle was answered without error, and the answer is not to count: the bundle runs again (M-BNDL-05)."""

    bundle: str


@frozen
class CancelRequested:
    """A client cancels the job."""


@frozen
class DrainRequested:
    """A client drains the job: sources stop, what is there is finished (M-DRAIN-04)."""


@frozen
class ScriptServed:
    """A TestStreamService gave the next event of a TestStream, or has no more: None (M-TS-08)."""

    script: str
    event: ScriptEvent | None


@frozen
class Tick:
    """Time went by."""


Event = (
    Started | BundleDone | BundleSplit | BundleFailed | BundleDiscarded | ScriptServed | CancelRequested | DrainRequested | Tick
)


# ---- commands


@frozen
class RunBundle:
    """Run this input through a stage."""

    bundle: str
    stage: str
    data: tuple[bytes, ...] = ()
    timers: Mapping[Family, tuple[bytes, ...]] = field(factory=dict)
    #: Tokens under which an SDK may cache user state, and side inputs by (transform, side input id) (M-BNDL-14).
    state_token: bytes = b""
    side_tokens: Mapping[tuple[str, str], bytes] = field(factory=dict)
    #: 1 for input that never ran before.
    attempt: int = 1


@frozen
class Split:
    """Ask a running bundle to give up everything that it has not begun (P-SPL-02)."""

    bundle: str


@frozen
class Finalize:
    """The effects of this bundle are durable and it asked to be told (P-CTL-22)."""

    bundle: str


@frozen
class WakeAt:
    """Send a Tick when the clock reaches this."""

    at: int


@frozen
class JobDone:
    """Everything is processed."""


@frozen
class JobDrained:
    """Everything that was read is processed."""


@frozen
class JobFailed:
    """The job cannot be completed."""

    reason: str


@frozen
class JobCancelled:
    """The job was cancelled; no answer of any running bundle counts any more."""


Command = RunBundle | Split | Finalize | WakeAt | JobDone | JobDrained | JobFailed | JobCancelled
