"""The descriptor pool that holds our copies of Beam's messages, apart from protobuf's default pool.

Beam's own generated modules register the same full names in the default pool; two registrations there clash. A private
pool lets any version of apache-beam be imported in the same process.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal import enum_type_wrapper

__all__ = ["POOL", "export", "message_class"]

POOL: Any = descriptor_pool.DescriptorPool()


def _load() -> None:
    data = resources.files("conformance.wire.api").joinpath("descriptors.binpb").read_bytes()
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        POOL.Add(file) if hasattr(POOL, "Add") else POOL.AddSerializedFile(file.SerializeToString())


_load()


def message_class(full_name: str) -> Any:
    """The class of the message `full_name` ("org.apache.beam.model.pipeline.v1.Pipeline"). Raises KeyError if unknown."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(full_name))


def export(namespace: dict[str, Any], file_name: str) -> None:
    """Fill a generated module's `namespace` with the messages, enums, extensions and DESCRIPTOR of one .proto file."""
    file = POOL.FindFileByName(file_name)
    namespace["DESCRIPTOR"] = file
    for name, descriptor in file.message_types_by_name.items():
        namespace[name] = message_factory.GetMessageClass(descriptor)
    for name, descriptor in file.enum_types_by_name.items():
        namespace[name] = enum_type_wrapper.EnumTypeWrapper(descriptor)
        namespace.update({value.name: value.number for value in descriptor.values})
    for name, descriptor in file.extensions_by_name.items():
        namespace[name] = descriptor
        namespace[f"{name.upper()}_FIELD_NUMBER"] = descriptor.number
