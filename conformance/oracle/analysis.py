"""What can be said of a program before it runs: the type and windowing of each output, and whether the oracle can judge it.

`analyse` refuses what is no program (ProgramError) and what the oracle cannot judge (UnsupportedProgram). The restrictions,
and why:

* A grouping that may fire more than once, and every stateful ParDo, has several admissible contents. What consumes it is
  judged relative to what was seen of it, so it must be observed directly if anything consumes it.
* Side inputs come from outputs with one admissible content and the default trigger; stateful ParDos likewise take no input from a
  grouping that may fire more than once, whose late panes they could drop.
* `shift_timestamp` moves forward and only in the global window before any grouping: an element behind its source's watermark
  may be late (M-TIME-09), one past its window may not be grouped (M-TIME-10).
* Elements stamped at the end of the global window are not put into intervals (the last windows of time differ, M-WIN-05).
* Sessions are grouped once; then re-window (A-17). No state in merging windows (M-STATE-14).
* A splittable ParDo stands in the global window before any grouping, and its first position is not before its elements: a position
  behind its element may be late (M-TIME-09, M-SDF-07).

In a program with a Script a grouping, a stateful ParDo and a side input may always come out in several ways, since it depends on
the moment whether an element is late; so what is consumed is observed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, assert_never

import attrs
from attrs import frozen

from conformance.oracle.errors import ProgramError, UnsupportedProgram
from conformance.oracle.functions import COMBINERS, FUNCTIONS, SHIFT, is_key, is_kv
from conformance.oracle.program import (
    Add,
    AddElements,
    Bounded,
    ClearPart,
    ClearTimer,
    Combine,
    EmitElement,
    EmitKeys,
    EmitPart,
    Fixed,
    Flatten,
    Global,
    GroupByKey,
    Observe,
    Op,
    ParDo,
    Partition,
    Program,
    Redistribute,
    Reshuffle,
    Script,
    Sessions,
    SetTimer,
    SideInput,
    Sliding,
    Splittable,
    Stateful,
    Step,
    Type,
    WhenSize,
    Windowing,
    WindowInto,
    inputs_of,
    outputs_of,
)
from conformance.oracle.trigger import can_fire_early, continuation
from conformance.wire.timestamps import MIN

__all__ = ["Analysis", "Traits", "analyse", "fires_once"]

CELL_KINDS = ("bag", "value", "combining", "set", "map", "multimap", "ordered_list")
#: Which kinds an operation is for, if not for all.
_OP_KINDS: Final[Mapping[type, tuple[str, ...]]] = {
    ClearPart: ("set", "map", "multimap", "ordered_list"),
    EmitPart: ("set", "map", "multimap", "ordered_list"),
    EmitKeys: ("map", "multimap"),
}


@frozen
class Traits:
    """What is known of an output."""

    type: Type
    windowing: Windowing
    #: Its content is one of several that the model allows, whatever was seen elsewhere.
    ambiguous: bool = False
    #: Some grouping upstream may fire several times, so some elements may come from LATE panes.
    many_panes: bool = False
    #: A grouping or stateful ParDo is upstream.
    grouped: bool = False
    #: Some timestamps may be the end of the global window.
    at_end_of_time: bool = False
    #: The windows are sessions that were merged already.
    merged: bool = False
    #: The latest timestamp that a source gave to an element, as far as it is known.
    latest: int = MIN


@frozen
class Analysis:
    program: Program
    outputs: Mapping[str, Traits]
    #: Output to the observers that look at it directly.
    observers: Mapping[str, tuple[str, ...]]

    def type_of(self, output: str) -> Type:
        return self.outputs[output].type

    def windowing_of(self, output: str) -> Windowing:
        return self.outputs[output].windowing


def fires_once(windowing: Windowing) -> bool:
    """Whether a grouping of on-time data can only have one pane per key and window."""
    expires_at_its_end = windowing.allowed_lateness == 0 or isinstance(windowing.fn, Global)  # M-LATE-02
    # With lateness, EMIT_ALWAYS asks for one more pane at expiry even without data (M-PANE-06).
    return not can_fire_early(windowing.trigger) and (expires_at_its_end or windowing.closing == "if_nonempty")


def analyse(program: Program) -> Analysis:
    """Check the program and tell what is known of each output."""
    outputs: dict[str, Traits] = {}
    ids: set[str] = set()
    for step in program:
        if step.id in ids or "#" in step.id:
            raise ProgramError(f"the id {step.id!r} is used twice or holds a '#'; give each step an id of its own")
        ids.add(step.id)
        missing = [name for name in inputs_of(step) if name not in outputs]
        if missing:
            raise ProgramError(f"{step.id} reads {', '.join(missing)}, which no step before it makes; put its inputs first")
        for name, traits in zip(outputs_of(step), _traits(step, outputs, streaming=not program.is_bounded), strict=True):
            several = not program.is_bounded and isinstance(step, GroupByKey | Combine | Stateful | SideInput)
            outputs[name] = attrs.evolve(traits, ambiguous=True) if several else traits
    observers: dict[str, tuple[str, ...]] = {}
    for observer in program.observers:
        observers[observer.input] = (*observers.get(observer.input, ()), observer.id)
    if not program.is_bounded:
        _check_streaming(program, outputs)
    for step in program:
        for name in inputs_of(step):
            if outputs[name].ambiguous and name not in observers:
                raise UnsupportedProgram(
                    f"{step.id} consumes {name}, which is neither determined nor observed; put an Observe directly on {name}"
                )
    return Analysis(program, outputs, observers)


def _traits(step: Step, outputs: Mapping[str, Traits], *, streaming: bool) -> tuple[Traits, ...]:
    """The traits of each output of a step."""
    if isinstance(step, Flatten):
        return (_flatten(step, [outputs[name] for name in step.inputs]),)
    if isinstance(step, Bounded):
        return (Traits(step.type, Windowing(), latest=max((e.timestamp for e in step.elements), default=MIN)),)
    if isinstance(step, Script):
        added = [e.timestamp for event in step.events if isinstance(event, AddElements) for e in event.elements]
        return (Traits(step.type, Windowing(), latest=max(added, default=MIN)),) * step.ways
    source = attrs.evolve(outputs[step.input], ambiguous=False)
    match step:
        case ParDo():
            return (_par_do(step, source),)
        case Partition():
            if source.type != "int" and not (is_kv(source.type) and source.type[1] == "int"):
                raise ProgramError(f"{step.id} partitions {source.type}; it takes int or (int, v)")
            return (source,) * step.ways
        case Reshuffle() | Redistribute():
            if isinstance(step, Redistribute) and step.by_key:
                _need_key(step, source.type)
            return (source,)
        case WindowInto():
            return (_window_into(step, source),)
        case GroupByKey() | Combine():
            return (_grouping(step, source),)
        case SideInput():
            return (_side_input(step, source, outputs[step.side], streaming=streaming),)
        case Stateful():
            return (_stateful(step, source, streaming=streaming),)
        case Splittable():
            return (_splittable(step, source),)
        case Observe():
            return ()
        case _:
            assert_never(step)


def _need_key(step: Step, type_: Type) -> None:
    if not is_kv(type_) or not is_key(type_[1]):
        raise ProgramError(f"{step.id} needs pairs with a key of int, str, bytes or pairs of these, not {type_}")


def _par_do(step: ParDo, source: Traits) -> Traits:
    function = FUNCTIONS.get(step.fn)
    if function is None:
        raise ProgramError(f"{step.id} names the function {step.fn!r}; the functions are {', '.join(sorted(FUNCTIONS))}")
    result = function.result(source.type)
    if result is None:
        raise ProgramError(f"{step.id}: {step.fn} does not take {source.type}; it is {function.definition}")
    if step.fn == SHIFT and (step.arg < 0 or source.grouped or not isinstance(source.windowing.fn, Global)):
        raise UnsupportedProgram(
            f"{step.id} shifts timestamps back, or after a WindowInto or grouping; shift forward, right after the source"
        )
    if step.fn == "key_mod" and step.arg < 1:
        raise ProgramError(f"{step.id}: key_mod needs an arg of at least 1")
    moved = step.arg if step.fn == SHIFT else 0
    return attrs.evolve(source, type=result, latest=source.latest + moved)


def _splittable(step: Splittable, source: Traits) -> Traits:
    if source.type != "int":
        raise ProgramError(f"{step.id} splits {source.type}; it takes int")
    if step.splits < 1 or step.every < 0 or step.step < 0 or step.delay < 0:
        raise ProgramError(f"{step.id}: at least one split, and no negative checkpoint, delay or step")
    if source.grouped or not isinstance(source.windowing.fn, Global) or source.latest > step.base:
        raise UnsupportedProgram(
            f"{step.id} splits after a WindowInto or grouping, or begins at {step.base} before its elements; put it right after a source"
        )
    return attrs.evolve(source, type=("kv", "int", "int"))


def _check_streaming(program: Program, outputs: Mapping[str, Traits]) -> None:
    """What only scripts may not have."""
    if sum(isinstance(source, Script) for source in program.sources) != 1:
        raise UnsupportedProgram("a streaming program has one Script (M-TS-06); give it several outputs instead")
    for step in program:
        match step:
            case Splittable() if step.delay:
                raise UnsupportedProgram(f"{step.id} is resumed by a script's clock (M-TS-04); give it no delay")
            case SideInput() if outputs[step.side].grouped:
                raise UnsupportedProgram(f"{step.id}: feed the side input of a script without a grouping (A-26)")
            case Stateful() if step.on_expiration and outputs[step.input].windowing.allowed_lateness:
                if any(step.id in inputs_of(other) and not isinstance(other, Observe) for other in program):
                    raise UnsupportedProgram(f"{step.id}: what the expiration of late windows holds is not agreed (M-STATE-18)")
            case _:
                pass


def _flatten(step: Flatten, sources: list[Traits]) -> Traits:
    if not sources:
        return Traits(step.type, Windowing())
    if any(source.type != sources[0].type or source.windowing != sources[0].windowing for source in sources):
        raise ProgramError(f"{step.id} flattens different types or windowings; map and window its inputs alike first (M-XF-11)")
    return Traits(
        sources[0].type,
        sources[0].windowing,
        many_panes=any(source.many_panes for source in sources),
        grouped=any(source.grouped for source in sources),
        at_end_of_time=any(source.at_end_of_time for source in sources),
        merged=any(source.merged for source in sources),
        latest=max(source.latest for source in sources),
    )


def _window_into(step: WindowInto, source: Traits) -> Traits:
    fn = step.windowing.fn
    match fn:
        case Fixed(size, offset) | Sliding(size, _, offset) if (
            size < 1 or offset < 0 or (isinstance(fn, Fixed) and offset >= size)
        ):
            raise ProgramError(f"{step.id}: window sizes are at least 1 and offsets in [0, size)")
        case Sliding(_, period, offset) if period < 1 or offset >= period:
            raise ProgramError(f"{step.id}: the period is at least 1 and the offset in [0, period)")
        case Sessions(gap) if gap < 1:
            raise ProgramError(f"{step.id}: a session gap is at least 1")
        case _:
            pass
    if source.at_end_of_time and not isinstance(fn, Global):
        raise UnsupportedProgram(
            f"{step.id} puts elements at the end of time into intervals (M-WIN-05); group with 'earliest' or in intervals"
        )
    return attrs.evolve(source, windowing=step.windowing, merged=False)


def _grouping(step: GroupByKey | Combine, source: Traits) -> Traits:
    _need_key(step, source.type)
    if source.merged:
        raise UnsupportedProgram(f"{step.id} groups merged sessions again (A-17); put a WindowInto between the groupings")
    windowing = source.windowing
    if isinstance(step, GroupByKey):
        value_type: Type = ("list", source.type[2])
    else:
        combiner = COMBINERS.get(step.fn)
        if combiner is None:
            raise ProgramError(f"{step.id} names the combiner {step.fn!r}; the combiners are {', '.join(sorted(COMBINERS))}")
        if source.type[2] != "int":
            raise ProgramError(f"{step.id} combines {source.type}; combiners take (k, int)")
        value_type = combiner.result
    once = fires_once(windowing) and not source.many_panes
    return Traits(
        ("kv", source.type[1], value_type),
        attrs.evolve(windowing, trigger=continuation(windowing.trigger)),
        ambiguous=not once,
        many_panes=not once,
        grouped=True,
        # An empty pane is stamped with the end of its window whatever the output time (M-HOLD-02).
        at_end_of_time=source.at_end_of_time
        or (isinstance(windowing.fn, Global) and (windowing.output_time == "end_of_window" or not once)),
        merged=isinstance(windowing.fn, Sessions),
    )


def _side_input(step: SideInput, main: Traits, side: Traits, *, streaming: bool) -> Traits:
    if not streaming and (side.ambiguous or side.many_panes or can_fire_early(side.windowing.trigger)):
        raise UnsupportedProgram(
            f"{step.id}: the side input {step.side} may have several panes (M-SIDE-08); give it the default trigger"
        )
    if isinstance(side.windowing.fn, Sessions):
        raise UnsupportedProgram(f"{step.id}: sessions cannot be a side input (M-SIDE-13)")
    if isinstance(main.windowing.fn, Global) and not isinstance(side.windowing.fn, Global):
        raise UnsupportedProgram(f"{step.id}: a global main window has no agreed interval side window (A-27)")
    if step.view == "iterable":
        return attrs.evolve(main, type=("kv", main.type, ("list", side.type)))
    if step.view != "multimap":
        raise ProgramError(f"{step.id}: a view is 'iterable' or 'multimap', not {step.view!r}")
    _need_key(step, main.type)
    _need_key(step, side.type)
    if main.type[1] != side.type[1]:
        raise ProgramError(f"{step.id} looks up {main.type[1]} in a multimap of {side.type[1]}; use one key type")
    return attrs.evolve(main, type=("kv", main.type, ("list", side.type[2])))


def _stateful(step: Stateful, source: Traits, *, streaming: bool) -> Traits:
    _need_key(step, source.type)
    if source.type[2] != "int":
        raise ProgramError(f"{step.id} is stateful over {source.type}; it takes (k, int)")
    if isinstance(source.windowing.fn, Sessions):
        raise UnsupportedProgram(f"{step.id} keeps state in merging windows (M-STATE-14); window its input otherwise")
    if source.many_panes and not streaming:
        raise UnsupportedProgram(f"{step.id} may get late panes; put no grouping that fires several times before it")
    if step.time_sorted and streaming and source.windowing.allowed_lateness:
        raise UnsupportedProgram(f"{step.id} sorts by time with a lateness, where the order is not kept (B-9); allow none")
    kinds = {cell.name: cell.kind for cell in step.cells}
    bad = [kind for kind in kinds.values() if kind not in CELL_KINDS]
    if bad:
        raise ProgramError(f"{step.id} has cells of the kinds {bad}; the kinds are {', '.join(CELL_KINDS)}")
    for where, ops in (("on_element", step.on_element), ("on_timer", step.on_timer), ("on_expiration", step.on_expiration)):
        _check_ops(step, where, ops, kinds)
    windowing = source.windowing
    return Traits(
        # (key, (label, [(rank, (sort or map key, value))])); see oracle.stateful.
        ("kv", source.type[1], ("kv", "str", ("list", ("kv", "int", ("kv", "int", "int"))))),
        windowing,
        ambiguous=True,
        grouped=True,
        at_end_of_time=source.at_end_of_time or isinstance(windowing.fn, Global),
    )


def _check_ops(step: Stateful, where: str, ops: tuple[Op, ...], kinds: Mapping[str, str]) -> None:
    domains = {family.name: family.domain for family in step.families}
    for op in ops:
        if isinstance(op, Add | EmitElement | ClearTimer | ClearPart | EmitPart) and where != "on_element":
            raise ProgramError(f"{step.id}: {type(op).__name__} belongs in on_element, not in {where}")
        if isinstance(op, SetTimer) and (where == "on_expiration" or op.after < (0 if where == "on_element" else 1)):
            raise ProgramError(f"{step.id}: a timer is set forward, by an element or (by at least 1) a timer")
        if isinstance(op, SetTimer | ClearTimer) and op.family not in domains:
            raise ProgramError(f"{step.id} uses the timer family {op.family!r}, which it does not declare; add a Family")
        if isinstance(op, SetTimer) and op.hold is not None and (op.hold < 0 or domains[op.family] != "event"):
            raise ProgramError(f"{step.id}: a hold is not negative, and for event-time timers only")
        cell = getattr(op, "cell", None)
        if cell is not None and cell not in kinds:
            raise ProgramError(f"{step.id} uses the cell {cell!r}, which it does not declare; add a Cell")
        if type(op) in _OP_KINDS and kinds[str(cell)] not in _OP_KINDS[type(op)]:
            raise ProgramError(f"{step.id}: {type(op).__name__} is for {', '.join(_OP_KINDS[type(op)])}, not {kinds[str(cell)]}")
        if isinstance(op, WhenSize):
            _check_ops(step, where, op.ops, kinds)
