"""Composites in the shapes that runners expect, each expanding to primitives: combines, reshuffles, batches, joins.

Every function takes a PCollection first and is a method of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from conformance.pipeline import coders as c
from conformance.pipeline import state as cells
from conformance.pipeline import windowing
from conformance.pipeline.coders import CoderSpec
from conformance.pipeline.errors import PipelineError
from conformance.pipeline.fn import Fn
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

if TYPE_CHECKING:
    from conformance.pipeline.builder import PCollection

__all__ = [
    "co_group_by_key",
    "combine_globally",
    "combine_leaf",
    "combine_per_key",
    "group_into_batches",
    "redistribute_arbitrarily",
    "redistribute_by_key",
    "reshuffle",
]

OUT = "out"


def _combine_payload(collection: PCollection, fn: Fn, accumulator: CoderSpec) -> bytes:
    coder_id = collection.program.graph.coder(accumulator)
    payload = pb.CombinePayload(combine_fn=fn.to_spec(), accumulator_coder_id=coder_id)
    return payload.SerializeToString(deterministic=True)


def combine_per_key(
    self: PCollection,
    fn: Fn,
    accumulator: CoderSpec,
    output: CoderSpec,
    name: str = "combine_per_key",
    environment: str | None = None,
) -> PCollection:
    """GroupByKey, then combine_grouped_values with a ParDo inside: Flink and Spark run that ParDo, the others lift or run the
    component (P-PIPE-15)."""
    environment = environment or self.program.graph.environment
    payload = _combine_payload(self, fn, accumulator)
    program = self.program
    with program.composite(
        name, urns.Transform.COMBINE_PER_KEY, payload, inputs={"in": self}, environment=environment
    ) as combine:
        grouped = self.group_by_key("group")
        with program.composite(
            "combine_values",
            urns.Transform.COMBINE_GROUPED_VALUES,
            payload,
            inputs={"in": grouped},
            environment=environment,
        ) as values:
            result = values.output(
                grouped.par_do(
                    Fn("combine_grouped_values", combine=fn.to_json()),
                    c.kv(self.key_coder, output),
                    name="combine",
                    environment=environment,
                )
            )
        return combine.output(result)


def combine_leaf(
    self: PCollection,
    urn: str,
    fn: Fn,
    accumulator: CoderSpec,
    output: CoderSpec,
    name: str,
    environment: str | None = None,
) -> PCollection:
    """One component of a combine (precombine, merge, extract, convert, grouped values) as a leaf, for pre-expanded pipelines."""
    return self.program.raw(
        name,
        urn,
        _combine_payload(self, fn, accumulator),
        inputs={"in": self},
        outputs={OUT: output},
        environment=environment or self.program.graph.environment,
    )[OUT]


def combine_globally(
    self: PCollection, fn: Fn, accumulator: CoderSpec, output: CoderSpec, name: str = "combine_globally", default: bool = False
) -> PCollection:
    """One value a window. With `default` an empty input of the global window gives the combine of nothing (M-COMB-07)."""
    payload = _combine_payload(self, fn, accumulator)
    with self.program.composite(
        name, urns.Transform.COMBINE_GLOBALLY, payload, inputs={"in": self}, environment=self.program.graph.environment
    ) as scope:
        keyed = self.par_do(Fn("with_key", key=""), c.kv(c.STRING, self.coder), name="key")
        result = keyed.combine_per_key(fn, accumulator, output).par_do(Fn("values"), output, name="unkey")
        if default:
            result = self.program.impulse("one").par_do(
                Fn("combine_default", side="result", combine=fn.to_json()),
                output,
                name="or_default",
                side_inputs={"result": result.as_iterable()},
            )
        return scope.output(result)


def _shuffled(self: PCollection, keyed: PCollection, element: CoderSpec) -> PCollection:
    """KV<K, reified element> through a grouping that fires at once, and back with timestamp, windows and pane (M-XF-12)."""
    grouped = keyed.group_by_key("group")
    return grouped.par_do(Fn("restore"), element, name="restore", strategy=self.strategy)


def _reshuffle_parts(self: PCollection, shards: int) -> PCollection:
    reified = c.windowed_value(self.coder, self.strategy.window_fn.window_coder)
    keyed = self.par_do(Fn("reify_by_shard", shards=shards), c.kv(c.VARINT, reified), name="shard", strategy=windowing.RESHUFFLE)
    return _shuffled(self, keyed, self.coder)


def reshuffle(self: PCollection, name: str = "reshuffle", shards: int = 8) -> PCollection:
    """Reshuffle: key by a shard, group, restore; timestamps, windows and panes come out as they went in."""
    with self.program.composite(name, urns.Transform.RESHUFFLE, inputs={"in": self}) as scope:
        return scope.output(_reshuffle_parts(self, shards))


def redistribute_arbitrarily(
    self: PCollection, allow_duplicates: bool = False, name: str = "redistribute", shards: int = 8
) -> PCollection:
    payload = pb.RedistributePayload(allow_duplicates=allow_duplicates).SerializeToString(deterministic=True)
    with self.program.composite(name, urns.Transform.REDISTRIBUTE_ARBITRARILY, payload, inputs={"in": self}) as scope:
        return scope.output(_reshuffle_parts(self, shards))


def redistribute_by_key(self: PCollection, allow_duplicates: bool = False, name: str = "redistribute_by_key") -> PCollection:
    """As reshuffle, but elements of one key stay together."""
    payload = pb.RedistributePayload(allow_duplicates=allow_duplicates).SerializeToString(deterministic=True)
    reified = c.windowed_value(self.value_coder, self.strategy.window_fn.window_coder)
    with self.program.composite(name, urns.Transform.REDISTRIBUTE_BY_KEY, payload, inputs={"in": self}) as scope:
        keyed = self.par_do(Fn("reify_value"), c.kv(self.key_coder, reified), name="reify", strategy=windowing.RESHUFFLE)
        grouped = keyed.group_by_key("group")
        restored = grouped.par_do(Fn("restore_value"), self.coder, name="restore", strategy=self.strategy)
        return scope.output(restored)


def group_into_batches(
    self: PCollection,
    batch_size: int,
    *,
    sharded: bool = False,
    batch_size_bytes: int = 0,
    max_buffering_millis: int = 0,
    name: str = "group_into_batches",
) -> PCollection:
    """KV<K, Iterable<V>> of at most `batch_size` values; with `sharded`, KV<ShardedKey<K>, Iterable<V>> (M-XF-13).

    The flush timer is set at the window's last instant: one later, and state may already be gone (M-TIMER-15).
    """
    payload = pb.GroupIntoBatchesPayload(
        batch_size=batch_size, batch_size_bytes=batch_size_bytes, max_buffering_duration_millis=max_buffering_millis
    ).SerializeToString(deterministic=True)
    urn = urns.Transform.GROUP_INTO_BATCHES_WITH_SHARDED_KEY if sharded else urns.Transform.GROUP_INTO_BATCHES
    timers: dict[str, Literal["event", "processing"]] = {"window": "event"}
    if max_buffering_millis:
        timers["buffering"] = "processing"
    environment = self.program.graph.environment
    with self.program.composite(name, urn, payload, inputs={"in": self}, environment=environment) as scope:
        keyed = self
        if sharded:
            key = c.sharded_key(self.key_coder)
            keyed = self.par_do(Fn("shard_key", shards=2), c.kv(key, self.value_coder), name="shard")
        batches = keyed.par_do(
            Fn("batch", size=batch_size, bytes=batch_size_bytes, buffering=max_buffering_millis),
            c.kv(keyed.key_coder, c.iterable(self.value_coder)),
            name="batch",
            state={"batch": cells.bag(self.value_coder), "count": cells.value(c.VARINT), "bytes": cells.value(c.VARINT)},
            timers=timers,
        )
        return scope.output(batches)


def co_group_by_key(
    self: PCollection, others: Mapping[str, PCollection], tag: str = "", name: str = "co_group_by_key"
) -> PCollection:
    """KV<K, JSON dict of tag → values>: tag, flatten, group, untag (M-XF-14). `tag` is this collection's own."""
    inputs = {tag: self, **others}
    if len(inputs) != len(others) + 1 or any(other.key_coder != self.key_coder for other in others.values()):
        raise PipelineError([f"co_group_by_key {name!r} needs distinct tags and one key coder"])
    values = {collection.value_coder for collection in inputs.values()}
    element = values.pop() if len(values) == 1 else c.JSON
    union = c.kv(self.key_coder, c.kv(c.STRING, element))
    with self.program.composite(name, inputs={f"in_{local}": collection for local, collection in inputs.items()}) as scope:
        tagged = [
            collection.par_do(Fn("tag_value", tag=local), union, name=f"tag_{local}") for local, collection in inputs.items()
        ]
        grouped = self.program.flatten(tagged).group_by_key()
        joined = grouped.par_do(Fn("untag", tags=list(inputs)), c.kv(self.key_coder, c.JSON), name="untag")
        return scope.output(joined)
