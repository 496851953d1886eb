"""Drawn coders and drawn values of them, through a GroupByKey: keys group by their bytes, and values keep theirs."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen
from hypothesis import strategies as st

from conformance.pipeline import Fn, Program, coders, encoding
from conformance.pipeline.coders import CoderSpec
from conformance.suite.checks import Wrong
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.generated.drawing import every
from conformance.suite.run import Run
from conformance.suite.u_coders.functions import to_json
from conformance.wire.values import ShardedKey

__all__ = ["Pairs", "for_all_values", "pairs"]

_LABEL = "COD02/generated-values"
#: The deepest nesting of drawn coders.
_DEPTH = 3


@frozen
class Pairs:
    """KVs of one coder each for keys and values; both parts as the hex of their nested encodings."""

    key: CoderSpec
    value: CoderSpec
    pairs: tuple[tuple[str, str], ...]


@frozen
class _Typed:
    """A coder and a strategy of the values that it writes."""

    coder: CoderSpec
    values: st.SearchStrategy[Any]


_ATOMS = (
    _Typed(coders.BYTES, st.binary(max_size=200)),
    _Typed(coders.STRING, st.text(st.characters(exclude_categories=["Cs"]), max_size=40)),
    _Typed(coders.BOOL, st.booleans()),
    _Typed(coders.VARINT, st.integers(-(2**63), 2**63 - 1)),
    _Typed(coders.DOUBLE, st.floats(allow_nan=False) | st.just(math.nan)),
    _Typed(coders.JSON, st.none() | st.integers(-9, 9) | st.lists(st.text("ab\x00é", max_size=3), max_size=3)),
)


def _around(inner: _Typed) -> list[_Typed]:
    """The coders of one component."""
    return [
        _Typed(coders.iterable(inner.coder), st.lists(inner.values, max_size=4)),
        _Typed(coders.nullable(inner.coder), st.none() | inner.values),
        _Typed(coders.length_prefix(inner.coder), inner.values),
        _Typed(coders.sharded_key(inner.coder), st.builds(ShardedKey, inner.values, st.binary(max_size=3))),
    ]


@st.composite
def _typed(draw: st.DrawFn, depth: int = _DEPTH) -> _Typed:
    kind = draw(st.sampled_from(["atom", "pair", "around"])) if depth else "atom"
    if kind == "atom":
        return draw(st.sampled_from(_ATOMS))
    if kind == "pair":
        left, right = draw(_typed(depth - 1)), draw(_typed(depth - 1))
        return _Typed(coders.kv(left.coder, right.coder), st.tuples(left.values, right.values))
    return draw(st.sampled_from(_around(draw(_typed(depth - 1)))))


@st.composite
def pairs(draw: st.DrawFn) -> Pairs:
    """Two coders and a few KVs; keys come again, so that there is something to group."""
    key, value = draw(_typed()), draw(_typed())
    key_coder, value_coder = encoding.resolve(key.coder), encoding.resolve(value.coder)
    keys = draw(st.lists(key.values, min_size=1, max_size=4))
    drawn = draw(st.lists(st.tuples(st.sampled_from(keys), value.values), min_size=1, max_size=6))
    return Pairs(key.coder, value.coder, tuple((key_coder.encode(k).hex(), value_coder.encode(v).hex()) for k, v in drawn))


def for_all_values(runner: RunnerUnderTest) -> None:
    """Every drawn list of KVs keeps its bytes through a GroupByKey; raises Wrong with the smallest that does not."""
    __tracebackhide__ = True
    every(runner, pairs(), lambda drawn: _check(runner, drawn), _LABEL)


def _builder(drawn: Pairs) -> Callable[[Program], None]:
    def build(program: Program) -> None:
        source = Fn("coded_pairs", key=to_json(drawn.key), value=to_json(drawn.value), pairs=[list(pair) for pair in drawn.pairs])
        grouped = program.impulse().par_do(source, coders.kv(drawn.key, drawn.value)).group_by_key()
        report = Fn("coded_groups", observer=program.prefix + "out", key=to_json(drawn.key), value=to_json(drawn.value))
        grouped.par_do(report, coders.BYTES)

    return build


def _check(runner: RunnerUnderTest, drawn: Sequence[Pairs]) -> None:
    __tracebackhide__ = True
    runs: list[Run] = runner.run_builders([_builder(each) for each in drawn], label=_LABEL)
    for each, run in zip(drawn, runs, strict=True):
        expected: dict[str, list[str]] = defaultdict(list)
        for key, value in each.pairs:
            expected[key].append(value)
        wanted = sorted((key, sorted(values)) for key, values in expected.items())
        observed = run.sorted_values("out")
        if observed != wanted:
            message = f"groups of KV<{each.key}, {each.value}>: expected {wanted}, observed {observed}"
            raise Wrong(message, expected=wanted, observed=observed, rule="M-COMB-10")
