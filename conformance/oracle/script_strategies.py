"""Hypothesis strategies for programs with a Script: event scripts, and what they run into.

The scripts keep off what the model leaves open (a clock at its target, A-2) and draw what it allows. Drawn programs shrink towards one
event, the plainest windowing and the fewest steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import attrs
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from conformance.oracle.program import (
    AddElements,
    AdvanceProcessingTime,
    AdvanceWatermark,
    AfterAll,
    AfterAny,
    AfterCount,
    AfterEach,
    AfterEndOfWindow,
    AfterProcessingTime,
    Bounded,
    DefaultTrigger,
    Element,
    Event,
    Fixed,
    Flatten,
    Global,
    GroupByKey,
    Never,
    OrFinally,
    Partition,
    Program,
    Redistribute,
    Repeat,
    Reshuffle,
    Script,
    Sessions,
    SideInput,
    Sliding,
    Splittable,
    Stateful,
    Trigger,
    WindowFn,
    Windowing,
    WindowInto,
)
from conformance.oracle.strategies import Builder, grouping, state_ops

__all__ = [
    "chain_script_programs",
    "events",
    "held_script_programs",
    "script_programs",
    "several_source_programs",
    "side_script_programs",
    "stateful_script_programs",
]


@cache  # a strategy is checked when it is first drawn from, which costs more than the draw
def _triggers(*, clock: bool = True) -> SearchStrategy[Trigger]:
    """Triggers whose firings a script determines: no clock at its target on arrival (A-2), none that may fire at any time (A-16)."""
    count: SearchStrategy[Trigger] = st.integers(1, 3).map(AfterCount)
    once = st.one_of(count, st.just(AfterProcessingTime(1000))) if clock else count
    pair = st.tuples(once, once)
    composite: SearchStrategy[Trigger] = st.one_of(once, pair.map(AfterAll), pair.map(AfterAny), pair.map(AfterEach))
    repeated = composite.map(Repeat)
    return st.one_of(
        st.just(DefaultTrigger()),
        repeated,
        st.builds(AfterEndOfWindow, st.none() | once, st.none() | once),
        st.just(Never()),
        composite,
        st.builds(OrFinally, repeated, once),
    )


@st.composite
def windowings(draw: DrawFn, fns: Sequence[WindowFn], *, clock: bool = True, lateness: Sequence[int] = (0, 5, 20)) -> Windowing:
    """Any strategy over one of these window functions. Sessions mostly have the default trigger, whose panes can be told
    (M-TRIG-44), and a lateness beyond the script (A-29)."""
    windowing = Windowing(
        draw(st.sampled_from(list(fns)), label="window_fn"),
        draw(_triggers(clock=clock), label="trigger"),
        draw(st.sampled_from(["discarding", "accumulating"]), label="accumulation"),
        draw(st.sampled_from(list(lateness)), label="allowed_lateness"),
        draw(st.sampled_from(["if_nonempty", "always"]), label="closing"),
        draw(st.sampled_from(["always", "if_nonempty"]), label="on_time"),
        draw(st.sampled_from(["end_of_window", "earliest", "latest"]), label="output_time"),
    )
    if not isinstance(windowing.fn, Sessions):
        return windowing
    default = draw(st.integers(0, 2), label="default trigger") < 2
    return attrs.evolve(windowing, trigger=DefaultTrigger() if default else windowing.trigger, allowed_lateness=1000)


@cache
def _elements(latest: int) -> SearchStrategy[Element]:
    return st.builds(Element, st.integers(0, 9), st.integers(0, latest))


@st.composite
def events(draw: DrawFn, *, most: int = 7, ways: int = 1, together: int = 2, latest: int = 19) -> tuple[Event, ...]:
    """A script: elements, some behind the watermark; watermarks that move; and a clock that moves by what is no trigger's delay."""
    element = _elements(latest)
    made: list[Event] = []
    watermarks = [-1] * ways
    for _ in range(draw(st.integers(2, most), label="events")):
        output = draw(st.integers(0, ways - 1), label="output") if ways > 1 else 0
        kinds = ["elements", "elements", "watermark", "watermark", "clock"] if made else ["elements", "watermark"]
        match draw(st.sampled_from(kinds), label="event"):
            case "elements":
                added = tuple(draw(st.lists(element, min_size=1, max_size=together), label="elements"))
                made.append(AddElements(added, output))
            case "watermark":
                watermarks[output] += draw(st.integers(1, 15), label="watermark")
                made.append(AdvanceWatermark(watermarks[output], output))
            case _:
                made.append(AdvanceProcessingTime(draw(st.sampled_from([7_000, 40_000]), label="clock")))
    return tuple(made)


def _pass_on(draw: DrawFn, build: Builder, source: str) -> str:
    """A step that changes nothing but how a runner gets there."""
    match draw(st.sampled_from(["nothing", "reshuffle", "redistribute", "partition", "par_do"]), label="on the way"):
        case "reshuffle":
            return build.add(Reshuffle(build.name("r"), source))
        case "redistribute":
            return build.add(Redistribute(build.name("r"), source, by_key=draw(st.booleans(), label="by key")))
        case "partition":
            ways = build.add(Partition(build.name("t"), source, 2))
            return build.add(Flatten(build.name("f"), (f"{ways}#1", f"{ways}#0")))
        case "par_do":
            return build.par_do(source, "identity")
        case _:
            return source


@st.composite
def script_programs(draw: DrawFn) -> Program:
    """A script into one grouping."""
    build = Builder()
    windowing = draw(windowings([Fixed(10), Sliding(10, 5), Global(), Sessions(10)]), label="windowing")
    source = build.add(Script(build.name("s"), draw(events(), label="script")))
    source = build.add(WindowInto(build.name("w"), source, windowing))
    keyed = build.par_do(source, "key_mod", draw(st.sampled_from([1, 2]), label="keys"))
    build.observe(grouping(draw, build, keyed))
    return build.program()


@st.composite
def chain_script_programs(draw: DrawFn) -> Program:
    """A grouping, taken apart, and grouped again: under the trigger that continues the first, or windowed anew (M-TRIG-37, M-WIN-18)."""
    build = Builder()
    again = draw(st.booleans(), label="window anew")
    fns: list[WindowFn] = [Fixed(10), Sliding(10, 5)]
    first = draw(windowings([*fns, Sessions(10)] if again else fns, clock=again), label="first windowing")
    if isinstance(first.fn, Sessions):
        first = attrs.evolve(first, trigger=DefaultTrigger())
    source = build.add(Script(build.name("s"), draw(events(most=6), label="script")))
    source = build.add(WindowInto(build.name("w"), source, first))
    source = _pass_on(draw, build, build.par_do(source, "key_mod", draw(st.sampled_from([1, 2]), label="keys")))
    grouped = build.add(GroupByKey(build.name("g"), source))
    build.observe(grouped)
    apart = build.par_do(grouped, draw(st.sampled_from(["ungroup", "group_size", "group_sum"]), label="function"))
    apart = _pass_on(draw, build, apart)
    if again:
        second = draw(windowings([Fixed(20), Fixed(10), Global()], clock=False), label="second windowing")
        apart = build.add(WindowInto(build.name("w"), apart, second))
    build.observe(grouping(draw, build, apart))
    return build.program()


@st.composite
def several_source_programs(draw: DrawFn) -> Program:
    """Outputs of a script with watermarks of their own, and a bounded source, flattened into a grouping (M-WM-02, M-TS-06)."""
    build = Builder()
    ways = draw(st.sampled_from([2, 1]), label="outputs")
    script = build.add(Script(build.name("s"), draw(events(ways=ways), label="script"), "int", ways))
    streams = [f"{script}#{way}" for way in range(ways)] if ways > 1 else [script]
    if ways == 1 or draw(st.booleans(), label="bounded source"):
        element = _elements(19)
        bounded = draw(st.lists(element, min_size=0 if ways > 1 else 1, max_size=2), label="bounded")
        streams.append(build.add(Bounded(build.name("b"), tuple(bounded))))
    windowing = draw(windowings([Fixed(10), Sliding(10, 5), Global(), Sessions(10)]), label="windowing")
    if draw(st.booleans(), label="positions"):
        # (n, 0) of each element: a splittable ParDo on the way
        small = [build.par_do(stream, "keep_below", 3) for stream in streams]
        streams = [build.add(Splittable(build.name("x"), stream, 2, 1, 0, 19, 0)) for stream in small]
    else:
        streams = [build.par_do(stream, "key_mod", 2) for stream in streams]
    windowed = [build.add(WindowInto(build.name("w"), stream, windowing)) for stream in streams]
    together = build.add(Flatten(build.name("f"), tuple(windowed)))
    build.observe(grouping(draw, build, _pass_on(draw, build, together)))
    return build.program()


def _stateful(draw: DrawFn, build: Builder, windowing: Windowing, stateful: Stateful, script: tuple[Event, ...]) -> str:
    source = build.add(Script(build.name("s"), script))
    source = build.add(WindowInto(build.name("w"), source, windowing))
    keyed = build.par_do(source, "key_mod", draw(st.sampled_from([1, 2]), label="keys"))
    return build.add(attrs.evolve(stateful, id=build.name("d"), input=keyed))


@st.composite
def stateful_script_programs(draw: DrawFn) -> Program:
    """State of any kind and timers of both domains, with elements that are late, dropped, and after timers; time-sorted input."""
    build = Builder()
    fns: list[WindowFn] = [Fixed(10), Sliding(10, 5), Global()]
    fn = draw(st.sampled_from(fns), label="window_fn")
    stateful = draw(state_ops(processing=True), label="stateful")
    in_order = draw(st.integers(0, 4), label="time sorted") == 4
    lateness = 0 if in_order else draw(st.sampled_from([0, 5, 20]), label="allowed_lateness")
    script = draw(events(together=1 if len(stateful.families) > 1 else 2), label="script")
    stateful = attrs.evolve(stateful, time_sorted=in_order)
    build.observe(_stateful(draw, build, Windowing(fn, allowed_lateness=lateness), stateful, script))
    return build.program()


@st.composite
def held_script_programs(draw: DrawFn) -> Program:
    """What timers put out, grouped: their holds keep it on time (M-TIMER-12)."""
    build = Builder()
    fn = draw(st.sampled_from([Fixed(10), Fixed(20)]), label="window_fn")
    stateful = draw(state_ops(processing=True), label="stateful")
    script = draw(events(most=5, together=1), label="script")
    made = _stateful(draw, build, Windowing(fn), stateful, script)
    build.observe(made)
    build.observe(build.add(GroupByKey(build.name("g"), _pass_on_pairs(draw, build, made))))
    return build.program()


def _pass_on_pairs(draw: DrawFn, build: Builder, source: str) -> str:
    return build.add(Reshuffle(build.name("r"), source)) if draw(st.booleans(), label="reshuffle") else source


@st.composite
def side_script_programs(draw: DrawFn) -> Program:
    """Main and side input from two outputs of a script: who waits for what, and sees which panes (M-SIDE-05, M-SIDE-08)."""
    build = Builder()
    script = build.add(Script(build.name("s"), draw(events(ways=2), label="script"), "int", 2))
    fns: list[WindowFn] = [Fixed(10), Fixed(20), Sliding(10, 5), Global()]
    fn = draw(st.sampled_from(fns), label="side window_fn")
    views: list[Trigger] = [DefaultTrigger(), AfterEndOfWindow(AfterCount(1), AfterCount(1)), Repeat(AfterCount(1))]
    side_windowing = Windowing(
        fn,
        DefaultTrigger() if isinstance(fn, Global) else draw(st.sampled_from(views), label="side trigger"),
        draw(st.sampled_from(["discarding", "accumulating"]), label="accumulation"),
        draw(st.sampled_from([0, 20]), label="allowed_lateness"),
        on_time=draw(st.sampled_from(["if_nonempty", "always"]), label="on_time"),
    )
    mains: list[WindowFn] = [Fixed(10), Sliding(10, 5)]
    main_fn = draw(st.sampled_from(mains), label="main window_fn")
    main = build.add(WindowInto(build.name("w"), f"{script}#0", Windowing(main_fn, allowed_lateness=20)))
    side = build.add(WindowInto(build.name("w"), f"{script}#1", side_windowing))
    view = draw(st.sampled_from(["iterable", "multimap"]), label="view")
    if view == "multimap":
        main, side = (build.par_do(source, "key_mod", 2) for source in (main, side))
    build.observe(build.add(SideInput(build.name("i"), main, side, view)))
    return build.program()
