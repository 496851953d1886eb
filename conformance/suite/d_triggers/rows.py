"""Directed scenarios as rows: a windowing, a script, the panes. Panes are written as they are read, one line each, so that what was
expected and what was seen stand side by side.

A script is words: `1@3` adds the value 1 at timestamp 3, `1@3,2@4` both together, `a:1@3` under the key a; `wm10` moves the watermark,
`pt500` the clock. Each word is an event of its own. Times are milliseconds; the usual window is [0, 10).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

from attrs import field, frozen

from conformance.harness import Observation
from conformance.oracle import program as language
from conformance.oracle.program import AddElements, AdvanceProcessingTime, AdvanceWatermark, Element
from conformance.suite.assertions import asserts
from conformance.suite.case import Case
from conformance.suite.checks import Wrong, same
from conformance.suite.generated import functions as functions
from conformance.suite.generated.compile import compile_program, seen_by
from conformance.suite.generated.lagging import judge_lagging
from conformance.suite.run import Run

__all__ = ["Row", "asked", "counted", "events", "lines"]

TEN, DEFAULT = language.Fixed(10), language.DefaultTrigger()

#: What a line may tell of a pane, in this order.
_FIELDS: dict[str, Callable[[Observation], str]] = {
    "key": lambda seen: str(seen.value[0]),
    "window": lambda seen: str(getattr(seen.window, "start", "global")),
    "timing": lambda seen: seen.pane.timing.name,
    "index": lambda seen: f"#{seen.pane.index}",
    "ns": lambda seen: f"ns{seen.pane.nonspeculative_index}",
    "first": lambda seen: "first" if seen.pane.is_first else "later",
    "last": lambda seen: "last" if seen.pane.is_last else "not-last",
    "timestamp": lambda seen: f"at {seen.timestamp}:",
    "values": lambda seen: " ".join(map(str, sorted(seen.value[1]))),
}


@frozen
class Row:
    """One assertion: `script` into a grouping with the windowing `given` has these `panes` (in order of key, window and index)."""

    assertion: str
    script: str
    panes: Sequence[str]
    trigger: language.Trigger = DEFAULT
    fn: language.WindowFn = TEN
    lateness: int = 0
    #: Further fields of the windowing.
    given: Mapping[str, str] = field(factory=dict)
    show: str = "timing values"
    #: Panes without elements are no matter of this row (A-3).
    nonempty: bool = False
    #: Nor are panes that repeat what the one before held (M-PANE-17).
    distinct: bool = False
    #: Only the first so many panes are.
    first: int | None = None
    #: What plays the script, where it is not what the run found out.
    source: str = ""


def counted(assertion: str, script: str, panes: Sequence[str], trigger: language.Trigger, **fields: Any) -> Row:
    """A row about how elements are divided into panes: labels, and panes without elements, are no matter of it (A-3, M-PANE-09)."""
    return Row(assertion, script, panes, trigger, show="values", nonempty=True, **fields)


def events(script: str) -> tuple[language.Event, ...]:
    """The events that the words of `script` name."""
    return tuple(_event(word) for word in script.split())


def _event(word: str) -> language.Event:
    if word.startswith("wm"):
        return AdvanceWatermark(int(word[2:]))
    if word.startswith("pt"):
        return AdvanceProcessingTime(int(word[2:]))
    return AddElements(tuple(_element(part) for part in word.split(",")))


def _element(part: str) -> Element:
    pair, _, timestamp = part.partition("@")
    key, _, value = pair.rpartition(":")
    return Element((key or "k", int(value)), int(timestamp))


def _program(row: Row) -> language.Program:
    given = language.Windowing(row.fn, row.trigger, allowed_lateness=row.lateness, **row.given)
    return language.Program(
        (
            language.Script("script", events(row.script), ("kv", "str", "int")),
            language.WindowInto("windowed", "script", given),
            language.GroupByKey("grouped", "windowed"),
            language.Observe("out", "grouped"),
        )
    )


def lines(run: Run, observer: str = "out", show: str = "timing values") -> list[str]:
    """A line a pane, with the fields named in `show`, by key, window (end, start) and index (arrival says nothing, M-PANE-14)."""

    def order(each: Observation) -> tuple[str, int, int, int]:
        return str(each.value[0]), each.window.max_timestamp, getattr(each.window, "start", 0), each.pane.index

    seen = sorted(run.seen(observer), key=order)
    fields = [_FIELDS[name] for name in show.split()]
    return [" ".join(part for field in fields if (part := field(each))) for each in seen]


def _shown(row: Row, run: Run) -> list[str]:
    values = lines(run, show="key window values")
    empty = lines(run, show="key window")
    shown = lines(run, show=row.show)
    kept = [
        line
        for number, line in enumerate(shown)
        if not (row.nonempty and values[number] == empty[number])
        and not (row.distinct and number and values[number] == values[number - 1])
    ]
    return kept if row.first is None else kept[: row.first]


def asked(rows: Sequence[Row]) -> dict[str, Any]:
    """A test function for each row, by its name."""
    found: dict[str, Any] = {}
    for row in rows:
        name = "test_" + row.assertion.lower().replace("/", "_").replace("-", "_")
        assert name not in found, f"two rows are called {row.assertion}"
        found[name] = _test(row, name)
    return found


def _test(row: Row, name: str) -> Any:
    def scenario(case: Case) -> Generator[None, Run, None]:
        program = _program(row)
        case.played_by = row.source or case.script_source
        case.wrong_anyhow = lambda run: _wrong_anyhow(program, run)
        compile_program(program, case.program, case.played_by)
        run = yield
        same(_shown(row, run), list(row.panes), f"panes of the script {row.script!r}")

    scenario.__name__ = scenario.__qualname__ = name
    return asserts(row.assertion, modes=("streaming",))(scenario)


def _wrong_anyhow(program: language.Program, run: Run) -> Wrong | None:
    """What the oracle says of the run if no delay of the script explains it."""
    verdict = judge_lagging(program, seen_by(program, run))
    if verdict is None or verdict.ok:
        return None
    return Wrong(verdict.sentence, expected=verdict.expected, observed=verdict.observed, rule=verdict.rule)
