"""What a script may come to without TestStream: the watermark may lag behind the script, and elements may come together.

A runner is held to the script only by TestStream (M-TS-01); a source's reported watermark is a lower bound that it may pass on late, in
any steps (M-WM-10). Each schedule here is one such delay, as a program that the oracle can judge.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from conformance.oracle.errors import UnsupportedProgram
from conformance.oracle.judge import Verdict, judge
from conformance.oracle.observed import Seen
from conformance.oracle.program import AddElements, AdvanceWatermark, Bounded, Event, Program, Script

__all__ = ["LAGGED", "judge_lagging", "schedules"]

#: What the verdict on an outcome says that only a delay explains.
LAGGED = "admissible only as the watermark of a source may lag (M-WM-10)"

#: Elements that a schedule may bring together, in scripts of few elements and in others: the oracle tries all their bundlings.
FEW, MOST_TOGETHER = 4, 2

#: A batch of elements, and the watermarks that the script has moved to before the next.
_Stage = tuple[AddElements, tuple[int, ...]]


def judge_lagging(program: Program, observed: Mapping[str, Sequence[Seen]]) -> Verdict | None:
    """The verdict on a script that no TestStream played: ok if some schedule admits what was seen, else what is wrong with it as
    bounded input, which is the most lenient reading. None if it has schedules that take the oracle too long, and no other admits it."""
    strict = judge(program, observed)
    if strict.ok:
        return strict
    certain, lenient = True, strict
    elements = sum(
        len(event.elements)
        for step in program
        if isinstance(step, Script)
        for event in step.events
        if isinstance(event, AddElements)
    )
    limit = FEW if elements <= FEW else MOST_TOGETHER
    for number, schedule in enumerate(schedules(program)):
        if _largest(schedule) > limit:
            certain = False
            continue
        try:
            verdict = judge(schedule, observed)
        except UnsupportedProgram:
            certain = False
            continue
        if verdict.ok:
            return Verdict(True, infos=(LAGGED,))
        lenient = lenient if number else verdict
    return lenient if certain else None


def schedules(program: Program) -> Iterator[Program]:
    """The program with every delay of its script: first the one where all elements come before the watermark moves at all."""
    (script,) = [step for step in program if isinstance(step, Script)]
    elements = tuple(each for event in script.events if isinstance(event, AddElements) for each in event.elements)
    yield _with(program, script, Bounded(script.id, elements, script.type))
    for events in _delayed(_stages(script.events)):
        yield _with(program, script, attrs.evolve(script, events=events))


def _largest(program: Program) -> int:
    """The most elements that come in one event; those of bounded input are not divided."""
    scripts = [step for step in program if isinstance(step, Script)]
    return max(
        (len(event.elements) for script in scripts for event in script.events if isinstance(event, AddElements)), default=0
    )


def _with(program: Program, script: Script, source: Any) -> Program:
    return Program(tuple(source if step is script else step for step in program))


def _stages(events: Sequence[Event]) -> list[_Stage]:
    stages: list[_Stage] = [(AddElements(()), ())]
    for event in events:
        if isinstance(event, AddElements):
            stages.append((event, ()))
        elif isinstance(event, AdvanceWatermark):
            stages[-1] = (stages[-1][0], (*stages[-1][1], event.to))
    return stages


def _delayed(stages: Sequence[_Stage]) -> Iterator[tuple[Event, ...]]:
    """After each batch the watermark stands anywhere from where it stood to where the script has it; steps may be one or several."""
    levels: list[int] = []
    reached: list[int] = []
    for _, moves in stages:
        levels += moves
        reached.append(len(levels))
    for stand in itertools.product(*(range(limit + 1) for limit in reached)):
        if any(later < earlier for earlier, later in itertools.pairwise(stand)):
            continue
        for coalesced in (False, True):
            yield from _merged(stages, [levels[a:b] for a, b in itertools.pairwise((0, *stand))], coalesced)


def _merged(stages: Sequence[_Stage], moves: Sequence[Sequence[int]], coalesced: bool) -> Iterator[tuple[Event, ...]]:
    """The events, with every choice of which batches come together where the watermark does not move between them."""
    free = [index for index in range(len(stages) - 1) if index and not moves[index]]
    for together in itertools.product((False, True), repeat=len(free)):
        joined = {index for index, yes in zip(free, together, strict=True) if yes}
        events: list[Event] = []
        for index, (batch, _) in enumerate(stages):
            if index - 1 in joined:
                last = events.pop()
                assert isinstance(last, AddElements)
                events.append(AddElements(last.elements + batch.elements))
            elif batch.elements:
                events.append(batch)
            step = moves[index][-1:] if coalesced else moves[index]
            events += [AdvanceWatermark(to) for to in step]
        yield tuple(events)
