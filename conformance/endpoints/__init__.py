"""How a runner is reached: addresses, profiles, launchers, the Job API client, and what came of a job."""

from conformance.endpoints.address import Address, parse
from conformance.endpoints.client import JobClient, Recorder
from conformance.endpoints.endpoint import Endpoint, open_endpoint
from conformance.endpoints.errors import (
    AddressError,
    ArtifactUnreadable,
    EndpointDied,
    EndpointError,
    EndpointUnreachable,
    ImageMissing,
    NoEngine,
    NotAJobService,
    NotManaged,
    PhaseTimeout,
    Refused,
    StagingViolation,
    ToolMissing,
)
from conformance.endpoints.job import Wants
from conformance.endpoints.measure import PackSize, pack_size
from conformance.endpoints.options import Capabilities, probe
from conformance.endpoints.outcome import Importance, JobMessage, JobOutcome, Metrics, Phase, StateEvent, Timeouts
from conformance.endpoints.profiles import PROFILES, Profile
from conformance.endpoints.refusal import Ending, Explanation, classify, explain

__all__ = [
    "PROFILES",
    "Address",
    "AddressError",
    "ArtifactUnreadable",
    "Capabilities",
    "Ending",
    "Endpoint",
    "EndpointDied",
    "EndpointError",
    "EndpointUnreachable",
    "Explanation",
    "ImageMissing",
    "Importance",
    "JobClient",
    "JobMessage",
    "JobOutcome",
    "Metrics",
    "NoEngine",
    "NotAJobService",
    "NotManaged",
    "PackSize",
    "Phase",
    "PhaseTimeout",
    "Profile",
    "Recorder",
    "Refused",
    "StagingViolation",
    "StateEvent",
    "Timeouts",
    "ToolMissing",
    "Wants",
    "classify",
    "explain",
    "open_endpoint",
    "pack_size",
    "parse",
    "probe",
]
