"""Values in pages, groups behind the state plane, and what a cache may keep: right with tokens and without."""

from __future__ import annotations

import pytest

from conformance.harness import capabilities
from conformance.pipeline import Fn, coders, state
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import same
from conformance.suite.q_state_plane.functions import GROUP_TWICE, RAW_PAGES, STATE_LOOP
from conformance.wire import urns

#: 3 MB of state and 6 MB of group: more than the page of a runner that pages.
COUNT, SIZE = 300, 10_000
GROUP = 600
BYTES_BAG = state.bag(coders.BYTES)
#: The bag at each firing of the loop: cleared at 30, after it was read.
HELD = [(10, [0]), (20, [0, 10]), (30, [0, 10, 20]), (40, [30]), (50, [30, 40])]


def _pages(case: Case) -> None:
    fn = Fn(RAW_PAGES, observer=case.program.prefix + "out", count=COUNT, size=SIZE)
    case.program.create([("k", 1)]).par_do(fn, coders.BYTES, state={"b": BYTES_BAG})


@asserts("SAPI02/pages-join")
def test_pages_join(case: Case) -> Scenario:
    _pages(case)
    run = yield
    same(
        [sorted(found[1] or []) for _, found in run.values("out")],
        [list(range(COUNT))],
        "elements of all pages",
        rule="P-STATE-06",
    )


@asserts("SAPI02/whole-elements")
def test_whole_elements(case: Case) -> Scenario:
    _pages(case)
    run = yield
    same([found[0] for _, found in run.values("out")], [True], "whether each page holds whole elements", rule="P-STATE-06")


@asserts("SAPI02/from-the-start-again")
def test_from_the_start_again(case: Case) -> Scenario:
    _pages(case)
    run = yield
    same([found[2] for _, found in run.values("out")], [True], "whether a second reading equals the first", rule="P-STATE-06")


def _long_group(case: Case) -> None:
    pairs = case.program.create([("k")]).par_do(
        Fn("large_values", size=SIZE, count=GROUP), coders.kv(coders.STRING, coders.BYTES)
    )
    pairs.group_by_key().par_do(Fn(GROUP_TWICE, observer=case.program.prefix + "out"), coders.BYTES)


@asserts("SAPI04/long-group-twice")
def test_long_group_twice(case: Case) -> Scenario:
    _long_group(case)
    run = yield
    wanted = (GROUP, GROUP, GROUP * SIZE)
    same(run.values("out"), [("k", [wanted, wanted])], "both readings of a group of 6 MB", rule="P-STATE-15")


@asserts("SAPI04/plain-where-undeclared", alone=True)
def test_plain_where_undeclared(case: Case) -> Scenario:
    case.capabilities = tuple(capabilities.DEFAULT - {urns.Coder.STATE_BACKED_ITERABLE})
    _long_group(case)
    run = yield
    wanted = (GROUP, GROUP, GROUP * SIZE)
    same(run.values("out"), [("k", [wanted, wanted])], "both readings of a group of 6 MB", rule="P-PIPE-14")
    descriptors = run.transcript.events("control", direction="R->S", kind="ProcessBundleDescriptor")
    backed = {
        coder_id
        for event in descriptors
        for coder_id, coder in event.message.coders.items()
        if coder.spec.urn == urns.Coder.STATE_BACKED_ITERABLE
    }
    same(backed, set(), "coders of state-backed iterables, which the environment did not declare", rule="P-PIPE-14")


def _loop(case: Case) -> None:
    fn = Fn(STATE_LOOP, observer=case.program.prefix + "out", clear=30, stop=50)
    keyed = case.program.create([("k", 1)], timestamps=[0])
    keyed.par_do(fn, coders.BYTES, state={"b": state.bag(coders.VARINT)}, timers={"t": "event"})


@asserts("SAPI05/right-over-bundles", alone=True)
def test_right_over_bundles(case: Case) -> Scenario:
    case.capabilities = tuple(capabilities.DEFAULT | {urns.Protocol.STATE_CACHING})
    _loop(case)
    run = yield
    same(sorted(run.values("out")), HELD, "what a bag held at each firing of a timer loop", rule="P-CTL-13")


@asserts("SAPI08/right-over-bundles", alone=True)
def test_right_without_cache(case: Case) -> Scenario:
    case.capabilities = tuple(capabilities.DEFAULT - {urns.Protocol.STATE_CACHING})
    _loop(case)
    run = yield
    same(sorted(run.values("out")), HELD, "what a bag held at each firing of a timer loop", rule="P-CTL-13")


@asserts("SAPI06/same-in-every-stage", alone=True)
@pytest.mark.parametrize("caching", [True, False], ids=["cached", "uncached"])
def test_side_input_same_in_every_stage(case: Case, caching: bool) -> Scenario:
    case.capabilities = tuple(capabilities.DEFAULT - (set() if caching else {urns.Protocol.STATE_CACHING}))
    view = case.program.create([5, 6, 7], name="side").as_iterable()
    seen = coders.kv(coders.kv(coders.STRING, coders.VARINT), coders.iterable(coders.VARINT))
    main = case.program.create([("a", 1), ("b", 2)])
    main.par_do(Fn("side_values", side="s"), seen, side_inputs={"s": view}, name="before").observe("before")
    again = main.group_by_key().par_do(Fn("ungroup"), main.coder, name="ungroup")
    again.par_do(Fn("side_values", side="s"), seen, side_inputs={"s": view}, name="behind").observe("behind")
    run = yield
    wanted = [(("a", 1), [5, 6, 7]), (("b", 2), [5, 6, 7])]
    for observer in ("before", "behind"):
        same(run.sorted_values(observer), wanted, f"the side input {observer} the grouping", rule="P-CTL-13")
