"""State beside other things: side inputs, several outputs, timers, window expiry, windows that merge, splittable functions."""

from __future__ import annotations

from attrs import evolve

from conformance.pipeline import Fn, coders, state, windowing
from conformance.suite.assertions import asserts
from conformance.suite.c_windowing.reading import SECOND
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same, same_multiset
from conformance.suite.f_state.functions import counted, scripted
from conformance.suite.f_state.reading import FAR, counts, counts_by_window
from conformance.suite.run import Run
from conformance.wire.api import pipeline_pb2 as pb

COUNT = {"count": state.value(coders.VARINT)}
BAG = {"bag": state.bag(coders.VARINT)}
PAIRS = coders.kv(coders.STRING, coders.VARINT)
GAP = windowing.sessions(10 * SECOND)


@asserts("STATE21/both-in-one-function")
def test_both_in_one_function(case: Case) -> Scenario:
    side = case.program.create([10, 20, 30], name="side")
    keyed = case.program.create([("k", 1), ("k", 2), ("j", 3)])
    steps = [["state", "bag", "add", ["val"]], ["state", "bag", "read"], ["side", "side", "values"]]
    scripted(case, keyed, steps, state=BAG, side_inputs={"side": side.as_iterable()})
    run = yield
    reads = [(key, sorted(bag), sorted(values)) for key, (bag, values) in run.values("out")]
    same([values for _, _, values in reads], 3 * [[10, 20, 30]], "what each element read of the side input", rule="M-SIDE-06")
    same(max((bag for key, bag, _ in reads if key == "k"), key=len), [1, 2], "the fullest bag of k", rule="M-STATE-02")


@asserts("STATE21/keys-stay-together")
def test_keys_stay_together(case: Case) -> Scenario:
    # elements of one key come from several places; each must still see its predecessors' state (apache/beam#7453)
    side = case.program.create([1], name="side")
    parts = [case.program.create([("k", number), ("j", number)], name=f"c{number}") for number in range(5)]
    parts.append(case.program.create([("k", 7), ("k", 8)]).reshuffle())
    counted(case, case.program.flatten(parts), state=COUNT, side_inputs={"side": side.as_iterable()})
    run = yield
    expected = {"k": [1, 2, 3, 4, 5, 6, 7], "j": [1, 2, 3, 4, 5]}
    same(counts(run), expected, "elements counted by key", rule="M-STATE-02")


@asserts("STATE22/tagged-outputs")
def test_tagged_outputs(case: Case) -> Scenario:
    # the first element of a key goes to "first", the others to "later": which is which only the state knows
    keyed = case.program.create([("k", 1), ("k", 2), ("j", 3), ("k", 4)])
    outputs = keyed.par_do(Fn("suite_first_and_later"), {"first": PAIRS, "later": PAIRS}, state=COUNT)
    for tag, output in outputs.items():
        output.observe(tag)
    run = yield
    same(sorted(key for key, _ in run.values("first")), ["j", "k"], "keys of output 'first'", rule="M-STATE-01")
    same([key for key, _ in run.values("later")], ["k", "k"], "keys of output 'later'", rule="M-STATE-01")
    both = run.values("first") + run.values("later")
    same_multiset(both, [("k", 1), ("k", 2), ("j", 3), ("k", 4)], "both outputs", rule="M-XF-17")


def _refused(run: Run) -> bool:
    """The runner said that it does not run this; a crash or a time-out is raised."""
    outcome = run.outcome
    if outcome.state == "DONE":
        return False
    if outcome.state == "FAILED" or getattr(outcome.error, "text", None) is not None:
        holds(bool(outcome.error_text.strip()), "refused without a reason", expected="a reason", observed="", rule="M-REJ-01")
        return True
    outcome.raise_for_error()
    return True


@asserts("STATE23/refused-or-not-merged", any_outcome=True)
def test_merging_refused_or_not_merged(case: Case) -> Scenario:
    # two elements in the very same window, one far away: state may not be lost, whether the runner merges or not
    keyed = case.program.create([("k", 1), ("k", 2), ("k", 3)], timestamps=[1000, 1000, 200_000], window=GAP)
    counted(case, keyed, state=COUNT)
    run = yield
    if not _refused(run):
        same(sorted(count for _, count in run.values("out")), [1, 1, 2], "elements counted", rule="M-STATE-14")


@asserts("STATE23/after-merging-as-it-is")
def test_after_merging_as_it_is(case: Case) -> Scenario:
    # the grouping has merged; its output is said to be so, and state works in its windows as in any others
    grouped = case.program.create([("k", 1), ("k", 2), ("k", 3)], timestamps=[0, 8000, 100_000], window=GAP).group_by_key()
    counted(case, grouped.par_do(Fn("ungroup"), PAIRS), state=COUNT)
    run = yield
    expected = {("k", 0): [1, 2], ("k", 100_000): [1]}
    same(counts_by_window(run), expected, "elements counted by session", rule="M-STATE-14")


@asserts("STATE23/already-merged-not-merged-again", any_outcome=True)
def test_already_merged_not_merged_again(case: Case) -> Scenario:
    created = case.program.create([("k", 1), ("k", 2), ("k", 3)], timestamps=[1000, 1000, 5000], window=GAP)
    merged = created.with_strategy(evolve(created.strategy, merge_status=int(pb.MergeStatus.ALREADY_MERGED)))
    counted(case, merged, state=COUNT)
    run = yield
    if not _refused(run):
        expected = {("k", 1000): [1, 2], ("k", 5000): [1]}
        same(counts_by_window(run), expected, "elements counted by window", rule="M-STATE-14")


@asserts("STATE24/kept-to-end-of-window")
def test_kept_to_end_of_window(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1), ("k", 2)], timestamps=[1000, 12_000], window=windowing.fixed(10 * SECOND))
    steps = [["state", "bag", "add", ["val"]], ["set", "t", ["-", ["window_end"], 1]]]
    scripted(case, keyed, steps, timer=[["state", "bag", "read"]], state=BAG, timers={"t": "event"})
    run = yield
    found = sorted((fire, read) for _, _, _, fire, [read] in run.values("fired"))
    same(found, [(9999, [1]), (19_999, [2])], "what the timer of the last instant read", rule="M-STATE-13")


@asserts("STATE24/kept-through-allowed-lateness")
def test_kept_through_allowed_lateness(case: Case) -> Scenario:
    created = case.program.create([("k", 1)], timestamps=[1000])
    keyed = created.window_into(windowing.fixed(10 * SECOND), allowed_lateness=60 * SECOND)
    steps = [["state", "bag", "add", ["val"]], ["set", "t", ["+", ["window_end"], 59 * SECOND]]]
    scripted(case, keyed, steps, timer=[["state", "bag", "read"]], state=BAG, timers={"t": "event"})
    run = yield
    found = [(fire, read) for _, _, _, fire, [read] in run.values("fired")]
    same(found, [(69_000, [1])], "what a timer within allowed lateness read", rule="M-STATE-13")


@asserts("STATE25/callback-sees-state-of-elements")
def test_callback_sees_state_of_elements(case: Case) -> Scenario:
    pairs = [("k", 1), ("k", 2), ("j", 3), ("k", 4)]
    keyed = case.program.create(pairs, timestamps=4 * [1000])
    steps = [["state", "bag", "add", ["val"]], ["set", "t", FAR]]
    scripted(case, keyed, steps, timer=[["state", "bag", "read"]], state=BAG, timers={"t": "event"})
    run = yield
    found = sorted((key, sorted(read)) for key, _, _, _, [read] in run.values("fired"))
    same(found, [("j", [3]), ("k", [1, 2, 4])], "the bags in the callbacks", rule="M-TIMER-18")


@asserts("STATE25/callbacks-share-a-cell")
def test_callbacks_share_a_cell(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1)], timestamps=[1000])
    steps = [["set", "t", FAR + number, str(number)] for number in range(3)]
    timer = [["state", "bag", "read"], ["state", "bag", "clear"], ["state", "bag", "add", ["-", ["fire"], FAR]]]
    scripted(case, keyed, steps, timer=timer, state=BAG, timers={"t": "event"})
    run = yield
    # each callback takes what the one before it left, whatever the order
    found = {tag: read for _, _, tag, _, [read] in run.values("fired")}
    same(sorted(len(read) for read in found.values()), [0, 1, 1], "how much each callback found", rule="M-STATE-04")
    left = [read[0] for read in found.values() if read]
    holds(len(set(left)) == 2, "two callbacks found the same value", expected="two values", observed=found, rule="M-STATE-04")


@asserts("STATE29/refused-or-right", any_outcome=True)
def test_stateful_splittable(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1), ("k", 2), ("j", 3)])
    fn = Fn("suite_splittable", observer=case.program.prefix + "out")
    keyed.par_do(fn, coders.BYTES, state=COUNT, restriction_coder=coders.OFFSET_RANGE)
    run = yield
    if not _refused(run):
        same(counts(run), {"k": [1, 2], "j": [1]}, "elements counted by key", rule="M-SDF-11")
