"""Which side window a main window reads: mapped by the SDK, served by the runner as it is named (M-WIN-21, M-SIDE-03)."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.pipeline import Fn, coders, windowing
from conformance.pipeline.windowing import WindowFn
from conformance.suite.assertions import asserts
from conformance.suite.c_windowing.reading import SECOND
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import refused_naming, same
from conformance.suite.f_state.functions import scripted
from conformance.suite.h_side_inputs import functions as functions
from conformance.suite.run import Run

VALUES = [["side", "side", "values"]]
TEN = windowing.fixed(10 * SECOND)


def _by_window(run: Run) -> list[tuple[Any, int | None, list[Any]]]:
    """(element, start of its window, sorted view)."""
    return sorted((seen.value[0], getattr(seen.window, "start", None), sorted(seen.value[1][0])) for seen in run.seen("out"))


@asserts("SIDE10/same-window")
def test_same_window(case: Case) -> Scenario:
    side = case.program.create([10, 11, 20], timestamps=[1000, 9999, 10_000], window=TEN, name="side")
    main = case.program.create([1, 2], timestamps=[5000, 15_000], window=TEN, name="main")
    scripted(case, main, VALUES, side_inputs={"side": side.as_iterable()})
    run = yield
    same(_by_window(run), [(1, 0, [10, 11]), (2, 10_000, [20])], "element, window start and view", rule="M-SIDE-03")


@asserts("SIDE10/window-without-side-elements")
def test_window_without_side_elements(case: Case) -> Scenario:
    side = case.program.create([10], timestamps=[1000], window=TEN, name="side")
    main = case.program.create([1, 2, 3], timestamps=[5000, 15_000, 995_000], window=TEN, name="main")
    scripted(case, main, VALUES, side_inputs={"side": side.as_iterable()})
    run = yield
    expected = [(1, 0, [10]), (2, 10_000, []), (3, 990_000, [])]
    same(_by_window(run), expected, "element, window start and view", rule="M-SIDE-04")


@asserts("SIDE10/each-window-of-an-element")
def test_each_window_of_an_element(case: Case) -> Scenario:
    window = windowing.sliding(20 * SECOND, 10 * SECOND)
    side = case.program.create([10, 20], timestamps=[5000, 25_000], window=window, name="side")
    main = case.program.create([1], timestamps=[15_000], window=window, name="main")
    # default mapping: of the sliding windows that hold the last instant of the main window, the one that starts first
    scripted(case, main, VALUES, side_inputs={"side": side.as_iterable()})
    run = yield
    expected = [(1, 0, [10]), (1, 10_000, [20])]
    same(_by_window(run), expected, "element, window start and view", rule="M-SIDE-03")


@asserts("SIDE10/multimap-by-window")
def test_multimap_by_window(case: Case) -> Scenario:
    pairs = [("a", 1), ("b", 2), ("a", 3)]
    side = case.program.create(pairs, timestamps=[1000, 2000, 12_000], window=TEN, name="side")
    main = case.program.create(["x", "y"], timestamps=[5000, 15_000], window=TEN, name="main")
    steps = [["side", "side", "get", "a"], ["side", "side", "get", "b"], ["side", "side", "keys"]]
    scripted(case, main, steps, side_inputs={"side": side.as_multimap()})
    run = yield
    found = sorted((element, a, b, sorted(keys)) for element, (a, b, keys) in run.values("out"))
    expected = [("x", [1], [2], ["a", "b"]), ("y", [3], [], ["a"])]
    same(found, expected, "element, values of a, values of b, keys", rule="M-SIDE-03")


@pytest.mark.parametrize(
    ("main_window", "side_window", "expected"),
    [
        (TEN, windowing.global_windows(), [(1, 0, [10, 20, 30]), (2, 10_000, [10, 20, 30])]),
        (TEN, windowing.fixed(20 * SECOND), [(1, 0, [10, 20]), (2, 10_000, [10, 20])]),
        # the last instants of the main windows are 9.999 and 19.999
        (TEN, windowing.fixed(4 * SECOND), [(1, 0, [20]), (2, 10_000, [])]),
        (windowing.fixed(5 * SECOND), windowing.fixed(7 * SECOND), [(1, 5000, [20]), (2, 10_000, [])]),
    ],
    ids=["global", "larger", "smaller", "overlapping"],
)
@asserts("SIDE11/window-of-the-last-instant")
def test_window_of_the_last_instant(
    case: Case, main_window: WindowFn, side_window: WindowFn, expected: list[tuple[int, int, list[int]]]
) -> Scenario:
    side = case.program.create([10, 20, 30], timestamps=[1000, 9000, 24_000], window=side_window, name="side")
    main = case.program.create([1, 2], timestamps=[5000, 14_000], window=main_window, name="main")
    scripted(case, main, VALUES, side_inputs={"side": side.as_iterable()})
    run = yield
    same(_by_window(run), expected, "element, window start and view", rule="M-WIN-21")


@asserts("SIDE11/earliest-of-sliding")
def test_earliest_of_sliding(case: Case) -> Scenario:
    # [0, 10) and [5, 15) hold 9.999; the one that starts first is read
    side_window = windowing.sliding(10 * SECOND, 5 * SECOND)
    side = case.program.create([10, 20], timestamps=[1000, 12_000], window=side_window, name="side")
    main = case.program.create([1], timestamps=[2000], window=TEN, name="main")
    scripted(case, main, VALUES, side_inputs={"side": side.as_iterable()})
    run = yield
    same(_by_window(run), [(1, 0, [10])], "element, window start and view", rule="M-WIN-21")


@asserts("SIDE11/sessions-to-fixed")
def test_sessions_to_fixed(case: Case) -> Scenario:
    # the session of 5 and 12 s ends at 17 s, so its last instant is in the second side window
    side = case.program.create([10, 20], timestamps=[1000, 12_000], window=TEN, name="side")
    pairs = case.program.create(
        [("k", 1), ("k", 2)], timestamps=[8000, 12_000], window=windowing.sessions(5 * SECOND), name="main"
    )
    sessions = pairs.group_by_key().par_do(Fn("keys"), coders.STRING)
    scripted(case, sessions, VALUES, side_inputs={"side": side.as_iterable()})
    run = yield
    same(_by_window(run), [("k", 8000, [20])], "element, window start and view", rule="M-WIN-21")


@asserts("SIDE12/mapping-obeyed")
def test_mapping_obeyed(case: Case) -> Scenario:
    side = case.program.create([10, 20, 30], timestamps=[1000, 11_000, 21_000], window=TEN, name="side")
    main = case.program.create([1, 2, 3], timestamps=[5000, 15_000, 25_000], window=TEN, name="main")
    before = Fn("suite_window_before", size=10 * SECOND)
    scripted(case, main, VALUES, side_inputs={"side": side.as_iterable(mapping=before)})
    run = yield
    expected = [(1, 0, []), (2, 10_000, [10]), (3, 20_000, [20])]
    same(_by_window(run), expected, "element, window start and view", rule="M-WIN-21")


@asserts("SIDE12/two-mappings-of-one-collection")
def test_two_mappings_of_one_collection(case: Case) -> Scenario:
    side = case.program.create([10, 20], timestamps=[1000, 11_000], window=TEN, name="side")
    main = case.program.create([1], timestamps=[15_000], window=TEN, name="main")
    sides = {"now": side.as_iterable(), "before": side.as_iterable(mapping=Fn("suite_window_before", size=10 * SECOND))}
    scripted(case, main, [["side", "now", "values"], ["side", "before", "values"]], side_inputs=sides)
    run = yield
    same(run.values("out"), [(1, [[20], [10]])], "element, view of the same window and of the one before", rule="M-SIDE-03")


@asserts("SIDE11/side-sessions-refused", any_outcome=True)
def test_side_sessions_refused(case: Case) -> Scenario:
    side = case.program.create([10], timestamps=[1000], window=windowing.sessions(5 * SECOND), name="side")
    main = case.program.create([1], timestamps=[1000], window=TEN, name="main")
    scripted(case, main, VALUES, side_inputs={"side": side.as_iterable()})
    run = yield
    refused_naming(run, ["session", "side input"], rule="M-SIDE-13")
