"""Window functions and windowing strategies as data. Times are milliseconds; every enum is written out."""

from __future__ import annotations

from typing import Any, Literal

from attrs import evolve, field, frozen

from conformance.pipeline import coders, triggers
from conformance.pipeline.coders import CoderSpec
from conformance.pipeline.fn import FN_URN, Fn
from conformance.wire import timestamps, urns
from conformance.wire.api import google_pb2, windows_pb2
from conformance.wire.api import pipeline_pb2 as pb

__all__ = [
    "GLOBAL",
    "Accumulation",
    "Closing",
    "OnTime",
    "OutputTime",
    "Strategy",
    "WindowFn",
    "custom",
    "fixed",
    "global_windows",
    "sessions",
    "sliding",
]

Accumulation = Literal["discarding", "accumulating", "retracting"]
Closing = Literal["always", "if_nonempty"]
OnTime = Literal["always", "if_nonempty"]
OutputTime = Literal["end_of_window", "latest", "earliest"]

_ACCUMULATION: dict[str, Any] = {
    "discarding": pb.AccumulationMode.DISCARDING,
    "accumulating": pb.AccumulationMode.ACCUMULATING,
    "retracting": pb.AccumulationMode.RETRACTING,
}
_CLOSING: dict[str, Any] = {"always": pb.ClosingBehavior.EMIT_ALWAYS, "if_nonempty": pb.ClosingBehavior.EMIT_IF_NONEMPTY}
_ON_TIME: dict[str, Any] = {"always": pb.OnTimeBehavior.FIRE_ALWAYS, "if_nonempty": pb.OnTimeBehavior.FIRE_IF_NONEMPTY}
_OUTPUT_TIME: dict[str, Any] = {
    "end_of_window": pb.OutputTime.END_OF_WINDOW,
    "latest": pb.OutputTime.LATEST_IN_PANE,
    "earliest": pb.OutputTime.EARLIEST_IN_PANE,
}


@frozen
class WindowFn:
    """A window function: its spec, the coder of its windows, whether it merges, whether an element gets one window."""

    urn: str
    payload: bytes = b""
    window_coder: CoderSpec = coders.INTERVAL_WINDOW
    merging: bool = False
    assigns_to_one_window: bool = True

    def to_spec(self) -> pb.FunctionSpec:
        return pb.FunctionSpec(urn=self.urn, payload=self.payload)

    @property
    def is_global(self) -> bool:
        return self.urn == urns.WindowFn.GLOBAL


def _duration(milliseconds: int) -> google_pb2.Duration:
    seconds, rest = divmod(milliseconds, 1000)
    return google_pb2.Duration(seconds=seconds, nanos=rest * 1_000_000)


def _timestamp(milliseconds: int) -> google_pb2.Timestamp:
    seconds, rest = divmod(milliseconds, 1000)
    return google_pb2.Timestamp(seconds=seconds, nanos=rest * 1_000_000)


def global_windows() -> WindowFn:
    return WindowFn(urns.WindowFn.GLOBAL, window_coder=coders.GLOBAL_WINDOW)


def fixed(size: int, offset: int = 0) -> WindowFn:
    payload = windows_pb2.FixedWindowsPayload(size=_duration(size), offset=_timestamp(offset))
    return WindowFn(urns.WindowFn.FIXED, payload.SerializeToString(deterministic=True))


def sliding(size: int, period: int, offset: int = 0) -> WindowFn:
    payload = windows_pb2.SlidingWindowsPayload(size=_duration(size), period=_duration(period), offset=_timestamp(offset))
    return WindowFn(urns.WindowFn.SLIDING, payload.SerializeToString(deterministic=True), assigns_to_one_window=size == period)


def sessions(gap: int) -> WindowFn:
    payload = windows_pb2.SessionWindowsPayload(gap_size=_duration(gap))
    return WindowFn(urns.WindowFn.SESSION, payload.SerializeToString(deterministic=True), merging=True)


def custom(
    fn: Fn, window_coder: CoderSpec = coders.INTERVAL_WINDOW, merging: bool = False, assigns_to_one_window: bool = False
) -> WindowFn:
    """A window function that only the harness can execute; no runner knows its URN (M-WIN-14)."""
    return WindowFn(FN_URN, fn.payload(), window_coder, merging, assigns_to_one_window)


def _key(table: dict[str, Any], value: int) -> Any:
    return {number: name for name, number in table.items()}[value]


def _bytes(message: pb.Trigger) -> bytes:
    return message.SerializeToString(deterministic=True)


@frozen
class Strategy:
    """A windowing strategy. `merge_status` follows the window function unless it is given."""

    window_fn: WindowFn = field(factory=global_windows)
    trigger: pb.Trigger = field(factory=triggers.default, eq=_bytes)
    accumulation: Accumulation = "discarding"
    allowed_lateness: int = 0
    closing: Closing = "if_nonempty"
    on_time: OnTime = "always"
    output_time: OutputTime = "end_of_window"
    merge_status: int | None = None
    environment: str | None = None

    @property
    def status(self) -> int:
        """The merge status on the wire."""
        if self.merge_status is not None:
            return self.merge_status
        return int(pb.MergeStatus.NEEDS_MERGE if self.window_fn.merging else pb.MergeStatus.NON_MERGING)

    def after_grouping(self) -> Strategy:
        """The strategy of what a grouping emits: continuation trigger (M-TRIG-37), merged windows stay as they are (M-WIN-12)."""
        merged = self.status == pb.MergeStatus.NEEDS_MERGE
        return evolve(
            self,
            trigger=triggers.continuation(self.trigger),
            merge_status=int(pb.MergeStatus.ALREADY_MERGED) if merged else self.merge_status,
        )

    @classmethod
    def from_components(cls, strategy_id: str, components: pb.Components) -> Strategy:
        """The strategy that stands in `components`. Raises KeyError for an enum that this library cannot write."""
        proto = components.windowing_strategies[strategy_id]
        spec = proto.window_fn
        window_fn = WindowFn(
            spec.urn,
            spec.payload,
            CoderSpec.from_components(proto.window_coder_id, components),
            merging=proto.merge_status != pb.MergeStatus.NON_MERGING,
            assigns_to_one_window=proto.assigns_to_one_window,
        )
        return cls(
            window_fn,
            proto.trigger,
            accumulation=_key(_ACCUMULATION, proto.accumulation_mode),
            allowed_lateness=proto.allowed_lateness,
            closing=_key(_CLOSING, proto.closing_behavior),
            on_time=_key(_ON_TIME, proto.on_time_behavior),
            output_time=_key(_OUTPUT_TIME, proto.output_time),
            merge_status=int(proto.merge_status),
            environment=proto.environment_id or None,
        )

    def to_proto(self, window_coder_id: str, environment_id: str) -> pb.WindowingStrategy:
        return pb.WindowingStrategy(
            window_fn=self.window_fn.to_spec(),
            merge_status=self.status,  # type: ignore[arg-type]
            window_coder_id=window_coder_id,
            trigger=self.trigger,
            accumulation_mode=_ACCUMULATION[self.accumulation],
            output_time=_OUTPUT_TIME[self.output_time],
            closing_behavior=_CLOSING[self.closing],
            on_time_behavior=_ON_TIME[self.on_time],
            allowed_lateness=self.allowed_lateness,
            assigns_to_one_window=self.window_fn.assigns_to_one_window,
            environment_id=environment_id,
        )


#: The strategy of Impulse, Create and TestStream.
GLOBAL = Strategy()

#: What Reshuffle groups by: fires for every element, drops nothing, remembers no timestamp but the earliest (M-XF-12).
RESHUFFLE = Strategy(trigger=triggers.always(), output_time="earliest", allowed_lateness=timestamps.MAX)
