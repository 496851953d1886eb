"""When each trigger fires, one fact a row. Elements come one by one, so that counts are exact (A-10); clocks keep off targets (A-2)."""

from __future__ import annotations

from conformance.oracle.program import (
    AfterAll,
    AfterAny,
    AfterCount,
    AfterEach,
    AfterEndOfWindow,
    AfterProcessingTime,
    Always,
    Never,
    OrFinally,
    Repeat,
    Sessions,
)
from conformance.suite.d_triggers.rows import Row, asked, counted

TWO = Repeat(AfterCount(2))
ONE = AfterCount(1)
SECOND, MINUTE = AfterProcessingTime(1000), AfterProcessingTime(60_000)
LATE = AfterEndOfWindow(None, ONE)
EARLY_LATE = AfterEndOfWindow(ONE, AfterCount(2))

ROWS = [
    # the end of the window
    Row("TRIG01/on-time-then-late", "1@1 2@2 wm10 3@3 wm31", ["ON_TIME 1 2", "LATE 3"], lateness=20),
    Row("TRIG01/not-before-the-end", "1@1 wm9 2@2 wm10 3@3 wm31", ["ON_TIME 1 2", "LATE 3"], lateness=20),
    Row("TRIG03/not-before-expiry", "1@1 wm5 2@2 wm11", ["ON_TIME 1 2"], Never()),
    Row("TRIG05/once-at-the-end", "1@1 wm9 2@2 wm10 wm31", ["ON_TIME 1 2"], AfterEndOfWindow(), lateness=20),
    Row("TRIG05/closes-there", "1@1 wm10 2@2 wm31", ["ON_TIME 1"], AfterEndOfWindow(), lateness=20),
    Row("TRIG06/each-before-the-end", "1@1 2@2 wm10", ["EARLY 1", "EARLY 2"], AfterEndOfWindow(ONE), nonempty=True),
    counted("TRIG06/only-before-the-end", "1@1 wm10 2@2 3@3 wm31", ["1", "2 3"], EARLY_LATE, lateness=20),
    Row("TRIG07/each-behind-the-end", "1@1 wm10 2@2 3@3 wm31", ["ON_TIME 1", "LATE 2", "LATE 3"], LATE, lateness=20),
    Row("TRIG07/only-behind-the-end", "1@1 2@2 wm10 3@3 wm31", ["ON_TIME 1 2", "LATE 3"], LATE, lateness=20),
    # elements
    counted("TRIG02/each-element", "1@1 2@2 wm10", ["1", "2"], Always()),
    counted("TRIG04/at-the-count", "1@1 2@2 3@3 4@4 wm10", ["1 2", "3 4"], TWO),
    Row("TRIG04/by-window", "1@1 2@11 3@12 4@2 wm30", ["0 1 4", "10 2 3"], TWO, show="window values", nonempty=True),
    Row("TRIG04/by-key", "a:1@1 b:2@1 b:3@1 a:4@2 wm30", ["a 1 4", "b 2 3"], TWO, show="key values", nonempty=True),
    counted("TRIG14/counts-anew", "1@1 2@2 3@3 4@4 5@5 6@6 wm10", ["1 2 3", "4 5 6"], Repeat(AfterCount(3))),
    Row("TRIG14/nothing-at-the-end-of-its-own", "1@1 2@2 wm10 wm12", ["EARLY 1 2"], TWO, lateness=20),
    counted("TRIG14/rest-at-expiry", "1@1 2@2 3@3 wm11", ["1 2", "3"], TWO),
    # the clock
    counted("TRIG08/when-its-delay-has-passed", "1@1 pt500 2@2 pt2000 3@3 wm10", ["1 2", "3"], Repeat(SECOND)),
    Row("TRIG08/not-before", "1@1 pt1000 2@2 wm10", ["ON_TIME 1 2"], Repeat(MINUTE)),
    counted("TRIG08/from-the-first-element", "1@1 pt40000 2@2 pt30000 3@3 wm10", ["1 2", "3"], Repeat(MINUTE)),
    # several triggers
    counted("TRIG11/all-of-them", "1@1 2@2 3@3 4@4 wm10", ["1 2 3", "4"], Repeat(AfterAll((ONE, AfterCount(3))))),
    counted("TRIG11/count-and-clock", "1@1 2@2 3@3 pt2000 4@4 wm10", ["1 2 3", "4"], Repeat(AfterAll((AfterCount(2), SECOND)))),
    counted("TRIG12/any-of-them", "1@1 2@2 3@3 4@4 wm10", ["1 2", "3 4"], Repeat(AfterAny((AfterCount(2), AfterCount(3))))),
    counted("TRIG12/count-or-clock", "1@1 pt2000 2@2 3@3 4@4 wm10", ["1", "2 3 4"], Repeat(AfterAny((AfterCount(3), SECOND)))),
    counted(
        "TRIG13/one-part-a-firing",
        "1@1 2@2 3@3 4@4 5@5 6@6 wm10",
        ["1", "2 3", "4", "5 6"],
        Repeat(AfterEach((ONE, AfterCount(2)))),
    ),
    counted(
        "TRIG13/parts-by-count-and-clock",
        "1@1 2@2 pt2000 3@3 4@4 pt2000 wm10",
        ["1", "2", "3", "4"],
        Repeat(AfterEach((ONE, SECOND))),
    ),
    Row(
        "TRIG15/until-fires",
        "1@1 2@2 3@3 4@4 5@5 6@6 wm10",
        ["1 2", "3 4", "5"],
        OrFinally(TWO, AfterCount(5)),
        show="values",
        nonempty=True,
        first=3,
    ),
    counted("TRIG15/until-ends-it", "1@1 2@2 3@3 4@4 wm10", ["1", "2", "3"], OrFinally(Repeat(ONE), AfterCount(3))),
    # the end of a trigger
    Row("TRIG16/drops-what-follows", "1@1 2@2 wm11", ["EARLY 1"], ONE),
    Row("TRIG16/until-expiry", "1@1 wm10 2@2 wm20 3@3 wm31", ["EARLY 1"], ONE, lateness=20),
    Row("TRIG16/that-window-only", "1@1 2@11 wm30", ["0 1", "10 2"], ONE, show="window values"),
    # merging windows; what Python's driver does otherwise is UNDEF (M-TRIG-44), so only the contents are compared
    Row(
        "WIN06/counts-add-up",
        "1@0 2@30 3@8 4@16 5@21 wm45",
        ["0 1 3", "0 2 4 5"],
        AfterEndOfWindow(AfterCount(2)),
        fn=Sessions(10),
        show="window values",
        nonempty=True,
    ),
    Row(
        "WIN06/early-counts-add-up",
        "1@0 2@8 3@12 wm30 wm60",
        ["0 EARLY 1 2", "0 ON_TIME 3"],
        AfterEndOfWindow(AfterCount(2), ONE),
        fn=Sessions(10),
        lateness=20,
        show="window timing values",
        nonempty=True,
    ),
    Row(
        "WIN06/late-bridge-fires",
        "1@0 2@12 wm30 3@9 4@5 wm73",
        ["0 1", "0 3", "0 4", "12 2"],
        LATE,
        fn=Sessions(10),
        lateness=40,
        show="window values",
    ),
    Row(
        "WIN06/late-inside-fires",
        "1@0 2@8 wm20 3@3 wm63",
        ["0 1 2", "0 3"],
        LATE,
        fn=Sessions(10),
        lateness=40,
        show="window values",
    ),
    Row(
        "WIN06/late-inside-counts-on",
        "1@0 2@8 wm20 3@3 wm63",
        ["0 #0", "0 #1"],
        fn=Sessions(10),
        lateness=40,
        show="window index",
    ),
    Row(
        "WIN06/grown-session-fires-again",
        "1@0 wm10 2@5 wm15 3@12 wm43",
        ["0 1", "0 2", "0 3"],
        fn=Sessions(10),
        lateness=20,
        show="window values",
    ),
]

globals().update(asked(ROWS))
