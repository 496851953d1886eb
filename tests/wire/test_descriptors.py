"""Our interface definitions against apache-beam's, both imported in this process: names, numbers, types, options, services."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import apache_beam.portability.api.org.apache.beam.model as beam_model
import pytest
from apache_beam.portability.api import beam_runner_api_pb2
from google.protobuf import descriptor_pb2
from google.protobuf.message import Message

from conformance.wire import _pool, api, timestamps, urns
from conformance.wire.api import pipeline_pb2

#: Packages of Beam's that no runner or SDK harness speaks: the interactive and debugging helpers.
LEFT_OUT = {"org.apache.beam.model.interactive.v1"}


def beam_files() -> list[Any]:
    """File descriptors of apache-beam's generated modules."""
    modules = [
        importlib.import_module(module.name)
        for module in pkgutil.walk_packages(beam_model.__path__, beam_model.__name__ + ".")
        if module.name.endswith("_pb2")
    ]
    return [module.DESCRIPTOR for module in modules if module.DESCRIPTOR.package not in LEFT_OUT]


def our_modules() -> list[ModuleType]:
    names = [module.name for module in pkgutil.iter_modules(api.__path__) if module.name.endswith("_pb2")]
    return [importlib.import_module(f"{api.__name__}.{name}") for name in names if name != "google_pb2"]


OURS = [module.DESCRIPTOR for module in our_modules()]
THEIRS = beam_files()


def facts(files: list[Any]) -> dict[str, Any]:
    """Everything that decides what is on the wire or what generated code can see, by full name; file names do not count."""
    found: dict[str, Any] = {}
    for file in files:
        proto = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(proto)
        assert proto.syntax == "proto3"
        for message in proto.message_type:
            found.update(_message(f"{proto.package}.{message.name}", message))
        for enum in proto.enum_type:
            found.update(_enum(f"{proto.package}.{enum.name}", enum))
        for extension in proto.extension:
            found[f"{proto.package}.{extension.name}"] = _plain(extension)
        for service in proto.service:
            found[f"{proto.package}.{service.name}"] = _options(service)
            for method in service.method:
                found[f"{proto.package}.{service.name}.{method.name}"] = _plain(method)
    return found


def _message(name: str, message: Any) -> Iterator[tuple[str, Any]]:
    reserved = [(r.start, r.end) for r in message.reserved_range], list(message.reserved_name)
    extensions = [(r.start, r.end) for r in message.extension_range]
    yield name, (reserved, extensions, [o.name for o in message.oneof_decl], _options(message))
    for field in message.field:
        oneof = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else None
        yield f"{name}.{field.name}", (oneof, _plain(field))
    for inner in message.nested_type:
        yield from _message(f"{name}.{inner.name}", inner)
    for enum in message.enum_type:
        yield from _enum(f"{name}.{enum.name}", enum)
    for extension in message.extension:
        yield f"{name}.{extension.name}", _plain(extension)


def _enum(name: str, enum: Any) -> Iterator[tuple[str, Any]]:
    reserved = [(r.start, r.end) for r in enum.reserved_range], list(enum.reserved_name)
    yield name, (reserved, _options(enum))
    for value in enum.value:
        yield f"{name}.{value.name}", (value.number, _options(value))


def _options(proto: Any) -> str:
    """Options with their extensions, parsed by one class, so that they compare whatever pool they came from."""
    return str(type(proto.options).FromString(proto.options.SerializeToString(deterministic=True)))


def _plain(proto: Message) -> str:
    """The rest of a field, method or extension: number, label, type, defaults, json name, streaming."""
    copy: Any = type(proto)()
    copy.CopyFrom(proto)
    copy.ClearField("options")
    if isinstance(copy, descriptor_pb2.FieldDescriptorProto):
        copy.ClearField("oneof_index")
        # protoc spells the default out in some outputs and not in others.
        head, *tail = copy.name.split("_")
        if copy.json_name == head + "".join(part[:1].upper() + part[1:] for part in tail):
            copy.ClearField("json_name")
    return f"{copy}{_options(proto)}"


def test_nothing_is_missing_and_nothing_is_surplus() -> None:
    ours, theirs = facts(OURS), facts(THEIRS)
    assert len(ours) > 1000
    assert set(ours) == set(theirs)


def test_everything_is_the_same() -> None:
    ours, theirs = facts(OURS), facts(THEIRS)
    assert {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs.get(name)} == {}


def test_the_comparison_sees_options() -> None:
    """An empty comparison would pass as well: a known extension option must show in the facts."""
    found = facts(OURS)
    assert "beam:transform:pardo:v1" in str(found["org.apache.beam.model.pipeline.v1.StandardPTransforms.Primitives.PAR_DO"])
    assert "PTRANSFORM" in str(found["org.apache.beam.model.pipeline.v1.MonitoringInfoSpecs.Enum.WORK_REMAINING"])
    assert "stream" in str(found["org.apache.beam.model.fn_execution.v1.BeamFnControl.Control"])


def test_both_sets_of_classes_live_in_one_process_and_read_each_other() -> None:
    ours = pipeline_pb2.Pipeline(root_transform_ids=["a"])
    ours.components.coders["c"].spec.urn = urns.Coder.VARINT
    theirs = beam_runner_api_pb2.Pipeline.FromString(ours.SerializeToString())
    assert theirs.components.coders["c"].spec.urn == urns.Coder.VARINT
    assert pipeline_pb2.Pipeline.FromString(theirs.SerializeToString()) == ours
    assert not isinstance(ours, beam_runner_api_pb2.Pipeline)


def test_importing_us_leaves_protobufs_default_pool_alone() -> None:
    code = """
import conformance.wire.rpc, conformance.wire.coders
from google.protobuf import descriptor_pool
try:
    descriptor_pool.Default().FindMessageTypeByName("org.apache.beam.model.pipeline.v1.Pipeline")
except KeyError:
    print("alone")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "alone"


# URNs --------------------------------------------------------------------------------------------------------------------


def enum_values() -> Iterator[tuple[str, Any]]:
    """(full name, value descriptor) of every enum value of ours."""

    def of_messages(messages: Any) -> Iterator[Any]:
        for message in messages:
            yield from message.enum_types
            yield from of_messages(message.nested_types)

    for file in OURS:
        for enum in [*file.enum_types_by_name.values(), *of_messages(file.message_types_by_name.values())]:
            for value in enum.values:
                yield f"{enum.full_name}.{value.name}", value


def options(extension: str) -> dict[str, Any]:
    """The extension option of each enum value that has it, by the value's full name."""
    options_class = _pool.message_class("google.protobuf.EnumValueOptions")
    field = _pool.POOL.FindExtensionByName(f"org.apache.beam.model.pipeline.v1.{extension}")
    parsed = {name: options_class.FromString(value.GetOptions().SerializeToString()) for name, value in enum_values()}
    return {name: options.Extensions[field] for name, options in parsed.items() if options.HasExtension(field)}


def option_urns() -> dict[str, str]:
    """Each enum value that has a URN, be it `beam_urn` or within a MonitoringInfoSpec."""
    specs = {name: spec.urn for name, spec in options("monitoring_info_spec").items()}
    return {**options("beam_urn"), **specs}


def constants() -> dict[str, str]:
    """Every constant of `urns`, by namespace and name."""
    return {
        f"{namespace}.{name}": value
        for namespace in urns.__all__
        for name, value in vars(getattr(urns, namespace)).items()
        if not name.startswith("_")
    }


def test_every_urn_of_the_protos_is_a_constant_and_the_other_way_round() -> None:
    assert len(option_urns()) > 150
    assert set(option_urns().values()) == set(constants().values())


def test_constants_are_named_as_in_the_protos() -> None:
    """But for the suffix of MonitoringInfoTypeUrns, and for window functions, whose enum values are all called PROPERTIES."""
    names: dict[str, set[str]] = {}
    for full_name, urn in option_urns().items():
        names.setdefault(urn, set()).add(full_name.rpartition(".")[2].removesuffix("_TYPE"))
    strange = {name for name, urn in constants().items() if name.partition(".")[2] not in names[urn]}
    assert {name for name in strange if not name.startswith("WindowFn.")} == set()


def test_bounds_of_time_are_those_of_the_protos() -> None:
    found = {name.rpartition(".")[2]: text for name, text in options("beam_constant").items() if ".BeamConstants." in name}
    assert found == {
        "MIN_TIMESTAMP_MILLIS": str(timestamps.MIN),
        "MAX_TIMESTAMP_MILLIS": str(timestamps.MAX),
        "GLOBAL_WINDOW_MAX_TIMESTAMP_MILLIS": str(timestamps.GLOBAL_WINDOW_MAX),
    }


def test_no_urn_stands_under_two_names_of_one_namespace() -> None:
    for namespace in urns.__all__:
        own = [value for name, value in vars(getattr(urns, namespace)).items() if not name.startswith("_")]
        assert len(own) == len(set(own)), namespace


@pytest.mark.parametrize("module", our_modules(), ids=lambda module: module.__name__.rpartition(".")[2])
def test_modules_offer_what_their_descriptors_hold(module: ModuleType) -> None:
    for name in module.DESCRIPTOR.message_types_by_name:
        assert getattr(module, name)().SerializeToString() == b""
    for name, enum in module.DESCRIPTOR.enum_types_by_name.items():
        assert getattr(module, name).items() == [(value.name, value.number) for value in enum.values]
    for name, extension in module.DESCRIPTOR.extensions_by_name.items():
        assert getattr(module, f"{name.upper()}_FIELD_NUMBER") == extension.number
