"""What a user function is to the harness: DoFn, splittable DoFn, CombineFn, WindowFn. The library of them is `functions`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

from conformance.wire.values import Window, WindowedValue

if TYPE_CHECKING:
    from conformance.harness.context import Context
    from conformance.harness.trackers import OffsetTracker

__all__ = ["CombineFn", "DoFn", "Resume", "SplittableDoFn", "WindowFn"]


class DoFn:
    """A user function of a ParDo. Arguments of the payload are the constructor's keywords.

    `process`, `on_timer` and `on_window_expiration` emit by `ctx.output`, or by answering an iterable of values for the
    main output. A function that looks at windows, state, timers or side inputs is called once a window.
    """

    observes_windows = False

    def setup(self) -> None: ...

    def teardown(self) -> None: ...

    def start_bundle(self, ctx: Context) -> None: ...

    def process(self, ctx: Context) -> Iterable[Any] | None:
        raise NotImplementedError(type(self).__name__)

    def finish_bundle(self, ctx: Context) -> None: ...

    def on_timer(self, ctx: Context) -> Iterable[Any] | None:
        raise NotImplementedError(f"{type(self).__name__} has no timer callback")

    def on_window_expiration(self, ctx: Context) -> Iterable[Any] | None:
        raise NotImplementedError(f"{type(self).__name__} does not expire windows")


@frozen
class Resume:
    """What a splittable DoFn answers to have the rest of its restriction run again, not before `delay` milliseconds."""

    delay: int = 0


class SplittableDoFn(DoFn):
    """A DoFn over offset ranges. A restriction is ((start, end), state), state being the estimator's (a timestamp, ms).

    `tracks_watermark` says whether `state` is reported as output watermark of residuals.
    """

    tracks_watermark = False

    def initial_restriction(self, element: WindowedValue, ctx: Context) -> tuple[tuple[int, int], int]:
        raise NotImplementedError(type(self).__name__)

    def split(
        self, element: WindowedValue, restriction: tuple[tuple[int, int], int], ctx: Context
    ) -> Iterable[tuple[tuple[int, int], int]]:
        """Initial splits; the restriction itself by default."""
        return [restriction]

    def size(self, element: WindowedValue, restriction: tuple[tuple[int, int], int]) -> float:
        (start, end), _ = restriction
        return float(end - start)

    def truncate(self, element: WindowedValue, restriction: tuple[tuple[int, int], int]) -> tuple[tuple[int, int], int] | None:
        """What is still to be done when draining; None for nothing."""
        return restriction

    def process_range(self, ctx: Context, tracker: OffsetTracker) -> Resume | None:
        """Claim positions and emit; answer Resume to defer the rest."""
        raise NotImplementedError(type(self).__name__)


class CombineFn:
    """Commutative and associative; `merge` and `extract` accept what comes of nothing (M-PANE-07)."""

    def create(self) -> Any:
        raise NotImplementedError(type(self).__name__)

    def add(self, accumulator: Any, value: Any) -> Any:
        raise NotImplementedError(type(self).__name__)

    def merge(self, accumulators: Sequence[Any]) -> Any:
        raise NotImplementedError(type(self).__name__)

    def extract(self, accumulator: Any) -> Any:
        return accumulator

    def setup(self) -> None: ...

    def teardown(self) -> None: ...

    def apply(self, values: Iterable[Any]) -> Any:
        """The combine of `values`, as one accumulator."""
        accumulator = self.create()
        for value in values:
            accumulator = self.add(accumulator, value)
        return self.extract(accumulator)


class WindowFn:
    """Assigns and merges windows."""

    #: Whether the harness writes what `merge` answers without lengths (P-COD-03).
    unsized_merges = False

    def assign(self, timestamp: int, value: Any) -> list[Window]:
        raise NotImplementedError(type(self).__name__)

    def merge(self, windows: Sequence[Any]) -> list[tuple[Any, list[Any]]]:
        """(result, consumed) for each group that merges; windows that stay alone are left out."""
        return []

    def map_main(self, window: Window) -> Window:
        """The side window of a main window: of those that contain its last instant, the one that starts first (M-WIN-21)."""
        return min(self.assign(window.max_timestamp, None), key=lambda each: each.max_timestamp)
