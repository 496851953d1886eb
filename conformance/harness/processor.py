"""A stage ready to run: operations wired from a plan, driven through one bundle after another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance.harness import combining, operations, sdf
from conformance.harness.errors import RemoteProtocolError
from conformance.harness.operations import Operation, Output, Sink, Source
from conformance.harness.pardo import ParDo
from conformance.harness.plan import Plan
from conformance.wire import urns
from conformance.wire.api import fn_pb2

if TYPE_CHECKING:
    from conformance.harness.bundle import Run
    from conformance.harness.functions.registry import Registry

__all__ = ["Processor"]

_T = urns.Transform
#: What executes a URN. A transform without one, such as an empty composite, passes its elements on.
OPERATIONS: dict[str, type[Operation]] = {
    urns.Runner.DATA_SOURCE: Source,
    urns.Runner.DATA_SINK: Sink,
    _T.PAR_DO: ParDo,
    _T.FLATTEN: operations.Identity,
    _T.ASSIGN_WINDOWS: operations.WindowInto,
    _T.MAP_WINDOWS: operations.MapWindows,
    _T.MERGE_WINDOWS: operations.MergeWindows,
    _T.TO_STRING: operations.ToString,
    _T.COMBINE_PER_KEY_PRECOMBINE: combining.Precombine,
    _T.COMBINE_PER_KEY_MERGE_ACCUMULATORS: combining.CombineComponent,
    _T.COMBINE_PER_KEY_EXTRACT_OUTPUTS: combining.CombineComponent,
    _T.COMBINE_GROUPED_VALUES: combining.CombineComponent,
    _T.COMBINE_PER_KEY_CONVERT_TO_ACCUMULATORS: combining.CombineComponent,
    _T.PAIR_WITH_RESTRICTION: sdf.PairWithRestriction,
    _T.SPLIT_AND_SIZE_RESTRICTIONS: sdf.SplitAndSize,
    _T.TRUNCATE_SIZED_RESTRICTION: sdf.Truncate,
    _T.PROCESS_SIZED_ELEMENTS_AND_RESTRICTIONS: sdf.ProcessSized,
}


def _operation(urn: str, transform_id: str) -> type[Operation]:
    """What executes `urn`. Raises RemoteProtocolError for one that no environment of ours declares."""
    if urn and urn not in OPERATIONS:
        raise RemoteProtocolError(
            f"no SDK can run transform {transform_id!r}: its URN {urn} is unknown here (P-PIPE-04, M-XF-16)"
        )
    return OPERATIONS.get(urn, operations.Identity)


class Processor:
    """The operations of one stage; used by one bundle at a time, and again by the next (setup and teardown once)."""

    def __init__(self, plan: Plan, registry: Registry, keep_samples: bool = False) -> None:
        self.plan = plan
        self.ops: dict[str, Operation] = {}
        self.collections: dict[str, Output] = {}
        for transform_id in plan.order:
            node = plan.nodes[transform_id]
            self.ops[transform_id] = _operation(node.proto.spec.urn, transform_id)(node, plan, registry)
        for op in self.ops.values():
            for local, collection in op.node.proto.outputs.items():
                output = self.collections.get(collection)
                if output is None:
                    output = self.collections[collection] = Output(collection)
                    output.keep = keep_samples
                    for consumer in plan.consumers.get(collection, ()):
                        # A consumer that lists an input twice stands here twice, and gets elements twice (P-PIPE-20).
                        output.receivers.append(self.ops[consumer.transform_id].receive)
                op.outputs[local] = output
        self.sources = {op.node.transform_id: op for op in self.ops.values() if isinstance(op, Source)}
        self.sinks = [op for op in self.ops.values() if isinstance(op, Sink)]
        for sink in self.sinks:
            sink.collection = self.collections.get(sink.port.collection)
        self._live: list[Operation] = []

    def setup(self) -> None:
        """Set every operation up; the ones that were are torn down again if one fails."""
        for op in self.ops.values():
            op.setup()
            self._live.append(op)

    def teardown(self) -> None:
        """The end of the instances; also after a failed setup."""
        for op in self._live:
            op.teardown()
        self._live = []

    def start(self, run: Run) -> None:
        """Consumers first, so that what a start emits finds its consumers started."""
        for collection in self.collections.values():
            collection.reset()
        for op in reversed(self.ops.values()):
            op.run = run
        for op in reversed(self.ops.values()):
            run.clock.enter(op)
            try:
                op.start(run)
            finally:
                run.clock.leave()

    def data(self, entry: fn_pb2.Elements.Data) -> None:
        """One entry for a source."""
        self.source(entry.transform_id).feed(entry.data)

    def source(self, transform_id: str) -> Source:
        """The source of that id. Raises RemoteProtocolError if the stage has none (P-DATA-01)."""
        source = self.sources.get(transform_id)
        if source is None:
            raise RemoteProtocolError(f"data for {transform_id!r}, which is no source of {self.plan.descriptor.id!r} (P-DATA-01)")
        return source

    def timers(self, entry: fn_pb2.Elements.Timers) -> None:
        """One entry of fired timers."""
        op = self.ops.get(entry.transform_id)
        if not isinstance(op, ParDo):
            raise RemoteProtocolError(f"timers for {entry.transform_id!r}, which is no ParDo of the stage (P-DATA-01)")
        for timer in op.decode_timers(entry.timer_family_id, entry.timers):
            op.fire(entry.timer_family_id, timer)

    def finish(self) -> None:
        """Producers first, so that what a finish emits is still processed."""
        for op in self.ops.values():
            op.run.clock.enter(op)
            try:
                op.finish()
            finally:
                op.run.clock.leave()

    def splittable(self, source: Source) -> sdf.ProcessSized | None:
        """The process part right behind `source` (P-PIPE-17)."""
        for node in self.plan.consumers.get(source.port.collection, ()):
            op = self.ops.get(node.transform_id)
            if isinstance(op, sdf.ProcessSized):
                return op
        return None
