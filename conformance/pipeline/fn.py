"""User functions by name: a payload names a registered function and its JSON arguments, so that it can be read in a report."""

from __future__ import annotations

import json
from typing import Any

from attrs import field, frozen

from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["FN_URN", "Fn"]

#: The URN of every FunctionSpec that names one of our functions.
FN_URN = "beam-conformance:fn:v1"


def _freeze(args: dict[str, Any]) -> str:
    return json.dumps(args, sort_keys=True, separators=(",", ":"), default=_nested)


def _nested(value: Any) -> Any:
    if isinstance(value, Fn):
        return value.to_json()
    raise TypeError(f"{value!r} is not a JSON argument; encode element values with conformance.pipeline.values.to_json")


@frozen(init=False)
class Fn:
    """A function by name with JSON arguments; an argument may itself be an Fn."""

    name: str
    text: str = field(repr=False)

    def __init__(self, name: str, /, **args: Any) -> None:
        self.__attrs_init__(name, _freeze(args))

    @property
    def args(self) -> dict[str, Any]:
        """The arguments, as JSON values."""
        loaded: dict[str, Any] = json.loads(self.text)
        return loaded

    def to_json(self) -> dict[str, Any]:
        """{"fn": name, "args": {…}}."""
        return {"fn": self.name, "args": self.args}

    def payload(self) -> bytes:
        """The bytes on the wire: sorted keys, so that equal functions have equal payloads."""
        return f'{{"args":{self.text},"fn":{json.dumps(self.name)}}}'.encode()

    def to_spec(self) -> pb.FunctionSpec:
        """The FunctionSpec of this function."""
        return pb.FunctionSpec(urn=FN_URN, payload=self.payload())

    @classmethod
    def from_payload(cls, payload: bytes) -> Fn:
        """Reads `payload()` back. Raises ValueError if it is something else."""
        try:
            data = json.loads(payload)
            return cls(data["fn"], **data["args"])
        except (KeyError, TypeError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{payload[:80]!r} is not the payload of a named function") from error

    @classmethod
    def from_spec(cls, spec: pb.FunctionSpec) -> Fn:
        """The function that `spec` names. Raises ValueError for a foreign URN or payload."""
        if spec.urn != FN_URN:
            raise ValueError(f"function spec has URN {spec.urn!r}, expected {FN_URN!r}")
        return cls.from_payload(spec.payload)
