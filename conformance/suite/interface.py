"""Beam's interface as an inventory, and how much of it a run reaches: every URN and every message field of the protos.

The inventory comes from the descriptors themselves. `Reach` looks at the messages of a run: what a pipeline, a descriptor or an
answer held, the payloads inside them included, was really sent or received, and not only named by a leaf. What the shipped suite
reaches on the reference runner is kept in `reached.txt` (`beam-conformance run --beam-reach FILE` writes such a file); what it
cannot reach stands in `unreached.toml` with the reason.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
from attrs import frozen
from google.protobuf.message import DecodeError, Message

from conformance.wire import urns
from conformance.wire.api import (
    artifact_pb2,
    endpoints_pb2,
    expansion_pb2,
    external_pb2,
    fn_pb2,
    job_pb2,
    metrics_pb2,
    pipeline_pb2,
    provision_pb2,
    schema_pb2,
    windows_pb2,
)

__all__ = ["Coverage", "Reach", "all_fields", "all_urns", "coverage", "explained", "matches", "patterns", "reached"]

_FILES = (
    pipeline_pb2,
    fn_pb2,
    job_pb2,
    artifact_pb2,
    expansion_pb2,
    external_pb2,
    provision_pb2,
    metrics_pb2,
    schema_pb2,
    endpoints_pb2,
    windows_pb2,
)
#: URN → the message that its payload is. What is not here has no payload, or one that is no message.
_PAYLOADS: dict[str, type[Message]] = {
    urns.Transform.PAR_DO: pipeline_pb2.ParDoPayload,
    urns.Transform.ASSIGN_WINDOWS: pipeline_pb2.WindowIntoPayload,
    urns.Transform.TEST_STREAM: pipeline_pb2.TestStreamPayload,
    urns.Transform.READ: pipeline_pb2.ReadPayload,
    urns.Transform.WRITE_FILES: pipeline_pb2.WriteFilesPayload,
    urns.Transform.GROUP_INTO_BATCHES: pipeline_pb2.GroupIntoBatchesPayload,
    urns.Transform.GROUP_INTO_BATCHES_WITH_SHARDED_KEY: pipeline_pb2.GroupIntoBatchesPayload,
    urns.Transform.REDISTRIBUTE_BY_KEY: pipeline_pb2.RedistributePayload,
    urns.Transform.REDISTRIBUTE_ARBITRARILY: pipeline_pb2.RedistributePayload,
    urns.WindowFn.FIXED: windows_pb2.FixedWindowsPayload,
    urns.WindowFn.SLIDING: windows_pb2.SlidingWindowsPayload,
    urns.WindowFn.SESSION: windows_pb2.SessionWindowsPayload,
    urns.Coder.ROW: schema_pb2.Schema,
    urns.Env.DOCKER: pipeline_pb2.DockerPayload,
    urns.Env.PROCESS: pipeline_pb2.ProcessPayload,
    urns.Env.EXTERNAL: pipeline_pb2.ExternalPayload,
    urns.Env.ANYOF: pipeline_pb2.AnyOfEnvironmentPayload,
    urns.Artifact.FILE: pipeline_pb2.ArtifactFilePayload,
    urns.Artifact.URL: pipeline_pb2.ArtifactUrlPayload,
    urns.Artifact.EMBEDDED: pipeline_pb2.EmbeddedFilePayload,
    urns.Artifact.PYPI: pipeline_pb2.PyPIPayload,
    urns.Artifact.MAVEN: pipeline_pb2.MavenPayload,
    urns.Artifact.DEFERRED: pipeline_pb2.DeferredArtifactPayload,
    urns.ArtifactRole.STAGING_TO: pipeline_pb2.ArtifactStagingToRolePayload,
    urns.Runner.DATA_SOURCE: fn_pb2.RemoteGrpcPort,
    urns.Runner.DATA_SINK: fn_pb2.RemoteGrpcPort,
    urns.DisplayData.LABELLED: pipeline_pb2.LabelledPayload,
    urns.Expansion.SCHEMA_TRANSFORM: external_pb2.SchemaTransformPayload,
    urns.Expansion.JAVA_CLASS_LOOKUP: external_pb2.JavaClassLookupPayload,
    urns.MetricType.BOUNDED_TRIE: metrics_pb2.BoundedTrie,
    urns.MetricType.HISTOGRAM: metrics_pb2.HistogramValue,
} | {
    value: pipeline_pb2.CombinePayload
    for name, value in vars(urns.Transform).items()
    if name.startswith("COMBINE_") and isinstance(value, str)
}
#: Pairs of fields (the URN's, the payload's) of messages that carry a payload.
_CARRIERS = (("urn", "payload"), ("type_urn", "type_payload"), ("role_urn", "role_payload"), ("type", "payload"))
_PACKAGE = "org.apache.beam.model"


def _messages() -> Iterator[Any]:
    def nested(descriptor: Any) -> Iterator[Any]:
        if descriptor.GetOptions().map_entry:
            return
        yield descriptor
        for inner in descriptor.nested_types:
            yield from nested(inner)

    for module in _FILES:
        for descriptor in module.DESCRIPTOR.message_types_by_name.values():
            yield from nested(descriptor)


def _name(field: Any) -> str:
    """ "Pipeline.components": the message's name within its package, and the field's."""
    message = field.containing_type
    return f"{message.full_name.removeprefix(message.file.package + '.')}.{field.name}"


@cache
def all_fields() -> tuple[str, ...]:
    """Every field of every message of the model's protos, sorted. Entries of maps are no messages of their own."""
    return tuple(sorted({_name(field) for message in _messages() for field in message.fields}))


@cache
def all_urns() -> tuple[str, ...]:
    """Every URN that the protos define, sorted."""
    spaces = (space for space in vars(urns).values() if isinstance(space, type))
    found = {value for space in spaces for value in vars(space).values() if isinstance(value, str) and value.startswith("beam:")}
    return tuple(sorted(found))


class Reach:
    """What the messages that it is shown reach: names of fields, and URNs. Each kind of content is looked at as often as it comes."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self._urns = frozenset(all_urns())

    def look(self, message: Message) -> None:
        """Take in a message with all that it holds."""
        found = self.found
        for field, value in message.ListFields():
            owner: Any = field.containing_type
            if owner.file.package.startswith(_PACKAGE):
                found.add(_name(field))
            repeated = not isinstance(value, str | bytes) and hasattr(value, "__len__") and not isinstance(value, Message)
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                self._texts(key for key in value if isinstance(key, str))
                inner: Iterable[Any] = value.values()
            else:
                inner = value if repeated else (value,)
            for each in inner:
                if isinstance(each, Message):
                    self.look(each)
                elif isinstance(each, str):
                    self._texts((each,))
        for urn_field, payload_field in _CARRIERS:
            self._payload(message, urn_field, payload_field)

    def _texts(self, texts: Iterable[str]) -> None:
        self.found.update(text for text in texts if text in self._urns)

    def _payload(self, message: Message, urn_field: str, payload_field: str) -> None:
        fields = message.DESCRIPTOR.fields_by_name
        if urn_field not in fields or payload_field not in fields:
            return
        kind = _PAYLOADS.get(getattr(message, urn_field))
        payload = getattr(message, payload_field)
        if kind is None or not isinstance(payload, bytes):
            return
        try:
            self.look(kind.FromString(payload))
        except DecodeError:  # a negative test's payload
            return


@cache
def reached() -> frozenset[str]:
    """What a run of the shipped suite on the reference runner reaches, as shipped."""
    return frozenset((files("conformance.suite") / "reached.txt").read_text(encoding="utf-8").split())


class _Reason(msgspec.Struct, forbid_unknown_fields=True):
    names: tuple[str, ...]
    reason: str


class _Unreached(msgspec.Struct, forbid_unknown_fields=True):
    entry: tuple[_Reason, ...]


@cache
def _patterns() -> tuple[tuple[str, str], ...]:
    data = (files("conformance.suite") / "unreached.toml").read_bytes()
    return tuple((name, entry.reason) for entry in msgspec.toml.decode(data, type=_Unreached).entry for name in entry.names)


def patterns() -> tuple[str, ...]:
    """The names and patterns (`Message.*`) of unreached.toml."""
    return tuple(name for name, _ in _patterns())


def matches(pattern: str, name: str) -> bool:
    """Whether an entry of unreached.toml speaks of a field or URN."""
    return fnmatch.fnmatchcase(name, pattern)


def explained(name: str) -> str:
    """Why a field or URN is reached by no program of the suite; "" if nobody says."""
    return next((reason for pattern, reason in _patterns() if matches(pattern, name)), "")


@frozen
class Coverage:
    """Fields or URNs: all, those reached, those with a reason, and those with neither."""

    total: int
    reached: int
    explained: int
    missing: tuple[str, ...]


def coverage(names: Iterable[str]) -> Coverage:
    """How much of `names` (`all_urns()` or `all_fields()`) the shipped suite reaches."""
    names = tuple(names)
    hit = {name for name in names if name in reached()}
    told = {name for name in names if name not in hit and explained(name)}
    return Coverage(len(names), len(hit), len(told), tuple(name for name in names if name not in hit | told))
