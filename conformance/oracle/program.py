"""Programs as data: the language in which generated tests speak.

A `Program` is a tuple of steps in an order in which every step comes after its inputs. Each step has an `id`, which also
names its output; a `Partition` with id `p`, or a `Script` with several outputs, has `p#0`, `p#1`, and so on. Sources have no
input. An `Observe` has no output: its id is the name of the observer whose elements are given to the oracle.

Nothing here decides an outcome. Types and windowing of every output are worked out in `oracle.analysis`, the meaning of the named
functions is the table in `oracle.functions`.

JSON: `to_json` and `from_json`. A frozen object becomes an object with its class name under "is"; tuples become arrays; bytes
become `{"hex": "..."}`. Values are int, str, bytes, and pairs (2-tuples) of values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs
from attrs import frozen

from conformance.oracle.errors import ProgramError
from conformance.oracle.ops import (
    Add,
    Cell,
    Clear,
    ClearPart,
    ClearTimer,
    Emit,
    EmitElement,
    EmitKeys,
    EmitPart,
    Family,
    Op,
    SetTimer,
    WhenSize,
)
from conformance.oracle.windowing import (
    AfterAll,
    AfterAny,
    AfterCount,
    AfterEach,
    AfterEndOfWindow,
    AfterProcessingTime,
    AfterSynchronizedProcessingTime,
    Always,
    DefaultTrigger,
    Fixed,
    Global,
    Never,
    OrFinally,
    Repeat,
    Sessions,
    Sliding,
    Trigger,
    WindowFn,
    Windowing,
)

__all__ = [
    "Add",
    "AddElements",
    "AdvanceProcessingTime",
    "AdvanceWatermark",
    "AfterAll",
    "AfterAny",
    "AfterCount",
    "AfterEach",
    "AfterEndOfWindow",
    "AfterProcessingTime",
    "AfterSynchronizedProcessingTime",
    "Always",
    "Bounded",
    "Cell",
    "Clear",
    "ClearPart",
    "ClearTimer",
    "Combine",
    "DefaultTrigger",
    "Element",
    "Emit",
    "EmitElement",
    "EmitKeys",
    "EmitPart",
    "Event",
    "Family",
    "Fixed",
    "Flatten",
    "Global",
    "GroupByKey",
    "Never",
    "Observe",
    "Op",
    "OrFinally",
    "ParDo",
    "Partition",
    "Program",
    "Redistribute",
    "Repeat",
    "Reshuffle",
    "Script",
    "Sessions",
    "SetTimer",
    "SideInput",
    "Sliding",
    "Splittable",
    "Stateful",
    "Step",
    "Trigger",
    "Type",
    "Value",
    "WhenSize",
    "WindowFn",
    "WindowInto",
    "Windowing",
    "from_json",
    "inputs_of",
    "outputs_of",
    "to_json",
]

#: int, str, bytes or a pair of values.
Value = Any
#: "int", "str", "bytes", ("kv", a, b) or ("list", a); a grouping makes ("kv", k, ("list", v)).
Type = Any


# ------------------------------------------------------------------------------------------------------------------- sources


@frozen
class Element:
    value: Value
    timestamp: int = 0


@frozen
class AddElements:
    """The elements become available, in any bundles; `output` names the source's output if it has several."""

    elements: tuple[Element, ...]
    output: int = 0


@frozen
class AdvanceWatermark:
    """The watermark of the source, or of that output of it, moves to `to`."""

    to: int
    output: int = 0


@frozen
class AdvanceProcessingTime:
    """The clock moves on by `by` ms."""

    by: int


Event = AddElements | AdvanceWatermark | AdvanceProcessingTime


@frozen
class Bounded:
    """A bounded source: elements in the global window with timestamps and no pane, in no order. `type` is that of its values."""

    id: str
    elements: tuple[Element, ...]
    type: Type = "int"


@frozen
class Script:
    """A streaming source as TestStream is one: each event takes effect when the pipeline is quiet (M-TS-01); in the end all
    is at MAX. With `ways` above 1 it has the outputs `id#0`, `id#1`, each with a watermark of its own (M-TS-02)."""

    id: str
    events: tuple[Event, ...]
    type: Type = "int"
    ways: int = 1


# ------------------------------------------------------------------------------------------------------------------- steps


@frozen
class ParDo:
    """A stateless map, flat map or filter: `fn` names a row of `oracle.functions.FUNCTIONS`, `arg` is its number."""

    id: str
    input: str
    fn: str
    arg: int = 0


@frozen
class Partition:
    """Integers to tagged outputs `id#0` to `id#(ways-1)` by value modulo `ways`; of pairs by the first member."""

    id: str
    input: str
    ways: int = 2


@frozen
class Flatten:
    """The multiset union; the same input may be given twice, or none at all (then `type` says of what)."""

    id: str
    inputs: tuple[str, ...]
    type: Type = "int"


@frozen
class WindowInto:
    id: str
    input: str
    windowing: Windowing


@frozen
class GroupByKey:
    """(k, v) to (k, [v])."""

    id: str
    input: str


@frozen
class Combine:
    """Per key: (k, v) to (k, combined); `fn` names a row of `oracle.functions.COMBINERS`."""

    id: str
    input: str
    fn: str = "sum"


@frozen
class Reshuffle:
    id: str
    input: str


@frozen
class Redistribute:
    """By key (input must be pairs) or arbitrarily; never with duplicates allowed."""

    id: str
    input: str
    by_key: bool = False


@frozen
class SideInput:
    """v to (v, [the side's values in the mapped window]) with the view "iterable"; with "multimap" the main input is (k, v),
    the side (k, s), and the output ((k, v), [the s of this k]). The window mapping is the default one (M-WIN-21)."""

    id: str
    input: str
    side: str
    view: str = "iterable"


@frozen
class Splittable:
    """A splittable ParDo: n to (n, 0), (n, 1) … (n, n-1), the position p at `base + p * step`, which is also the watermark that it
    reports (M-SDF-07). The positions come in `splits` initial parts; after every `every` of them (0: never) it checkpoints itself
    and asks to be resumed in `delay` ms. Nothing of this changes what comes out (M-SDF-02). Negative n count as 0."""

    id: str
    input: str
    splits: int = 1
    every: int = 0
    delay: int = 0
    base: int = 0
    step: int = 1


@frozen
class Observe:
    """An observer: what it sees, exploded to one window an element, is judged under this id."""

    id: str
    input: str


@frozen
class Stateful:
    """A stateful ParDo over (k, int): ops for each element, for each timer, and when the window expires (empty: no such
    callback)."""

    id: str
    input: str
    cells: tuple[Cell, ...]
    on_element: tuple[Op, ...]
    on_timer: tuple[Op, ...] = ()
    on_expiration: tuple[Op, ...] = ()
    #: RequiresTimeSortedInput (M-STATE-16)
    time_sorted: bool = False
    families: tuple[Family, ...] = (Family("timers"),)


Step = (
    Bounded
    | Script
    | ParDo
    | Partition
    | Flatten
    | WindowInto
    | GroupByKey
    | Combine
    | Reshuffle
    | Redistribute
    | SideInput
    | Stateful
    | Splittable
    | Observe
)


@frozen
class Program:
    steps: tuple[Step, ...]

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    @property
    def sources(self) -> tuple[Bounded | Script, ...]:
        return tuple(step for step in self.steps if isinstance(step, Bounded | Script))

    @property
    def observers(self) -> tuple[Observe, ...]:
        return tuple(step for step in self.steps if isinstance(step, Observe))

    @property
    def is_bounded(self) -> bool:
        return not any(isinstance(source, Script) for source in self.sources)

    def producer(self, output: str) -> Step:
        """The step that makes `output`."""
        for step in self.steps:
            if output in outputs_of(step):
                return step
        raise ProgramError(f"no step makes {output!r}; name a step's id, or id#n of a Partition")

    def to_json(self) -> dict[str, Any]:
        made = to_json(self)
        assert isinstance(made, dict)
        return made

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Program:
        made = from_json(data)
        if not isinstance(made, Program):
            raise ProgramError(f"the JSON holds a {type(made).__name__}, not a Program")
        return made


def inputs_of(step: Step) -> tuple[str, ...]:
    """The outputs that a step reads; a side input is the second."""
    match step:
        case Bounded() | Script():
            return ()
        case Flatten():
            return step.inputs
        case SideInput():
            return (step.input, step.side)
        case _:
            return (step.input,)


def outputs_of(step: Step) -> tuple[str, ...]:
    """The outputs that a step makes."""
    match step:
        case Observe():
            return ()
        case Partition():
            return tuple(f"{step.id}#{way}" for way in range(step.ways))
        case Script() if step.ways > 1:
            return tuple(f"{step.id}#{way}" for way in range(step.ways))
        case _:
            return (step.id,)


# ------------------------------------------------------------------------------------------------------------------- JSON

_CLASSES: Final[Mapping[str, type]] = {
    cls.__name__: cls
    for cls in (
        *(Program, Element, Windowing, Cell, Family),
        *Step.__args__,
        *WindowFn.__args__,
        *Trigger.__args__,
        *Event.__args__,
        *Op.__args__,
    )
}


def to_json(thing: Any) -> Any:
    """A program, or a part of one, as JSON data."""
    if attrs.has(type(thing)):
        fields = {field.name: to_json(getattr(thing, field.name)) for field in attrs.fields(type(thing))}
        return {"is": type(thing).__name__, **fields}
    if isinstance(thing, tuple):
        return [to_json(part) for part in thing]
    if isinstance(thing, bytes):
        return {"hex": thing.hex()}
    return thing


def from_json(data: Any) -> Any:
    """The inverse of to_json; fields that are absent take their defaults."""
    if isinstance(data, list):
        return tuple(from_json(part) for part in data)
    if not isinstance(data, Mapping):
        return data
    if set(data) == {"hex"}:
        return bytes.fromhex(data["hex"])
    name = data.get("is")
    cls = _CLASSES.get(str(name))
    if cls is None:
        raise ProgramError(f"no part of a program is called {name!r}; the parts are {', '.join(sorted(_CLASSES))}")
    try:
        return cls(**{key: from_json(value) for key, value in data.items() if key != "is"})
    except TypeError as error:
        raise ProgramError(f"the fields of {name} do not fit: {error}; compare with conformance/oracle/program.py") from error
