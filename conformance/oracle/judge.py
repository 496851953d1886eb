"""The verdict: is what the observers saw in the set that the model allows for this program, and if not, which rule does it break?

`judge` walks the program once, in order, and knows for every output what it holds (`oracle.content`). Where an output is observed
directly, what was seen is compared with what it may hold, and from there on counts as what it does hold: a consumer is judged
relative to what was possible for it. So one fault is reported where it shows first. Groupings and stateful ParDos have judges
of their own.

`forgive` names rules whose breach is told as information instead, so that a runner with a known deviation can be looked at
further.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import attrs
from attrs import frozen

from conformance.oracle.analysis import Analysis, analyse
from conformance.oracle.content import Item, Mismatch, assemble, freeze, group_once, match
from conformance.oracle.errors import UnsupportedProgram
from conformance.oracle.finding import Finding, show_items
from conformance.oracle.groupings import judge_grouping
from conformance.oracle.observed import Seen
from conformance.oracle.program import (
    Bounded,
    Combine,
    Flatten,
    GroupByKey,
    Observe,
    ParDo,
    Partition,
    Program,
    Redistribute,
    Reshuffle,
    SideInput,
    Splittable,
    Stateful,
    Step,
    WindowInto,
    inputs_of,
    outputs_of,
)
from conformance.oracle.stateful import judge_stateful
from conformance.oracle.streaming import judge_script
from conformance.wire.timestamps import GLOBAL_WINDOW_MAX
from conformance.wire.values import GlobalWindow, IntervalWindow, Timing

__all__ = ["Verdict", "judge"]


@frozen
class Verdict:
    ok: bool
    #: the rule of docs/model.md that is broken, "" if none
    rule: str = ""
    #: what is wrong, in one sentence
    sentence: str = ""
    expected: tuple[str, ...] = ()
    observed: tuple[str, ...] = ()
    #: admissible behaviour worth a row of its own, and forgiven breaches
    infos: tuple[str, ...] = ()
    #: the observer at which it shows
    observer: str = ""


#: Which rule a difference breaks, by the last step upstream that decides the thing which differs.
_RULES: Final[Mapping[str, Sequence[tuple[tuple[type, ...], str]]]] = {
    "missing": (
        ((Flatten,), "M-XF-11"),
        ((Reshuffle, Redistribute), "M-XF-12"),
        ((SideInput,), "M-SIDE-06"),
        ((Splittable,), "M-SDF-02"),
        ((WindowInto,), "M-WIN-20"),
    ),
    "extra": (
        ((Flatten,), "M-XF-11"),
        ((Reshuffle, Redistribute), "M-XF-12"),
        ((SideInput,), "M-SIDE-06"),
        ((Splittable,), "M-SDF-02"),
        ((WindowInto,), "M-WIN-07"),
    ),
    "window": (((WindowInto,), "M-WIN-18"), ((Reshuffle, Redistribute), "M-XF-12"), ((Flatten,), "M-XF-11")),
    "timestamp": (((WindowInto,), "M-WIN-18"), ((Reshuffle, Redistribute), "M-XF-12"), ((Flatten,), "M-XF-11")),
    "pane": (((Reshuffle, Redistribute), "M-XF-12"), ((Flatten, ParDo, Partition, WindowInto, SideInput), "M-PANE-01")),
}
_OTHERWISE: Final[Mapping[str, str]] = {
    "missing": "M-XF-18",
    "extra": "M-XF-18",
    "window": "M-TIME-07",
    "timestamp": "M-TIME-07",
    "pane": "M-PANE-01",
}
_GROUPING_RULES: Final[Mapping[str, str]] = {
    "missing": "M-BATCH-04",
    "extra": "M-BATCH-04",
    "window": "M-TRIG-05",
    "timestamp": "M-HOLD-01",
    "pane": "M-BATCH-06",
}
_SENTENCES: Final[Mapping[str, str]] = {
    "missing": "elements are missing",
    "extra": "there are elements that should not be there",
    "window": "elements are in other windows than they should be",
    "timestamp": "elements carry other timestamps than they should",
    "pane": "elements carry other panes than they should",
}


def judge(program: Program, observed: Mapping[str, Sequence[Seen]], *, forgive: Collection[str] = ()) -> Verdict:
    """Judge one run of a program by what its observers saw; an observer that saw nothing may be absent."""
    analysis = analyse(program)
    unknown = set(observed) - {observer.id for observer in program.observers}
    if unknown:
        raise UnsupportedProgram(f"there are observations of {', '.join(sorted(unknown))}, which the program does not observe")
    remarks: list[str] = []
    if program.is_bounded:
        findings = _judge_bounded(analysis, observed)
    else:
        outcome = judge_script(analysis, observed)
        remarks = outcome.remarks
        findings = [
            *(
                attrs.evolve(_finding(step, program, difference), observer=observer)
                for step, difference, observer in outcome.differences
            ),
            *outcome.findings,
        ]
    infos = dict.fromkeys(
        info for observer in program.observers for info in _infos(observer, observed.get(observer.id, ()), program)
    )
    wrong = [finding for finding in findings if finding.rule not in forgive]
    forgiven = [f"forgiven: {finding.rule}: {finding.sentence}" for finding in findings if finding.rule in forgive]
    told = (*infos, *dict.fromkeys(remarks), *dict.fromkeys(forgiven))
    if not wrong:
        return Verdict(True, infos=told)
    first = wrong[0]
    return Verdict(False, first.rule, first.sentence, first.expected, first.observed, told, first.observer)


def _judge_bounded(analysis: Analysis, observed: Mapping[str, Sequence[Seen]]) -> list[Finding]:
    findings: list[Finding] = []
    contents: dict[str, list[Item]] = {}
    for step in analysis.program:
        if not isinstance(step, Observe):
            contents.update(_judge_step(step, analysis, contents, observed, findings))
    return findings


def _judge_step(
    step: Step,
    analysis: Analysis,
    contents: Mapping[str, list[Item]],
    observed: Mapping[str, Sequence[Seen]],
    findings: list[Finding],
) -> dict[str, list[Item]]:
    """Judge the outputs of one step at their observers; answer with what they hold."""
    given = [contents[name] for name in inputs_of(step)]
    held: dict[str, list[Item]] = {}
    if not isinstance(step, GroupByKey | Combine | Stateful):
        held = assemble(step, given, analysis.outputs)
    elif not analysis.outputs[step.id].ambiguous and isinstance(step, GroupByKey | Combine):
        held = {step.id: group_once(step, given[0], analysis.windowing_of(step.input))}
    for name in outputs_of(step):
        for observer in analysis.observers.get(name, ()):
            seen = observed.get(observer, ())
            if isinstance(step, GroupByKey | Combine):
                wrong = judge_grouping(step, analysis.windowing_of(step.input), given[0], seen)
            elif isinstance(step, Stateful):
                wrong = judge_stateful(step, given[0], seen, analysis.windowing_of(step.input).allowed_lateness)
            else:
                wrong = [f for f in [_compare(step, analysis, held[name], seen)] if f]
            findings.extend(attrs.evolve(finding, observer=observer) for finding in wrong)
            if not wrong or name not in held:
                held[name] = freeze(seen)
    for name in outputs_of(step):
        held.setdefault(name, [])  # not determined, not observed: analysis saw that nothing consumes it
    return held


def _compare(step: Step, analysis: Analysis, content: Sequence[Item], seen: Sequence[Seen]) -> Finding | None:
    difference = match(content, seen)
    return _finding(step, analysis.program, difference) if difference else None


def _finding(step: Step, program: Program, difference: Mismatch) -> Finding:
    return Finding(
        _rule(step, program, difference.kind),
        f"after {step.id}, {_SENTENCES[difference.kind]}",
        show_items(difference.expected),
        show_items(difference.seen),
    )


def _rule(step: Step, program: Program, kind: str) -> str:
    """Walk upstream, along main inputs, to the step that decides the thing which differs."""
    at: Step = step
    while True:
        for classes, rule in _RULES[kind]:
            if isinstance(at, classes):
                return rule
        if isinstance(at, GroupByKey | Combine):
            return _GROUPING_RULES[kind]
        if isinstance(at, Bounded) or not inputs_of(at):
            return _OTHERWISE[kind]
        at = program.producer(inputs_of(at)[0])


def _infos(observer: Observe, seen: Sequence[Seen], program: Program) -> list[str]:
    """Admissible behaviour in which runners differ (Annex A)."""
    told = []
    if any(isinstance(s.window, GlobalWindow) and s.timestamp == GLOBAL_WINDOW_MAX - 1 for s in seen):
        told.append(f"{observer.id}: the global window ends a millisecond early (A-6)")
    if any(isinstance(s.window, IntervalWindow) and s.timestamp == s.window.end <= 0 for s in seen):
        told.append(f"{observer.id}: a window before the epoch ends a millisecond late (M-TIME-05)")
    labels = {s.pane.timing.name for s in seen if s.pane.timing in (Timing.EARLY, Timing.LATE)}
    if labels and program.is_bounded:
        told.append(f"{observer.id}: bounded input fired {' and '.join(sorted(labels))} panes (A-13)")
    return told
