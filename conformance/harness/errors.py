"""Whose fault it was: ours (the harness broke the protocol or could not follow it) or the runner's. The two never mix."""

from __future__ import annotations

__all__ = ["BundleAborted", "FunctionError", "LocalProtocolError", "RemoteProtocolError", "UnknownFunction"]


class LocalProtocolError(RuntimeError):
    """The harness did, or was about to do, what the protocol forbids; a verdict may not be built on this job."""


class RemoteProtocolError(RuntimeError):
    """The runner did what the protocol forbids: a dangling id, bytes that are no elements, an answer nobody asked for."""


class FunctionError(RuntimeError):
    """A user function raised on purpose or by mistake; the text goes to the runner as the bundle's error."""


class UnknownFunction(LookupError):
    """A payload names a function that the registry does not have."""


class BundleAborted(RuntimeError):
    """The bundle ended early because its worker or session is going away."""
