"""Restrictions made, split, sized and processed: every position once, where the element was, with what other ParDos have."""

from __future__ import annotations

import pytest

from conformance.pipeline import Fn, coders, state, windowing
from conformance.suite.assertions import asserts
from conformance.suite.b_lifecycle.reading import ended_failed, told
from conformance.suite.c_windowing.reading import SECOND, bounds
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import refused_naming, same, same_multiset
from conformance.suite.i_splittable import functions  # noqa: F401  (registers the functions)

PAIRS = coders.kv(coders.VARINT, coders.VARINT)
RANGE = coders.OFFSET_RANGE


def positions(*ends: int) -> list[tuple[int, int]]:
    """(end, position) of every position of ranges from 0 to each of `ends`, sorted."""
    return sorted((end, position) for end in ends for position in range(end))


@asserts("SDF01/every-position-once")
def test_every_position_once(case: Case) -> Scenario:
    case.program.create([3, 5, 0, 1]).par_do(Fn("range"), PAIRS, restriction_coder=RANGE).observe("out")
    run = yield
    same(run.sorted_values("out"), positions(3, 5, 0, 1), "(element, position)", rule="M-SDF-02")


@asserts("SDF01/behind-and-before-groupings")
def test_between_groupings(case: Case) -> Scenario:
    keyed = case.program.create([("a", 2), ("b", 3)]).group_by_key(name="before")
    numbers = keyed.par_do(Fn("flat_map", expr=["val"]), coders.VARINT)
    ranged = numbers.par_do(Fn("range"), PAIRS, restriction_coder=RANGE)
    ranged.group_by_key(name="behind").observe("out")
    run = yield
    same(run.groups("out"), {2: [0, 1], 3: [0, 1, 2]}, "positions by element", rule="M-SDF-02")


@asserts("SDF01/stateful-splittable-refused", any_outcome=True)
def test_stateful_splittable(case: Case) -> Scenario:
    created = case.program.create([("a", 3)])
    cells = {"count": state.value(coders.VARINT)}
    coder = coders.kv(created.coder, coders.VARINT)
    created.par_do(Fn("range", end=["val"]), coder, restriction_coder=RANGE, state=cells).observe("out")
    run = yield
    refused_naming(run, ["stateful", "splittable"], rule="M-SDF-11")


@asserts("SDF03/parts-make-up-the-whole")
@pytest.mark.parametrize("splits", [2, 7, 100])
def test_parts_make_up_whole(case: Case, splits: int) -> Scenario:
    created = case.program.create([40, 3])
    created.par_do(Fn("range", splits=splits), PAIRS, restriction_coder=RANGE).observe("out")
    run = yield
    same(run.sorted_values("out"), positions(40, 3), "(element, position)", rule="M-SDF-02")


@asserts("SDF04/any-size")
def test_any_size(case: Case) -> Scenario:
    sizes = [0.0, 1.0, 0.1, 1e300, 5e-324, 123456789.125]
    sized = case.program.create([12]).par_do(Fn("sized_range", sizes=sizes), PAIRS, restriction_coder=RANGE)
    sized.observe("out")
    run = yield
    same(run.sorted_values("out"), positions(12), "positions of parts of all sizes", rule="M-SDF-13")


@asserts("SDF05/timestamp-and-window-of-the-element")
@pytest.mark.parametrize("every", [0, 1], ids=["at-once", "with-checkpoints"])
def test_timestamp_and_window(case: Case, every: int) -> Scenario:
    created = case.program.create([2, 3], timestamps=[1500, 12_000], window=windowing.fixed(10 * SECOND))
    created.par_do(Fn("range", every=every), PAIRS, restriction_coder=RANGE).observe("out")
    run = yield
    seen = [(each.value, each.timestamp, bounds(each.window)) for each in run.seen("out")]
    expected = [((2, position), 1500, (0, 10_000)) for position in range(2)]
    expected += [((3, position), 12_000, (10_000, 20_000)) for position in range(3)]
    same_multiset(seen, expected, "values, timestamps and windows", rule="M-SDF-08")


@asserts("SDF05/own-timestamps")
def test_own_timestamps(case: Case) -> Scenario:
    case.program.create([4]).par_do(Fn("range", base=5000, step=10), PAIRS, restriction_coder=RANGE).observe("out")
    run = yield
    seen = sorted((each.value[1], each.timestamp) for each in run.seen("out"))
    same(seen, [(position, 5000 + 10 * position) for position in range(4)], "(position, timestamp)", rule="M-SDF-08")


@asserts("SDF05/element-in-several-windows")
@pytest.mark.parametrize("every", [0, 2], ids=["at-once", "with-checkpoints"])
@pytest.mark.parametrize("per_window", [False, True], ids=["blind", "observing"])
def test_several_windows(case: Case, per_window: bool, every: int) -> Scenario:
    window = windowing.sliding(30 * SECOND, 10 * SECOND)
    created = case.program.create([3], timestamps=[25 * SECOND], window=window)
    ranged = created.par_do(Fn("range", per_window=per_window, every=every), PAIRS, restriction_coder=RANGE)
    ranged.observe("out")
    run = yield
    seen = [(each.value[1], bounds(each.window)) for each in run.seen("out")]
    windows = [(start * SECOND, (start + 30) * SECOND) for start in (0, 10, 20)]
    same_multiset(seen, [(position, each) for position in range(3) for each in windows], "(position, window)", rule="M-SDF-09")


@asserts("SDF06/each-tag-its-own-positions")
@pytest.mark.parametrize("every", [0, 2], ids=["at-once", "with-checkpoints"])
def test_tags(case: Case, every: int) -> Scenario:
    outputs = {"even": PAIRS, "odd": PAIRS}
    tagged = case.program.create([5]).par_do(Fn("range_to_tags", every=every), outputs, restriction_coder=RANGE)
    for tag, output in tagged.items():
        output.observe(tag)
    run = yield
    same(run.sorted_values("even"), [(5, 0), (5, 2), (5, 4)], "output 'even'", rule="M-XF-17")
    same(run.sorted_values("odd"), [(5, 1), (5, 3)], "output 'odd'", rule="M-XF-17")


BESIDE = coders.kv(coders.VARINT, coders.iterable(coders.STRING))


@asserts("SDF07/side-input-beside-every-position")
def test_side_input(case: Case) -> Scenario:
    side = case.program.create(["x", "y"], name="side")
    ranged = case.program.create([3], name="main").par_do(
        Fn("range_beside"), BESIDE, restriction_coder=RANGE, side_inputs={"side": side.as_iterable()}
    )
    ranged.observe("out")
    run = yield
    expected = [(position, ["x", "y"]) for position in range(3)]
    same(run.sorted_values("out"), expected, "(position, side input)", rule="M-SIDE-11")


@asserts("SDF10/side-input-of-its-window-after-checkpoint")
@pytest.mark.parametrize("every", [0, 1], ids=["at-once", "with-checkpoints"])
def test_windowed_side_input(case: Case, every: int) -> Scenario:
    window = windowing.fixed(10 * SECOND)
    side = case.program.create(["x", "y", "z"], timestamps=[1000, 2000, 11_000], window=window, name="side")
    main = case.program.create([2, 3], timestamps=[3000, 12_000], window=window, name="main")
    ranged = main.par_do(
        Fn("range_beside", every=every), BESIDE, restriction_coder=RANGE, side_inputs={"side": side.as_iterable()}
    )
    ranged.observe("out")
    run = yield
    expected = [(position, ["x", "y"]) for position in range(2)] + [(position, ["z"]) for position in range(3)]
    same_multiset(run.values("out"), expected, "(position, side input)", rule="M-SIDE-11")


@asserts("SDF11/unfinished-restriction-fails-the-job", any_outcome=True)
def test_unfinished(case: Case) -> Scenario:
    case.program.create([3]).par_do(Fn("unfinished_range"), PAIRS, restriction_coder=RANGE).observe("out")
    run = yield
    ended_failed(run, "M-SDF-14")
    told(run, "without claiming all", "M-SDF-14")


@asserts("SDF24/bundles-of-restrictions-finish", alone=True)
def test_lifecycle(case: Case) -> Scenario:
    case.program.create([4, 2]).par_do(Fn("range", every=1), PAIRS, restriction_coder=RANGE).observe("out")
    run = yield
    same(run.sorted_values("out"), positions(4, 2), "(element, position)", rule="M-SDF-02")
    edges = {
        kind: [(event.instance, event.bundle) for event in run.session.observations.events if event.event == kind]
        for kind in ("start", "finish")
    }
    same_multiset(edges["finish"], edges["start"], "bundles that finished, of those that started", rule="M-BNDL-08")


@asserts("SDF26/element-with-iterable")
@pytest.mark.parametrize("every", [0, 2], ids=["at-once", "with-checkpoints"])
def test_element_with_iterable(case: Case, every: int) -> Scenario:
    groups = case.program.create([("a", 7), ("b", 8), ("a", 9), ("a", 300)]).group_by_key()
    coder = coders.kv(groups.coder, coders.VARINT)
    groups.par_do(Fn("range", end=["len", ["val"]], every=every), coder, restriction_coder=RANGE).observe("out")
    run = yield
    seen = sorted((key, sorted(values), position) for (key, values), position in run.values("out"))
    expected = [("a", [7, 9, 300], position) for position in range(3)] + [("b", [8], 0)]
    same(seen, expected, "(group, position)", rule="M-SDF-02")


@asserts("SDF27/thousands-of-restrictions")
def test_thousands(case: Case) -> Scenario:
    ranged = case.program.create([2000]).par_do(Fn("range", splits=2000), PAIRS, restriction_coder=RANGE)
    ranged.par_do(Fn("map", expr=["kv", ["%", ["val"], 10], ["val"]]), PAIRS).group_by_key().observe("out")
    run = yield
    same(run.groups("out"), {key: list(range(key, 2000, 10)) for key in range(10)}, "positions", rule="M-SDF-02")
