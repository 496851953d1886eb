"""DoFns that read side inputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from conformance.harness.context import Context
from conformance.harness.errors import FunctionError
from conformance.harness.functions.expressions import evaluate
from conformance.harness.functions.registry import dofn

__all__ = ["side_items", "side_lookup", "side_values"]


@dofn("side_values", observes_windows=True)
def side_values(ctx: Context, side: str) -> Iterator[Any]:
    """(element, all values of the side input, sorted by their text); iterable access."""
    yield ctx.value, sorted(ctx.side(side).values(), key=repr)


@dofn("side_lookup", observes_windows=True)
def side_lookup(ctx: Context, side: str, expr: Any) -> Iterator[Any]:
    """(element, values of the key that `expr` gives, sorted by their text); multimap access."""
    yield ctx.value, sorted(ctx.side(side).get(evaluate(expr, ctx)), key=repr)


@dofn("side_keys", observes_windows=True)
def side_keys(ctx: Context, side: str) -> Iterator[Any]:
    """(element, keys of the side input, sorted by their text); multimap access."""
    yield ctx.value, sorted(ctx.side(side).keys(), key=repr)


@dofn("side_items", observes_windows=True)
def side_items(ctx: Context, side: str) -> Iterator[Any]:
    """(element, [[key, values]…]) of the whole side input; in bulk where the runner declares it."""
    items = [[key, sorted(values, key=repr)] for key, values in ctx.side(side).items()]
    yield ctx.value, sorted(items, key=repr)


@dofn("side_singleton", observes_windows=True)
def side_singleton(ctx: Context, side: str, default: Any = None) -> Iterator[Any]:
    """(element, the only value of the side input, or `default`); more than one value fails the bundle (M-SIDE-02)."""
    values = ctx.side(side).values()
    if len(values) > 1:
        raise FunctionError(f"singleton side input {side!r} has {len(values)} values")
    yield ctx.value, values[0] if values else default


@dofn("side_twice", observes_windows=True)
def side_twice(ctx: Context, side: str) -> Iterator[Any]:
    """(element, are two reads of the side input equal?) (M-SIDE-09)."""
    first = sorted(ctx.side(side).values(), key=repr)
    yield ctx.value, first == sorted(ctx.side(side).values(), key=repr)
