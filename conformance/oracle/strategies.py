"""Hypothesis strategies for programs: small, always within what the oracle judges, every draw labelled.

Each strategy makes whole programs of one family; `programs()` is any of them. Drawn programs shrink towards one element, the global
window, the default trigger and the fewest steps, since every list of alternatives starts with its plainest member.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from conformance.oracle.functions import COMBINERS
from conformance.oracle.program import (
    Add,
    AfterAll,
    AfterAny,
    AfterCount,
    AfterEach,
    AfterEndOfWindow,
    AfterProcessingTime,
    AfterSynchronizedProcessingTime,
    Always,
    Bounded,
    Cell,
    Clear,
    ClearPart,
    ClearTimer,
    Combine,
    DefaultTrigger,
    Element,
    Emit,
    EmitElement,
    EmitKeys,
    EmitPart,
    Family,
    Fixed,
    Flatten,
    Global,
    GroupByKey,
    Never,
    Observe,
    Op,
    OrFinally,
    ParDo,
    Partition,
    Program,
    Redistribute,
    Repeat,
    Reshuffle,
    Sessions,
    SetTimer,
    SideInput,
    Sliding,
    Splittable,
    Stateful,
    Step,
    Trigger,
    WhenSize,
    Windowing,
    WindowInto,
)

__all__ = [
    "Builder",
    "elements",
    "grouping",
    "grouping_programs",
    "keyed",
    "programs",
    "regrouping_programs",
    "side_input_programs",
    "splittable_programs",
    "state_ops",
    "stateful_programs",
    "stateless_programs",
    "triggered_programs",
    "triggers",
    "window_fns",
]


class Builder:
    """Steps in order, with ids of their own."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def name(self, prefix: str) -> str:
        return f"{prefix}{len(self.steps)}"

    def add(self, step: Step) -> str:
        self.steps.append(step)
        return step.id

    def par_do(self, source: str, fn: str, arg: int = 0) -> str:
        return self.add(ParDo(self.name("p"), source, fn, arg))

    def observe(self, source: str) -> str:
        return self.add(Observe(self.name("o"), source))

    def program(self) -> Program:
        return Program(tuple(self.steps))


@st.composite
def elements(draw: DrawFn, most: int = 6, least: int = 0, earliest: int = -9) -> tuple[Element, ...]:
    """Integers with timestamps around the first few windows, one below the epoch among them (M-WIN-03)."""
    element = st.builds(Element, st.integers(-3, 12), st.integers(earliest, 45))
    return tuple(draw(st.lists(element, min_size=least, max_size=most), label="elements"))


def window_fns(*, merging: bool = True) -> SearchStrategy[Global | Fixed | Sliding | Sessions]:
    """Window functions whose windows hold several of the drawn elements; sliding ones overlap, tile, or leave gaps."""
    fixed = st.sampled_from([Fixed(10), Fixed(10, 3), Fixed(25), Fixed(1)])
    sliding = st.sampled_from([Sliding(10, 5), Sliding(10, 3, 1), Sliding(10, 10), Sliding(5, 10)])
    sessions = st.sampled_from([Sessions(10), Sessions(3), Sessions(1)])
    return st.one_of(st.just(Global()), fixed, sliding, *([sessions] if merging else []))


def _once(depth: int) -> SearchStrategy[Trigger]:
    """Triggers that finish by firing."""
    leaves: list[SearchStrategy[Trigger]] = [
        st.integers(1, 3).map(AfterCount),
        st.sampled_from([AfterProcessingTime(0), AfterProcessingTime(1000), AfterSynchronizedProcessingTime()]),
    ]
    if depth == 0:
        return st.one_of(leaves)
    parts = st.lists(_once(depth - 1), min_size=2, max_size=2).map(tuple)
    return st.one_of(*leaves, parts.map(AfterAll), parts.map(AfterAny), parts.map(AfterEach))


def triggers(*, finishing: bool = True) -> SearchStrategy[Trigger]:
    """Trigger trees without the disputed shapes: OrFinally's main is repeated (A-14), early and late parts are plain."""
    once = _once(1)
    repeated = once.map(Repeat)
    plain = _once(0)
    lasting: list[SearchStrategy[Trigger]] = [
        st.just(DefaultTrigger()),
        repeated,
        st.builds(AfterEndOfWindow, st.none() | plain, st.none() | plain),
        st.just(Always()),
        st.just(Never()),
    ]
    if not finishing:
        return st.one_of(lasting)
    return st.one_of(*lasting, once, st.builds(OrFinally, repeated, plain))


@st.composite
def _windowings(draw: DrawFn, *, merging: bool = True, once: bool = True) -> Windowing:
    """Windowing strategies; with `once` the default trigger, else any."""
    trigger = DefaultTrigger() if once else draw(triggers(), label="trigger")
    return Windowing(
        draw(window_fns(merging=merging), label="window_fn"),
        trigger,
        "discarding" if once else draw(st.sampled_from(["discarding", "accumulating"]), label="accumulation"),
        draw(st.sampled_from([0, 20]), label="allowed_lateness"),
        "if_nonempty" if once else draw(st.sampled_from(["if_nonempty", "always"]), label="closing"),
        draw(st.sampled_from(["always", "if_nonempty"]), label="on_time"),
        draw(st.sampled_from(["end_of_window", "earliest", "latest"]), label="output_time"),
    )


def _source(draw: DrawFn, build: Builder, most: int = 6, least: int = 0, earliest: int = -9) -> str:
    return build.add(Bounded(build.name("s"), draw(elements(most, least, earliest), label="elements")))


_INT_FUNCTIONS = [
    ("identity", 0),
    ("add", 5),
    ("negate", 0),
    ("drop_odd", 0),
    ("keep_below", 4),
    ("duplicate", 2),
    ("duplicate", 0),
]


def _reshape(draw: DrawFn, build: Builder, source: str, *, most: int = 3) -> str:
    """A few steps over ints that keep their type: maps, redistribution, flattening, partitions."""
    for _ in range(draw(st.integers(0, most), label="steps")):
        match draw(
            st.sampled_from(["par_do", "reshuffle", "redistribute", "flatten_twice", "partition", "observe"]), label="step"
        ):
            case "par_do":
                source = build.par_do(source, *draw(st.sampled_from(_INT_FUNCTIONS), label="function"))
            case "reshuffle":
                source = build.add(Reshuffle(build.name("r"), source))
            case "redistribute":
                source = build.add(Redistribute(build.name("r"), source))
            case "flatten_twice":
                source = build.add(Flatten(build.name("f"), (source, source)))
            case "partition":
                ways = build.add(Partition(build.name("t"), source, 2))
                source = build.add(Flatten(build.name("f"), (f"{ways}#1", f"{ways}#0")))
            case _:
                build.observe(source)
    return source


def keyed(draw: DrawFn, build: Builder, source: str) -> str:
    """(k, int) of ints, with keys that are ints, strings, bytes or pairs."""
    keyed = build.par_do(source, "key_mod", draw(st.sampled_from([1, 2, 3]), label="keys"))
    match draw(st.sampled_from(["int", "str", "bytes", "kv"]), label="key type"):
        case "int":
            return keyed
        case "kv":
            # v -> (7, (k, v)) -> ((k, v), 7): every value a key of its own
            return build.par_do(build.par_do(keyed, "key_constant", 7), "swap")
        case kind:
            spelled = build.par_do(source, "spell" if kind == "str" else "octets")
            return build.par_do(build.par_do(spelled, "key_constant", 7), "swap")


def grouping(draw: DrawFn, build: Builder, source: str) -> str:
    if draw(st.booleans(), label="combine"):
        return build.add(Combine(build.name("c"), source, draw(st.sampled_from(sorted(COMBINERS)), label="combiner")))
    return build.add(GroupByKey(build.name("g"), source))


@st.composite
def stateless_programs(draw: DrawFn) -> Program:
    """Maps, filters, flattening, redistribution and windowing, observed."""
    build = Builder()
    source = _source(draw, build)
    if draw(st.booleans(), label="shift"):
        source = build.par_do(source, "shift_timestamp", 7)
    source = _reshape(draw, build, source)
    if draw(st.booleans(), label="second source"):
        other = _reshape(draw, build, _source(draw, build), most=1)
        source = build.add(Flatten(build.name("f"), (source, other)))
    if draw(st.booleans(), label="window"):
        source = build.add(WindowInto(build.name("w"), source, draw(_windowings(), label="windowing")))
        source = _reshape(draw, build, source, most=2)
    build.observe(source)
    return build.program()


@st.composite
def grouping_programs(draw: DrawFn) -> Program:
    """A grouping with the default trigger over any windowing, and what may follow it."""
    build = Builder()
    source = _reshape(draw, build, _source(draw, build, least=1), most=2)
    source = build.add(WindowInto(build.name("w"), source, draw(_windowings(), label="windowing")))
    grouped = grouping(draw, build, keyed(draw, build, source))
    build.observe(grouped)
    if draw(st.booleans(), label="reshuffle"):
        build.observe(build.add(Reshuffle(build.name("r"), grouped)))
    return build.program()


@st.composite
def triggered_programs(draw: DrawFn) -> Program:
    """A grouping with any trigger: the panes are judged."""
    build = Builder()
    source = _source(draw, build, most=6, least=1)
    source = build.add(WindowInto(build.name("w"), source, draw(_windowings(once=False), label="windowing")))
    keyed = build.par_do(source, "key_mod", draw(st.sampled_from([1, 2]), label="keys"))
    grouped = grouping(draw, build, keyed)
    build.observe(grouped)
    if draw(st.booleans(), label="reshuffle"):
        build.observe(build.add(Reshuffle(build.name("r"), grouped)))
    return build.program()


@st.composite
def regrouping_programs(draw: DrawFn) -> Program:
    """Group, take apart, window anew, group again (M-WIN-18). No window ends before the epoch, where the end is not sure (M-TIME-05)."""
    build = Builder()
    source = _source(draw, build, least=1, earliest=0)
    first = draw(_windowings(), label="first windowing")
    if isinstance(first.fn, Global):
        first = attrs.evolve(first, fn=Fixed(10))  # nothing at the end of time may be put into intervals
    source = build.add(WindowInto(build.name("w"), source, first))
    keyed = build.par_do(source, "key_mod", draw(st.sampled_from([1, 2]), label="keys"))
    grouped = build.add(GroupByKey(build.name("g"), keyed))
    if draw(st.booleans(), label="observe the first"):
        build.observe(grouped)
    apart = build.par_do(grouped, draw(st.sampled_from(["ungroup", "group_size", "group_sum"]), label="function"))
    again = build.add(WindowInto(build.name("w"), apart, draw(_windowings(), label="second windowing")))
    build.observe(grouping(draw, build, again))
    return build.program()


@st.composite
def side_input_programs(draw: DrawFn) -> Program:
    """A main input that looks at a side input in the mapped window (M-WIN-21)."""
    build = Builder()
    side_fn = draw(window_fns(merging=False).filter(lambda fn: fn != Sliding(5, 10)), label="side window_fn")
    main_fn = draw(window_fns(), label="main window_fn")
    if not isinstance(side_fn, Global) and isinstance(main_fn, Global):
        main_fn = Fixed(10)
    main = build.add(WindowInto(build.name("w"), _source(draw, build, most=4, least=1), Windowing(main_fn)))
    side = build.add(WindowInto(build.name("w"), _source(draw, build, most=5), Windowing(side_fn)))
    view = draw(st.sampled_from(["iterable", "multimap"]), label="view")
    if view == "multimap":
        main, side = (build.par_do(source, "key_mod", 2) for source in (main, side))
    build.observe(build.add(SideInput(build.name("i"), main, side, view)))
    return build.program()


def _ops_on(cell: str, kind: str) -> list[tuple[Op, ...]]:
    """What an element may do to a cell of this kind, the plainest first."""
    ways: list[tuple[Op, ...]] = [
        (Add(cell),),
        (Add(cell), Emit(cell, "after")),
        (Emit(cell, "before"), Add(cell)),
        (Add(cell), WhenSize(cell, (Emit(cell, "full"), Clear(cell)), at_least=2)),
        (EmitElement("echo"), Add(cell)),
        (Clear(cell), Add(cell), Emit(cell, "after")),
        (Emit(cell, "before"), Clear(cell)),
    ]
    if kind in ("set", "map", "multimap", "ordered_list"):
        ways += [
            (Add(cell), EmitPart(cell, "part")),
            (EmitPart(cell, "part"), ClearPart(cell), Add(cell), Emit(cell, "after")),
            (WhenSize(cell, (ClearPart(cell), Emit(cell, "left")), at_least=2), Add(cell)),
        ]
    if kind in ("map", "multimap"):
        ways.append((Add(cell), EmitKeys(cell, "keys")))
    return ways


def _timer_ops(draw: DrawFn, families: Sequence[Family]) -> list[Op]:
    """Timers that an element sets, overwrites or clears."""
    ops: list[Op] = []
    for _ in range(draw(st.integers(1, 3), label="timer ops")):
        family = draw(st.sampled_from(list(families)), label="family")
        tag = draw(st.sampled_from(["t", "u"]), label="tag")
        if family.domain == "processing":
            after = draw(st.sampled_from([5_000, 30_000]), label="after")
            clocked: list[Op] = [SetTimer(tag, after, family.name), ClearTimer(tag, family.name)]
            ops.append(draw(st.sampled_from(clocked), label="op"))
            continue
        made: list[Op] = [
            SetTimer(tag, draw(st.sampled_from([0, 3, 20]), label="after"), family.name),
            SetTimer(tag, 4, family.name, hold=draw(st.sampled_from([0, 2]), label="hold")),
            SetTimer(tag, 100, family.name, hold=1, until="expiry"),
            ClearTimer(tag, family.name),
        ]
        ops.append(draw(st.sampled_from(made), label="op"))
    return ops


@st.composite
def state_ops(draw: DrawFn, *, processing: bool) -> Stateful:
    """A stateful ParDo of `input` "" and `id` "": one or two cells of any kinds, read and written by elements, timers and expiration."""
    kinds = ["bag", "value", "combining", "set", "map", "multimap", "ordered_list"]
    cells = [Cell("c", draw(st.sampled_from(kinds), label="kind"))]
    if draw(st.booleans(), label="second cell"):
        cells.append(Cell("d", draw(st.sampled_from(kinds), label="second kind")))
    on_element = [
        op for cell in cells for op in draw(st.sampled_from(_ops_on(cell.name, cell.kind)), label=f"ops on a {cell.kind}")
    ]
    families: tuple[Family, ...] = (Family("timers"),)
    on_timer: tuple[Op, ...] = ()
    if draw(st.booleans(), label="timers"):
        if draw(st.booleans(), label="second family"):
            families = (*families, Family("others", "processing" if processing else "event"))
        timers = _timer_ops(draw, families)
        on_element = [*timers, *on_element] if draw(st.booleans(), label="timers first") else [*on_element, *timers]
        again = [
            SetTimer(tag, 4 if family.domain == "event" else 5_000, family.name) for family in families for tag in ("t", "u")
        ]
        choices: list[tuple[Op, ...]] = [
            (Emit("c", "timer"),),
            (Emit("c", "timer"), Clear("c")),
            (Emit("c", "timer"), WhenSize("c", tuple(again), at_least=1), Clear("c")),
        ]
        on_timer = draw(st.sampled_from(choices), label="ops on a timer")
    expiration = (Emit("c", "end"),) if draw(st.booleans(), label="expiration") else ()
    return Stateful("", "", tuple(cells), tuple(on_element), on_timer, expiration, families=families)


@st.composite
def stateful_programs(draw: DrawFn) -> Program:
    """Cells of any kind, timers and expiration; few elements for each key and window."""
    build = Builder()
    source = _source(draw, build, most=4, least=1)
    fn = draw(window_fns(merging=False), label="window_fn")
    source = build.add(WindowInto(build.name("w"), source, Windowing(fn)))
    keyed_by = build.par_do(source, "key_mod", draw(st.sampled_from([1, 2]), label="keys"))
    stateful = draw(state_ops(processing=False), label="stateful")
    stateful = attrs.evolve(stateful, id=build.name("d"), input=keyed_by, time_sorted=draw(st.booleans(), label="time sorted"))
    build.observe(build.add(stateful))
    return build.program()


@st.composite
def splittable_programs(draw: DrawFn) -> Program:
    """Positions of a splittable ParDo, split, checkpointed and resumed, and groupings that its watermark must not make late."""
    build = Builder()
    numbers = draw(st.lists(st.integers(0, 6), min_size=1, max_size=3), label="numbers")
    source = build.add(Bounded(build.name("s"), tuple(Element(number, -9) for number in numbers)))
    base = draw(st.sampled_from([0, 7, -9]), label="base")
    made = build.add(
        Splittable(
            build.name("x"),
            source,
            draw(st.integers(1, 3), label="splits"),
            draw(st.integers(0, 3), label="every"),
            draw(st.sampled_from([0, 0, 0, 5]), label="delay"),
            base,
            draw(st.sampled_from([1, 4, 0]), label="step"),
        )
    )
    build.observe(made)
    if draw(st.booleans(), label="group"):
        windowing = attrs.evolve(draw(_windowings(), label="windowing"), allowed_lateness=0)
        windowed = build.add(WindowInto(build.name("w"), made, windowing))
        build.observe(grouping(draw, build, windowed))
    return build.program()


def programs() -> SearchStrategy[Program]:
    """Any bounded program of the families above."""
    return st.one_of(
        stateless_programs(),
        grouping_programs(),
        regrouping_programs(),
        triggered_programs(),
        side_input_programs(),
        stateful_programs(),
        splittable_programs(),
    )
