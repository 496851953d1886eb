"""The components of a combine: precombine, merge, extract, grouped values, convert (P-PIPE-15, M-COMB-02)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conformance.harness.operations import Operation
from conformance.harness.plan import Node, Plan
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.values import Pane, Window, WindowedValue

if TYPE_CHECKING:
    from conformance.harness.bundle import Run
    from conformance.harness.functions.registry import Registry

__all__ = ["CombineComponent", "Precombine"]

_T = urns.Transform


class Combine(Operation):
    """What the components share: the CombineFn of the payload."""

    def __init__(self, node: Node, plan: Plan, registry: Registry) -> None:
        super().__init__(node, plan, registry)
        payload = pb.CombinePayload.FromString(node.proto.spec.payload)
        self.fn = registry.combine_fn(payload.combine_fn)

    def setup(self) -> None:
        self.fn.setup()

    def teardown(self) -> None:
        self.fn.teardown()


class Precombine(Combine):
    """KV<K,V> → KV<K,A>: one accumulator per key and window and bundle.

    Its timestamp is the smallest of its elements for EARLIEST and the largest for LATEST, so that the output time of the
    grouping stays what it was (M-COMB-04).
    """

    def __init__(self, node: Node, plan: Plan, registry: Registry) -> None:
        super().__init__(node, plan, registry)
        coder = plan.element_coder(node.main_collection)
        self._key_coder = coder.components[0]
        latest = plan.strategy(node.main_collection).output_time == pb.OutputTime.LATEST_IN_PANE
        self._choose: Any = max if latest else min

    def start(self, run: Run) -> None:
        super().start(run)
        self._table: dict[tuple[bytes, Window], tuple[Any, Any, int, Pane]] = {}

    def process(self, element: WindowedValue) -> None:
        key, value = element.value
        encoded = self._key_coder.encode(key)
        for window in element.windows:
            found = self._table.get((encoded, window))
            accumulator = self.fn.create() if found is None else found[1]
            timestamp = element.timestamp if found is None else self._choose(found[2], element.timestamp)
            self._table[encoded, window] = (key, self.fn.add(accumulator, value), timestamp, element.pane)

    def finish(self) -> None:
        for (_, window), (key, accumulator, timestamp, pane) in self._table.items():
            self.forward(WindowedValue((key, accumulator), timestamp, (window,), pane))
        self._table = {}


class CombineComponent(Combine):
    """The components that work on one element at a time."""

    def __init__(self, node: Node, plan: Plan, registry: Registry) -> None:
        super().__init__(node, plan, registry)
        fn = self.fn
        self._change: Any = {
            _T.COMBINE_PER_KEY_MERGE_ACCUMULATORS: fn.merge,
            _T.COMBINE_PER_KEY_EXTRACT_OUTPUTS: fn.extract,
            _T.COMBINE_GROUPED_VALUES: fn.apply,
            _T.COMBINE_PER_KEY_CONVERT_TO_ACCUMULATORS: lambda value: fn.add(fn.create(), value),
        }[node.proto.spec.urn]

    def process(self, element: WindowedValue) -> None:
        key, value = element.value
        self.forward(WindowedValue((key, self._change(value)), element.timestamp, element.windows, element.pane))
