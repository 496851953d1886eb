"""The operations of a stage other than ParDo: ports, flatten, windows, rendering, and identity for what nobody knows.

An operation is driven by `start`, `process` per element, `finish`; elements flow by direct calls through `Output`s.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from conformance.harness.data import FLUSH_BYTES
from conformance.harness.errors import RemoteProtocolError
from conformance.harness.iterables import holds_state_backed, resolve
from conformance.harness.plan import Node, Plan, Port
from conformance.harness.windowing import unwrap, wrap
from conformance.wire import coders, urns
from conformance.wire.api import fn_pb2
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.values import Unsized, WindowedValue

if TYPE_CHECKING:
    from conformance.harness.bundle import Run
    from conformance.harness.functions.registry import Registry

__all__ = ["Identity", "MapWindows", "MergeWindows", "Operation", "Output", "Sink", "Source", "ToString", "WindowInto"]

_SAMPLES = 10


class Clock:
    """Shares out a bundle's time among its operations, each getting what is spent in itself and not in those it calls."""

    __slots__ = ("_last", "_stack")

    def __init__(self) -> None:
        self._stack: list[Operation] = []
        self._last = 0.0

    def enter(self, op: Operation) -> None:
        now = time.perf_counter()
        if self._stack:
            self._stack[-1].seconds += now - self._last
        self._stack.append(op)
        self._last = now

    def leave(self) -> None:
        now = time.perf_counter()
        self._stack.pop().seconds += now - self._last
        self._last = now


class Output:
    """A PCollection inside the stage: counts elements (P-MET-08) and hands them to the consumers."""

    __slots__ = ("collection", "count", "keep", "receivers", "samples", "sizes")

    def __init__(self, collection: str) -> None:
        self.collection = collection
        self.receivers: list[Callable[[WindowedValue], None]] = []
        self.count = 0
        self.sizes: list[int] = []
        self.samples: list[WindowedValue] = []
        self.keep = False

    def __call__(self, element: WindowedValue) -> None:
        self.count += 1
        if self.keep and len(self.samples) < _SAMPLES:
            self.samples.append(element)
        for receive in self.receivers:
            receive(element)

    def reset(self) -> None:
        self.count = 0
        self.sizes.clear()
        self.samples.clear()


class Operation:
    """One transform of a stage."""

    run: Run

    def __init__(self, node: Node, plan: Plan, registry: Registry) -> None:
        self.node, self.plan, self.registry = node, plan, registry
        self.outputs: dict[str, Output] = {}
        self.seconds = 0.0

    def setup(self) -> None:
        """Once per instance."""

    def start(self, run: Run) -> None:
        self.run = run
        self.seconds = 0.0

    def receive(self, element: WindowedValue) -> None:
        """One element from upstream, on the bundle's clock."""
        clock = self.run.clock
        clock.enter(self)
        try:
            self.process(element)
        finally:
            clock.leave()

    def process(self, element: WindowedValue) -> None:
        raise NotImplementedError(type(self).__name__)

    def finish(self) -> None:
        """After the last element."""

    def teardown(self) -> None:
        """Once per instance, at the end of its life."""

    def forward(self, element: WindowedValue) -> None:
        """To every output."""
        for output in self.outputs.values():
            output(element)


class Identity(Operation):
    """Flatten, and any transform that neither we nor the runner know: elements pass."""

    def process(self, element: WindowedValue) -> None:
        self.forward(element)


class Source(Operation):
    """A data source: decodes, counts and, when asked to split, stops early."""

    port: Port

    def __init__(self, node: Node, plan: Plan, registry: Registry) -> None:
        super().__init__(node, plan, registry)
        self.port = plan.sources[node.transform_id]
        self.lock = threading.Lock()
        self._lazy = holds_state_backed(self.port.coder)
        self._unwraps = self.port.coder.components[1].urn == urns.Coder.CUSTOM_WINDOW

    def start(self, run: Run) -> None:
        super().start(run)
        #: Index of the element being processed, and the first one that is not ours any more (P-SPL-04).
        self.index = -1
        self.stop: int | None = None

    def feed(self, data: bytes) -> None:
        """The elements of one entry; an entry holds whole elements (P-DATA-04)."""
        coder, pos, end = self.port.coder, 0, len(data)
        read, hook = coder.read, self.run.on_element
        [output] = self.outputs.values()
        while pos < end:
            try:
                element, after = read(data, pos, end, True)
            except coders.CoderError as error:
                raise RemoteProtocolError(f"source {self.node.transform_id!r} got bytes that are no elements: {error}") from error
            if after == pos:
                raise RemoteProtocolError(f"source {self.node.transform_id!r} has a coder that writes nothing (P-DATA-06)")
            with self.lock:
                if self.stop is not None and self.index + 1 >= self.stop:
                    return  # split away: the runner sends it again elsewhere (P-SPL-08)
                self.index += 1
            output.sizes.append(after - pos)
            pos = after
            if self._lazy:
                value = resolve(element.value, coder.components[0], self.run.state)
                element = WindowedValue(value, element.timestamp, element.windows, element.pane)
            if self._unwraps:
                element = _with_windows(element, tuple(unwrap(window) for window in element.windows))
            if hook is not None:
                hook(self, self.index)
            output(element)

    @property
    def taken(self) -> int:
        """How many elements were begun."""
        return self.index + 1


class Sink(Operation):
    """A data sink: encodes whole elements and sends them in messages of about 1 MB."""

    def __init__(self, node: Node, plan: Plan, registry: Registry) -> None:
        super().__init__(node, plan, registry)
        self.port = plan.sinks[node.transform_id]
        self._buffer = bytearray()
        self._window_coder = self.port.coder.components[1]
        self._wraps = self._window_coder.urn == urns.Coder.CUSTOM_WINDOW
        #: Set by the processor: the PCollection that is written, for its byte sizes.
        self.collection: Output | None = None

    def start(self, run: Run) -> None:
        super().start(run)
        self._buffer = bytearray()

    def process(self, element: WindowedValue) -> None:
        if self._wraps:
            element = _with_windows(element, tuple(wrap(window, self._window_coder) for window in element.windows))
        before = len(self._buffer)
        self.port.coder.write(element, self._buffer, True)
        if self.collection is not None:
            self.collection.sizes.append(len(self._buffer) - before)
        if len(self._buffer) >= FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send what is buffered."""
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer = bytearray()
            self.run.send_data(self.port, data)

    def finish(self) -> None:
        self.flush()


def _with_windows(element: WindowedValue, windows: tuple[Any, ...]) -> WindowedValue:
    return WindowedValue(element.value, element.timestamp, windows, element.pane)


class WindowInto(Operation):
    """Assigns windows by the element's current timestamp (M-WIN-18); the pane stays (M-WIN-19). No window: no element."""

    def __init__(self, node: Node, plan: Plan, registry: Registry) -> None:
        super().__init__(node, plan, registry)
        payload = pb.WindowIntoPayload.FromString(node.proto.spec.payload)
        spec = payload.window_fn
        if not spec.urn:  # a bare FunctionSpec, as some runners send it
            spec = pb.FunctionSpec.FromString(node.proto.spec.payload)
        self._fn = registry.window_fn(spec)

    def process(self, element: WindowedValue) -> None:
        windows = self._fn.assign(element.timestamp, element.value)
        if windows:
            self.forward(_with_windows(element, tuple(windows)))


class MapWindows(Operation):
    """KV<nonce, main window> → KV<nonce, side window> (P-PIPE-18)."""

    def __init__(self, node: Node, plan: Plan, registry: Registry) -> None:
        super().__init__(node, plan, registry)
        self._map = registry.mapping(pb.FunctionSpec.FromString(node.proto.spec.payload))

    def process(self, element: WindowedValue) -> None:
        nonce, window = element.value
        self.forward(WindowedValue((nonce, self._map(unwrap(window))), element.timestamp, element.windows, element.pane))


class MergeWindows(Operation):
    """KV<nonce, windows> → KV<nonce, KV<unmerged, [KV<merged, consumed>]>>; every window in one place (P-PIPE-19)."""

    def __init__(self, node: Node, plan: Plan, registry: Registry) -> None:
        super().__init__(node, plan, registry)
        spec = pb.FunctionSpec.FromString(node.proto.spec.payload)
        self._fn = registry.window_fn(spec)
        output = next(iter(node.proto.outputs.values()))
        # KV<nonce, KV<Iterable<W>, Iterable<KV<W, Iterable<W>>>>>: the coder that says how windows are written.
        self._window = plan.element_coder(output).components[1].components[0].components[0]

    def process(self, element: WindowedValue) -> None:
        nonce, received = element.value
        windows = [unwrap(window) for window in received]
        merged = self._fn.merge(windows)
        consumed = {window for _, members in merged for window in members}
        listed = Unsized if self._fn.unsized_merges else list
        unmerged = listed(self._out(window) for window in windows if window not in consumed)
        groups = listed((self._out(result), listed(map(self._out, members))) for result, members in merged)
        self.forward(WindowedValue((nonce, (unmerged, groups)), element.timestamp, element.windows, element.pane))

    def _out(self, window: Any) -> Any:
        coder = self._window
        if coder.urn == urns.Coder.LENGTH_PREFIX:
            coder = coder.components[0]
        return wrap(window, coder)


class ToString(Operation):
    """KV<nonce, element> → KV<nonce, text>."""

    def process(self, element: WindowedValue) -> None:
        nonce, value = element.value
        self.forward(WindowedValue((nonce, repr(value)), element.timestamp, element.windows, element.pane))


def application(transform_id: str, input_id: str, element: bytes) -> fn_pb2.BundleApplication:
    """An element to be processed again by `transform_id`, encoded as its stage's input (P-CTL-20)."""
    return fn_pb2.BundleApplication(transform_id=transform_id, input_id=input_id, element=element)
