"""What is left at the end: windows that expire (M-STATE-18), processing-time timers of bounded input (M-TIMER-30), streams of timers."""

from __future__ import annotations

from collections import Counter

from conformance.pipeline import Fn, PCollection, coders, state, windowing
from conformance.suite.assertions import asserts
from conformance.suite.c_windowing.reading import END_OF_GLOBAL, SECOND
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same, same_multiset
from conformance.suite.f_state.functions import scripted
from conformance.suite.f_state.reading import FAR
from conformance.suite.g_timers import functions as functions
from conformance.suite.outcomes import NotExercised
from conformance.wire.api import fn_pb2

PAIRS = coders.kv(coders.STRING, coders.VARINT)
BAG = {"bag": state.bag(coders.VARINT)}
TEN = windowing.fixed(10 * SECOND)
#: How long after now a processing-time timer is set: some runners wait for it in real time, others do not.
SOON = 700


@asserts("TIMER22/once-per-key-and-window", alone=True)
def test_once_per_key_and_window(case: Case) -> Scenario:
    pairs = [("k", 1), ("k", 2), ("j", 3), ("k", 4)]
    keyed = case.program.create(pairs, timestamps=[1000, 2000, 3000, 14_000], window=TEN)
    steps = [["state", "bag", "add", ["val"]]]
    out = scripted(
        case, keyed, steps, expire=[["emit", ["kv", ["key"], 0]]], coder=PAIRS, state=BAG, on_window_expiration="expiry"
    )
    out.group_by_key().observe("grouped")
    run = yield
    found = [(seen.value[0], seen.window.start) for seen in run.seen("expired")]  # type: ignore[union-attr]
    same_multiset(found, [("k", 0), ("j", 0), ("k", 10_000)], "key and window start of calls", rule="M-STATE-18")


def _bags_read_at_expiry(case: Case, keyed: PCollection) -> None:
    """Every value into a bag; the bag is read when the window expires, with a grouping behind."""
    out = scripted(
        case,
        keyed,
        [["state", "bag", "add", ["val"]]],
        expire=[["state", "bag", "read"], ["emit", ["kv", ["key"], 0]]],
        coder=PAIRS,
        state=BAG,
        on_window_expiration="expiry",
    )
    out.group_by_key().observe("grouped")


@asserts("TIMER22/state-still-there", alone=True)
def test_state_still_there(case: Case) -> Scenario:
    pairs = [("k", 1), ("k", 2), ("j", 3)]
    keyed = case.program.create(pairs, timestamps=[1000, 2000, 3000], window=TEN)
    _bags_read_at_expiry(case, keyed)
    run = yield
    found = sorted((key, sorted(read)) for key, [read] in run.values("expired"))
    same(found, [("j", [3]), ("k", [1, 2])], "key and state in the calls", rule="M-STATE-18")


@asserts("TIMER22/after-event-timers", alone=True)
def test_after_event_timers(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1)], timestamps=[1000], window=TEN)
    out = scripted(
        case,
        keyed,
        [["set", "t", 5000, "a"], ["set", "t", 9999, "b"]],
        timer=[["state", "bag", "add", ["fire"]]],
        expire=[["state", "bag", "read"], ["emit", ["kv", ["key"], 0]]],
        coder=PAIRS,
        state=BAG,
        timers={"t": "event"},
        on_window_expiration="expiry",
    )
    out.group_by_key().observe("grouped")
    run = yield
    found = [(key, sorted(read)) for key, [read] in run.values("expired")]
    same(found, [("k", [5000, 9999])], "key and the timers before the call", rule="M-STATE-18")


@asserts("TIMER22/output-at-end-of-window", alone=True)
def test_output_at_end_of_window(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1)], timestamps=[1000], window=TEN)
    out = scripted(case, keyed, [], expire=[["emit", ["kv", ["key"], 7]]], coder=PAIRS, state=BAG, on_window_expiration="expiry")
    out.observe("emitted")
    out.group_by_key().observe("grouped")
    run = yield
    found = [(seen.value, seen.timestamp) for seen in run.seen("emitted")]
    same(found, [(("k", 7), 9999)], "output and timestamp", rule="M-STATE-18")
    grouped = [(seen.value[0], list(seen.value[1]), seen.window.start) for seen in run.seen("grouped")]  # type: ignore[union-attr]
    same(grouped, [("k", [7], 0)], "key, values and window start of groups", rule="M-STATE-18")


@asserts("TIMER22/nothing-behind-it", alone=True)
def test_nothing_behind_it(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1), ("j", 2)], timestamps=[1000, 2000], window=TEN)
    steps = [["state", "bag", "add", ["val"]]]
    scripted(case, keyed, steps, expire=[["state", "bag", "read"]], state=BAG, on_window_expiration="expiry")
    run = yield
    same(sorted(run.values("expired")), [("j", [[2]]), ("k", [[1]])], "key and state in the calls", rule="M-STATE-18")


@asserts("TIMER22/global-window", alone=True)
def test_global_window(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1), ("j", 2), ("k", 3)], timestamps=[1000, 2000, 3000])
    _bags_read_at_expiry(case, keyed)
    run = yield
    found = sorted((key, sorted(read)) for key, [read] in run.values("expired"))
    same(found, [("j", [2]), ("k", [1, 3])], "key and state in the calls", rule="M-STATE-18")
    moments = {seen.timestamp for seen in run.seen("expired")}
    holds(moments <= set(END_OF_GLOBAL), "called at another time", expected=END_OF_GLOBAL, observed=moments, rule="M-STATE-18")


@asserts("TIMER04/output-at-its-hold")
def test_processing_output_at_its_hold(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1), ("j", 2)], timestamps=[1000, 2000])
    steps = [["set", "t", ["+", ["now"], SOON]]]
    out = scripted(case, keyed, steps, timer=[["emit", ["key"]]], coder=coders.STRING, timers={"t": "processing"})
    out.observe("emitted")
    run = yield
    if not run.seen("emitted"):
        raise NotExercised("this runner drops processing-time timers when bounded input ends (M-TIMER-30)")
    found = sorted((seen.value, seen.timestamp) for seen in run.seen("emitted"))
    same(found, [("j", 2000), ("k", 1000)], "key and timestamp of outputs", rule="M-TIMER-12")


@asserts("TIMER25/once-or-never")
def test_processing_once_or_never(case: Case) -> Scenario:
    # fired at once, waited for, or dropped: all legal; the job ends, and no timer fires twice or for another key
    keyed = case.program.create([("k", 1), ("j", 2)], timestamps=[1000, 2000])
    scripted(case, keyed, [["set", "t", ["+", ["now"], SOON]]], timers={"t": "processing"})
    run = yield
    fired = Counter(key for key, *_ in run.values("fired"))
    holds(
        not fired - Counter("jk"),
        "a timer fired twice, or for no key",
        expected="each once or never",
        observed=fired,
        rule="M-TIMER-30",
    )


@asserts("TIMER25/elements-before")
def test_processing_elements_before(case: Case) -> Scenario:
    keyed = case.program.create([("k", number) for number in range(4)], timestamps=4 * [1000])
    steps = [["state", "bag", "add", ["val"]], ["set", "t", ["+", ["now"], SOON]]]
    scripted(case, keyed, steps, timer=[["state", "bag", "read"]], state=BAG, timers={"t": "processing"})
    run = yield
    found = [sorted(read) for *_, [read] in run.values("fired")]
    holds(
        found in ([], [[0, 1, 2, 3]]),
        "fired before the elements, or twice",
        expected="once or never, after four elements",
        observed=found,
        rule="M-BATCH-10",
    )


@asserts("TIMER25/cleared-does-not-fire")
def test_processing_cleared_does_not_fire(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1)], timestamps=[1000])
    steps = [["set", "t", ["+", ["now"], SOON]], ["set", "t", ["+", ["now"], SOON], "x"], ["clear", "t"]]
    scripted(case, keyed, steps, timers={"t": "processing"})
    keyed.observe("elements")
    run = yield
    same(run.values("elements"), [("k", 1)], "the elements that set and cleared it", rule="M-XF-17")
    found = [tag for _, _, tag, _, _ in run.values("fired")]
    holds(found in ([], ["x"]), "a cleared timer fired", expected="'x' or nothing", observed=found, rule="M-TIMER-02")


@asserts("TIMER25/loop-ends")
def test_processing_loop_ends(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1), ("j", 2)], timestamps=[1000, 1000])
    fn = Fn("suite_loop", observer=case.program.prefix + "fired", first=100, step=100, times=4, wall=True)
    keyed.par_do(fn, coders.BYTES, state={"count": state.value(coders.VARINT)}, timers={"t": "processing"})
    run = yield
    for wanted in "jk":
        found = sorted(count for key, _, count in run.values("fired") if key == wanted)
        fired = f"the timer of {wanted!r} fired more often than it was set, or its callback lost state"
        expected = "1, 2, … up to 4, or none"
        holds(
            found == list(range(1, len(found) + 1)) and len(found) <= 4,
            fired,
            expected=expected,
            observed=found,
            rule="M-TIMER-30",
        )


def _timers_to_worker(events: list[fn_pb2.Elements]) -> list[fn_pb2.Elements.Timers]:
    return [timers for elements in events for timers in elements.timers]


@asserts("TIMER26/named-and-terminated", alone=True)
def test_streams_of_timers(case: Case) -> Scenario:
    keyed = case.program.create([("k", 1), ("j", 2)], timestamps=[1000, 2000])
    steps = [["set", "one", FAR], ["set", "two", FAR + 1000]]
    scripted(case, keyed, steps, timers={"one": "event", "two": "event"}, name="timing")
    run = yield
    same(len(run.values("fired")), 4, "number of firings", rule="M-TIMER-01")
    messages = [event.message for event in run.transcript.events("data", direction="R->S", kind="Elements")]
    entries = _timers_to_worker(messages)
    families = {entry.timer_family_id for entry in entries}
    same(families, {"one", "two"}, "timer families named in entries", rule="P-DATA-02")
    transforms = {entry.transform_id for entry in entries}
    same(len(transforms), 1, "transforms named in entries", rule="P-DATA-01")
    ends = Counter((entry.instruction_id, entry.timer_family_id) for entry in entries if entry.is_last)
    holds(
        set(ends.values()) == {1},
        "a stream of timers was ended more than once",
        expected="once each",
        observed=dict(ends),
        rule="P-DATA-02",
    )
    bundles = {entry.instruction_id for entry in entries}
    expected = {(bundle, family) for bundle in bundles for family in ("one", "two")}
    same(set(ends), expected, "streams that were ended", rule="P-DATA-02")


@asserts("TIMER26/not-among-the-data", alone=True)
def test_timers_not_among_the_data(case: Case) -> Scenario:
    # a bundle that carries only timers has no element: its data entries are empty
    keyed = case.program.create([("k", 1)], timestamps=[1000])
    scripted(case, keyed, [["set", "t", FAR]], timer=[], timers={"t": "event"}, name="timing")
    run = yield
    same(len(run.values("fired")), 1, "number of firings", rule="M-TIMER-01")
    same(len(run.values("out")), 1, "elements processed", rule="P-DATA-02")
    messages = [event.message for event in run.transcript.events("data", direction="R->S", kind="Elements")]
    delivered = [entry for entry in _timers_to_worker(messages) if entry.timers]
    bundles = {entry.instruction_id for entry in delivered}  # more than one where the runner runs a bundle again (M-BNDL-05)
    same(len(delivered), max(1, len(bundles)), "entries that carry timers", rule="P-TMR-05")
