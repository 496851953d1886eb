"""Windowing strategies read for the runner's purposes. Facts about protos only; what they mean is in `rules`."""

from __future__ import annotations

from typing import Any

from conformance.runner.plan import Strategy
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["global_proto", "strategy"]

_KINDS = {urns.Coder.GLOBAL_WINDOW: "global", urns.Coder.INTERVAL_WINDOW: "interval"}


def strategy(strategy_id: str, proto: Any, window_urn: str) -> Strategy:
    """The strategy whose windows travel in a coder of `window_urn`. merge_status decides, not the WindowFn (M-WIN-12)."""
    merging = "none"
    if proto.merge_status == pb.MergeStatus.NEEDS_MERGE:
        merging = "sessions" if proto.window_fn.urn == urns.WindowFn.SESSION else "custom"
    return Strategy(
        strategy_id,
        _KINDS.get(window_urn, "custom"),
        merging,
        proto.output_time,
        max(proto.allowed_lateness, 0),
        proto.accumulation_mode,
        proto.on_time_behavior != pb.OnTimeBehavior.FIRE_IF_NONEMPTY,
        proto.closing_behavior == pb.ClosingBehavior.EMIT_ALWAYS,
        proto,
    )


def global_proto(window_coder_id: str, environment: str) -> Any:
    """The default strategy in the global window, for PCollections that the runner makes up."""
    proto = pb.WindowingStrategy(
        merge_status=pb.MergeStatus.NON_MERGING,
        window_coder_id=window_coder_id,
        accumulation_mode=pb.AccumulationMode.DISCARDING,
        output_time=pb.OutputTime.END_OF_WINDOW,
        closing_behavior=pb.ClosingBehavior.EMIT_IF_NONEMPTY,
        on_time_behavior=pb.OnTimeBehavior.FIRE_ALWAYS,
        environment_id=environment,
    )
    proto.window_fn.urn = urns.WindowFn.GLOBAL
    proto.trigger.default.SetInParent()
    return proto
