"""What holds of the panes of any event script whatever its trigger (M-ORC-02), on scripts that nobody thought of."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.pipeline import teststream, triggers, windowing
from conformance.wire.values import Timing
from tests.runner.test_sequences import Sequence, fixed

#: Triggers that never finish, so that nothing may be missing but what is late.
LEAVES = st.one_of(
    st.integers(1, 4).map(triggers.after_count),
    st.integers(0, 20).map(triggers.after_processing_time),
    st.just(triggers.after_watermark()),
    st.just(triggers.after_synchronized_processing_time()),
)
PARTS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).flatmap(
            lambda subs: st.sampled_from([triggers.after_all, triggers.after_any, triggers.after_each]).map(
                lambda kind: kind(*subs)
            )
        ),
        st.tuples(inner, inner).map(lambda two: triggers.or_finally(triggers.repeatedly(two[0]), two[1])),
    ),
    max_leaves=4,
)
TRIGGERS = st.one_of(
    st.sampled_from([triggers.default(), triggers.never(), triggers.always()]),
    PARTS.map(triggers.repeatedly),
    st.tuples(st.none() | PARTS.map(triggers.repeatedly), PARTS.map(triggers.repeatedly)).map(
        lambda parts: triggers.after_watermark(*parts)
    ),
)


@st.composite
def scripts(draw: st.DrawFn) -> list[teststream.Event]:
    events: list[teststream.Event] = []
    watermark, number = 0, 0
    for _ in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from(["add", "add", "add", "watermark", "clock"]))
        if kind == "add":
            stamps = draw(st.lists(st.integers(0, 40), min_size=1, max_size=3))
            events.append(teststream.Elements([(("k", number + i), at) for i, at in enumerate(stamps)]))
            number += len(stamps)
        elif kind == "watermark":
            watermark += draw(st.integers(1, 15))
            events.append(teststream.Watermark(watermark))
        else:
            events.append(teststream.ProcessingTime(draw(st.integers(1, 15))))
    return events


@pytest.mark.parametrize("window_fn", [windowing.fixed(10), windowing.sessions(7)], ids=["fixed", "sessions"])
@settings(max_examples=150, deadline=None)
@given(
    events=scripts(),
    trigger=TRIGGERS,
    accumulation=st.sampled_from(["discarding", "accumulating"]),
    lateness=st.sampled_from([0, 5, 1000]),
    closing=st.sampled_from(["always", "if_nonempty"]),
    on_time=st.sampled_from(["always", "if_nonempty"]),
    combiner=st.sampled_from(["end_of_window", "earliest", "latest"]),
)
def test_laws_of_panes(window_fn, events, trigger, accumulation, lateness, closing, on_time, combiner):
    ran = Sequence(
        events,
        (lambda at: [(at, at + 7)]) if window_fn.merging else fixed,
        window_fn=window_fn,
        trigger=trigger,
        accumulation=accumulation,
        allowed_lateness=lateness,
        closing=closing,
        on_time=on_time,
        timestamp_combiner=combiner,
    )
    assert ran.done
    panes = [pane for step in ran.steps for pane in step]
    stamps = {value: at for event in events if isinstance(event, teststream.Elements) for (_, value), at in event.elements}
    seen = [value for values, *_ in panes for value in values]
    assert set(seen) <= set(stamps)
    if accumulation == "discarding":
        assert len(seen) == len(set(seen))
    if lateness == 1000:
        assert set(seen) == set(stamps)
    windows: dict[Any, list[Any]] = defaultdict(list)
    for values, (timing, index, ns, flags), window, timestamp in panes:
        start, end = window
        assert timestamp <= end - 1
        assert combiner != "end_of_window" or timestamp == end - 1
        assert all(start <= stamps[value] < end for value in values)
        windows[window].append((timing, index, ns, flags, values))
    for each in windows.values():
        for run in lives(each):
            laws_of_one_window(run, accumulation, closing, on_time)


def lives(panes: list[Any]) -> list[list[Any]]:
    """The panes of one window, apart for each time that it came into being (M-PANE-12)."""
    found: list[list[Any]] = []
    for pane in panes:
        if pane[1] == 0:
            found.append([])
        found[-1].append(pane)
    return found


def laws_of_one_window(panes: list[Any], accumulation: str, closing: str, on_time: str) -> None:
    timings = [timing for timing, *_ in panes]
    assert [index for _, index, *_ in panes] == list(range(len(panes)))
    assert timings == sorted(timings)  # EARLY, ON_TIME, LATE
    assert timings.count(Timing.ON_TIME) <= 1
    later = [ns for timing, _, ns, *_ in panes if timing != Timing.EARLY]
    assert later == list(range(len(later)))
    assert all(("first" in flags) == (index == 0) for _, index, _, flags, _ in panes)
    assert all("last" not in flags for _, _, _, flags, _ in panes[:-1])
    for before, (timing, _, _, flags, values) in zip([None, *panes], panes, strict=False):
        if accumulation == "accumulating" and before is not None:
            assert set(before[4]) <= set(values)
        grown = values if before is None or accumulation == "discarding" else set(values) - set(before[4])
        if not grown:
            assert (timing == Timing.ON_TIME and on_time == "always") or ("last" in flags and closing == "always")
