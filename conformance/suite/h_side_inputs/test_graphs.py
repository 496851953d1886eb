"""Where side inputs come from and go to: complete before they are read, several of them, chains, forks, main and side at once."""

from __future__ import annotations

from typing import Any

from conformance.pipeline import Fn, PCollection, coders
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import same
from conformance.suite.f_state.functions import scripted
from conformance.suite.f_state.reading import unordered
from conformance.suite.run import Run

VALUES = [["side", "side", "values"]]
PAIRS = coders.kv(coders.STRING, coders.VARINT)


def _read(run: Run, observer: str = "out") -> list[Any]:
    """(element, answers) of everything processed, in a fixed order."""
    return sorted((key, [unordered(answer) for answer in answers]) for key, answers in run.values(observer))


def _grouped(pairs: PCollection, times: int) -> PCollection:
    """The same pairs after `times` groupings in a row: a long way for a side input."""
    for number in range(times):
        pairs = pairs.group_by_key(name=f"group{number}").par_do(Fn("ungroup"), PAIRS, name=f"ungroup{number}")
    return pairs


@asserts("SIDE13/complete-before-read")
def test_complete_before_read(case: Case) -> Scenario:
    slow = _grouped(case.program.create([("k", number) for number in range(5)], name="side"), 4)
    side = slow.par_do(Fn("values"), coders.VARINT)
    main = case.program.create([1, 2, 3], name="main")
    scripted(case, main, VALUES, side_inputs={"side": side.as_iterable()})
    run = yield
    same(_read(run), [(number, [[0, 1, 2, 3, 4]]) for number in (1, 2, 3)], "element and view", rule="M-SIDE-06")


@asserts("SIDE13/several-producers-complete")
def test_several_producers_complete(case: Case) -> Scenario:
    near = case.program.create([1], name="near")
    far = _grouped(case.program.create([("k", 2)], name="far"), 3).par_do(Fn("values"), coders.VARINT)
    side = case.program.flatten([near, far], name="both")
    scripted(case, case.program.create([1, 2], name="main"), VALUES, side_inputs={"side": side.as_iterable()})
    run = yield
    same(_read(run), [(number, [[1, 2]]) for number in (1, 2)], "element and view", rule="M-SIDE-06")


@asserts("SIDE15/read-twice")
def test_read_twice(case: Case) -> Scenario:
    side = case.program.create([1, 2, 2], name="side")
    scripted(case, case.program.create([1], name="main"), VALUES + VALUES, side_inputs={"side": side.as_iterable()})
    run = yield
    same(_read(run), [(1, [[1, 2, 2], [1, 2, 2]])], "element and two reads", rule="M-SIDE-09")


@asserts("SIDE15/several-views")
def test_several_views(case: Case) -> Scenario:
    sides = {
        "numbers": case.program.create([1, 2], name="numbers").as_iterable(),
        "texts": case.program.create(["a"], name="texts").as_iterable(),
        "nothing": case.program.create([], coder=coders.STRING, name="nothing").as_iterable(),
        "pairs": case.program.create([("x", 3), ("y", 4)], name="pairs").as_multimap(),
    }
    steps = [["side", name, "values"] for name in ("numbers", "texts", "nothing")] + [["side", "pairs", "get", "y"]]
    scripted(case, case.program.create([1], name="main"), steps, side_inputs=sides)
    run = yield
    [(_, (numbers, texts, nothing, found))] = run.values("out")
    same((sorted(numbers), texts, nothing, found), ([1, 2], ["a"], [], [4]), "the four views", rule="M-SIDE-03")


@asserts("SIDE15/two-views-of-one-collection")
def test_two_views_of_one_collection(case: Case) -> Scenario:
    pairs = case.program.create([("x", 3), ("y", 4)], name="pairs")
    sides = {"all": pairs.as_iterable(), "by_key": pairs.as_multimap()}
    steps = [["side", "all", "values"], ["side", "by_key", "get", "x"]]
    scripted(case, case.program.create([1], name="main"), steps, side_inputs=sides)
    run = yield
    found = [(sorted(values), of_x) for _, (values, of_x) in run.values("out")]
    same(found, [([("x", 3), ("y", 4)], [3])], "both views", rule="M-SIDE-11")


@asserts("SIDE15/several-readers")
def test_several_readers(case: Case) -> Scenario:
    side = case.program.create([1, 2], name="side")
    for number in range(3):
        main = case.program.create([number], name=f"main{number}")
        scripted(case, main, VALUES, observer=f"out{number}", name=f"reader{number}", side_inputs={"side": side.as_iterable()})
    run = yield
    for number in range(3):
        same(_read(run, f"out{number}"), [(number, [[1, 2]])], f"element and view of reader {number}", rule="M-SIDE-11")


@asserts("SIDE19/main-and-side-at-once")
def test_main_and_side_at_once(case: Case) -> Scenario:
    both = case.program.create([1, 2, 3], name="both").par_do(Fn("identity"))
    scripted(case, both, VALUES, side_inputs={"side": both.as_iterable()})
    run = yield
    same(_read(run), [(number, [[1, 2, 3]]) for number in (1, 2, 3)], "element and view", rule="M-SIDE-11")


@asserts("SIDE19/side-from-own-main")
def test_side_from_own_main(case: Case) -> Scenario:
    # the side input is made of what the main input is made of: fused with its own producer a stage would wait for itself
    source = case.program.create([1, 2, 3], name="source")
    side = source.par_do(Fn("map", expr=["*", ["value"], 10]), name="times_ten")
    main = source.par_do(Fn("map", expr=["+", ["value"], 1]), name="plus_one")
    scripted(case, main, VALUES, side_inputs={"side": side.as_iterable()})
    run = yield
    same(_read(run), [(number, [[10, 20, 30]]) for number in (2, 3, 4)], "element and view", rule="M-SIDE-11")


@asserts("SIDE19/chain-of-views")
def test_chain_of_views(case: Case) -> Scenario:
    # each step reads the output of the step before it as a side input
    view = case.program.create([1, 2], name="first")
    for number in range(3):
        main = case.program.create([100 * (number + 1)], name=f"main{number}")
        steps = [["side", "side", "values"], ["emit", ["+", ["value"], number]]]
        view = scripted(
            case,
            main,
            steps,
            observer=f"out{number}",
            coder=coders.VARINT,
            name=f"step{number}",
            side_inputs={"side": view.as_iterable()},
        )
    run = yield
    same(_read(run, "out0"), [(100, [[1, 2]])], "element and view of the first step", rule="M-SIDE-06")
    same(_read(run, "out1"), [(200, [[100]])], "element and view of the second step", rule="M-SIDE-06")
    same(_read(run, "out2"), [(300, [[201]])], "element and view of the third step", rule="M-SIDE-06")


@asserts("SIDE19/sparse-dependencies")
def test_sparse_dependencies(case: Case) -> Scenario:
    # in1 → A; in2 → B, with A's output beside it; in3 → C, with A's and B's output beside it (apache/beam#21228)
    sources = [case.program.create([10**number], name=f"in{number}") for number in range(3)]
    first = scripted(
        case,
        sources[0],
        [["emit", ["value"]]],
        observer="a",
        coder=coders.VARINT,
        name="a",
        side_inputs={"other": sources[2].as_iterable()},
    )
    second = scripted(
        case,
        sources[1],
        [["side", "a", "values"], ["emit", ["value"]]],
        observer="b",
        coder=coders.VARINT,
        name="b",
        side_inputs={"a": first.as_iterable()},
    )
    both = {"a": first.as_iterable(), "b": second.as_iterable()}
    scripted(case, sources[2], [["side", "a", "values"], ["side", "b", "values"]], observer="c", name="c", side_inputs=both)
    run = yield
    same(run.values("b"), [(10, [[1]])], "what b read", rule="M-SIDE-06")
    same(run.values("c"), [(100, [[1], [10]])], "what c read", rule="M-SIDE-06")
