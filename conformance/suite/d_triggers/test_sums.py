"""What triggers add up, the delays of one trigger and the elements of merged sessions; labels of panes that fire together."""

from __future__ import annotations

from conformance.oracle.program import AfterCount, AfterEndOfWindow, Repeat, Sessions
from conformance.pipeline import triggers, windowing
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import same
from conformance.suite.d_triggers.rows import Row, asked, lines
from conformance.suite.scripting import add, tick, wm

#: Two sessions of one and two elements meet in an element of their own; a count of three is reached by no one of them.
ROWS = [
    Row(
        "WIN06/counts-of-all-parts",
        "1@0 2@15 3@8 4@9 wm45",
        ["0 1 2 3", "0 4"],
        Repeat(AfterCount(3)),
        fn=Sessions(10),
        show="window values",
        nonempty=True,
    ),
    # At the end of the window the second pane of one key fires beside the first of another.
    Row(
        "TRIG29/panes-of-one-step",
        "a:1@1 a:2@1 a:3@2 b:4@2 wm10",
        ["a #0 1 2", "a #1 3", "b #0 4"],
        AfterEndOfWindow(AfterCount(2)),
        show="key index values",
    ),
]
globals().update(asked(ROWS))

#: Far apart, since the clock of a runner may have moved on by some milliseconds before the first element (M-TRIG-18).
SECOND, MINUTE = 1000, 60_000


@asserts("TRIG08/delays-add-up", modes=("streaming",))
def test_delays_add_up(case: Case) -> Scenario:
    """Nothing fires when the first delay has passed; all fires when both have."""
    trigger = triggers.repeatedly(triggers.after_processing_time(SECOND, MINUTE))
    events = [add((1, 1)), tick(10 * SECOND), add((2, 2)), tick(2 * MINUTE), add((3, 3)), wm(10)]
    case.played(events).window_into(windowing.fixed(10), trigger=trigger, accumulation="discarding").group_by_key().observe("out")
    run = yield
    panes = [line for line in lines(run, show="values") if line]
    same(panes, ["1 2", "3"], "panes of two delays, one after the other", rule="M-TRIG-19")
