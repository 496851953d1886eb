"""Window functions and window types that only the SDK knows (M-WIN-14, M-WIN-17)."""

from __future__ import annotations

from typing import Any

from conformance.pipeline import Fn, coders, windowing
from conformance.suite.a_core.functions import WITH_SIDE
from conformance.suite.assertions import asserts
from conformance.suite.c_windowing import functions as functions
from conformance.suite.c_windowing.reading import bounds, in_windows, window_groups
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import Wrong, same, same_multiset
from conformance.wire.values import CustomWindow, Window

#: Windows named by a string, each with an end of its own.
NAMED = coders.custom_window(coders.JSON)


def _name(window: Window) -> Any:
    """What a window of the custom type holds."""
    if not isinstance(window, CustomWindow):
        raise Wrong(f"expected a window of the custom type, observed {window!r}", expected="a custom window", observed=window)
    return window.window


@asserts("WIN07/custom-assignment")
def test_custom_assignment(case: Case) -> Scenario:
    # odd timestamps and even ones have windows of their own over the same time
    window = windowing.custom(Fn("window_by_parity"), assigns_to_one_window=True)
    created = case.program.create([("k", 1), ("k", 2), ("k", 3)], timestamps=[0, 1, 2], window=window)
    created.observe("out")
    created.group_by_key().observe("grouped")
    run = yield
    expected = [(("k", 1), (0, 1000)), (("k", 2), (0, 2000)), (("k", 3), (0, 1000))]
    same_multiset(in_windows(run, "out"), expected, "values and windows", rule="M-WIN-14")
    groups = {("k", 0, 1000): [1, 3], ("k", 0, 2000): [2]}
    same(window_groups(run, "grouped"), groups, "the groups by window", rule="M-WIN-14")


@asserts("WIN07/custom-assignment-to-several")
def test_custom_assignment_to_several(case: Case) -> Scenario:
    window = windowing.custom(Fn("windows_of_sizes", sizes=[10, 100, 1000]))
    created = case.program.create([("k", 1), ("k", 2)], timestamps=[5, 50], window=window)
    created.group_by_key().observe("out")
    run = yield
    groups = {("k", 0, 10): [1], ("k", 50, 60): [2], ("k", 0, 100): [1, 2], ("k", 0, 1000): [1, 2]}
    same(window_groups(run, "out"), groups, "the groups by window", rule="M-WIN-14")


@asserts("WIN08/opaque-window-type")
def test_opaque_window_type(case: Case) -> Scenario:
    window = windowing.custom(Fn("named_windows", names=["red", "blue"], max_timestamp=5000), window_coder=NAMED)
    created = case.program.create([("k", 1), ("k", 2), ("k", 3)], timestamps=[10, 11, 12], window=window)
    created.group_by_key().observe("out")
    run = yield
    seen = [(_name(seen.window), seen.value[0], sorted(seen.value[1])) for seen in run.seen("out")]
    same_multiset(seen, [("red", "k", [1, 3]), ("blue", "k", [2])], "window, key and values", rule="M-WIN-17")


@asserts("WIN08/max-timestamp-from-prefix")
def test_max_timestamp_from_prefix(case: Case) -> Scenario:
    window = windowing.custom(Fn("named_windows", names=["red", "blue"], max_timestamp=5000), window_coder=NAMED)
    created = case.program.create([("k", 1), ("k", 2)], timestamps=[10, 11], window=window)
    created.group_by_key().observe("out")
    run = yield
    seen = [(_name(seen.window), seen.timestamp) for seen in run.seen("out")]
    same_multiset(seen, [("red", 5000), ("blue", 5000)], "windows and timestamps of groups", rule="M-WIN-17")


@asserts("WIN09/custom-merge")
def test_custom_merge(case: Case) -> Scenario:
    # windows of one parity merge, wherever they lie; those of the other do not
    pairs = [("k", number) for number in range(1, 5)] + [("j", 5)]
    for name, unsized in (("lengths", False), ("no-lengths", True)):
        window = windowing.custom(Fn("merge_same_parity", size=10, unsized=unsized), merging=True, assigns_to_one_window=True)
        created = case.program.create(pairs, name=name, timestamps=[0, 101, 200, 301, 400], window=window)
        created.group_by_key(name=f"group-{name}").observe(name)
    run = yield
    expected = [("k", (0, 210), [1, 3]), ("k", (101, 311), [2, 4]), ("j", (400, 410), [5])]
    for name in ("lengths", "no-lengths"):
        seen = [(seen.value[0], bounds(seen.window), sorted(seen.value[1])) for seen in run.seen(name)]
        same_multiset(seen, expected, f"key, window and values where merged windows are written with {name}", rule="M-WIN-14")


@asserts("WIN09/window-merged-twice", any_outcome=True)
def test_window_merged_twice(case: Case) -> Scenario:
    window = windowing.custom(Fn("merge_twice"), merging=True, assigns_to_one_window=True)
    created = case.program.create([("k", 1), ("k", 2), ("k", 3)], timestamps=[0, 100, 200], window=window)
    created.group_by_key().observe("out")
    run = yield
    if run.outcome.state == "DONE":
        seen = [value for _, values in run.values("out") for value in values]
        same_multiset(seen, [1, 2, 3], "the values of a DONE job whose merge put one window into two", rule="M-WIN-15")
    elif run.outcome.state != "FAILED":
        run.outcome.raise_for_error()


@asserts("WIN07/custom-assignment-to-none")
def test_custom_assignment_to_none(case: Case) -> Scenario:
    created = case.program.create([("k", 1), ("k", 2)], timestamps=[10, 11])
    created.window_into(windowing.custom(Fn("none")), name="nowhere").group_by_key().observe("out")
    created.observe("in")
    run = yield
    same(run.values("out"), [], "the groups", rule="M-WIN-06")
    same(len(run.values("in")), 2, "the number of elements before", rule="M-WIN-06")


@asserts("WIN09/gap-of-each-element")
def test_gap_of_each_element(case: Case) -> Scenario:
    # the value is the gap: [0, 20) and [15, 20) overlap, [20, 25) touches, [100, 101) is far
    window = windowing.custom(Fn("value_gap"), merging=True, assigns_to_one_window=True)
    pairs = [("k", 20), ("k", 5), ("k", 5), ("k", 1)]
    case.program.create(pairs, timestamps=[0, 15, 20, 100], window=window).group_by_key().observe("out")
    run = yield
    expected = {("k", 0, 20): [5, 20], ("k", 20, 25): [5], ("k", 100, 101): [1]}
    same(window_groups(run, "out"), expected, "the groups by window", rule="M-WIN-14")


@asserts("WIN10/windows-of-unequal-length")
def test_windows_of_unequal_length(case: Case) -> Scenario:
    # the value is the length of the window, as months have lengths of their own
    window = windowing.custom(Fn("value_gap"), assigns_to_one_window=True)
    pairs = [("k", 31), ("k", 28), ("k", 31)]
    case.program.create(pairs, timestamps=[0, 31, 59], window=window).group_by_key().observe("out")
    run = yield
    seen = [(bounds(seen.window), seen.timestamp, list(seen.value[1])) for seen in run.seen("out")]
    expected = [((0, 31), 30, [31]), ((31, 59), 58, [28]), ((59, 90), 89, [31])]
    same_multiset(seen, expected, "window, timestamp and values", rule="M-WIN-14")


@asserts("CORE43/custom-mapping")
def test_custom_mapping(case: Case) -> Scenario:
    ten = windowing.fixed(10_000)
    side = case.program.create([100, 200], timestamps=[1000, 12_000], window=ten, name="side")
    main = case.program.create(["m", "n"], timestamps=[14_000, 25_000], window=ten, name="main")
    view = side.as_iterable(mapping=Fn("previous", size=10_000))
    output = coders.kv(coders.STRING, coders.iterable(coders.VARINT))
    main.par_do(WITH_SIDE, output, side_inputs={"side": view}).observe("out")
    run = yield
    same_multiset(run.values("out"), [("m", [100]), ("n", [200])], "elements and side inputs", rule="M-WIN-21")
