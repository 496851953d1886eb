"""Writes the generated parts of docs/engine.md: diagrams and tables that come out of the engine itself, by running it.

`python -m tests.runner.engine_docs` rewrites the file; `test_engine_docs` fails while it is out of date. A part stands between
`<!-- generated: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from conformance.pipeline import Fn, Program, coders, triggers, windowing
from conformance.pipeline.teststream import Elements, Watermark
from conformance.runner import engine_events, variants
from conformance.runner import triggers as machines
from conformance.runner.cutting import TimerCut, TimerValue
from conformance.runner.engine_nodes import NodeRun
from conformance.runner.plan import TimerFamily
from conformance.runner.rules import Rules
from conformance.runner.timers import TimerStore
from conformance.wire.timestamps import MAX, MIN
from conformance.wire.values import Timing
from tests.runner.lab import Lab, element, environment, kv, string, window

PAGE = Path(__file__).parents[2] / "docs" / "engine.md"
RULES = Rules()
#: The window of all examples is [0, 10); its last instant:
END = 9


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(heads)]
    lines += [["---"] * len(lines[0]), *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def diagram(arrows: Iterable[tuple[str, str, str]]) -> str:
    """A state diagram of (from, to, label); labels of the same arrow are joined."""
    joined: dict[tuple[str, str], list[str]] = {}
    for start, end, label in arrows:
        joined.setdefault((start, end), []).append(label)
    names = list(dict.fromkeys(name for pair in joined for name in pair if name != "[*]"))
    ids = {name: f"s{number}" for number, name in enumerate(names)} | {"[*]": "[*]"}
    lines = ["```mermaid", "stateDiagram-v2"]
    lines += [f'    state "{name}" as {ids[name]}' for name in names]
    lines += [f"    {ids[start]} --> {ids[end]}: {', '.join(labels)}" for (start, end), labels in joined.items()]
    return "\n".join([*lines, "```"])


def first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").splitlines()[0]


# ---- events and commands


def of_union(union: Any) -> str:
    return table(["name", "meaning"], [(f"`{each.__name__}`", first_line(each)) for each in typing.get_args(union)])


# ---- triggers


def _shape(state: machines.State) -> str:
    """What a state holds, without what cannot be told apart any more."""
    if state.finished and not state.subs:
        return "finished"
    own = [f"count {state.count}"] if state.count else []
    own += ["waits for the clock"] if state.target is not None else []
    own += [_shape(sub) for sub in state.subs]
    return ("finished " if state.finished else "") + ("(" + ", ".join(own) + ")" if own else "fresh")


def machine(trigger: Any) -> str:
    """All that one window can go through, found by trying every input in every state that can be reached."""
    compiled = machines.compile_trigger(windowing_trigger(trigger), RULES)
    before, after = Moment(5, 0), Moment(20, 0)

    def name(state: machines.State, moment: machines.Moment) -> str:
        where = "past the end" if moment.at_end else "before the end"
        return f"{where}: {_shape(state)}{', ready' if not state.finished and compiled.ready(state, moment) else ''}"

    arrows: list[tuple[str, str, str]] = []
    todo: list[tuple[machines.State, machines.Moment]] = [(compiled.fresh(), before)]
    seen: set[str] = set()
    arrows.append(("[*]", name(*todo[0]), "first element opens the window"))
    while todo:
        state, moment = todo.pop(0)
        here = name(state, moment)
        if here in seen:
            continue
        seen.add(here)
        if state.finished:
            arrows.append((here, "[*]", "closed"))
            continue
        steps: list[tuple[str, machines.State, machines.Moment]] = []
        if compiled.ready(state, moment):
            fired = _copy(state)
            compiled.fire(fired, moment)
            steps.append(("**pane**", fired, moment))
        else:
            grown = _copy(state)
            compiled.element(grown, moment)
            steps.append(("element", grown, moment))
            if moment is before:
                steps.append(("watermark passes the end", _copy(state), after))
        for label, next_state, next_moment in steps:
            there = name(next_state, next_moment)
            if there != here:
                arrows.append((here, there, label))
            todo.append((next_state, next_moment))
    return diagram(arrows)


def windowing_trigger(trigger: Any) -> Any:
    program = Program()
    program.create([1], coders.VARINT).window_into(windowing.fixed(10), trigger=trigger)
    strategies = program.build(environment()).components.windowing_strategies.values()
    return next(each.trigger for each in strategies if each.window_fn.urn.endswith("fixed_windows:v1"))


def Moment(watermark: int, now: int) -> machines.Moment:
    return machines.Moment(RULES, END, watermark, now)


def _copy(state: machines.State) -> machines.State:
    return machines.State(state.finished, state.count, state.target, [_copy(sub) for sub in state.subs])


def kinds() -> str:
    classes = [
        each
        for each in vars(machines).values()
        if inspect.isclass(each) and issubclass(each, machines.Trigger) and each is not machines.Trigger
    ]
    return table(["trigger", "when a pane may fire"], [(f"`{each.__name__}`", first_line(each)) for each in classes])


# ---- panes


def timings() -> str:
    rows = []
    for was_on_time in (False, True):
        for watermark, output in ((5, 5), (10, 5), (10, 10))[was_on_time:]:
            timing = RULES.pane_timing(was_on_time, END, watermark, output)
            rows.append(
                (
                    "yes" if was_on_time else "no",
                    "past the end" if watermark > END else "before the end",
                    "past the end" if output > END else "held before the end",
                    f"**{timing.name}**",
                )
            )
    return table(["was there an ON_TIME pane?", "input watermark", "output watermark", "timing of the next pane"], rows)


def emitted() -> str:
    rows = []
    for new in (2, 0):
        for timing, last in ((Timing.EARLY, False), (Timing.ON_TIME, False), (Timing.LATE, False), (Timing.LATE, True)):
            asked = [
                text
                for text, on_time, closing in (
                    ("always", False, False),
                    ("FIRE_ALWAYS", True, False),
                    ("EMIT_ALWAYS", False, True),
                )
                if RULES.emits(new, timing, last, on_time, closing)
            ]
            wanted = "always" if "always" in asked else f"only with {' or '.join(asked)}" if asked else "never"
            rows.append((str(new), timing.name + (", last" if last else ""), wanted))
    return table(["new elements", "pane", "emitted"], rows)


# ---- watermarks


def watermarks() -> str:
    """A TestStream, windows of ten milliseconds, a grouping, a reader: who shows which watermark after each step."""
    pairs = coders.kv(coders.STRING, coders.VARINT)
    program = Program()
    stream = program.test_stream([Elements([(("k", 1), 1)]), Watermark(5), Watermark(12)], pairs)
    groups = stream.window_into(windowing.fixed(10), name="windows").group_by_key("group")
    groups.par_do(Fn("identity"), pairs, name="read")
    lab = Lab(program)
    rows: list[tuple[str, ...]] = []
    nodes: list[NodeRun] = lab.engine.nodes

    def note(what: str) -> None:
        rows.append((what, *(f"{_show(run.watermark_in)} / {_show(run.watermark_out)}" for run in nodes[1:])))

    note("the element is in a bundle of `windows`")
    (sink,) = lab.plan.stages()[0].sinks.values()
    lab.answer("windows", {sink: [element(kv("k", 1), 1, window(0, 10))]})
    note("that bundle is committed, the script says watermark 5, then 12; the pane is in a bundle of `read`")
    lab.answer("read")
    note("that is committed; the script is over")
    return table(["step", *(run.id.removeprefix("stage/") for run in nodes[1:])], rows)


def _show(at: int) -> str:
    return {MIN: "MIN", MAX: "MAX"}.get(at, str(at))


# ---- timers


def timer_life() -> str:
    """What becomes of one event-time timer of a window that is over at 9: tried on the store itself."""
    family = TimerFamily("t", "f", True, TimerCut(lambda data, pos: pos, lambda data, pos: pos))

    def setting(fire: int, clear: bool = False) -> TimerValue:
        return TimerValue(string("k"), string(""), (window(0, 10),), clear, fire, fire)

    def state(store: TimerStore) -> str:
        pending = list(store)
        if not pending:
            return "not set"
        return f"pending for {pending[0].fire}, holds the output watermark at {_show(store.hold())}"

    arrows: list[tuple[str, str, str]] = [("[*]", "not set", "")]
    store = TimerStore(RULES)

    def apply(label: str, *settings: TimerValue) -> None:
        before = state(store)
        store.apply(family, settings, lambda at: at)
        arrows.append((before, state(store), label))

    def pass_to(watermark: int) -> None:
        before = state(store)
        taken = store.take_due(lambda _: END, watermark, 0)
        label = f"watermark {watermark}"
        if taken:
            arrows.append((before, "in a bundle of timers, still holds", label))
            arrows.append(("in a bundle of timers, still holds", "not set", "the bundle is committed"))
        else:
            arrows.append((before, state(store), f"{label}: not due"))

    apply("set for 5", setting(5))
    apply("set again, for 7", setting(7))
    apply("cleared", setting(7, clear=True))
    apply("set for 5", setting(5))
    pass_to(5)
    pass_to(6)
    apply("set for 7", setting(7))
    pass_to(8)
    apply("set for 11: behind the end of the window", setting(11))
    before = state(store)
    assert not store.take_due(lambda _: END, 20, 0)
    assert store.drop(lambda _: True)
    arrows.append((before, state(store), "watermark 10: the window is over, the timer is dropped"))
    return diagram(dict.fromkeys((start, end, label or "a key is seen") for start, end, label in arrows))


# ---- freedoms


def freedoms() -> str:
    rows = [(f"`{name}`", variants.describe(variant)) for name, variant in sorted(variants.VARIANTS.items())]
    return table(["variant", "what it does, and the rule that lets it"], rows)


# ---- the page


ONE = triggers.after_count(1)
PARTS: dict[str, Callable[[], str]] = {
    "events": lambda: of_union(engine_events.Event),
    "commands": lambda: of_union(engine_events.Command),
    "trigger kinds": kinds,
    "default trigger": lambda: machine(triggers.default()),
    "counting trigger": lambda: machine(triggers.after_count(2)),
    "end-of-window trigger": lambda: machine(triggers.after_watermark(early=triggers.after_count(2), late=ONE)),
    "pane timing": timings,
    "pane emission": emitted,
    "watermarks": watermarks,
    "timer life": timer_life,
    "variants": freedoms,
}
_PART = re.compile(r"(<!-- generated: (?P<name>[^>]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def written(page: str) -> str:
    """The page with its generated parts as the engine is now. Raises KeyError for a part that nobody writes."""
    return _PART.sub(lambda match: f"{match[1]}{PARTS[match['name']]()}\n{match[3]}", page)


def parts_of(page: str) -> list[str]:
    """The names of the generated parts of a page."""
    return [match["name"] for match in _PART.finditer(page)]


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
