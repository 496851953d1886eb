"""What a function can see and do while it runs: the element, outputs, state, timers, side inputs, metrics, gates, observers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from conformance.harness.errors import FunctionError
from conformance.harness.metrics import UserMetrics
from conformance.harness.observations import Observation
from conformance.wire.values import Pane, Timer, Window, WindowedValue

if TYPE_CHECKING:
    from conformance.harness.bundle import Run
    from conformance.harness.pardo import ParDo

__all__ = ["Context", "TimerHandle"]

MAIN = "out"


class TimerHandle:
    """The timers of one family for the current key and window."""

    def __init__(self, ctx: Context, family: str) -> None:
        self._ctx, self._family = ctx, family

    def set(self, fire: int, hold: int | None = None, tag: str = "") -> None:
        """Set the timer `tag` to fire at `fire` (ms in the family's domain).

        The hold defaults to `fire` in event time, and to the timestamp at hand in processing time (M-TIMER-12).
        """
        op, ctx = self._ctx.op, self._ctx
        if hold is None:
            hold = fire if op.is_event_time(self._family) else ctx.timestamp
        op.set_timer(self._family, Timer(ctx.key, tag, (ctx.window,), False, fire, hold, ctx.pane))

    def clear(self, tag: str = "") -> None:
        self._ctx.op.set_timer(self._family, Timer(self._ctx.key, tag, (self._ctx.window,), True))


class Context:
    """The one argument of a function's callbacks. It is reused: what it shows belongs to the current call."""

    def __init__(self, op: ParDo) -> None:
        self.op = op
        self.element: WindowedValue = WindowedValue(None)
        #: In a timer callback: the timer and its family.
        self.timer: Timer | None = None
        self.family = ""
        self._default_timestamp = 0

    # What is being processed

    @property
    def run(self) -> Run:
        return self.op.run

    @property
    def value(self) -> Any:
        return self.element.value

    @property
    def timestamp(self) -> int:
        """The element's timestamp; in a timer callback the timer's hold (M-TIMER-20)."""
        return self.element.timestamp

    @property
    def windows(self) -> tuple[Window, ...]:
        return self.element.windows

    @property
    def window(self) -> Window:
        """The one window. Raises FunctionError for an element in several, seen by a function that does not observe windows."""
        if len(self.element.windows) != 1:
            raise FunctionError(f"the element is in {len(self.element.windows)} windows; set observes_windows on the function")
        return self.element.windows[0]

    @property
    def pane(self) -> Pane:
        return self.element.pane

    @property
    def key(self) -> Any:
        """The key of the element or timer. Raises FunctionError if the elements are no KVs."""
        if self.timer is not None:
            return self.timer.key
        value = self.element.value
        if not isinstance(value, tuple) or len(value) != 2:
            raise FunctionError(f"{value!r} has no key")
        return value[0]

    @property
    def transform_id(self) -> str:
        return self.op.node.transform_id

    @property
    def bundle(self) -> str:
        return self.run.instruction_id

    @property
    def worker(self) -> str:
        return self.run.worker_id

    @property
    def now(self) -> int:
        """Wall clock, milliseconds."""
        return int(time.time() * 1000)

    # What it may do

    def output(
        self,
        value: Any,
        tag: str | None = None,
        timestamp: int | None = None,
        windows: Iterable[Window] | None = None,
        pane: Pane | None = None,
    ) -> None:
        """Emit to the main output or to `tag`; timestamp, windows and pane default to those at hand (M-TIME-07)."""
        element = self.element
        self.op.emit(
            WindowedValue(
                value,
                element.timestamp if timestamp is None else timestamp,
                element.windows if windows is None else tuple(windows),
                element.pane if pane is None else pane,
            ),
            tag,
        )

    def state(self, state_id: str) -> Any:
        """The cell `state_id` of the current key and window."""
        return self.op.cell(state_id, self.key, self.window)

    def timers(self, family: str) -> TimerHandle:
        """The timers of `family`. Raises FunctionError if the ParDo does not declare it."""
        self.op.is_event_time(family)
        return TimerHandle(self, family)

    def side(self, name: str) -> Any:
        """The side input `name` in the window that the current one maps to."""
        return self.op.side_input(name, self.window)

    @property
    def metrics(self) -> UserMetrics:
        return UserMetrics(self.run.metrics, self.transform_id)

    def finalize(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when the runner says that the bundle is durable; asks for finalization."""
        self.run.finalizers.append(callback)

    def observe(self, observer: str, value: Any) -> None:
        """Report `value` under `observer`, with timestamp, window and pane at hand."""
        element = self.element
        key = element.value[0] if isinstance(element.value, tuple) and len(element.value) == 2 else None
        for window in element.windows:
            self.run.observations.append(
                Observation(
                    observer, value, element.timestamp, window, element.pane, key, self.run.instruction_id, self.run.worker_id
                )
            )

    def gate(self, name: str) -> None:
        """Wait until the test opens the gate `name`; the test can see that somebody arrived."""
        self.run.gates.wait(name)

    def log(self, message: str, severity: str = "INFO") -> None:
        """One log entry by the logging plane, tied to bundle and transform."""
        self.run.log(message, severity, self.transform_id)
