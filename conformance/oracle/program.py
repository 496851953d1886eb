"""Programs as data: the language in which generated tests speak.

A `Program` is a tuple of steps in an order in which every step comes after its inputs. Each step has an `id`, which also
names its output; a `Partition` with id `p` has the outputs `p#0`, `p#1`, and so on. Sources have no input. An `Observe` has
no output: its id is the name of the observer whose elements are given to the oracle.

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
    "ClearTimer",
    "Combine",
    "DefaultTrigger",
    "Element",
    "Emit",
    "EmitElement",
    "Event",
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


# ------------------------------------------------------------------------------------------------------------------- windowing


@frozen
class Global:
    """Every element in the global window (M-WIN-01)."""


@frozen
class Fixed:
    """Windows [offset + k*size, offset + (k+1)*size) (M-WIN-02)."""

    size: int
    offset: int = 0


@frozen
class Sliding:
    """Windows of `size` starting every `period`; an element may be in several, or in none (M-WIN-06)."""

    size: int
    period: int
    offset: int = 0


@frozen
class Sessions:
    """Windows [ts, ts+gap) that merge, per key, where they overlap (M-WIN-08)."""

    gap: int


WindowFn = Global | Fixed | Sliding | Sessions


@frozen
class DefaultTrigger:
    """At the end of the window, and again for late data (M-TRIG-10)."""


@frozen
class Never:
    """Only the final pane (M-TRIG-11)."""


@frozen
class Always:
    """At any time (M-TRIG-12)."""


@frozen
class AfterCount:
    """Once `n` elements are there (M-TRIG-13)."""

    n: int


@frozen
class AfterEndOfWindow:
    """At the end of the window; repeatedly `early` before and `late` after it, where given (M-TRIG-14..17)."""

    early: Trigger | None = None
    late: Trigger | None = None


@frozen
class AfterProcessingTime:
    """`delay` ms of processing time after the first element (M-TRIG-18)."""

    delay: int = 0


@frozen
class AfterSynchronizedProcessingTime:
    """What AfterProcessingTime continues as; any time with data (M-TRIG-22)."""


@frozen
class AfterAll:
    """When every part is ready (M-TRIG-23)."""

    parts: tuple[Trigger, ...]


@frozen
class AfterAny:
    """When one part is ready (M-TRIG-24)."""

    parts: tuple[Trigger, ...]


@frozen
class AfterEach:
    """The parts one after the other, one firing each (M-TRIG-25)."""

    parts: tuple[Trigger, ...]


@frozen
class OrFinally:
    """`main` until `until` fires (M-TRIG-26)."""

    main: Trigger
    until: Trigger


@frozen
class Repeat:
    """`sub` again and again (M-TRIG-27)."""

    sub: Trigger


Trigger = (
    DefaultTrigger
    | Never
    | Always
    | AfterCount
    | AfterEndOfWindow
    | AfterProcessingTime
    | AfterSynchronizedProcessingTime
    | AfterAll
    | AfterAny
    | AfterEach
    | OrFinally
    | Repeat
)


@frozen
class Windowing:
    """A windowing strategy (M-WIN-11). The defaults are those of Java (M-PANE-16)."""

    fn: WindowFn = Global()
    trigger: Trigger = DefaultTrigger()
    #: "discarding" or "accumulating"
    accumulation: str = "discarding"
    #: milliseconds
    allowed_lateness: int = 0
    #: "if_nonempty" or "always": the final pane without new data
    closing: str = "if_nonempty"
    #: "if_nonempty" or "always": the ON_TIME pane without new data
    on_time: str = "always"
    #: "end_of_window", "earliest" or "latest"
    output_time: str = "end_of_window"


# ------------------------------------------------------------------------------------------------------------------- sources


@frozen
class Element:
    value: Value
    timestamp: int = 0


@frozen
class AddElements:
    """The elements become available, in any bundles."""

    elements: tuple[Element, ...]


@frozen
class AdvanceWatermark:
    """The source's watermark moves to `to`."""

    to: int


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
    is at MAX."""

    id: str
    events: tuple[Event, ...]
    type: Type = "int"


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
class Observe:
    """An observer: what it sees, exploded to one window an element, is judged under this id."""

    id: str
    input: str


# ------------------------------------------------------------------------------------------------------------------- state


@frozen
class Cell:
    """A cell of user state. Kinds: "bag", "value", "combining" (sum), "set", "multimap" (map key = element modulo 3),
    "ordered_list" (sort key = element's timestamp)."""

    name: str
    kind: str = "bag"


@frozen
class Add:
    """Put the element's value into the cell: append, overwrite, add up, insert, as its kind has it. Elements only."""

    cell: str


@frozen
class Clear:
    cell: str


@frozen
class Emit:
    """Output (key, (label, contents of the cell)), contents as `oracle.stateful` lays them out; in `on_timer` label is
    "label:tag"."""

    cell: str
    label: str


@frozen
class EmitElement:
    """Output (key, (label, [(0, (0, value))])) of the element being processed. Elements only."""

    label: str


@frozen
class SetTimer:
    """Set the event-time timer `tag` to `min(ts + after, max(window))`, ts being that of the element or timer. A timer's
    callback may set its own tag only, later than itself or it is not set at all: what a queued timer does when recalled is
    disputed (A-21)."""

    tag: str
    after: int


@frozen
class ClearTimer:
    """Clear the timer `tag`. Elements only (A-21)."""

    tag: str


@frozen
class WhenSize:
    """Do `ops` if the cell holds at least `at_least` and at most `at_most` entries now."""

    cell: str
    ops: tuple[Op, ...]
    at_least: int = 0
    at_most: int = 1_000_000


Op = Add | Clear | Emit | EmitElement | SetTimer | ClearTimer | WhenSize


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
        case _:
            return (step.id,)


# ------------------------------------------------------------------------------------------------------------------- JSON

_CLASSES: Final[Mapping[str, type]] = {
    cls.__name__: cls
    for cls in (
        *(Program, Element, Windowing, Cell),
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
