"""Pictures of a pipeline: Mermaid text, and a small self-contained SVG. Leaves are boxes, composites frames, PCollections arrows.

The SVG uses `currentColor` only, so that it reads in light and dark; windowing stands on an arrow where it is not global.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from html import escape

from attrs import frozen
from google.protobuf.message import DecodeError

from conformance.pipeline.fn import FN_URN, Fn
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.api import windows_pb2

__all__ = ["mermaid", "svg"]

_BOX_HEIGHT, _GAP_X, _GAP_Y, _CHARACTER = 34, 22, 34, 6.2


@frozen
class _Box:
    """A leaf transform: its name within its parents, and what it does."""

    id: str
    name: str
    what: str

    @property
    def width(self) -> float:
        return max(len(self.name) * _CHARACTER, len(self.what) * _CHARACTER * 0.86, 60) + 18


@frozen
class _Arrow:
    """A PCollection from its producer to one consumer; `side` for side inputs."""

    source: str
    target: str
    label: str
    side: bool


def _short(urn: str) -> str:
    return re.sub(r":v\d+$", "", urn).rpartition(":")[2] or "composite"


def _what(transform: pb.PTransform) -> str:
    """The URN's short name, with the function of a ParDo."""
    kind = _short(transform.spec.urn)
    payload = _par_do(transform)
    if payload is not None and payload.do_fn.urn == FN_URN:
        return f"{kind}: {_fn_name(payload.do_fn)}"
    return kind


def _par_do(transform: pb.PTransform) -> pb.ParDoPayload | None:
    """The payload of a ParDo; None for another transform and for bytes that are no payload."""
    if transform.spec.urn != urns.Transform.PAR_DO:
        return None
    try:
        return pb.ParDoPayload.FromString(transform.spec.payload)
    except DecodeError:
        return None


def _fn_name(spec: pb.FunctionSpec) -> str:
    try:
        return Fn.from_spec(spec).name
    except ValueError:
        return "?"


_TRIGGERS = {
    "after_processing_time": "processing time",
    "after_synchronized_processing_time": "synchronized time",
    "after_end_of_window": "watermark",
    "after_all": "all",
    "after_any": "any",
    "after_each": "each",
}


def _trigger(trigger: pb.Trigger) -> str:
    """The trigger in words, with its parts."""
    kind = trigger.WhichOneof("trigger")
    if kind is None:
        return "no trigger"
    body = getattr(trigger, kind)
    name = _TRIGGERS.get(kind, kind.replace("_", " "))
    match kind:
        case "element_count":
            return f"count {body.element_count}"
        case "repeat":
            return f"repeat({_trigger(body.subtrigger)})"
        case "or_finally":
            return f"{_trigger(body.main)} or finally {_trigger(getattr(body, 'finally'))}"
        case "after_end_of_window":
            parts = [f"{part.split('_')[0]} {_trigger(getattr(body, part))}" for part in _PHASES if body.HasField(part)]
        case "after_all" | "after_any" | "after_each":
            parts = [_trigger(part) for part in body.subtriggers]
        case _:
            parts = []
    return f"{name}({', '.join(parts)})" if parts else name


#: Lateness beyond this many milliseconds (a century) needs no figure.
_FOREVER = 100 * 365 * 86_400_000
_PHASES = ("early_firings", "late_firings")


def _windowing(strategy: pb.WindowingStrategy) -> str:
    """The window function in words; nothing for the global one."""
    spec = strategy.window_fn

    def seconds(duration: object) -> str:
        return f"{duration.seconds + duration.nanos / 1e9:g} s"  # type: ignore[attr-defined]

    match spec.urn:
        case urns.WindowFn.GLOBAL:
            words = ""
        case urns.WindowFn.FIXED:
            words = f"fixed {seconds(windows_pb2.FixedWindowsPayload.FromString(spec.payload).size)}"
        case urns.WindowFn.SLIDING:
            sliding = windows_pb2.SlidingWindowsPayload.FromString(spec.payload)
            words = f"sliding {seconds(sliding.size)} every {seconds(sliding.period)}"
        case urns.WindowFn.SESSION:
            words = f"sessions {seconds(windows_pb2.SessionWindowsPayload.FromString(spec.payload).gap_size)}"
        case _:
            words = f"windows of {_fn_name(spec)}" if spec.urn == FN_URN else _short(spec.urn)
    parts = [words]
    if strategy.trigger.WhichOneof("trigger") not in (None, "default"):
        parts.append(_trigger(strategy.trigger))
    if strategy.accumulation_mode == pb.AccumulationMode.ACCUMULATING:
        parts.append("accumulating")
    if strategy.allowed_lateness and parts != [""]:
        parts.append("any lateness" if strategy.allowed_lateness > _FOREVER else f"lateness {strategy.allowed_lateness} ms")
    return ", ".join(filter(None, parts))


def _leaves(pipeline: pb.Pipeline) -> list[_Box]:
    return [
        _Box(id_, transform.unique_name, _what(transform))
        for id_, transform in pipeline.components.transforms.items()
        if not transform.subtransforms
    ]


def _arrows(pipeline: pb.Pipeline, boxes: Iterable[_Box]) -> list[_Arrow]:
    components = pipeline.components
    ids = [box.id for box in boxes]
    producer = {collection: id_ for id_ in ids for collection in components.transforms[id_].outputs.values()}
    arrows = []
    for id_ in sorted(ids):
        transform = components.transforms[id_]
        payload = _par_do(transform)
        sides = set(payload.side_inputs) if payload is not None else set()
        for local, collection in sorted(transform.inputs.items()):
            if collection in producer and producer[collection] != id_:
                strategy = components.windowing_strategies.get(components.pcollections[collection].windowing_strategy_id)
                outputs = components.transforms[producer[collection]].outputs
                tag = next(name for name, each in outputs.items() if each == collection) if len(outputs) > 1 else ""
                label = ": ".join(filter(None, [tag, _windowing(strategy) if strategy is not None else ""]))
                arrows.append(_Arrow(producer[collection], id_, label, local in sides))
    return arrows


def mermaid(pipeline: pb.Pipeline) -> str:
    """A Mermaid flowchart; composites are subgraphs."""
    boxes = {box.id: box for box in _leaves(pipeline)}
    number = {id_: f"t{index}" for index, id_ in enumerate(sorted(pipeline.components.transforms))}
    lines = ["flowchart TD"]

    def quoted(*texts: str) -> str:
        # Mermaid reads HTML inside quotes, so what is not ours is escaped; <br/> is ours.
        return '"' + "<br/>".join(escape(line).replace("&quot;", "#quot;") for line in texts) + '"'

    def place(id_: str, depth: int) -> None:
        transform = pipeline.components.transforms.get(id_)
        if transform is None:  # an invalid pipeline is drawn too, as far as it goes: evidence of a negative test
            return
        indent = "  " * depth
        if id_ in boxes:
            name = transform.unique_name.rpartition("/")[2]
            lines.append(f"{indent}{number[id_]}[{quoted(name, boxes[id_].what)}]")
            return
        lines.append(f"{indent}subgraph {number[id_]} [{quoted(transform.unique_name.rpartition('/')[2])}]")
        for sub in transform.subtransforms:
            place(sub, depth + 1)
        lines.append(f"{indent}end")

    for root in pipeline.root_transform_ids:
        place(root, 1)
    for arrow in _arrows(pipeline, boxes.values()):
        line = "-.->" if arrow.side else "-->"
        label = f"|{quoted(arrow.label)}|" if arrow.label else ""
        lines.append(f"  {number[arrow.source]} {line}{label} {number[arrow.target]}")
    return "\n".join(lines) + "\n"


def _layers(boxes: list[_Box], arrows: list[_Arrow]) -> list[list[_Box]]:
    """Boxes by the longest way from a root, and within a layer near what feeds them."""
    incoming: dict[str, list[str]] = defaultdict(list)
    for arrow in arrows:
        incoming[arrow.target].append(arrow.source)
    depth: dict[str, int] = {}

    def find(id_: str, on_the_way: frozenset[str]) -> int:
        if id_ not in depth:
            above = [find(source, on_the_way | {id_}) for source in incoming[id_] if source not in on_the_way]
            depth[id_] = 1 + max(above, default=-1)
        return depth[id_]

    layers: dict[int, list[_Box]] = defaultdict(list)
    for box in boxes:
        layers[find(box.id, frozenset())].append(box)
    place: dict[str, float] = {}
    ordered = []
    for level in sorted(layers):

        def wish(box: _Box) -> tuple[float, str]:
            above = [place[source] for source in incoming[box.id] if source in place]
            return (sum(above) / len(above) if above else 0.5, box.id)

        layer = sorted(layers[level], key=wish)
        place.update({box.id: (index + 0.5) / len(layer) for index, box in enumerate(layer)})
        ordered.append(layer)
    return ordered


def svg(pipeline: pb.Pipeline) -> str:
    """A layered drawing from top to bottom."""
    boxes = _leaves(pipeline)
    arrows = _arrows(pipeline, boxes)
    layers = _layers(boxes, arrows)
    widths = [sum(box.width for box in layer) + _GAP_X * (len(layer) - 1) for layer in layers]
    width = max(widths, default=60) + 24
    height = len(layers) * (_BOX_HEIGHT + _GAP_Y) - _GAP_Y + 24
    where: dict[str, tuple[float, float, float]] = {}
    for level, (layer, total) in enumerate(zip(layers, widths, strict=True)):
        x = (width - total) / 2
        for box in layer:
            where[box.id] = (x, 12 + level * (_BOX_HEIGHT + _GAP_Y), box.width)
            x += box.width + _GAP_X
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" '
        'role="img" font-family="system-ui, sans-serif" font-size="11" fill="currentColor">',
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z"/></marker></defs>',
    ]
    parts += [_arrow_svg(arrow, where) for arrow in arrows]
    parts += [_box_svg(box, where[box.id]) for box in boxes]
    return "".join([*parts, "</svg>"])


def _box_svg(box: _Box, place: tuple[float, float, float]) -> str:
    x, y, width = place
    middle = x + width / 2
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{_BOX_HEIGHT}" rx="6" fill="currentColor" fill-opacity="0.06" '
        f'stroke="currentColor" stroke-opacity="0.45"/>'
        f'<text x="{middle:.1f}" y="{y + 14:.1f}" text-anchor="middle">{escape(box.name)}</text>'
        f'<text x="{middle:.1f}" y="{y + 27:.1f}" text-anchor="middle" font-size="9.5" fill-opacity="0.65">{escape(box.what)}</text>'
    )


def _arrow_svg(arrow: _Arrow, where: dict[str, tuple[float, float, float]]) -> str:
    (x1, y1, w1), (x2, y2, w2) = where[arrow.source], where[arrow.target]
    start, end = (x1 + w1 / 2, y1 + _BOX_HEIGHT), (x2 + w2 / 2, y2)
    bend = (end[1] - start[1]) / 2
    dashes = ' stroke-dasharray="4 3"' if arrow.side else ""
    path = (
        f'<path d="M{start[0]:.1f} {start[1]:.1f}C{start[0]:.1f} {start[1] + bend:.1f} {end[0]:.1f} {end[1] - bend:.1f} '
        f'{end[0]:.1f} {end[1]:.1f}" fill="none" stroke="currentColor" stroke-opacity="0.6"{dashes} marker-end="url(#a)"/>'
    )
    if not arrow.label:
        return path
    x, y = (start[0] + end[0]) / 2 + 5, (start[1] + end[1]) / 2 + 3
    return path + f'<text x="{x:.1f}" y="{y:.1f}" font-size="9" fill-opacity="0.75">{escape(arrow.label)}</text>'
