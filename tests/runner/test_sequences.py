"""The worked sequences of model.md, event by event: grouping and triggers under a TestStream, no IO.

A table is a list of (event, panes that it makes); an event is `("add", timestamp, …)`, `("wm", t)` or `("pt", by)`. The values of
elements are their timestamps unless given as `(value, timestamp)`.
"""

from __future__ import annotations

from typing import Any

import pytest

from conformance.pipeline import Fn, Program, coders, teststream, triggers, windowing
from conformance.runner import cutting
from conformance.runner.engine_events import JobDone
from conformance.runner.variants import VARIANTS
from conformance.wire import timestamps
from conformance.wire.values import Timing
from tests.runner.lab import Lab

KV = coders.kv(coders.STRING, coders.VARINT)
MAX = timestamps.MAX
EARLY, ON_TIME, LATE = Timing.EARLY, Timing.ON_TIME, Timing.LATE
COUNT = triggers.after_count
ALWAYS = "always"


def add(*elements: int | tuple[int, int], key: str = "k") -> teststream.Event:
    pairs = [each if isinstance(each, tuple) else (each, each) for each in elements]
    return teststream.Elements([((key, value), timestamp) for value, timestamp in pairs])


def wm(to: int) -> teststream.Event:
    return teststream.Watermark(to)


def pt(by: int) -> teststream.Event:
    return teststream.ProcessingTime(by)


class Sequence(Lab):
    """Runs events through TestStream → WindowInto → GroupByKey → reader; windows are assigned by the test."""

    def __init__(self, events: list[teststream.Event], assign: Any, **options: Any) -> None:
        self.assign = assign
        self.panes: list[tuple[Any, ...]] = []
        self.steps: list[list[tuple[Any, ...]]] = []
        self._at = -1
        program = Program()
        stream = program.test_stream(events, KV)
        window_fn, rules = options.pop("window_fn"), options.pop("rules", None)
        stream.window_into(window_fn, name="window", **options).group_by_key("group").par_do(
            Fn("drop"), coders.BYTES, name="read"
        )
        super().__init__(program, rules)
        self.play()

    def play(self) -> None:
        """Answers bundles until there are none; panes belong to the event that was played before they came."""
        script = self.engine._scripts[0]
        while self.open:
            while len(self.steps) < script.played:
                self.steps.append([])
            if not self.waits("window"):
                chunks = [self.windowed(chunk) for chunk in self.next("window").data]
                self.answer("window", {"window.out": chunks})
            else:
                self.steps[-1].extend(self.read())
                self.answer("read")

    def windowed(self, chunk: bytes) -> bytes:
        cut = self.plan.collections["test_stream.out"].cut
        return b"".join(
            cutting.windowed_value(
                each.timestamp, [cutting.interval_window(*w) for w in self.assign(each.timestamp)], each.pane, each.value
            )
            for each in cut.elements(chunk)
        )

    def read(self) -> list[tuple[Any, ...]]:
        collection = self.plan.collections["group.out"]
        found = []
        for chunk in self.next("read").data:
            for each in collection.cut.elements(chunk):
                _, values = collection.cut.key_of(each.value)
                (window,) = each.windows
                members, _ = cutting.split_iterable(values, 0, lambda data, pos: cutting.read_varint(data, pos)[1])
                numbers = sorted(cutting.read_varint(member, 0)[0] for member in members)
                found.append((numbers, pane_of(each.pane), cutting.read_interval(window), each.timestamp))
        return found


def pane_of(data: bytes) -> tuple[Timing, int, int, str]:
    """(timing, index, ns, "first last")"""
    low, form = data[0], data[0] >> 4
    timing = Timing((low >> 2) & 3)
    index = cutting.read_varint(data, 1)[0] if form else 0
    ns = -1 if timing == EARLY else index
    if form == 2:
        ns = cutting.read_varint(data, cutting.read_varint(data, 1)[1])[0]
    return timing, index, ns, " ".join(word for bit, word in ((1, "first"), (2, "last")) if low & bit)


def fixed(timestamp: int) -> list[tuple[int, int]]:
    return [(timestamp // 10 * 10, timestamp // 10 * 10 + 10)]


def session(timestamp: int) -> list[tuple[int, int]]:
    return [(timestamp, timestamp + 10)]


def sequence(table: list[tuple[teststream.Event, list[tuple[Any, ...]]]], **options: Any) -> None:
    """Runs the table; each pane is (values, timing, index, ns, flags) with window and timestamp if it has them."""
    options.setdefault("window_fn", windowing.fixed(10))
    assign = options.pop("assign", session if options["window_fn"].merging else fixed)
    ran = Sequence([event for event, _ in table], assign, **options)
    steps = ran.steps + [[]] * (len(table) - len(ran.steps))
    at_the_end = steps[len(table) :]
    del steps[len(table) :]
    assert not any(at_the_end), f"behind the last event: {at_the_end}"
    for number, ((event, expected), seen) in enumerate(zip(table, steps, strict=True)):
        flat = [(values, *pane, window, timestamp) for values, pane, window, timestamp in seen]
        assert [each[: len(want)] for each, want in zip(flat, expected, strict=False)] == expected, (
            f"step {number}: {event}: {flat}"
        )
        assert len(flat) == len(expected), f"step {number}: {event}: {flat}"
    assert ran.log[-1] == JobDone()


S1 = {
    "trigger": triggers.after_watermark(early=COUNT(2), late=COUNT(1)),
    "allowed_lateness": 20,
    "on_time": ALWAYS,
    "closing": "if_nonempty",
}


def test_s1_discarding():
    sequence(
        [
            (add(1), []),
            (add(2), [([1, 2], EARLY, 0, -1, "first")]),
            (add(6), []),
            (wm(9), []),
            (wm(10), [([6], ON_TIME, 1, 0, "")]),
            (add(3), [([3], LATE, 2, 1, "")]),
            (wm(29), []),
            (add(4), [([4], LATE, 3, 2, "")]),
            (wm(30), []),
            (add(5), []),
        ],
        **S1,
    )


def test_s1_accumulating_with_a_final_pane():
    sequence(
        [
            (add(1), []),
            (add(2), [([1, 2], EARLY, 0, -1, "first")]),
            (add(6), []),
            (wm(10), [([1, 2, 6], ON_TIME, 1, 0, "")]),
            (add(3), [([1, 2, 3, 6], LATE, 2, 1, "")]),
            (wm(29), []),
            (add(4), [([1, 2, 3, 4, 6], LATE, 3, 2, "")]),
            (wm(30), [([1, 2, 3, 4, 6], LATE, 4, 3, "last")]),
            (add(5), []),
        ],
        **{**S1, "closing": ALWAYS},
        accumulation="accumulating",
    )


@pytest.mark.parametrize(("accumulation", "repeated"), [("discarding", []), ("accumulating", [1, 2])])
def test_s1_empty_on_time_pane(accumulation, repeated):
    sequence(
        [
            (add(1), []),
            (add(2), [([1, 2], EARLY, 0, -1, "first")]),
            (wm(10), [(repeated, ON_TIME, 1, 0, "")]),
            (wm(30), [(repeated, LATE, 2, 1, "last")]),
        ],
        **{**S1, "closing": ALWAYS},
        accumulation=accumulation,
    )


def test_s1_no_empty_on_time_pane_unless_asked():
    sequence(
        [
            (add(1), []),
            (add(2), [([1, 2], EARLY, 0, -1, "first")]),
            (wm(10), []),
            (add(3), [([3], LATE, 1, 0, "")]),
            (wm(30), []),
        ],
        **{**S1, "on_time": "if_nonempty"},
    )


def test_s2_default():
    sequence(
        [(add(1), []), (add(2), []), (wm(9), []), (wm(10), [([1, 2], ON_TIME, 0, 0, "first last", (0, 10), 9)]), (add(3), [])]
    )


@pytest.mark.parametrize(("closing", "final"), [("if_nonempty", []), (ALWAYS, [([], LATE, 2, 2, "last")])])
def test_s3_default_with_lateness(closing, final):
    sequence(
        [
            (add(1, 2), []),
            (wm(10), [([1, 2], ON_TIME, 0, 0, "first")]),
            (add(3), [([3], LATE, 1, 1, "", (0, 10), 9)]),
            (wm(30), final),
        ],
        allowed_lateness=20,
        closing=closing,
    )


def test_s4_a_finished_trigger_closes_the_window():
    sequence([(add(1), [([1], EARLY, 0, -1, "first last")]), (add(2), []), (wm(10), [])], trigger=COUNT(1))


def test_s5_leftovers_come_out_at_the_end():
    sequence(
        [(add(1), []), (add(2), [([1, 2], EARLY, 0, -1, "first")]), (add(3), []), (wm(10), [([3], ON_TIME, 1, 0, "last")])],
        trigger=triggers.repeatedly(COUNT(2)),
    )


def test_s5_without_leftovers_fire_always_gives_an_empty_last_pane():
    sequence(
        [(add(1), []), (add(2), [([1, 2], EARLY, 0, -1, "first")]), (wm(10), [([], ON_TIME, 1, 0, "last")])],
        trigger=triggers.repeatedly(COUNT(2)),
    )


def test_s5_with_lateness_the_count_goes_on_past_the_end():
    sequence(
        [
            (add(1), []),
            (add(2), [([1, 2], EARLY, 0, -1, "first")]),
            (add(3), []),
            (wm(10), []),
            (add(4), [([3, 4], ON_TIME, 1, 0, "")]),
            (wm(30), []),
        ],
        trigger=triggers.repeatedly(COUNT(2)),
        allowed_lateness=20,
    )


def test_s5b_processing_time():
    sequence(
        [
            (add(1), []),
            (pt(5_000), []),
            (add(2), []),
            (pt(4_999), []),
            (pt(1_001), [([1, 2], EARLY, 0, -1, "first")]),
            (pt(9_000), []),
            (add(3), []),
            (pt(1_000), []),
            (wm(10), [([3], ON_TIME, 1, 0, "last")]),
        ],
        trigger=triggers.repeatedly(triggers.after_processing_time(10_000)),
    )


def test_s6_after_each():
    panes = [([1, 2], EARLY, 0), ([3, 4, 5], EARLY, 1), ([6, 7], EARLY, 2)]
    table = [(add(n), [panes[[2, 5, 7].index(n)]] if n in (2, 5, 7) else []) for n in range(1, 8)]
    sequence([*table, (wm(10), [([], ON_TIME)])], trigger=triggers.repeatedly(triggers.after_each(COUNT(2), COUNT(3))))


def test_s7_or_finally_counts_across_firings():
    panes = {2: ([1, 2], EARLY, 0, -1, "first"), 4: ([3, 4], EARLY, 1, -1, ""), 5: ([5], EARLY, 2, -1, "last")}
    sequence(
        [(add(n), [panes[n]] if n in panes else []) for n in range(1, 7)],
        trigger=triggers.or_finally(triggers.repeatedly(COUNT(2)), COUNT(5)),
    )


def test_elements_that_arrive_together_count_one_by_one():
    pairs = [([1, 2], EARLY, 0, -1, "first"), ([3, 4], EARLY, 1, -1, "")]
    sequence([(add(1, 2, 3, 4, 5), pairs), (wm(10), [([5], ON_TIME, 2, 0, "last")])], trigger=triggers.repeatedly(COUNT(2)))
    ends = [([1], EARLY, 0, -1, "first"), ([2], EARLY, 1, -1, "last")]
    sequence([(add(1, 2, 3), ends), (wm(10), [])], trigger=triggers.or_finally(triggers.always(), COUNT(2)))


def test_or_all_at_once():
    late = VARIANTS["triggers-asked-late"]()
    panes = [([1, 2, 3, 4, 5], EARLY, 0, -1, "first")]
    table = [(add(1, 2, 3, 4, 5), panes), (wm(10), [([], ON_TIME, 1, 0, "last")])]
    sequence(table, trigger=triggers.repeatedly(COUNT(2)), rules=late)


def test_sessions_are_not_closed_between_elements_that_merge_them():
    table = [(add(1, 2, 3), [([1, 2, 3], EARLY, 0, -1, "first last")])]
    sequence(table, **SESSIONS, trigger=COUNT(2))


def test_never_gives_one_pane_when_the_window_is_over():
    sequence(
        [(add(1), []), (wm(10), []), (add(2), []), (wm(30), [([1, 2], ON_TIME, 0, 0, "first last")])],
        trigger=triggers.never(),
        allowed_lateness=20,
    )


def test_after_all_and_any():
    both = [COUNT(2), triggers.after_processing_time(1_000)]
    sequence(
        [(add(1), []), (pt(2_000), []), (add(2), [([1, 2], EARLY)]), (add(3), []), (wm(10), [])],
        trigger=triggers.after_all(*both),
    )
    sequence(
        [(add(1), []), (pt(2_000), [([1], EARLY)]), (add(2), []), (wm(10), [])],
        trigger=triggers.after_any(*both),
    )


def test_a_jump_past_everything_gives_one_pane():
    sequence([(add(1), []), (wm(MAX), [([1], ON_TIME, 0, 0, "first last")])], allowed_lateness=20)


# ---- section 3.5, sessions


SESSIONS: dict[str, Any] = {"window_fn": windowing.sessions(10)}


@pytest.mark.parametrize("mode", ["discarding", "accumulating"])
def test_a_late_element_makes_a_session_grow(mode):
    accumulating = mode == "accumulating"
    sequence(
        [
            (add(0), []),
            (wm(10), [([0], ON_TIME, 0, 0, "first", (0, 10), 9)]),
            (add(5), []),
            (wm(15), [([0, 5] if accumulating else [5], ON_TIME, 0, 0, "first", (0, 15), 14)]),
            (add(12), []),
            (wm(42), [([0, 5, 12] if accumulating else [12], ON_TIME, 0, 0, "first last", (0, 22), 21)]),
        ],
        **SESSIONS,
        allowed_lateness=20,
        accumulation=mode,
    )


def test_sessions_with_early_firings():
    sequence(
        [
            (add(0), []),
            (add(30), []),
            (add(8), [([0, 8], EARLY, 0, -1, "first", (0, 18))]),
            (add(16), []),
            (add(21), [([16, 21, 30], EARLY, 0, -1, "first", (0, 40))]),
            (wm(40), [([], ON_TIME, 1, 0, "last", (0, 40), 39)]),
        ],
        **SESSIONS,
        trigger=triggers.after_watermark(early=COUNT(2)),
    )


def test_sessions_merge_across_arrivals():
    sequence(
        [
            (add(1), []),
            (add(15), []),
            (add(8), []),
            (wm(24), []),
            (wm(25), [([1, 8, 15], ON_TIME, 0, 0, "first last", (1, 25), 24)]),
        ],
        **SESSIONS,
        accumulation="accumulating",
    )


def test_a_closed_session_does_not_merge():
    sequence(
        [
            (add(0), [([0], EARLY, 0, -1, "first last", (0, 10))]),
            (add(5), [([5], EARLY, 0, -1, "first last", (5, 15))]),
            (add((9, 0)), []),
            (wm(20), []),
        ],
        **SESSIONS,
        trigger=COUNT(1),
    )


# ---- section 6, timestamps of panes


@pytest.mark.parametrize(
    ("before", "elements", "earliest", "latest"),
    [(timestamps.MIN, (1, 2, 3), 1, 3), (5, (2, 3, 7, 8), 7, 8), (8, (2, 3, 7), 9, 9)],
)
def test_only_what_could_be_held_makes_the_timestamp(before, elements, earliest, latest):
    for output_time, expected in (("earliest", earliest), ("latest", latest)):
        sequence(
            [
                (wm(before), []),
                (add(*elements), []),
                (wm(10), [(sorted(elements), ON_TIME, 0, 0, "first last", (0, 10), expected)]),
            ],
            timestamp_combiner=output_time,
        )


def test_timestamps_count_what_is_new_in_a_pane():
    for output_time, expected in (("earliest", (1, 5, 9)), ("latest", (2, 7, 9))):
        sequence(
            [
                (add(1), []),
                (add(2), [([1, 2], EARLY, 0, -1, "first", (0, 10), expected[0])]),
                (add(5), []),
                (add(7), [([1, 2, 5, 7], EARLY, 1, -1, "", (0, 10), expected[1])]),
                (wm(10), [([1, 2, 5, 7], ON_TIME, 2, 0, "last", (0, 10), expected[2])]),
            ],
            trigger=triggers.after_watermark(early=COUNT(2)),
            accumulation="accumulating",
            timestamp_combiner=output_time,
        )


# ---- section 5, lateness


def test_the_last_watermark_that_takes_data_is_gc():
    sequence(
        [
            (add(1), []),
            (wm(10), [([1], ON_TIME)]),
            (wm(14), []),
            (add(2), [([2], LATE)]),
            (wm(15), []),
            (add(3), []),
        ],
        allowed_lateness=5,
    )
