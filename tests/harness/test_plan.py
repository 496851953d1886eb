"""What of a bundle descriptor is run: leaves, and transforms with parts that the runner has not sent along."""

from __future__ import annotations

from conformance.harness.plan import Plan
from conformance.wire import urns
from conformance.wire.api import fn_pb2
from conformance.wire.api import pipeline_pb2 as pb


def _combine(*parts: str) -> fn_pb2.ProcessBundleDescriptor:
    spec = pb.FunctionSpec(urn=urns.Transform.COMBINE_GROUPED_VALUES)
    descriptor = fn_pb2.ProcessBundleDescriptor(id="d")
    values = pb.PTransform(unique_name="values", spec=spec, inputs={"in": "a"}, outputs={"out": "b"}, subtransforms=["part"])
    descriptor.transforms["values"].CopyFrom(values)
    for part in parts:
        descriptor.transforms[part].CopyFrom(pb.PTransform(unique_name=part, spec=spec, inputs={"in": "a"}, outputs={"out": "b"}))
    return descriptor


def test_a_composite_is_run_by_its_parts() -> None:
    assert set(Plan(_combine("part")).nodes) == {"part"}


def test_a_composite_without_its_parts_is_run_itself() -> None:
    """The Python job service sends combines so, with the names of parts that are nowhere; Python's own worker runs them by their URN."""
    assert set(Plan(_combine()).nodes) == {"values"}
