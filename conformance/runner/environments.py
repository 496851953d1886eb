"""Which environment a pipeline's environment stands for: AnyOf and default resolved, what this runner cannot start refused.

Pure; starting workers is `workers`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from google.protobuf.message import DecodeError

from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["SUPPORTED", "UnsupportedEnvironment", "alternatives", "is_go", "nests_test_streams", "parse_default", "resolve"]

#: What this runner can start, the most preferred first (P-ENV-01: the preference is free).
SUPPORTED = (urns.Env.EXTERNAL, urns.Env.PROCESS, urns.Env.DOCKER)


GO_SDK = "beam:version:sdk_base:go"


def is_go(capabilities: Iterable[str]) -> bool:
    """Whether capabilities are those of Beam's Go SDK, which is read leniently in some places (P-COD-01, P-DATA-13)."""
    return any(each.startswith(GO_SDK) for each in capabilities)


def nests_test_streams(environments: Iterable[Any]) -> bool:
    """Whether elements of TestStreams are nested: those of the Go SDK, the only one of its pipeline (P-COD-01)."""
    found = list(environments)
    return bool(found) and all(is_go(each.capabilities) for each in found)


class UnsupportedEnvironment(ValueError):
    """No alternative of an environment can be started here."""


def alternatives(environment: Any) -> list[Any]:
    """The environment itself, or what an AnyOf holds, AnyOf within AnyOf too."""
    if environment.urn != urns.Env.ANYOF:
        return [environment]
    inner = pb.AnyOfEnvironmentPayload.FromString(environment.payload).environments
    return [each for one in inner for each in alternatives(one)]


def _as_listed(kinds: Sequence[str]) -> Sequence[str]:
    return kinds


def resolve(environment: Any, default: Any = None, preference: Callable[[Sequence[str]], Sequence[str]] = _as_listed) -> Any:
    """The alternative to start. Raises UnsupportedEnvironment naming every urn that was on offer."""
    try:
        offered = alternatives(environment)
    except DecodeError:
        raise UnsupportedEnvironment(f"{environment.urn} with a payload that does not parse") from None
    candidates = []
    for one in offered:
        if one.urn == urns.Env.DEFAULT and default is not None:
            chosen = pb.Environment()
            chosen.CopyFrom(one)
            chosen.urn, chosen.payload = default.urn, default.payload
            candidates.append(chosen)
        else:
            candidates.append(one)
    for urn in preference(SUPPORTED):
        for one in candidates:
            if one.urn == urn and _startable(one):
                return one
    names = ", ".join(sorted({one.urn or "(no urn)" for one in offered})) or "(no alternative)"
    hint = "; start the runner with --default-environment" if any(one.urn == urns.Env.DEFAULT for one in offered) else ""
    raise UnsupportedEnvironment(f"{names}: this runner starts {', '.join(SUPPORTED)} with complete payloads{hint}")


def _startable(environment: Any) -> bool:
    try:
        if environment.urn == urns.Env.EXTERNAL:
            return bool(pb.ExternalPayload.FromString(environment.payload).endpoint.url)
        if environment.urn == urns.Env.PROCESS:
            return bool(pb.ProcessPayload.FromString(environment.payload).command)
        return bool(pb.DockerPayload.FromString(environment.payload).container_image)
    except DecodeError:
        return False


def parse_default(text: str) -> Any:
    """The environment that "external:HOST:PORT", "process:COMMAND" or "docker:IMAGE" names."""
    kind, _, rest = text.partition(":")
    environment = pb.Environment()
    if kind == "external" and rest:
        payload = pb.ExternalPayload()
        payload.endpoint.url = rest
        environment.urn, environment.payload = urns.Env.EXTERNAL, payload.SerializeToString()
    elif kind == "process" and rest:
        environment.urn = urns.Env.PROCESS
        environment.payload = pb.ProcessPayload(command=rest).SerializeToString()
    elif kind == "docker" and rest:
        environment.urn = urns.Env.DOCKER
        environment.payload = pb.DockerPayload(container_image=rest).SerializeToString()
    else:
        raise ValueError(f"cannot read environment {text!r}; write external:HOST:PORT, process:COMMAND or docker:IMAGE")
    return environment
