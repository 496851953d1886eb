"""Elements of TestStreams as SDKs write them, brought into the wire coder of their PCollection."""

from __future__ import annotations

import pytest

from conformance.runner import environments, script
from conformance.runner.script import GO_CUSTOM
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

GO = pb.Environment(capabilities=["beam:version:sdk_base:go:2.77.0"])
PYTHON = pb.Environment(capabilities=["beam:version:sdk_base:apache/beam_python3.11_sdk:2.77.0"])
CODERS = {
    "string": pb.Coder(spec=pb.FunctionSpec(urn=urns.Coder.STRING_UTF8)),
    "go": pb.Coder(spec=pb.FunctionSpec(urn=GO_CUSTOM)),
    "go/wire": pb.Coder(spec=pb.FunctionSpec(urn=urns.Coder.LENGTH_PREFIX), component_coder_ids=["go"]),
    "row": pb.Coder(spec=pb.FunctionSpec(urn="beam:coder:of_some_sdk:v1")),
    "row/wire": pb.Coder(spec=pb.FunctionSpec(urn=urns.Coder.LENGTH_PREFIX), component_coder_ids=["row"]),
    "pair": pb.Coder(spec=pb.FunctionSpec(urn=urns.Coder.KV), component_coder_ids=["string", "go"]),
    "pair/wire": pb.Coder(spec=pb.FunctionSpec(urn=urns.Coder.KV), component_coder_ids=["string", "go/wire"]),
}


@pytest.mark.parametrize(
    ("coder", "wire", "nested", "written", "sent"),
    [
        ("string", "string", False, b"a", b"\x01a"),
        ("string", "string", True, b"\x01a", b"\x01a"),
        ("go", "go/wire", True, b"\x02\xb6\x01", b"\x02\xb6\x01"),
        ("go", "go/wire", False, b"\xb6\x01", b"\x02\xb6\x01"),
        ("row", "row/wire", True, b"\x02\x00", b"\x02\x02\x00"),
        ("pair", "pair/wire", True, b"\x01a\x02\xb6\x01", b"\x01a\x02\xb6\x01"),
    ],
)
def test_elements_reach_their_wire_coder(coder, wire, nested, written, sent):
    assert script.encoder(coder, wire, CODERS, nested)(written) == sent


@pytest.mark.parametrize(("all_of", "nested"), [([GO], True), ([PYTHON], False), ([GO, PYTHON], False), ([], False)])
def test_only_pipelines_of_the_go_sdk_alone_nest(all_of, nested):
    assert environments.nests_test_streams(all_of) is nested
