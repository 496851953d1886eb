"""Judging scripts: elements, watermarks and processing time in a given order, each taking effect before the next (M-TS-01).

The walk over the program knows of every output in which flows it may come (`oracle.flows`). Stateless steps carry them on; groupings,
stateful ParDos and side inputs have judges of their own, which must find the outcome admissible for one of the flows. What consumes a
grouping or stateful ParDo is judged by what was seen of it, in every way in which that may have come about.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import attrs
from attrs import define

from conformance.oracle.analysis import Analysis
from conformance.oracle.content import Mismatch, match
from conformance.oracle.errors import UnsupportedProgram
from conformance.oracle.finding import Finding
from conformance.oracle.flows import Flow, History, bounded_flow, forward, merged_flows, script_flows
from conformance.oracle.grouping_script import judge_grouping_flow
from conformance.oracle.observed import Seen
from conformance.oracle.program import (
    Bounded,
    Combine,
    GroupByKey,
    Observe,
    Script,
    SideInput,
    Stateful,
    Step,
    inputs_of,
    outputs_of,
)
from conformance.oracle.side_script import judge_side_flow
from conformance.oracle.stateful_script import judge_stateful_flow
from conformance.wire.timestamps import MAX

__all__ = ["Outcome", "judge_script"]

#: Combinations of the flows of several inputs that are followed.
_MOST_COMBINATIONS = 64


@define
class Outcome:
    """What was found: findings of groupings, state and side inputs; each difference in a stateless output with its step and observer;
    and remarks on admissible behaviour, with the observer."""

    findings: list[Finding] = attrs.field(factory=list)
    differences: list[tuple[Step, Mismatch, str]] = attrs.field(factory=list)
    remarks: list[str] = attrs.field(factory=list)


def judge_script(analysis: Analysis, observed: Mapping[str, Sequence[Seen]]) -> Outcome:
    """Judge the outcome of a program with a Script."""
    return _Walk(analysis, observed).go()


class _Walk:
    def __init__(self, analysis: Analysis, observed: Mapping[str, Sequence[Seen]]) -> None:
        self.analysis, self.observed = analysis, observed
        self.outcome = Outcome()
        self.flows: dict[str, list[Flow]] = {}
        (self.script,) = (source for source in analysis.program.sources if isinstance(source, Script))
        self.source = script_flows(self.script, analysis.outputs)
        self.like = next(iter(self.source.values()))

    def go(self) -> Outcome:
        for step in self.analysis.program:
            if isinstance(step, Script):
                self.flows.update({name: [flow] for name, flow in self.source.items()})
            elif isinstance(step, Bounded):
                self.flows[step.id] = [bounded_flow(step, self.like, self.analysis.outputs)]
            elif not isinstance(step, Observe):
                if any(name not in self.flows for name in inputs_of(step)):
                    continue  # what it consumes was wrong already
                if isinstance(step, GroupByKey | Combine | Stateful | SideInput):
                    self._several(step)
                else:
                    self._carry(step)
            for name in outputs_of(step):
                if not isinstance(step, GroupByKey | Combine | Stateful | SideInput):
                    self._compare(step, name)
        return self.outcome

    def _carry(self, step: Step) -> None:
        made: dict[str, list[Flow]] = {name: [] for name in outputs_of(step)}
        for flows in self._combinations(inputs_of(step)):
            for name, flow in forward(step, flows, self.analysis.outputs, self.like).items():
                made[name].append(flow)
        self.flows.update({name: list(dict.fromkeys(flows)) for name, flows in made.items()})

    def _combinations(self, names: Sequence[str]) -> list[tuple[Flow, ...]]:
        # The same output given twice comes the same way twice.
        distinct = list(dict.fromkeys(names))
        made = list(itertools.islice(itertools.product(*(self.flows[name] for name in distinct)), _MOST_COMBINATIONS + 1))
        if len(made) > _MOST_COMBINATIONS:
            raise UnsupportedProgram("what was seen may have come about in too many ways; make the script shorter")
        return [tuple(flows[distinct.index(name)] for name in names) for flows in made]

    def _compare(self, step: Step, name: str) -> None:
        """A stateless output holds the same whatever its flow."""
        for observer in self.analysis.observers.get(name, ()):
            if name not in self.flows:
                continue
            items = [item for beat in self.flows[name][0] for item in beat.items]
            if difference := match(items, self.observed.get(observer, ())):
                self.outcome.differences.append((step, difference, observer))

    def _several(self, step: GroupByKey | Combine | Stateful | SideInput) -> None:
        """A step whose outcome depends on the flow: it must be right for one of them."""
        observers = self.analysis.observers.get(step.id, ())
        consumed = any(step.id in inputs_of(other) and not isinstance(other, Observe) for other in self.analysis.program)
        if consumed and isinstance(step, SideInput):
            raise UnsupportedProgram(
                f"{step.id}: what consumes a side input's output under a script is not judged; observe it only"
            )
        if isinstance(step, GroupByKey | Combine) and any(beat.watermark == MAX for beat in self.flows[step.input][0][:1]):
            raise UnsupportedProgram(f"{step.id} groups bounded input in a program with a script; flatten it with the script")
        made: dict[Flow, None] = {}
        for observer in observers:
            seen = self.observed.get(observer, ())
            wrong: list[Finding] = []
            right = False
            for flows in self._combinations(inputs_of(step)):
                findings, histories = self._judge(step, flows, seen, timed=consumed)
                if findings:
                    wrong = wrong or findings
                    continue
                if not right:
                    notes = dict.fromkeys(note for some in histories for history in some[:1] for note in sorted(history.notes))
                    self.outcome.remarks += [f"{observer}: {note}" for note in notes]
                right = True
                if not consumed:
                    break
                made.update(dict.fromkeys(merged_flows(flows[0], histories)))
            if not right:
                self.outcome.findings += [attrs.evolve(finding, observer=observer) for finding in wrong]
        if made:
            self.flows[step.id] = list(made)

    def _judge(
        self, step: GroupByKey | Combine | Stateful | SideInput, flows: Sequence[Flow], seen: Sequence[Seen], *, timed: bool
    ) -> tuple[list[Finding], list[list[History]]]:
        windowing = self.analysis.windowing_of(step.input)
        match step:
            case GroupByKey() | Combine():
                return judge_grouping_flow(step, windowing, flows[0], seen, timed=timed)
            case Stateful():
                return judge_stateful_flow(step, windowing.allowed_lateness, flows[0], seen, timed=timed)
            case SideInput():
                side = self.analysis.windowing_of(step.side)
                return judge_side_flow(step, flows[0], windowing, flows[1], side, seen), []
