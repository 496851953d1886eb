"""Pictures of a pipeline: Mermaid text and a small self-contained SVG. Leaves are boxes, PCollections are arrows, and an arrow that
changes the windowing says how."""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Iterable

from attrs import frozen

from conformance.pipeline.fn import FN_URN, Fn
from conformance.wire import urns
from conformance.wire.api import google_pb2, windows_pb2
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["mermaid", "svg"]

_BOX_HEIGHT, _LAYER_GAP, _COLUMN_GAP, _CHARACTER, _MARGIN = 44, 34, 24, 6.6, 12
_TRIGGERS = {
    "after_all": "all",
    "after_any": "any",
    "after_each": "each",
    "after_end_of_window": "watermark",
    "after_processing_time": "processing time",
    "after_synchronized_processing_time": "synchronized",
    "element_count": "count",
    "or_finally": "or finally",
}


@frozen
class _Box:
    transform_id: str
    title: str
    subtitle: str


@frozen
class _Arrow:
    source: str
    target: str
    label: str
    side: bool


def _short(urn: str) -> str:
    return urn.removeprefix("beam:transform:").removeprefix("beam:").rsplit(":v", 1)[0]


def _span(value: google_pb2.Duration | google_pb2.Timestamp) -> str:
    milliseconds = value.seconds * 1000 + value.nanos // 1_000_000
    return f"{milliseconds // 1000} s" if milliseconds and milliseconds % 1000 == 0 else f"{milliseconds} ms"


def _window_fn(spec: pb.FunctionSpec) -> str:
    if spec.urn == urns.WindowFn.GLOBAL:
        return "global"
    if spec.urn == urns.WindowFn.FIXED:
        return f"fixed {_span(windows_pb2.FixedWindowsPayload.FromString(spec.payload).size)}"
    if spec.urn == urns.WindowFn.SLIDING:
        sliding = windows_pb2.SlidingWindowsPayload.FromString(spec.payload)
        return f"sliding {_span(sliding.size)} / {_span(sliding.period)}"
    if spec.urn == urns.WindowFn.SESSION:
        return f"sessions {_span(windows_pb2.SessionWindowsPayload.FromString(spec.payload).gap_size)}"
    if spec.urn == FN_URN:
        return f"custom {Fn.from_spec(spec).name}"
    return _short(spec.urn)


def _trigger(trigger: pb.Trigger) -> str:
    kind = trigger.WhichOneof("trigger") or "none"
    body = getattr(trigger, kind, None)
    name = _TRIGGERS.get(kind, kind)
    if kind == "element_count":
        return f"count {trigger.element_count.element_count}"
    if kind == "repeat":
        return f"repeat({_trigger(trigger.repeat.subtrigger)})"
    if kind == "after_end_of_window":
        window = trigger.after_end_of_window
        parts = [
            f"{label} {_trigger(getattr(window, field))}"
            for label, field in (("early", "early_firings"), ("late", "late_firings"))
            if window.HasField(field)  # type: ignore[arg-type]
        ]
        return f"watermark({', '.join(parts)})" if parts else "watermark"
    if kind == "or_finally":
        return f"{_trigger(trigger.or_finally.main)} or finally {_trigger(getattr(trigger.or_finally, 'finally'))}"
    if body is not None and hasattr(body, "subtriggers"):
        return f"{name}({', '.join(map(_trigger, body.subtriggers))})"
    return name


def _strategy(strategy: pb.WindowingStrategy) -> str:
    """The windowing in a few words; nothing for the plain global window."""
    parts = [_window_fn(strategy.window_fn)]
    kind = strategy.trigger.WhichOneof("trigger")
    if kind not in (None, "default"):
        parts.append(_trigger(strategy.trigger))
    if strategy.accumulation_mode == pb.AccumulationMode.ACCUMULATING:
        parts.append("accumulating")
    if strategy.allowed_lateness:
        parts.append(f"lateness {strategy.allowed_lateness} ms")
    return "" if parts == ["global"] else ", ".join(parts)


def _boxes(pipeline: pb.Pipeline) -> dict[str, _Box]:
    found = {}
    for transform_id, transform in pipeline.components.transforms.items():
        if transform.subtransforms:
            continue
        subtitle = _short(transform.spec.urn) or "empty"
        if transform.spec.urn == urns.Transform.PAR_DO:
            do_fn = pb.ParDoPayload.FromString(transform.spec.payload).do_fn
            if do_fn.urn == FN_URN:
                subtitle = f"pardo {Fn.from_spec(do_fn).name}"
        found[transform_id] = _Box(transform_id, transform.unique_name, subtitle)
    return found


def _arrows(pipeline: pb.Pipeline, boxes: Iterable[str]) -> list[_Arrow]:
    parts = pipeline.components
    leaves = {transform_id: parts.transforms[transform_id] for transform_id in boxes}
    producer = {collection: leaf for leaf, proto in leaves.items() for collection in proto.outputs.values()}
    arrows = []
    for leaf, proto in leaves.items():
        is_pardo = proto.spec.urn == urns.Transform.PAR_DO
        sides = set(pb.ParDoPayload.FromString(proto.spec.payload).side_inputs) if is_pardo else set()
        for local, collection in proto.inputs.items():
            source = producer.get(collection)
            if source is None or source == leaf:
                continue
            outputs = leaves[source].outputs
            tag = next((name for name, each in outputs.items() if each == collection), "")
            labels = [tag if len(outputs) > 1 else ""]
            if collection in parts.pcollections:
                strategy_id = parts.pcollections[collection].windowing_strategy_id
                if strategy_id in parts.windowing_strategies:
                    labels.append(_strategy(parts.windowing_strategies[strategy_id]))
            arrows.append(_Arrow(source, leaf, ": ".join(filter(None, labels)), local in sides))
    return arrows


def mermaid(pipeline: pb.Pipeline) -> str:
    """A Mermaid flowchart: boxes with names and URNs, arrows with tags and windowing, side inputs dashed."""
    boxes = _boxes(pipeline)
    ids = {transform_id: f"t{number}" for number, transform_id in enumerate(sorted(boxes))}
    lines = ["flowchart TD"]
    for transform_id, name in ids.items():
        box = boxes[transform_id]
        lines.append(f'  {name}["{_quoted(box.title)}<br/><small>{_quoted(box.subtitle)}</small>"]')
    for arrow in sorted(_arrows(pipeline, boxes), key=lambda each: (each.source, each.target, each.label)):
        line = "-.->" if arrow.side else "-->"
        label = f'|"{_quoted(arrow.label)}"|' if arrow.label else ""
        lines.append(f"  {ids[arrow.source]} {line}{label} {ids[arrow.target]}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return html.escape(text, quote=True).replace("&#x27;", "#39;").replace("&quot;", "#quot;")


def _layers(boxes: Iterable[str], arrows: list[_Arrow]) -> list[list[str]]:
    """Longest-path layers, each ordered by where its producers stand. A cycle (an invalid pipeline) ends where it closes."""
    producers: dict[str, list[str]] = defaultdict(list)
    for arrow in arrows:
        producers[arrow.target].append(arrow.source)
    depth: dict[str, int] = {}

    def depth_of(box: str, path: frozenset[str]) -> int:
        if box not in depth:
            above = [each for each in producers[box] if each not in path]
            depth[box] = 1 + max((depth_of(each, path | {box}) for each in above), default=-1)
        return depth[box]

    layers: dict[int, list[str]] = defaultdict(list)
    for box in boxes:
        layers[depth_of(box, frozenset({box}))].append(box)
    ordered: list[list[str]] = []
    place: dict[str, float] = {}
    for level in sorted(layers):

        def centre(box: str) -> tuple[float, str]:
            above = [place[each] for each in producers[box] if each in place]
            return (sum(above) / len(above) if above else 0.0), box

        layer = sorted(layers[level], key=centre)
        place.update({box: float(number) for number, box in enumerate(layer)})
        ordered.append(layer)
    return ordered


def _clip(text: str, limit: int = 42) -> str:
    return text if len(text) <= limit else f"…{text[-limit + 1 :]}"


def svg(pipeline: pb.Pipeline) -> str:
    """A self-contained SVG, layered top to bottom, in currentColor so that it reads on light and dark."""
    boxes = _boxes(pipeline)
    arrows = _arrows(pipeline, boxes)
    layers = _layers(boxes, arrows)
    widths = {key: max(len(_clip(box.title)), len(_clip(box.subtitle)), 8) * _CHARACTER + 20 for key, box in boxes.items()}
    layer_widths = [sum(widths[box] for box in layer) + _COLUMN_GAP * (len(layer) - 1) for layer in layers]
    width = max(layer_widths, default=100.0) + 2 * _MARGIN
    height = len(layers) * (_BOX_HEIGHT + _LAYER_GAP) - _LAYER_GAP + 2 * _MARGIN if layers else 2 * _MARGIN
    left: dict[str, float] = {}
    top: dict[str, float] = {}
    for level, layer in enumerate(layers):
        x = (width - layer_widths[level]) / 2
        for box in layer:
            left[box], top[box] = x, _MARGIN + level * (_BOX_HEIGHT + _LAYER_GAP)
            x += widths[box] + _COLUMN_GAP
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}" '
        'font-family="ui-monospace, monospace" font-size="11" fill="currentColor" stroke="none" role="img">',
        f"<title>pipeline of {len(boxes)} transforms</title>",
        '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="currentColor"/></marker></defs>',
    ]
    for arrow in arrows:
        x1, y1 = left[arrow.source] + widths[arrow.source] / 2, top[arrow.source] + _BOX_HEIGHT
        x2, y2 = left[arrow.target] + widths[arrow.target] / 2, top[arrow.target]
        middle = (y1 + y2) / 2
        dash = ' stroke-dasharray="4 3"' if arrow.side else ""
        parts.append(
            f'<path d="M{x1:.0f} {y1:.0f}C{x1:.0f} {middle:.0f} {x2:.0f} {middle:.0f} {x2:.0f} {y2:.0f}" fill="none" '
            f'stroke="currentColor" stroke-opacity=".6"{dash} marker-end="url(#a)"/>'
        )
        if arrow.label:
            label = html.escape(_clip(arrow.label, 60))
            parts.append(
                f'<text x="{(x1 + x2) / 2 + 6:.0f}" y="{middle + 4:.0f}" font-size="9" fill-opacity=".75">{label}</text>'
            )
    for key, box in boxes.items():
        x, y, w = left[key], top[key], widths[key]
        parts.append(
            f'<rect x="{x:.0f}" y="{y:.0f}" width="{w:.0f}" height="{_BOX_HEIGHT}" rx="5" fill="currentColor" fill-opacity=".06" '
            'stroke="currentColor" stroke-opacity=".5"/>'
            f'<text x="{x + w / 2:.0f}" y="{y + 18:.0f}" text-anchor="middle">{html.escape(_clip(box.title))}</text>'
            f'<text x="{x + w / 2:.0f}" y="{y + 34:.0f}" text-anchor="middle" font-size="9" fill-opacity=".7">'
            f"{html.escape(_clip(box.subtitle))}</text>"
        )
    parts.append("</svg>")
    return "".join(parts)
