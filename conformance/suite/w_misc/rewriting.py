"""Changes to a built pipeline that no builder would make: other ids, dangling ones, fields of a later version."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.internal.encoder import TagBytes
from google.protobuf.internal.wire_format import WIRETYPE_LENGTH_DELIMITED
from google.protobuf.message import Message

from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["LATER_BYTES", "mark_everywhere", "named", "with_odd_ids"]

#: A field number far above those that Beam's messages use, and what the field holds.
LATER_FIELD = 51_234
LATER_BYTES = b"of a later version"
#: What ids may hold, being opaque strings.
ODD = " /a:b ü日本/\t{}#?%s"


def named(pipeline: pb.Pipeline, unique_name: str) -> pb.PTransform:
    """The transform whose unique name ends so."""
    return next(each for each in pipeline.components.transforms.values() if each.unique_name.endswith(unique_name))


def with_odd_ids(pipeline: pb.Pipeline) -> None:
    """Rename all transforms and PCollections to ids and unique names that are legal and unusual."""
    parts = pipeline.components
    ids = {key: f"{ODD}{number}" for number, key in enumerate([*parts.transforms, *parts.pcollections])}
    transforms = {ids[key]: _renamed(transform, ids) for key, transform in parts.transforms.items()}
    collections = {ids[key]: _renamed_collection(collection) for key, collection in parts.pcollections.items()}
    roots = [ids[root] for root in pipeline.root_transform_ids]
    parts.transforms.clear()
    parts.pcollections.clear()
    for key, transform in transforms.items():
        parts.transforms[key].CopyFrom(transform)
    for key, collection in collections.items():
        parts.pcollections[key].CopyFrom(collection)
    pipeline.root_transform_ids[:] = roots


def _renamed(transform: pb.PTransform, ids: Mapping[str, str]) -> pb.PTransform:
    copy = pb.PTransform()
    copy.CopyFrom(transform)
    copy.unique_name = ODD + transform.unique_name
    for ends in (copy.inputs, copy.outputs):
        for local, collection in list(ends.items()):
            ends[local] = ids[collection]
    copy.subtransforms[:] = [ids[part] for part in transform.subtransforms]
    return copy


def _renamed_collection(collection: pb.PCollection) -> pb.PCollection:
    copy = pb.PCollection()
    copy.CopyFrom(collection)
    copy.unique_name = ODD + collection.unique_name
    return copy


def _mark(message: Message) -> None:
    """Give `message` a field that its type does not have."""
    tag: bytes = TagBytes(LATER_FIELD, WIRETYPE_LENGTH_DELIMITED)
    message.MergeFromString(tag + bytes([len(LATER_BYTES)]) + LATER_BYTES)


def mark_everywhere(pipeline: pb.Pipeline) -> None:
    """Give messages of every kind in the pipeline a field of a later version."""
    parts = pipeline.components
    for transform in parts.transforms.values():
        _mark(transform)
        _mark(transform.spec)
    for collection in parts.pcollections.values():
        _mark(collection)
    for coder in parts.coders.values():
        _mark(coder)
    for strategy in parts.windowing_strategies.values():
        _mark(strategy)
    for environment in parts.environments.values():
        _mark(environment)
    _mark(parts)
    _mark(pipeline)
