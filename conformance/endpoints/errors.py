"""What can go wrong with an endpoint, one class a kind. Every message is one sentence of fact and one of what to do next.

`exit_code` is what the command line answers when the error ends the run: 4 where the environment or the call is at fault,
1 where the runner itself gave an answer (it refused, it broke the protocol), which is a result and not a fault of the set-up.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AddressError",
    "ArtifactUnreadable",
    "EndpointDied",
    "EndpointError",
    "EndpointUnreachable",
    "ImageMissing",
    "NoEngine",
    "NotAJobService",
    "NotManaged",
    "PhaseTimeout",
    "Refused",
    "StagingViolation",
    "ToolMissing",
]


class EndpointError(Exception):
    """Any fault of an endpoint; `str()` is fit for a user's eyes."""

    exit_code: ClassVar[int] = 4


class AddressError(EndpointError, ValueError):
    """The address of a runner cannot be read: a typo, a missing port, an unknown option."""


class ToolMissing(EndpointError):
    """A program or package that a launcher needs is not installed."""


class NoEngine(EndpointError):
    """No Docker engine answers, or none can be started."""


class ImageMissing(EndpointError):
    """An image is neither on the engine nor can it be pulled or built."""


class EndpointUnreachable(EndpointError):
    """Nothing listens at the address, or the host name does not resolve."""


class NotAJobService(EndpointError):
    """Something listens at the address, but it is no Beam job service."""


class NotManaged(EndpointError):
    """The endpoint was attached to, not started from here, so it cannot be restarted from here."""


class EndpointDied(EndpointError):
    """The endpoint went away: its process ended, or it stopped accepting connections in the middle of a call."""

    def __init__(self, message: str, *, phase: str = "", log_tail: str = "") -> None:
        super().__init__(f"{message}\nThe last lines of its log:\n{log_tail}" if log_tail else message)
        self.phase = phase
        self.log_tail = log_tail


class PhaseTimeout(EndpointError):
    """A phase of a job used up its budget."""

    def __init__(self, phase: str, waited_for: str, seconds: float) -> None:
        super().__init__(
            f"Timed out in phase '{phase}' after {seconds:.3g} s, waiting for {waited_for}. "
            f"If the runner is only slow, raise --timeout-scale; if it hangs, its log says where."
        )
        self.phase = phase
        self.waited_for = waited_for
        self.seconds = seconds


class Refused(EndpointError):
    """A living endpoint answered a call with an error status. The text is kept as it came."""

    exit_code: ClassVar[int] = 1

    def __init__(self, phase: str, method: str, code: str, text: str) -> None:
        said = f": {text}" if text else " and no text"
        super().__init__(
            f"The endpoint refused {method} in phase '{phase}' with {code}{said}\n"
            f"Read the text for the feature that it names; without one, look into the endpoint's log."
        )
        self.phase = phase
        self.method = method
        self.code = code
        self.text = text


class StagingViolation(EndpointError):
    """The endpoint broke the artifact staging protocol: it asked for what no environment of the pipeline lists (P-ART-03)."""

    exit_code: ClassVar[int] = 1


class ArtifactUnreadable(EndpointError):
    """An artifact that the pipeline lists cannot be turned into bytes on this side."""
