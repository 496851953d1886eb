"""Pipeline options as clients put them on the wire (P-JOB-14), and what an endpoint says about the options it has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import frozen

from conformance.wire.api import google_pb2, job_pb2

if TYPE_CHECKING:
    from conformance.endpoints.client import JobClient

__all__ = ["Capabilities", "Option", "encode_options", "option_urn", "probe"]

_SNAKE = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[-\s]+")


def option_urn(name: str) -> str:
    """`beam:option:<snake_case_name>:v1`; a name that is a URN already stays."""
    return name if ":" in name else f"beam:option:{_SNAKE.sub('_', name).lower()}:v1"


def encode_options(options: Mapping[str, Any]) -> Any:
    """The Struct of PrepareJobRequest. Integers travel as strings, as Beam's Python client sends them; None is left out."""
    struct = google_pb2.Struct()
    struct.update({option_urn(name): _plain(value) for name, value in options.items() if value is not None})
    return struct


def _plain(value: Any) -> Any:
    if isinstance(value, bool | str | float) or value is None:
        return value
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    raise TypeError(f"A pipeline option cannot be a {type(value).__name__}. Use str, bool, int, float, list or dict.")


@frozen
class Option:
    """One option that a runner describes (P-JOB-16)."""

    name: str
    type: str
    description: str = ""
    default: str = ""
    group: str = ""


@frozen
class Capabilities:
    """What an endpoint says about itself. `family` is the runner that its options give away, or empty."""

    options: tuple[Option, ...] = ()
    family: str = ""


#: Options that only one family of job servers has.
_FAMILIES = {"flink_master": "flink", "spark_master": "spark", "samza_execution_environment": "samza"}


def probe(client: JobClient) -> Capabilities:
    """Ask an endpoint what it says about itself; raises as JobClient.describe_options does."""
    options = tuple(
        Option(
            described.name,
            job_pb2.PipelineOptionType.Enum.Name(described.type),
            described.description,
            described.default_value,
            described.group,
        )
        for described in client.describe_options()
    )
    names = {_SNAKE.sub("_", option.name).lower() for option in options}
    families = [family for name, family in _FAMILIES.items() if name in names]
    return Capabilities(options, families[0] if len(families) == 1 else "")
