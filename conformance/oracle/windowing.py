"""Windowing strategies as data: window functions, triggers, and what goes with them. `oracle.program` re-exports all of it."""

from __future__ import annotations

from attrs import frozen

__all__ = [
    "AfterAll",
    "AfterAny",
    "AfterCount",
    "AfterEach",
    "AfterEndOfWindow",
    "AfterProcessingTime",
    "AfterSynchronizedProcessingTime",
    "Always",
    "DefaultTrigger",
    "Fixed",
    "Global",
    "Never",
    "OrFinally",
    "Repeat",
    "Sessions",
    "Sliding",
    "Trigger",
    "WindowFn",
    "Windowing",
]


@frozen
class Global:
    """Every element in the global window (M-WIN-01)."""


@frozen
class Fixed:
    """Windows [offset + k*size, offset + (k+1)*size) (M-WIN-02)."""

    size: int
    offset: int = 0


@frozen
class Sliding:
    """Windows of `size` starting every `period`; an element may be in several, or in none (M-WIN-06)."""

    size: int
    period: int
    offset: int = 0


@frozen
class Sessions:
    """Windows [ts, ts+gap) that merge, per key, where they overlap (M-WIN-08)."""

    gap: int


WindowFn = Global | Fixed | Sliding | Sessions


@frozen
class DefaultTrigger:
    """At the end of the window, and again for late data (M-TRIG-10)."""


@frozen
class Never:
    """Only the final pane (M-TRIG-11)."""


@frozen
class Always:
    """At any time (M-TRIG-12)."""


@frozen
class AfterCount:
    """Once `n` elements are there (M-TRIG-13)."""

    n: int


@frozen
class AfterEndOfWindow:
    """At the end of the window; repeatedly `early` before and `late` after it, where given (M-TRIG-14..17)."""

    early: Trigger | None = None
    late: Trigger | None = None


@frozen
class AfterProcessingTime:
    """`delay` ms of processing time after the first element (M-TRIG-18)."""

    delay: int = 0


@frozen
class AfterSynchronizedProcessingTime:
    """What AfterProcessingTime continues as; any time with data (M-TRIG-22)."""


@frozen
class AfterAll:
    """When every part is ready (M-TRIG-23)."""

    parts: tuple[Trigger, ...]


@frozen
class AfterAny:
    """When one part is ready (M-TRIG-24)."""

    parts: tuple[Trigger, ...]


@frozen
class AfterEach:
    """The parts one after the other, one firing each (M-TRIG-25)."""

    parts: tuple[Trigger, ...]


@frozen
class OrFinally:
    """`main` until `until` fires (M-TRIG-26)."""

    main: Trigger
    until: Trigger


@frozen
class Repeat:
    """`sub` again and again (M-TRIG-27)."""

    sub: Trigger


Trigger = (
    DefaultTrigger
    | Never
    | Always
    | AfterCount
    | AfterEndOfWindow
    | AfterProcessingTime
    | AfterSynchronizedProcessingTime
    | AfterAll
    | AfterAny
    | AfterEach
    | OrFinally
    | Repeat
)


@frozen
class Windowing:
    """A windowing strategy (M-WIN-11). The defaults are those of Java (M-PANE-16)."""

    fn: WindowFn = Global()
    trigger: Trigger = DefaultTrigger()
    #: "discarding" or "accumulating"
    accumulation: str = "discarding"
    #: milliseconds
    allowed_lateness: int = 0
    #: "if_nonempty" or "always": the final pane without new data
    closing: str = "if_nonempty"
    #: "if_nonempty" or "always": the ON_TIME pane without new data
    on_time: str = "always"
    #: "end_of_window", "earliest" or "latest"
    output_time: str = "end_of_window"
