"""Dynamic splits: where a bundle's input is cut, between elements or inside the one that runs (P-SPL-01..12)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.wire.api import fn_pb2

if TYPE_CHECKING:
    from conformance.harness.operations import Source
    from conformance.harness.processor import Processor

__all__ = ["first_residual", "split_bundle"]


def first_residual(index: int, done: float, stop: int, fraction: float, allowed: list[int]) -> int | None:
    """The index of the first element to give away so that about `fraction` of what is left stays; None if nothing can go.

    `index` is the element being processed (-1 before the first), `done` the part of it that is done, `stop` the end of the
    input. The element being processed always stays.
    """
    at = max(index, 0)
    keep = (stop - at - done) * fraction
    earliest = index + 1
    wanted = max(at + round(done + keep), earliest)
    if allowed:
        points = [point for point in sorted(allowed) if earliest <= point < stop]
        if not points:
            return None
        return min(points, key=lambda point: abs(point - wanted))
    return wanted if wanted < stop else None


def split_bundle(
    processor: Processor, request: fn_pb2.ProcessBundleSplitRequest, *, behind_the_last: bool = False
) -> fn_pb2.ProcessBundleSplitResponse:
    """Split every source that the request names, or by `behind_the_last` where its input is said to end.

    A stage with state is never split: its keys would run twice (P-SPL-12).
    """
    response = fn_pb2.ProcessBundleSplitResponse()
    if processor.plan.stateful or processor.plan.families:
        return response
    for transform_id, desired in request.desired_splits.items():
        source = processor.sources.get(transform_id)
        if source is not None:
            if behind_the_last:
                _split_at_the_end(source, desired, response)
            else:
                _split_source(processor, source, desired, response)
    return response


def _split_at_the_end(
    source: Source,
    desired: fn_pb2.ProcessBundleSplitRequest.DesiredSplit,
    response: fn_pb2.ProcessBundleSplitResponse,
) -> None:
    """An estimate may be too low; then this is a split like any other, for nothing behind it is processed."""
    with source.lock:
        source.stop = max(desired.estimated_input_elements, source.index + 1)
        response.channel_splits.add(
            transform_id=source.node.transform_id, last_primary_element=source.stop - 1, first_residual_element=source.stop
        )


def _split_source(
    processor: Processor,
    source: Source,
    desired: fn_pb2.ProcessBundleSplitRequest.DesiredSplit,
    response: fn_pb2.ProcessBundleSplitResponse,
) -> None:
    allowed = list(desired.allowed_split_points)
    sdf = processor.splittable(source)
    with source.lock:  # no next element begins while we decide
        index = source.index
        stop = desired.estimated_input_elements if source.stop is None else min(source.stop, desired.estimated_input_elements)
        stop = max(stop, index + 1)
        done = 0.0
        progress = sdf.progress() if sdf else None
        if progress and sum(progress):
            done = progress[0] / sum(progress)
        keep = (stop - max(index, 0) - done) * desired.fraction_of_remainder
        inside_allowed = not allowed or {index, index + 1} <= set(allowed)
        if sdf is not None and progress is not None and keep < 1 - done and inside_allowed:
            parts = sdf.try_split(keep / (1 - done) if done < 1 else 0.0)
            if parts is not None:
                primary, residual = parts
                response.primary_roots.extend(primary)
                response.residual_roots.append(residual)
                response.channel_splits.add(
                    transform_id=source.node.transform_id, last_primary_element=index - 1, first_residual_element=index + 1
                )
                source.stop = index + 1
                return
        first = first_residual(index, done, stop, desired.fraction_of_remainder, allowed)
        if first is None:
            return
        response.channel_splits.add(
            transform_id=source.node.transform_id, last_primary_element=first - 1, first_residual_element=first
        )
        source.stop = first
