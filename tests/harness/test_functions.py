"""The library of functions: complete in the documentation, lawful as CombineFns, honest about what it does not know."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.harness import CombineFn, Session
from conformance.harness.errors import UnknownFunction
from conformance.harness.functions import LIBRARY, Registry
from conformance.harness.functions.listing import rewrite
from conformance.harness.observations import Sink
from conformance.harness.windowing import Fixed, Sessions, Sliding
from conformance.pipeline import Fn
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.values import IntervalWindow

REGISTRY = Registry(LIBRARY, Sink())
COMBINES = [Fn("sum"), Fn("count"), Fn("min"), Fn("max"), Fn("concat"), Fn("union"), Fn("mean"), Fn("top", n=2)]


def test_the_documentation_lists_the_registry() -> None:
    page = Path(__file__).parents[2] / "docs" / "harness.md"
    text = page.read_text(encoding="utf-8")
    assert rewrite(text) == text, "run python -m conformance.harness.functions.listing"


def test_every_function_says_what_it_does() -> None:
    assert [
        entry.name for kind in ("dofn", "combine", "window", "mapping") for entry in LIBRARY.entries(kind) if not entry.summary
    ] == []


@pytest.mark.parametrize("fn", COMBINES, ids=lambda fn: fn.name)
@given(values=st.lists(st.integers(-5, 5), max_size=5), cut=st.integers(0, 5))
def test_combines_are_associative_commutative_and_accept_nothing(fn: Fn, values: list[int], cut: int) -> None:
    combine: CombineFn = REGISTRY.combine_fn(fn)

    def accumulate(part: list[int]) -> object:
        accumulator = combine.create()
        for value in part:
            accumulator = combine.add(accumulator, value)
        return accumulator

    whole = combine.apply(values)
    parts = [accumulate(values[cut:]), combine.create(), accumulate(values[:cut])]
    for order in itertools.permutations(parts):
        assert combine.extract(combine.merge(list(order))) == whole
    assert combine.apply(list(reversed(values))) == whole
    combine.extract(combine.merge([]))


@given(
    timestamp=st.integers(-(10**6), 10**6), size=st.integers(1, 1000), period=st.integers(1, 1000), offset=st.integers(-99, 99)
)
def test_windows_contain_their_timestamp(timestamp: int, size: int, period: int, offset: int) -> None:
    [fixed] = Fixed(size, offset).assign(timestamp, None)
    assert isinstance(fixed, IntervalWindow)
    assert fixed.start <= timestamp < fixed.end
    assert (fixed.start - offset) % size == 0
    sliding = Sliding(size, period, offset).assign(timestamp, None)
    assert sliding == [
        IntervalWindow(start, start + size) for start in range(timestamp, timestamp - size, -1) if (start - offset) % period == 0
    ]


@pytest.mark.parametrize(
    ("timestamps", "merged"),
    [
        ([0, 9], [IntervalWindow(0, 19)]),
        ([0, 10], []),
        ([0, 14, 7], [IntervalWindow(0, 24)]),
        ([0, 5, 30, 35], [IntervalWindow(0, 15), IntervalWindow(30, 45)]),
    ],
)
def test_sessions_merge_when_they_overlap_and_not_when_they_touch(timestamps: list[int], merged: list[IntervalWindow]) -> None:
    """M-WIN-08, its table."""
    fn = Sessions(10)
    windows = [window for timestamp in timestamps for window in fn.assign(timestamp, None)]
    assert [result for result, _ in fn.merge(windows)] == merged


def test_what_is_unknown_says_what_is_known() -> None:
    with pytest.raises(UnknownFunction, match=r"no dofn is called 'sume'.*count_by_key"):
        REGISTRY.dofn(Fn("sume"))
    with pytest.raises(UnknownFunction, match="beam:window_fn:calendar"):
        REGISTRY.window_fn(pb.FunctionSpec(urn="beam:window_fn:calendar:v1"))


def test_a_session_has_functions_of_its_own() -> None:
    with Session() as one, Session() as two:
        one.functions.dofn("mine")(lambda ctx: [ctx.value])
        assert Registry(one.functions, Sink()).dofn(Fn("mine"))
        with pytest.raises(UnknownFunction):
            Registry(two.functions, Sink()).dofn(Fn("mine"))
        with pytest.raises(ValueError, match="registered already"):
            one.functions.dofn("mine")(lambda ctx: [])
