"""Greedy fusion: which steps share a stage (P-PIPE-09). Pure; knows steps, not coders or descriptors.

Steps are taken in topological order. One that the same environment runs joins the stage that makes its main input, or the
stage whose other members read that input too, unless it must be first and alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from attrs import define, field

from conformance.runner.expand import Step
from conformance.wire import urns

__all__ = ["Unit", "alone", "fuse", "topological", "upstream_environment"]


@define
class Unit:
    """A stage, or one step that the runner executes itself."""

    id: str
    steps: list[Step] = field(factory=list)
    environment: str = ""
    #: The one main input of a stage.
    root: str = ""
    #: May take further consumers of its main input.
    shared: bool = False
    needs: set[str] = field(factory=set)

    @property
    def native(self) -> bool:
        return not self.environment


def inputs_of(step: Step) -> list[str]:
    """Every PCollection that a step reads; twice if twice."""
    return list(step.transform.inputs.values())


def topological(steps: Iterable[Step]) -> list[Step]:
    """Producers before consumers, side inputs included; otherwise in the order given. Raises ValueError for a cycle."""
    steps = list(steps)
    producer = {collection: step for step in steps for collection in step.outputs.values()}
    ordered: list[Step] = []
    state: dict[str, int] = {}
    for start in steps:
        stack: list[tuple[Step, int]] = [(start, 0)]
        while stack:
            step, index = stack.pop()
            if index == 0:
                if state.get(step.id) == 2:
                    continue
                state[step.id] = 1
            reads = inputs_of(step)
            if index < len(reads):
                stack.append((step, index + 1))
                before = producer.get(reads[index])
                if before is not None and state.get(before.id) != 2:
                    if state.get(before.id) == 1:
                        raise ValueError(f"transforms {before.id} and {step.id} depend on each other")
                    stack.append((before, 0))
            else:
                state[step.id] = 2
                ordered.append(step)
    return ordered


def upstream_environment(step: Step, producer: Mapping[str, Step]) -> str:
    """The environment of the nearest step upstream that has one; "" if none has."""
    todo, seen = [step], set()
    while todo:
        one = todo.pop(0)
        if one.environment:
            return one.environment
        for collection in inputs_of(one):
            before = producer.get(collection)
            if before is not None and before.id not in seen:
                seen.add(before.id)
                todo.append(before)
    return ""


def alone(step: Step) -> bool:
    """Whether a step must be the one consumer of its stage's source.

    Keys must be kept together, restrictions come back to the source (P-PIPE-17), sorted or stable input is made between
    stages (M-STATE-16, M-STATE-17), and elements wait for side inputs in the windows that they have at the consumer
    (M-SIDE-05); this also keeps a side input's producer out of the stage (P-PIPE-09).
    """
    if step.sides or step.urn == urns.Transform.PROCESS_SIZED_ELEMENTS_AND_RESTRICTIONS:
        return True
    pardo = step.pardo
    return pardo is not None and bool(
        pardo.state_specs or pardo.timer_family_specs or pardo.requires_time_sorted_input or pardo.requires_stable_input
    )


def follows(step: Step, producer: Unit, alone: Callable[[Step], bool]) -> bool:
    """Whether a step may run in the stage that makes its main input."""
    if not alone(step):
        return True
    # the same DoFn as the step before, hence the same side inputs in the same windows
    split, pair = urns.Transform.SPLIT_AND_SIZE_RESTRICTIONS, urns.Transform.PAIR_WITH_RESTRICTION
    return step.urn == split and producer.steps[-1].urn == pair


def fuse(steps: list[Step], alone: Callable[[Step], bool] = alone, *, fusing: bool = True) -> list[Unit]:
    """Stages and native units, producers before consumers. `steps` must be in topological order; `alone` as the function above."""
    units: dict[str, Unit] = {}
    owner: dict[str, Unit] = {}
    by_root: dict[tuple[str, str], list[Unit]] = {}

    for step in steps:
        unit = None
        producer = owner.get(step.main)
        if (
            step.environment
            and fusing
            and producer is not None
            and producer.environment == step.environment
            and follows(step, producer, alone)
        ):
            unit = producer
        elif step.environment and fusing and not alone(step):
            unit = next((each for each in by_root.get((step.main, step.environment), []) if each.shared), None)
        if unit is None:
            unit = Unit(f"stage/{step.id}" if step.environment else step.id, environment=step.environment, root=step.main)
            unit.shared = bool(step.environment) and not alone(step)
            units[unit.id] = unit
            by_root.setdefault((step.main, step.environment), []).append(unit)
        unit.steps.append(step)
        for collection in step.outputs.values():
            owner[collection] = unit
        for collection in inputs_of(step):
            before = owner.get(collection)
            if before is not None and before is not unit:
                unit.needs.add(before.id)
    return _ordered(units)


def _ordered(units: dict[str, Unit]) -> list[Unit]:
    ordered: list[Unit] = []
    waiting = {unit.id: set(unit.needs) for unit in units.values()}
    while waiting:
        ready = [unit_id for unit_id, needs in waiting.items() if not needs]
        assert ready, "fusion made a cycle"
        for unit_id in ready:
            ordered.append(units[unit_id])
            del waiting[unit_id]
        for needs in waiting.values():
            needs.difference_update(ready)
    return ordered
