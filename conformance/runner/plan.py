"""The plan of a job: what the engine runs and what the workers are told, as frozen values.

`graph.plan()` builds it after Prepare; the engine reads nodes and collections, the shell the descriptors. Pure data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen

from conformance.runner.cutting import Skip, TimerCut, WindowedCut

__all__ = [
    "Add",
    "Collection",
    "FlattenNode",
    "GroupNode",
    "ImpulseNode",
    "Move",
    "Node",
    "Pass",
    "Plan",
    "ScriptEvent",
    "ScriptNode",
    "SideInput",
    "StageNode",
    "StateCell",
    "Strategy",
    "TimerFamily",
]


@frozen
class Strategy:
    """What the runner needs of a WindowingStrategy (M-WIN-11)."""

    id: str
    #: "global", "interval" or "custom": how windows of this strategy are encoded on the wire.
    windows: str
    #: "none", "sessions" (the runner merges) or "custom" (the SDK is asked).
    merging: str
    output_time: int
    allowed_lateness: int
    accumulation: int
    #: Whether panes without new elements are wanted: at the end of the window, when it is over (M-PANE-06).
    on_time_always: bool
    closing_always: bool
    proto: Any


@frozen
class Collection:
    """A PCollection that crosses the wire: its coders as ports name them, and how its chunks are cut."""

    id: str
    element: str
    window: str
    port: str
    cut: WindowedCut
    strategy: Strategy
    #: Nothing upstream is unbounded: it is complete in one step, and nothing in it is late (M-BATCH-01).
    bounded: bool


@frozen
class SideInput:
    """One side input of one transform of a stage."""

    transform: str
    name: str
    collection: str
    multimap: bool
    #: Asks the SDK for the side window of a main window (M-WIN-21); None where there is nothing to ask.
    mapper: StageNode | None = None


@frozen
class StateCell:
    """One declared user state: "bag", "multimap" or "ordered_list" (M-STATE-03)."""

    transform: str
    name: str
    kind: str
    value: Skip | None = None


@frozen
class TimerFamily:
    """One timer family of one transform of a stage."""

    transform: str
    name: str
    event_time: bool
    cut: TimerCut
    #: Whether the runner itself fires it when a window expires (M-STATE-18).
    on_expiration: bool = False


@frozen
class ImpulseNode:
    """Emits one element."""

    id: str
    output: str


@frozen
class FlattenNode:
    """Passes elements on as they are: Flatten, and Reshuffle and Redistribute with one input."""

    id: str
    inputs: tuple[str, ...]
    output: str


@frozen
class StageNode:
    """Fused transforms that one environment runs."""

    id: str
    environment: str
    input: str
    source: str
    #: Sink transform id → PCollection.
    sinks: Mapping[str, str]
    transforms: tuple[str, ...]
    side_inputs: tuple[SideInput, ...] = ()
    states: tuple[StateCell, ...] = ()
    timers: tuple[TimerFamily, ...] = ()
    #: Has state or timers: at most one bundle at a time holds a key (M-STATE-02).
    keyed: bool = False
    time_sorted: bool = False
    #: The transform right behind the source processes restrictions, and so may hand back residuals.
    splittable: bool = False
    #: PCollections that the splittable transform makes, by local name (P-CTL-21).
    split_outputs: Mapping[str, str] = field(factory=dict)
    #: Asks the SDK what is left of restrictions when the job drains (M-SDF-12); None if it does not do that.
    truncator: StageNode | None = None
    #: This stage again, for what the truncator left: it reads another PCollection.
    drained: StageNode | None = None


@frozen
class GroupNode:
    """GroupByKey; `merger` asks the SDK to merge windows of a custom WindowFn (M-WIN-14)."""

    id: str
    input: str
    output: str
    merger: StageNode | None = None


@frozen
class Add:
    """Elements come out of a TestStream together."""

    collection: str
    chunks: tuple[bytes, ...]


@frozen
class Move:
    """The watermark of an output of a TestStream moves."""

    collection: str
    watermark: int


@frozen
class Pass:
    """The clock of processing time moves on."""

    by: int


ScriptEvent = Add | Move | Pass


@frozen
class ScriptNode:
    """A TestStream: what comes from outside and when, as a script (M-TS-01)."""

    id: str
    #: Tag → PCollection.
    outputs: Mapping[str, str]
    events: tuple[ScriptEvent, ...]
    #: Where a TestStreamService gives the events instead, and how they are read (M-TS-08); "" for nowhere.
    endpoint: str = ""
    read: Callable[[Any], ScriptEvent] | None = None


Node = ImpulseNode | ScriptNode | FlattenNode | StageNode | GroupNode


@frozen
class Plan:
    """A job as the engine runs it: nodes in topological order (side inputs count)."""

    nodes: tuple[Node, ...]
    collections: Mapping[str, Collection]
    #: ProcessBundleDescriptor of each stage.
    descriptors: Mapping[str, Any]
    #: Environment id → the environment chosen for it (never AnyOf).
    environments: Mapping[str, Any]

    def stages(self) -> list[StageNode]:
        """All stages, those too that answer the runner's own questions."""
        plain = [node for node in self.nodes if isinstance(node, StageNode)]
        asked = [node.merger for node in self.nodes if isinstance(node, GroupNode)]
        asked += [side.mapper for node in plain for side in node.side_inputs]
        asked += [each for node in plain for each in (node.truncator, node.drained)]
        return plain + [each for each in asked if each is not None]
