"""ParDo: calls a DoFn, once a window where the function can tell, with state, timers and side inputs behind its context."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from conformance.harness import cells
from conformance.harness.api import DoFn
from conformance.harness.context import MAIN, Context
from conformance.harness.errors import FunctionError, RemoteProtocolError
from conformance.harness.observations import LifecycleEvent
from conformance.harness.operations import Operation
from conformance.harness.plan import Node, Plan
from conformance.harness.windowing import unwrap, wrap
from conformance.pipeline.fn import Fn
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.values import Timer, Window, WindowedValue

if TYPE_CHECKING:
    from conformance.harness.bundle import Run
    from conformance.harness.functions.registry import Registry

__all__ = ["ParDo"]

_INSTANCES = itertools.count(1)


class ParDo(Operation):
    """One ParDo. The function instance lives as long as the operation: setup, bundles, teardown (M-BNDL-08)."""

    def __init__(self, node: Node, plan: Plan, registry: Registry) -> None:
        super().__init__(node, plan, registry)
        assert node.payload is not None
        self.payload = node.payload
        self.spec = Fn.from_spec(node.payload.do_fn)
        self.fn: DoFn = registry.dofn(self.spec)
        self.instance = next(_INSTANCES)
        main = node.main_collection
        self._element_coder = plan.element_coder(main)
        self._window_coder = plan.window_coder(main)
        self._per_window = bool(
            self.fn.observes_windows or node.payload.side_inputs or node.payload.state_specs or node.payload.timer_family_specs
        )
        self._combine_fns = {
            state_id: registry.combine_fn(spec.combining_spec.combine_fn)
            for state_id, spec in node.payload.state_specs.items()
            if spec.HasField("combining_spec")
        }
        self._timer_coders = {
            family: plan.coder(spec.timer_family_coder_id, f"timer family {family!r} of {node.transform_id!r}")
            for family, spec in node.payload.timer_family_specs.items()
        }
        self._mappings: dict[str, Callable[[Window], Window]] = {}
        self.ctx = Context(self)
        self._main = self._main_output()

    def _main_output(self) -> str | None:
        outputs = self.node.proto.outputs
        if MAIN in outputs:
            return MAIN
        return next(iter(outputs)) if len(outputs) == 1 else None

    # Life

    def _live(self, event: str) -> None:
        run = getattr(self, "run", None)
        bundle = run.instruction_id if run and event not in ("setup", "teardown") else ""
        worker = run.worker_id if run else ""
        self.registry.sink.lifecycle(
            LifecycleEvent(event, self.instance, self.spec.name, self.node.proto.unique_name, bundle, worker)
        )

    def setup(self) -> None:
        self._live("setup")
        self.fn.setup()

    def start(self, run: Run) -> None:
        super().start(run)
        self._live("start")
        self._at_bundle_edge()
        self.fn.start_bundle(self.ctx)

    def finish(self) -> None:
        self._live("finish")
        self._at_bundle_edge()
        self.fn.finish_bundle(self.ctx)

    def _at_bundle_edge(self) -> None:
        self.ctx.element, self.ctx.timer, self.ctx.family = WindowedValue(None), None, ""

    def teardown(self) -> None:
        self._live("teardown")
        self.fn.teardown()

    # Elements and timers

    def process(self, element: WindowedValue) -> None:
        ctx = self.ctx
        ctx.timer, ctx.family = None, ""
        if self._per_window and len(element.windows) > 1:
            for window in element.windows:
                ctx.element = WindowedValue(element.value, element.timestamp, (window,), element.pane)
                self._call(self.fn.process)
        else:
            ctx.element = element
            self._call(self.fn.process)

    def _call(self, callback: Callable[[Context], Iterable[Any] | None]) -> None:
        answer = callback(self.ctx)
        if answer is not None:
            for value in answer:
                self.ctx.output(value)

    def fire(self, family: str, timer: Timer) -> None:
        """A timer that the runner delivered; its callback's outputs carry the hold timestamp (M-TIMER-20)."""
        ctx = self.ctx
        for window in timer.windows:
            plain = unwrap(window)
            ctx.timer, ctx.family = timer, family
            ctx.element = WindowedValue((timer.key, None), timer.hold_timestamp, (plain,), timer.pane)
            expires = family == self.payload.on_window_expiration_timer_family_spec
            self._live("expire" if expires else "timer")
            self.run.clock.enter(self)
            try:
                self._call(self.fn.on_window_expiration if expires else self.fn.on_timer)
            finally:
                self.run.clock.leave()

    def decode_timers(self, family: str, data: bytes) -> list[Timer]:
        """The timers of one entry. Raises RemoteProtocolError for a family that the ParDo does not have."""
        if family not in self._timer_coders:
            raise RemoteProtocolError(f"timers came for family {family!r} of {self.node.transform_id!r}, which has none such")
        timers: list[Timer] = self._timer_coders[family].decode_all(data)
        return timers

    # What the context asks for

    def emit(self, element: WindowedValue, tag: str | None) -> None:
        local = self._main if tag is None else tag
        if local is None:
            raise FunctionError(f"{self.spec.name} emits to its main output, but has outputs {sorted(self.outputs)}; name one")
        output = self.outputs.get(local)
        if output is None:
            raise FunctionError(f"{self.spec.name} emits to output {local!r}; it has {sorted(self.outputs)}")
        output(element)

    def cell(self, state_id: str, key: Any, window: Window) -> Any:
        spec = self.payload.state_specs.get(state_id)
        if spec is None:
            raise FunctionError(f"{self.spec.name} has no state {state_id!r}; it declares {sorted(self.payload.state_specs)}")
        return cells.cell(
            spec,
            lambda coder_id: self.plan.coder(coder_id, f"state {state_id!r}"),
            self._combine_fns.get(state_id),
            self.run.state,
            self.node.transform_id,
            state_id,
            self._window_bytes(window),
            self._key_bytes(key),
        )

    def _key_bytes(self, key: Any) -> bytes:
        coder = self._element_coder
        if coder.urn != urns.Coder.KV:
            raise RemoteProtocolError(f"stateful {self.node.transform_id!r} reads {coder!r}, not KVs (P-PIPE-07)")
        return coder.components[0].encode(key)

    def _window_bytes(self, window: Window) -> bytes:
        return self._window_coder.encode(wrap(window, self._window_coder))

    def is_event_time(self, family: str) -> bool:
        """The family's domain. Raises FunctionError if the ParDo has no such family."""
        spec = self.payload.timer_family_specs.get(family)
        if spec is None:
            declared = sorted(self.payload.timer_family_specs)
            raise FunctionError(f"{self.spec.name} has no timer family {family!r}; it declares {declared}")
        return spec.time_domain == pb.TimeDomain.EVENT_TIME

    def set_timer(self, family: str, timer: Timer) -> None:
        coder = self._timer_coders[family]
        window_coder = coder.components[1]
        windows = tuple(wrap(window, window_coder) for window in timer.windows)
        wire = Timer(timer.key, timer.tag, windows, timer.clear, timer.fire_timestamp, timer.hold_timestamp, timer.pane)
        self.run.send_timer(self.node.transform_id, family, coder.encode(wire))

    def side_input(self, name: str, window: Window) -> cells.SideInput:
        spec = self.payload.side_inputs.get(name)
        if spec is None:
            raise FunctionError(f"{self.spec.name} has no side input {name!r}; it declares {sorted(self.payload.side_inputs)}")
        collection = self.node.proto.inputs[name]
        mapping = self._mappings.get(name)
        if mapping is None:
            default = self.registry.window_fn(self.plan.strategy(collection).window_fn)
            mapping = self._mappings[name] = self.registry.mapping(spec.window_mapping_fn, default)
        coder = self.plan.window_coder(collection)
        mapped = coder.encode(wrap(mapping(window), coder))
        return cells.SideInput(
            self.run.state, self.plan.element_coder(collection), self.node.transform_id, name, mapped, self.run.bulk_side_inputs
        )
