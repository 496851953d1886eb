"""Value, bag and combining state of one cell: read, write, clear, in the order in which a bundle does it (M-STATE-04)."""

from __future__ import annotations

import itertools

import pytest

from conformance.pipeline import Fn, coders, state
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same
from conformance.suite.f_state.functions import counted, scripted
from conformance.suite.f_state.reading import answers

VALUE = state.value(coders.VARINT)
BAG = state.bag(coders.VARINT)
SUM = state.combining(Fn("sum"), coders.VARINT)
#: Bytes of a message that gRPC refuses unless the limit is raised, and more (I-CH-08).
LARGE = 6 * 1024 * 1024


@asserts("STATE01/unset-reads-empty")
def test_unset_reads_empty(case: Case) -> Scenario:
    scripted(case, case.program.create([("k", 1)]), [["state", "v", "read"]], state={"v": VALUE})
    run = yield
    same(answers(run), {"k": [None]}, "the first read", rule="M-STATE-08")


@asserts("STATE01/reads-its-writes")
def test_reads_its_writes(case: Case) -> Scenario:
    steps = [
        ["state", "v", "write", 7],
        ["state", "v", "read"],
        ["state", "v", "write", 300],
        ["state", "v", "write", 8],
        ["state", "v", "read"],
    ]
    scripted(case, case.program.create([("k", 1)]), steps, state={"v": VALUE})
    run = yield
    same(answers(run), {"k": [7, 8]}, "what was read after each write", rule="M-STATE-04")


@asserts("STATE01/two-cells-apart")
def test_two_cells_apart(case: Case) -> Scenario:
    steps = [
        ["state", "a", "write", 1],
        ["state", "b", "read"],
        ["state", "b", "write", 2],
        ["state", "a", "clear"],
        ["state", "a", "read"],
        ["state", "b", "read"],
    ]
    scripted(case, case.program.create([("k", 1)]), steps, state={"a": VALUE, "b": VALUE})
    run = yield
    same(answers(run), {"k": [None, None, 2]}, "reads of b, a, b", rule="M-STATE-01")


@asserts("STATE02/cleared-reads-empty")
def test_cleared_reads_empty(case: Case) -> Scenario:
    steps = [["state", "v", "write", 7], ["state", "v", "clear"], ["state", "v", "read"]]
    scripted(case, case.program.create([("k", 1)]), steps, state={"v": VALUE})
    run = yield
    same(answers(run), {"k": [None]}, "the read after the clear", rule="M-STATE-04")


@asserts("STATE02/clear-then-write")
def test_clear_then_write(case: Case) -> Scenario:
    # nothing is read in between: a runner that applies clears last loses the value for the second element
    steps = [["state", "seen", "read"], ["state", "v", "clear"], ["state", "v", "write", 7], ["state", "seen", "add", 1]]
    keyed = case.program.create([("k", 1), ("k", 2)])
    scripted(case, keyed, [*steps, ["state", "v", "read"]], state={"v": VALUE, "seen": BAG})
    run = yield
    reads = sorted((len(seen), value) for _, (seen, value) in run.values("out"))
    same(reads, [(0, 7), (1, 7)], "elements before, and the value read", rule="P-STATE-05")


@asserts("STATE02/clear-of-unset")
def test_clear_of_unset(case: Case) -> Scenario:
    steps = [["state", "v", "clear"], ["state", "v", "clear"], ["state", "v", "read"]]
    scripted(case, case.program.create([("k", 1)]), steps, state={"v": VALUE})
    run = yield
    same(answers(run), {"k": [None]}, "the read after clears of nothing", rule="P-STATE-07")


@asserts("STATE06/unset-reads-empty")
def test_bag_unset_reads_empty(case: Case) -> Scenario:
    scripted(case, case.program.create([("k", 1)]), [["state", "bag", "read"]], state={"bag": BAG})
    run = yield
    same(answers(run), {"k": [[]]}, "the first read", rule="M-STATE-08")


@asserts("STATE06/keeps-duplicates")
def test_bag_keeps_duplicates(case: Case) -> Scenario:
    steps = [["state", "bag", "add", number] for number in (3, 1, 3, 3)]
    scripted(case, case.program.create([("k", 1)]), [*steps, ["state", "bag", "read"]], state={"bag": BAG})
    run = yield
    same(answers(run), {"k": [[1, 3, 3, 3]]}, "the bag", rule="M-STATE-05")


@asserts("STATE06/reads-see-appends")
def test_bag_reads_see_appends(case: Case) -> Scenario:
    steps = [
        ["state", "bag", "add", 1],
        ["state", "bag", "read"],
        ["state", "bag", "add", 2],
        ["state", "bag", "add", 3],
        ["state", "bag", "read"],
    ]
    scripted(case, case.program.create([("k", 1)]), steps, state={"bag": BAG})
    run = yield
    same(answers(run), {"k": [[1], [1, 2, 3]]}, "the two reads", rule="M-STATE-04")


@asserts("STATE06/appends-of-all-elements")
def test_bag_appends_of_all_elements(case: Case) -> Scenario:
    keyed = case.program.create([("k", number) for number in range(12)])
    scripted(case, keyed, [["state", "bag", "add", ["val"]], ["state", "bag", "read"]], state={"bag": BAG})
    run = yield
    reads = sorted((sorted(read) for _, [read] in run.values("out")), key=len)
    same([len(read) for read in reads], list(range(1, 13)), "sizes of the reads", rule="M-STATE-02")
    same(reads[-1], list(range(12)), "the last read", rule="M-STATE-05")
    for earlier, later in itertools.pairwise(reads):
        holds(set(earlier) < set(later), f"a read lost what {earlier} had", expected=earlier, observed=later, rule="M-STATE-02")


@asserts("STATE07/cleared-reads-empty")
def test_bag_cleared_reads_empty(case: Case) -> Scenario:
    steps = [["state", "bag", "add", 1], ["state", "bag", "add", 2], ["state", "bag", "clear"], ["state", "bag", "read"]]
    scripted(case, case.program.create([("k", 1)]), steps, state={"bag": BAG})
    run = yield
    same(answers(run), {"k": [[]]}, "the read after the clear", rule="M-STATE-04")


@asserts("STATE07/clear-then-append")
def test_bag_clear_then_append(case: Case) -> Scenario:
    steps = [
        ["state", "bag", "add", 1],
        ["state", "bag", "clear"],
        ["state", "bag", "add", 2],
        ["state", "bag", "add", 3],
        ["state", "bag", "read"],
    ]
    scripted(case, case.program.create([("k", 1)]), steps, state={"bag": BAG})
    run = yield
    same(answers(run), {"k": [[2, 3]]}, "the read after clear and appends", rule="P-STATE-05")


@asserts("STATE07/clear-reaches-earlier-elements")
def test_bag_clear_reaches_earlier_elements(case: Case) -> Scenario:
    # every element takes what it finds, clears, and leaves itself: no value may be found twice, and none lost but the last
    keyed = case.program.create([("k", number) for number in range(8)])
    steps = [["state", "bag", "read"], ["state", "bag", "clear"], ["state", "bag", "add", ["val"]]]
    scripted(case, keyed, steps, state={"bag": BAG})
    run = yield
    found = [read for _, [read] in run.values("out")]
    same(sorted(len(read) for read in found), [0] + 7 * [1], "sizes of the reads", rule="M-STATE-04")
    holds(len({read[0] for read in found if read}) == 7, "a value was found twice", observed=found, rule="M-STATE-04")


@asserts("STATE08/many-values")
def test_bag_many_values(case: Case) -> Scenario:
    fn = Fn("suite_fill", observer=case.program.prefix + "out", appends=20, entries=1000, size=12)
    case.program.create([("k", 1)]).par_do(fn, coders.BYTES, state={"bag": state.bag(coders.BYTES)})
    run = yield
    same(run.values("out"), [("k", (20_000, 20_000, 240_000))], "values, different values and bytes read", rule="P-STATE-06")


@asserts("STATE08/larger-than-a-message", alone=True)
def test_bag_larger_than_a_message(case: Case) -> Scenario:
    entries, size = LARGE // (8 * 16_384), 16_384
    fn = Fn("suite_fill", observer=case.program.prefix + "out", appends=8, entries=entries, size=size)
    case.program.create([("k", 1)]).par_do(fn, coders.BYTES, state={"bag": state.bag(coders.BYTES)})
    run = yield
    expected = [("k", (8 * entries, 8 * entries, LARGE))]
    same(run.values("out"), expected, "values, different values and bytes read", rule="P-STATE-06")


@asserts("STATE18/empty-reads-as-nothing-combined")
def test_combining_empty(case: Case) -> Scenario:
    scripted(case, case.program.create([("k", 1)]), [["state", "sum", "read"]], state={"sum": SUM})
    run = yield
    same(answers(run), {"k": [0]}, "the sum of nothing", rule="M-STATE-09")


@asserts("STATE18/accumulates")
def test_combining_accumulates(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1), ("k", 20), ("k", 300), ("j", 5)])
    scripted(case, keyed, [["state", "sum", "add", ["val"]], ["state", "sum", "read"]], state={"sum": SUM})
    run = yield
    sums = [(key, read) for key, [read] in run.values("out")]
    same(max(read for key, read in sums if key == "k"), 321, "the largest sum of k", rule="M-STATE-09")
    same([read for key, read in sums if key == "j"], [5], "the sum of j", rule="M-STATE-09")
    same(len(sums), 4, "number of elements", rule="M-STATE-02")


@asserts("STATE18/accumulator-of-another-type")
def test_combining_accumulator_of_another_type(case: Case) -> Scenario:
    mean = state.combining(Fn("mean"), coders.kv(coders.DOUBLE, coders.VARINT))
    steps = [["state", "mean", "add", 2], ["state", "mean", "add", 4], ["state", "mean", "add", 9], ["state", "mean", "read"]]
    scripted(case, case.program.create([("k", 1)]), steps, state={"mean": mean})
    run = yield
    same(answers(run), {"k": [5.0]}, "the mean", rule="M-STATE-09")


@asserts("STATE18/cleared-starts-again")
def test_combining_cleared_starts_again(case: Case) -> Scenario:
    steps = [
        ["state", "sum", "add", 5],
        ["state", "sum", "clear"],
        ["state", "sum", "read"],
        ["state", "sum", "add", 2],
        ["state", "sum", "read"],
    ]
    scripted(case, case.program.create([("k", 1)]), steps, state={"sum": SUM})
    run = yield
    same(answers(run), {"k": [0, 2]}, "the reads after the clear", rule="M-STATE-04")


@pytest.mark.parametrize(
    ("coder", "keys"),
    [
        (coders.JSON, [["a", 1], ["a", 2], "a"]),
        (coders.kv(coders.STRING, coders.VARINT), [("a", 1), ("a", 300), ("", 0)]),
        (coders.VARINT, [0, 1, 300]),
        (coders.BYTES, [b"", b"\x00", b"\x00\x00"]),
        (coders.nullable(coders.STRING), [None, "", "a"]),
        (coders.kv(coders.JSON, coders.STRING), [("a", "b"), (["a"], "b"), ("ab", "")]),
    ],
    ids=["unknown", "kv", "varint", "bytes", "nullable", "kv-with-unknown"],
)
@asserts("STATE20/key-of-any-coder")
def test_key_of_any_coder(case: Case, coder: coders.CoderSpec, keys: list[object]) -> Scenario:
    values = [(key, number) for number in range(3) for key in keys]
    keyed = case.program.create(values, coders.kv(coder, coders.VARINT))
    counted(case, keyed, state={"count": VALUE})
    run = yield
    seen = sorted((repr(key), count) for key, count in run.values("out"))
    expected = sorted((repr(key), count) for key in keys for count in (1, 2, 3))
    same(seen, expected, "elements counted by key", rule="P-STATE-08")


@asserts("STATE20/unknown-key-after-grouping")
def test_unknown_key_after_grouping(case: Case) -> Scenario:
    values = [({"id": "a"}, 1), ({"id": "b"}, 2), ({"id": "a"}, 3)]
    grouped = case.program.create(values, coders.kv(coders.JSON, coders.VARINT)).group_by_key()
    flat = grouped.par_do(Fn("ungroup"), coders.kv(coders.JSON, coders.VARINT))
    counted(case, flat, state={"count": VALUE})
    run = yield
    seen = sorted((key["id"], count) for key, count in run.values("out"))
    same(seen, [("a", 1), ("a", 2), ("b", 1)], "elements counted by key", rule="P-STATE-08")
