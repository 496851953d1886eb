"""Functions that need more than a list of steps: singletons as an SDK has them, sizes of large views, a mapping of windows."""

from __future__ import annotations

from typing import Any

from conformance.harness.context import Context
from conformance.harness.functions import dofn, mapping_fn
from conformance.wire.values import IntervalWindow, Window

__all__ = ["NO_VALUE", "SEVERAL_VALUES"]

#: What a singleton's reader says when there is not exactly one value; a job that fails must hand it on.
NO_VALUE = "the singleton side input has no value and no default"
SEVERAL_VALUES = "the singleton side input has several values"


@dofn("suite_singleton", observes_windows=True)
def singleton(ctx: Context, observer: str, default: Any = None) -> None:
    """Reads the iterable side input "side" as a singleton with `default` (None: without one); reports (element, value)."""
    values = ctx.side("side").values()
    if len(values) > 1:
        raise ValueError(SEVERAL_VALUES)
    if not values and default is None:
        raise ValueError(NO_VALUE)
    ctx.observe(observer, (ctx.value, values[0] if values else default))


@dofn("suite_view_size", observes_windows=True)
def view_size(ctx: Context, observer: str) -> None:
    """Reports (element, (number of values of "side", different ones, total size))."""
    values = ctx.side("side").values()
    ctx.observe(observer, (ctx.value, (len(values), len(set(values)), sum(len(value) for value in values))))


@dofn("suite_lookup_size", observes_windows=True)
def lookup_size(ctx: Context, observer: str) -> None:
    """Reports (element, (number of keys of "side", number of values of the key that the element names, their total size))."""
    side = ctx.side("side")
    values = side.get(ctx.value)
    ctx.observe(observer, (ctx.value, (len(side.keys()), len(values), sum(len(value) for value in values))))


@dofn("suite_bulk", observes_windows=True)
def bulk(ctx: Context, observer: str) -> None:
    """Reports (whether the runner announced keys with values in bulk, the items of "side")."""
    ctx.observe(observer, (ctx.run.bulk_side_inputs, ctx.side("side").items()))


@dofn("suite_numbered")
def numbered(ctx: Context, count: int, size: int) -> None:
    """`count` different byte strings of `size`, made here so that the pipeline itself stays small."""
    for number in range(count):
        ctx.output(f"{number}.".encode().ljust(size, b"x"))


@dofn("suite_numbered_pairs")
def numbered_pairs(ctx: Context, keys: int, count: int, size: int) -> None:
    """`count` byte strings of `size` for each key "k0", "k1", …"""
    for number in range(keys * count):
        ctx.output((f"k{number % keys}", f"{number}.".encode().ljust(size, b"x")))


@mapping_fn("suite_window_before")
def window_before(window: Window, size: int) -> Window:
    """The fixed window of `size` that ends where the one with the main window's last instant begins."""
    start = window.max_timestamp // size * size
    return IntervalWindow(start - size, start)
