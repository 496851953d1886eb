"""Packing keeps programs apart and valid; drawings are self-contained, complete and well formed."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from conformance.pipeline import Fn, PipelineError, Program, coders, draw, pack, state, teststream, triggers, validate, windowing
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

ENVIRONMENT = pb.Environment(urn=urns.Env.EXTERNAL, payload=b"x")


def program(values: list[tuple[str, int]]) -> pb.Pipeline:
    built = Program()
    keyed = built.create(values)
    keyed.combine_per_key(Fn("sum"), coders.VARINT, coders.VARINT).observe("sum")
    keyed.par_do(
        Fn("count_by_key"),
        state={"count": state.value(coders.VARINT)},
        timers={"t": "event"},
        side_inputs={"s": keyed.as_iterable()},
    )
    keyed.par_do(Fn("range"), restriction_coder=coders.OFFSET_RANGE, name="sdf")
    keyed.window_into(windowing.fixed(10_000), trigger=triggers.repeatedly(triggers.after_count(2))).group_by_key()
    built.test_stream([teststream.Elements([(1, 1)])], coders.VARINT)
    return built.build(ENVIRONMENT)


def test_a_pack_is_valid_and_keeps_its_parts_apart() -> None:
    packed = pack([("b0", program([("a", 1)])), ("b1", program([("b", 2)]))])
    validate(packed)
    single = program([("a", 1)])
    assert len(packed.components.transforms) == 2 * len(single.components.transforms)
    assert len(packed.components.coders) == len(single.components.coders)
    assert list(packed.components.environments) == ["harness"]
    assert packed.components.transforms["b1.create"].unique_name == "b1/create"
    assert set(packed.requirements) == set(single.requirements)
    for prefix in ("b0", "b1"):
        mine = [each for each in packed.components.transforms if each.startswith(prefix)]
        for transform_id in mine:
            transform = packed.components.transforms[transform_id]
            assert all(end.startswith(prefix) for end in (*transform.inputs.values(), *transform.outputs.values()))


def test_packs_of_packs_and_of_other_environments() -> None:
    other = Program()
    other.create([("a", 1)])
    packed = pack(
        [("x", pack([("y", program([("a", 1)]))])), ("z", other.build(pb.Environment(urn=urns.Env.PROCESS, payload=b"y")))]
    )
    validate(packed)
    assert sorted(packed.components.environments) == ["harness", "z.harness"]
    assert packed.components.transforms["z.create"].environment_id == "z.harness"
    assert "x.y.create" in packed.components.transforms


def test_equal_prefixes_are_refused() -> None:
    with pytest.raises(PipelineError, match="'b'"):
        pack([("b", program([("a", 1)])), ("b", program([("a", 1)]))])


def test_the_drawings_show_every_leaf_and_the_windowing() -> None:
    pipeline = program([("a", 1)])
    leaves = [each for each in pipeline.components.transforms.values() if not each.subtransforms]
    text = draw.mermaid(pipeline)
    assert text.startswith("flowchart TD\n")
    assert all(leaf.unique_name.rpartition("/")[2] in text for leaf in leaves)
    assert "fixed 10 s, repeat(count 2)" in text
    assert "-.->" in text
    picture = draw.svg(pipeline)
    root = ElementTree.fromstring(picture)
    space = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{space}rect")) == len(leaves)
    shown = "".join(root.itertext())
    assert "fixed 10 s" in shown
    assert "pardo: count_by_key" in shown
    assert "currentColor" in picture
    assert "http" not in picture.replace("http://www.w3.org/2000/svg", "")
    boxes = [tuple(float(rect.get(name, "")) for name in ("x", "y", "width", "height")) for rect in root.findall(f"{space}rect")]
    for number, (x, y, width, height) in enumerate(boxes):
        for ox, oy, owidth, oheight in boxes[number + 1 :]:
            assert x + width <= ox or ox + owidth <= x or y + height <= oy or oy + oheight <= y, "boxes overlap"


def test_text_in_drawings_is_escaped() -> None:
    built = Program()
    built.create([1], name='<script>"&')
    pipeline = built.build(ENVIRONMENT)
    ElementTree.fromstring(draw.svg(pipeline))
    assert "<script>" not in draw.svg(pipeline)
    assert "<script>" not in draw.mermaid(pipeline)


def test_an_invalid_pipeline_is_drawn_too() -> None:
    pipeline = program([("a", 1)])
    pipeline.components.transforms["create"].inputs["in"] = "count_by_key.out"
    pipeline.components.transforms["group_by_key"].inputs["in"] = "gone"
    ElementTree.fromstring(draw.svg(pipeline))
    draw.mermaid(pipeline)
    pipeline.components.transforms["count_by_key"].spec.payload = b"\xff"
    ElementTree.fromstring(draw.svg(pipeline))
    draw.mermaid(pipeline)
    ElementTree.fromstring(draw.svg(pb.Pipeline()))
