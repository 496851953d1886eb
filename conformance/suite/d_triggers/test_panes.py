"""What a pane holds and says of itself, which panes there are without new data, and what is late: one fact a row."""

from __future__ import annotations

from conformance.oracle.program import AfterCount, AfterEndOfWindow, Repeat
from conformance.suite.d_triggers.rows import Row, asked, counted

BOTH = AfterEndOfWindow(AfterCount(2), AfterCount(1))
ACCUMULATING = {"accumulation": "accumulating"}
EACH = AfterEndOfWindow(AfterCount(1), AfterCount(1))
ONE = AfterEndOfWindow(AfterCount(1))
#: Two early elements, one at the end, one behind it.
ALL = "1@1 2@2 3@3 wm10 4@4 wm31"

ROWS = [
    Row(
        "TRIG18/all-so-far",
        "1@1 2@2 wm10 3@3 wm31",
        ["1", "1 2", "1 2 3"],
        EACH,
        lateness=20,
        given=ACCUMULATING,
        show="values",
        distinct=True,
    ),
    Row(
        "TRIG18/on-time-pane-too",
        ALL,
        ["1 2", "1 2 3", "1 2 3 4"],
        BOTH,
        lateness=20,
        given=ACCUMULATING,
        show="values",
        distinct=True,
    ),
    counted("TRIG19/new-ones-only", "1@1 2@2 wm10 3@3 wm31", ["1", "2", "3"], EACH, lateness=20),
    # lateness
    Row("TRIG21/kept-until-expiry", "1@1 wm14 2@2 wm30", ["ON_TIME 1", "LATE 2"], lateness=5),
    Row("TRIG21/by-the-window-not-the-element", "wm5 1@1 wm9 2@2 wm10", ["ON_TIME 1 2"]),
    Row("TRIG22/dropped-behind-allowed-lateness", "1@1 wm10 wm17 2@2 wm40", ["1"], lateness=5, show="values"),
    Row("TRIG22/dropped-behind-the-window", "1@1 wm12 2@2 wm40", ["1"], show="values"),
    Row("TRIG22/one-pane-for-a-jump", "1@1 wm60 2@2 wm90", ["1"], lateness=20, show="values"),
    # panes without new data
    Row(
        "TRIG24/empty-final-pane",
        "1@1 wm10 wm31",
        ["ON_TIME not-last 1", "LATE last"],
        lateness=20,
        given={"closing": "always"},
        show="timing last values",
    ),
    Row("TRIG24/no-pane-without-elements", "1@1 wm60", ["0"], given={"closing": "always"}, show="window"),
    Row("TRIG25/no-empty-final-pane", "1@1 wm10 wm31", ["ON_TIME 1"], lateness=20),
    Row("TRIG25/accumulated-is-not-new", "1@1 wm10 wm31", ["ON_TIME 1"], lateness=20, given=ACCUMULATING),
    Row("TRIG26/empty-on-time-pane", "1@1 wm10 wm12", ["EARLY 1", "ON_TIME"], ONE),
    Row("TRIG26/repeats-what-is-accumulated", "1@1 wm10 wm12", ["EARLY 1", "ON_TIME 1"], ONE, given=ACCUMULATING),
    Row("TRIG27/no-empty-on-time-pane", "1@1 wm10 wm12", ["EARLY 1"], ONE, given={"on_time": "if_nonempty"}),
    Row(
        "TRIG27/accumulated-is-not-new",
        "1@1 wm10 wm12",
        ["EARLY 1"],
        ONE,
        given={"on_time": "if_nonempty", "accumulation": "accumulating"},
    ),
    Row(
        "TRIG27/with-data-all-the-same",
        "1@1 2@2 3@3 wm10 wm12",
        ["EARLY 1 2", "ON_TIME 3"],
        AfterEndOfWindow(AfterCount(2)),
        given={"on_time": "if_nonempty"},
    ),
    # what a pane says of itself
    Row("TRIG28/early-on-time-late", ALL, ["EARLY 1 2", "ON_TIME 3", "LATE 4"], BOTH, lateness=20),
    Row("TRIG29/index-counts-panes", ALL, ["#0 1 2", "#1 3", "#2 4"], BOTH, lateness=20, show="index values"),
    Row("TRIG29/early-panes-count-apart", ALL, ["#0 ns-1", "#1 ns0", "#2 ns1"], BOTH, lateness=20, show="index ns"),
    Row(
        "TRIG29/by-key-and-window",
        "a:1@1 b:2@1 a:3@12 a:4@2 wm40",
        ["a 0 #0 1", "a 0 #1 4", "a 10 #0 3", "b 0 #0 2"],
        Repeat(AfterCount(1)),
        show="key window index values",
        nonempty=True,
    ),
    Row(
        "TRIG29/no-index-for-no-pane",
        "1@1 2@2 wm10 3@3 wm31",
        ["#0 1 2", "#1 3"],
        BOTH,
        lateness=20,
        given={"on_time": "if_nonempty"},
        show="index values",
    ),
    Row("TRIG30/only-the-first-is-first", ALL, ["first 1 2", "later 3", "later 4"], BOTH, lateness=20, show="first values"),
    Row("TRIG30/not-last-while-more-may-come", "1@1 wm10 2@2 wm31", ["not-last 1"], lateness=20, show="last values", first=1),
    Row("TRIG30/last-at-expiry", "1@1 wm10 wm12", ["last 1"], show="last values"),
]

globals().update(asked(ROWS))
