"""What a stateful ParDo of a program does, as data: cells, timer families, operations. `oracle.program` re-exports all of it.

What each operation comes to is worked out in `oracle.callbacks`. A timer's callback runs the same operations for every family and tag.
"""

from __future__ import annotations

from attrs import frozen

__all__ = [
    "Add",
    "Cell",
    "Clear",
    "ClearPart",
    "ClearTimer",
    "Emit",
    "EmitElement",
    "EmitKeys",
    "EmitPart",
    "Family",
    "Op",
    "SetTimer",
    "WhenSize",
]


@frozen
class Cell:
    """A cell of user state. Kinds: "bag", "value", "combining" (sum), "set", "map" and "multimap" (map key = element modulo 3),
    "ordered_list" (sort key = element's timestamp)."""

    name: str
    kind: str = "bag"


@frozen
class Family:
    """A timer family; its `domain` is "event" or "processing" (M-TIMER-01)."""

    name: str
    domain: str = "event"


@frozen
class Add:
    """Put the element's value into the cell: append, overwrite, add up, insert, as its kind has it. Elements only."""

    cell: str


@frozen
class Clear:
    cell: str


@frozen
class ClearPart:
    """Of a map or multimap the entries under the element's map key; of a set the element; of an ordered list the sort keys from
    `ts - 5` to `ts`, ts being the element's. Elements only."""

    cell: str


@frozen
class Emit:
    """Output (key, (label, contents of the cell)), contents as `oracle.callbacks` lays them out; in a timer's callback the label is
    "label:tag", and "label:family:tag" for families but "timers"."""

    cell: str
    label: str


@frozen
class EmitPart:
    """As Emit, but only what ClearPart would clear. Elements only."""

    cell: str
    label: str


@frozen
class EmitKeys:
    """Output (key, (label, [(0, (map key, 0)) for each map key in the map or multimap]))."""

    cell: str
    label: str


@frozen
class EmitElement:
    """Output (key, (label, [(0, (0, value))])) of the element being processed. Elements only."""

    label: str


@frozen
class SetTimer:
    """Set the timer `tag` of `family`. In event time to `min(ts + after, end)`, ts being the time of the element or timer, end the last
    instant of the window or (`until` "expiry") that of its lateness; in processing time to now + after.

    It holds the watermark at its own time, or at `ts + hold` if that is earlier; in processing time at ts. That is also the timestamp
    of what its callback puts out (M-TIMER-12, M-TIMER-20). A timer's callback may set only itself, in event time only later than it
    is: what a queued timer does when recalled is disputed (A-21)."""

    tag: str
    after: int
    family: str = "timers"
    hold: int | None = None
    until: str = "window"


@frozen
class ClearTimer:
    """Clear the timer `tag` of `family`. Elements only (A-21)."""

    tag: str
    family: str = "timers"


@frozen
class WhenSize:
    """Do `ops` if the cell holds at least `at_least` and at most `at_most` entries now."""

    cell: str
    ops: tuple[Op, ...]
    at_least: int = 0
    at_most: int = 1_000_000


Op = Add | Clear | ClearPart | Emit | EmitPart | EmitKeys | EmitElement | SetTimer | ClearTimer | WhenSize
