"""DoFns that suites are built of: sources, maps, keys, tags, observers, what composites need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from conformance.harness.api import DoFn
from conformance.harness.context import Context
from conformance.harness.functions.expressions import evaluate
from conformance.harness.functions.registry import LIBRARY, Registry, dofn
from conformance.harness.observations import Sink
from conformance.pipeline.values import from_json
from conformance.wire.values import GLOBAL_WINDOW, ShardedKey, WindowedValue

__all__ = ["Create", "Observe"]


def _combine(spec: dict[str, Any]) -> Any:
    return Registry(LIBRARY, Sink()).combine_fn(spec)


@dofn("create")
class Create(DoFn):
    """Emits `values` (JSON forms) for each input, at `timestamps` if given, each `repeat` times."""

    def __init__(self, values: list[Any], timestamps: list[int] | None = None, repeat: int = 1) -> None:
        self.values = [from_json(value) for value in values]
        self.timestamps, self.repeat = timestamps, repeat

    def process(self, ctx: Context) -> None:
        for _ in range(self.repeat):
            for index, value in enumerate(self.values):
                ctx.output(value, timestamp=self.timestamps[index] if self.timestamps else None)


@dofn("observe", observes_windows=True)
def observe(ctx: Context, observer: str) -> None:
    """Reports each element as an observation of `observer`, once a window; emits nothing."""
    value = ctx.value
    ctx.observe(observer, _plain(value))


def _plain(value: Any) -> Any:
    """Lazy iterables as lists, so that an observation outlives its bundle."""
    if isinstance(value, tuple):
        return tuple(_plain(part) for part in value)
    if isinstance(value, bytes | str | int | float | bool) or value is None:
        return value
    if isinstance(value, Iterable) and not isinstance(value, dict):
        return [_plain(part) for part in value]
    return value


Observe = observe


@dofn("observe_through", observes_windows=True)
def observe_through(ctx: Context, observer: str) -> Iterator[Any]:
    """Reports each element and passes it on."""
    ctx.observe(observer, _plain(ctx.value))
    yield ctx.value


@dofn("identity")
def identity(ctx: Context) -> Iterator[Any]:
    """Passes every element on."""
    yield ctx.value


@dofn("drop")
def drop(ctx: Context) -> None:
    """Emits nothing."""


@dofn("map")
def map_(ctx: Context, expr: Any) -> Iterator[Any]:
    """Emits the expression `expr` of each element; see conformance.harness.functions.expressions."""
    yield evaluate(expr, ctx)


@dofn("flat_map")
def flat_map(ctx: Context, expr: Any) -> Iterable[Any]:
    """Emits each item of the list that `expr` gives."""
    items: Iterable[Any] = evaluate(expr, ctx)
    return items


@dofn("filter")
def filter_(ctx: Context, expr: Any) -> Iterator[Any]:
    """Passes elements on for which `expr` is true."""
    if evaluate(expr, ctx):
        yield ctx.value


@dofn("with_key")
def with_key(ctx: Context, key: Any) -> Iterator[Any]:
    """KV of the constant `key` (JSON form) and the element."""
    yield from_json(key), ctx.value


@dofn("key_by")
def key_by(ctx: Context, expr: Any) -> Iterator[Any]:
    """KV of the expression `expr` and the element."""
    yield evaluate(expr, ctx), ctx.value


@dofn("keys")
def keys(ctx: Context) -> Iterator[Any]:
    """The key of each KV."""
    yield ctx.value[0]


@dofn("values")
def values(ctx: Context) -> Iterator[Any]:
    """The value of each KV."""
    yield ctx.value[1]


@dofn("swap")
def swap(ctx: Context) -> Iterator[Any]:
    """KV with key and value exchanged."""
    yield ctx.value[1], ctx.value[0]


@dofn("sorted_values")
def sorted_values(ctx: Context) -> Iterator[Any]:
    """KV<K, Iterable<V>> with the values sorted by their text."""
    key, group = ctx.value
    yield key, sorted(group, key=repr)


@dofn("ungroup")
def ungroup(ctx: Context) -> Iterator[Any]:
    """KV<K, Iterable<V>> to KV<K, V>."""
    key, group = ctx.value
    for value in group:
        yield key, value


@dofn("route")
def route(ctx: Context, tags: list[str], expr: Any) -> None:
    """Emits each element to the output whose tag `expr` gives, if it is one of `tags`."""
    tag = evaluate(expr, ctx)
    if tag in tags:
        ctx.output(ctx.value, tag)


@dofn("fan_out")
def fan_out(ctx: Context, tags: list[str]) -> None:
    """Emits each element to every one of `tags`."""
    for tag in tags:
        ctx.output(ctx.value, tag)


@dofn("emit_to")
def emit_to(ctx: Context, tag: str) -> None:
    """Emits each element to the output `tag`, declared or not."""
    ctx.output(ctx.value, tag)


@dofn("timestamp")
def timestamp(ctx: Context, expr: Any) -> None:
    """Emits each element at the timestamp (ms) that `expr` gives."""
    ctx.output(ctx.value, timestamp=evaluate(expr, ctx))


@dofn("reify", observes_windows=True)
def reify(ctx: Context) -> Iterator[Any]:
    """{"value", "timestamp", "window", "pane"} of each element, once a window; for a JSON coder."""
    window, pane = ctx.window, ctx.pane
    bounds = [getattr(window, "start", None), getattr(window, "end", None)]
    yield {
        "value": ctx.value,
        "timestamp": ctx.timestamp,
        "window": bounds,
        "pane": [pane.is_first, pane.is_last, pane.timing.name, pane.index, pane.nonspeculative_index],
    }


@dofn("bundle_marks")
class BundleMarks(DoFn):
    """Emits "start" and "finish" observations of `observer` for each bundle, and passes elements on."""

    def __init__(self, observer: str) -> None:
        self.observer = observer
        self.count = 0

    def start_bundle(self, ctx: Context) -> None:
        self.count = 0
        ctx.observe(self.observer, "start")

    def process(self, ctx: Context) -> Iterator[Any]:
        self.count += 1
        yield ctx.value

    def finish_bundle(self, ctx: Context) -> None:
        ctx.observe(self.observer, f"finish after {self.count}")


@dofn("emit_at_finish")
class EmitAtFinish(DoFn):
    """Keeps elements and emits them in finish_bundle, with their own timestamps, windows and panes."""

    def __init__(self) -> None:
        self.kept: list[WindowedValue] = []

    def start_bundle(self, ctx: Context) -> None:
        self.kept = []

    def process(self, ctx: Context) -> None:
        self.kept.append(ctx.element)

    def finish_bundle(self, ctx: Context) -> None:
        for element in self.kept:
            ctx.output(element.value, None, element.timestamp, element.windows, element.pane)


# What the composites of conformance.pipeline are made of


@dofn("reify_by_shard")
class ReifyByShard(DoFn):
    """Reshuffle, first part: KV<shard, windowed value>, in the global window."""

    def __init__(self, shards: int) -> None:
        self.shards, self._next = shards, 0

    def process(self, ctx: Context) -> None:
        self._next = (self._next + 1) % self.shards
        ctx.output((self._next, ctx.element), windows=(GLOBAL_WINDOW,))


@dofn("reify_value")
def reify_value(ctx: Context) -> None:
    """Redistribute by key, first part: KV<K, windowed V>, in the global window."""
    key, value = ctx.value
    element = ctx.element
    inner = WindowedValue(value, element.timestamp, element.windows, element.pane)
    ctx.output((key, inner), windows=(GLOBAL_WINDOW,))


@dofn("restore")
def restore(ctx: Context) -> None:
    """Reshuffle, last part: emits the windowed values of a group as they were."""
    for element in ctx.value[1]:
        ctx.output(element.value, None, element.timestamp, element.windows, element.pane)


@dofn("restore_value")
def restore_value(ctx: Context) -> None:
    """Redistribute by key, last part."""
    key, group = ctx.value
    for element in group:
        ctx.output((key, element.value), None, element.timestamp, element.windows, element.pane)


@dofn("combine_grouped_values")
class CombineGroupedValues(DoFn):
    """KV<K, Iterable<V>> to KV<K, O> by the CombineFn `combine`; what Flink and Spark run (P-PIPE-15)."""

    def __init__(self, combine: dict[str, Any]) -> None:
        self.fn = _combine(combine)

    def setup(self) -> None:
        self.fn.setup()

    def teardown(self) -> None:
        self.fn.teardown()

    def process(self, ctx: Context) -> Iterator[Any]:
        key, group = ctx.value
        yield key, self.fn.apply(group)


@dofn("combine_default")
class CombineDefault(DoFn):
    """Emits the side input's only value, or the combine of nothing if it is empty (M-COMB-07)."""

    def __init__(self, side: str, combine: dict[str, Any]) -> None:
        self.side, self.fn = side, _combine(combine)

    def process(self, ctx: Context) -> list[Any]:
        found: list[Any] = ctx.side(self.side).values()
        return found or [self.fn.extract(self.fn.create())]


@dofn("tag_value")
def tag_value(ctx: Context, tag: str) -> Iterator[Any]:
    """KV<K, V> to KV<K, KV<tag, V>>."""
    key, value = ctx.value
    yield key, (tag, value)


@dofn("untag")
def untag(ctx: Context, tags: list[str]) -> Iterator[Any]:
    """KV<K, Iterable<KV<tag, V>>> to KV<K, {tag: [V]}>, values sorted by their text."""
    key, group = ctx.value
    found: dict[str, list[Any]] = {tag: [] for tag in tags}
    for tag, value in group:
        found[tag].append(value)
    yield key, {tag: sorted(each, key=repr) for tag, each in found.items()}


@dofn("shard_key")
class ShardKey(DoFn):
    """KV<K, V> to KV<ShardedKey<K>, V>, over `shards` shards in turn."""

    def __init__(self, shards: int) -> None:
        self.shards, self._next = shards, 0

    def process(self, ctx: Context) -> Iterator[Any]:
        key, value = ctx.value
        self._next = (self._next + 1) % self.shards
        yield ShardedKey(key, bytes([self._next])), value
