"""Triggers as state machines: when a pane may be emitted, and what is left to wait for afterwards. Pure.

A trigger is a tree read once from its proto (`compile_trigger`); what a (key, window) has seen of it is a tree of `State`s of
the same shape. The grouping drives both:

    +-----------+  element  +-------+   ready?   +------+  fire   +--------------------------+
    | a window  |---------->| State |----------->| pane |-------->| finished: window closed  |
    | is opened |           +-------+            +------+         | not finished: goes on    |
    +-----------+               ^  merge (sessions)               +--------------------------+

* `element` tells of one more element in the window,
* `ready` asks whether a pane may fire now; only current clocks and counts matter, not why one asks (M-TRIG 3.1 step 2),
* `fire` tells that it fired: the trigger moves on, restarts or is finished for good (M-TRIG-35),
* `merge` makes the state of a window that several became (M-TRIG-40 to M-TRIG-47),
* `wake` says which instant of the clock of processing time makes it worth asking again.

How each kind decides is here; the decisions that a fault would get wrong are one method each of `rules.Rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field, frozen

from conformance.runner.rules import Rules
from conformance.wire import timestamps

__all__ = ["Moment", "State", "Trigger", "compile_trigger"]

MAX = timestamps.MAX


@frozen
class Moment:
    """What a trigger may look at: the clocks, and the end of its window."""

    rules: Rules
    window_max: int
    watermark: int
    now: int
    #: Whether windows of this grouping merge; then parts that wait for their turn count too, since turns may come back.
    merging: bool = False

    @property
    def at_end(self) -> bool:
        """Whether the end of the window is reached."""
        return self.rules.end_of_window(self.window_max, self.watermark)


@define
class State:
    """What one window has seen of one part of a trigger."""

    finished: bool = False
    #: Elements since the last reset.
    count: int = 0
    #: The instant of processing time that is waited for.
    target: int | None = None
    subs: list[State] = field(factory=list)

    def reset(self) -> None:
        """Back to the beginning, all parts too."""
        self.finished, self.count, self.target = False, 0, None
        for sub in self.subs:
            sub.reset()


class Trigger:
    """One part of a trigger. The base has no parts, counts elements, and never fires by itself (M-TRIG-11)."""

    def __init__(self, proto: Any, subs: Sequence[Trigger] = ()) -> None:
        self.proto = proto
        self.subs = tuple(subs)

    @property
    def counts(self) -> bool:
        """Whether its panes tell if elements that arrive together are seen one by one."""
        return any(sub.counts for sub in self.subs)

    def fresh(self) -> State:
        """The state of a window that is empty."""
        return State(subs=[sub.fresh() for sub in self.subs])

    def element(self, state: State, moment: Moment) -> None:
        """An element came."""

    def ready(self, state: State, moment: Moment) -> bool:
        """Whether a pane may fire."""
        return False

    def fire(self, state: State, moment: Moment) -> None:
        """A pane fired."""

    def merge(self, states: Sequence[State], moment: Moment) -> State:
        """The state of the window that the windows of these states became."""
        return self.fresh()

    def wake(self, state: State) -> int | None:
        """When the clock of processing time may make it ready."""
        waits = [self.subs[i].wake(sub) for i, sub in enumerate(state.subs) if not sub.finished]
        return min((each for each in waits if each is not None), default=None)

    def certain(self, window_max: int, expiry: int) -> int:
        """The watermark behind which data that came in time is certain to have fired (M-SIDE-05)."""
        return expiry

    # ---- for those with parts

    def parts(self, state: State) -> list[tuple[Trigger, State]]:
        """The parts and their states."""
        return list(zip(self.subs, state.subs, strict=True))

    def merge_part(self, index: int, states: Sequence[State], moment: Moment) -> State:
        """One part merged."""
        return self.subs[index].merge([state.subs[index] for state in states], moment)


class Default(Trigger):
    """At the end of the window, and for whatever comes later; never finished (M-TRIG-10)."""

    def ready(self, state: State, moment: Moment) -> bool:
        return moment.rules.default_ready(moment.at_end, moment.watermark)

    def certain(self, window_max: int, expiry: int) -> int:
        return window_max


class Always(Trigger):
    """Whenever there is something (M-TRIG-12)."""

    @property
    def counts(self) -> bool:
        return True

    def ready(self, state: State, moment: Moment) -> bool:
        return True


class ElementCount(Trigger):
    """After n elements; what is above n is not carried over (M-TRIG-13)."""

    @property
    def counts(self) -> bool:
        return bool(self.proto.element_count > 1)

    def element(self, state: State, moment: Moment) -> None:
        state.count += moment.rules.counts_as()

    def ready(self, state: State, moment: Moment) -> bool:
        return moment.rules.count_reached(state.count, self.proto.element_count)

    def fire(self, state: State, moment: Moment) -> None:
        state.finished = True

    def merge(self, states: Sequence[State], moment: Moment) -> State:
        finished = any(state.finished for state in states)  # M-TRIG-41
        return State(finished, moment.rules.merged_count([state.count for state in states]))


class AfterEndOfWindow(Trigger):
    """The end of the window, with panes before and after it; part 0 is early, part 1 late (M-TRIG-14 to M-TRIG-17).

    Early phase: part 0 unfinished. The first firing at or past the end finishes it for good; then there is the late phase, if a
    late part was given, or the end.
    """

    def __init__(self, proto: Any, subs: Sequence[Trigger] = (), late: bool = False) -> None:
        super().__init__(proto, subs)
        self.late = late

    def element(self, state: State, moment: Moment) -> None:
        early, late = state.subs
        if not early.finished:
            self.subs[0].element(early, moment)
        if early.finished or moment.merging:
            self.subs[1].element(late, moment)

    def ready(self, state: State, moment: Moment) -> bool:
        early, late = state.subs
        if early.finished:
            return self.subs[1].ready(late, moment)
        return moment.at_end or self.subs[0].ready(early, moment)

    def fire(self, state: State, moment: Moment) -> None:
        early, late = state.subs
        if early.finished:
            self.subs[1].fire(late, moment)
            late.reset()  # implicitly repeated
        elif moment.at_end:
            early.reset()
            early.finished = True
            late.reset()
            state.finished = not self.late
        else:
            self.subs[0].fire(early, moment)
            early.reset()  # implicitly repeated

    def merge(self, states: Sequence[State], moment: Moment) -> State:
        early, late = self.merge_part(0, states, moment), self.merge_part(1, states, moment)
        rewinds = moment.rules.rewinds_to_early([state.subs[0].finished for state in states], moment.at_end)
        early.finished = not rewinds
        if rewinds:
            late.reset()
        return State(not rewinds and not self.late, subs=[early, late])

    def wake(self, state: State) -> int | None:
        early, late = state.subs
        return self.subs[1].wake(late) if early.finished else self.subs[0].wake(early)

    def certain(self, window_max: int, expiry: int) -> int:
        return window_max


class AfterProcessingTime(Trigger):
    """When the clock reaches an instant computed from the first element's arrival (M-TRIG-18 to M-TRIG-20)."""

    def element(self, state: State, moment: Moment) -> None:
        if state.target is None:
            state.target = moment.rules.trigger_target(moment.now, self.proto.timestamp_transforms)

    def ready(self, state: State, moment: Moment) -> bool:
        return state.target is not None and moment.rules.trigger_target_reached(state.target, moment.now)

    def fire(self, state: State, moment: Moment) -> None:
        state.finished = True

    def merge(self, states: Sequence[State], moment: Moment) -> State:
        targets = [state.target for state in states if state.target is not None]
        return State(any(state.finished for state in states), target=moment.rules.merged_target(targets))

    def wake(self, state: State) -> int | None:
        return None if state.finished else state.target


class AfterSynchronizedProcessingTime(ElementCount):
    """As soon as there is data: waiting for other parts of a pipeline is the runner's discretion (M-TRIG-22)."""

    @property
    def counts(self) -> bool:
        return False

    def ready(self, state: State, moment: Moment) -> bool:
        return state.count > 0


class AfterAll(Trigger):
    """Once every part was ready (M-TRIG-23)."""

    def element(self, state: State, moment: Moment) -> None:
        for trigger, sub in self.parts(state):
            if not sub.finished:
                trigger.element(sub, moment)

    def ready(self, state: State, moment: Moment) -> bool:
        return moment.rules.all_ready([sub.finished or trigger.ready(sub, moment) for trigger, sub in self.parts(state)])

    def fire(self, state: State, moment: Moment) -> None:
        for trigger, sub in self.parts(state):
            if not sub.finished:
                trigger.fire(sub, moment)
        state.finished = True

    def merge(self, states: Sequence[State], moment: Moment) -> State:
        subs = [self.merge_part(i, states, moment) for i in range(len(self.subs))]
        return State(all(sub.finished for sub in subs), subs=subs)

    def certain(self, window_max: int, expiry: int) -> int:
        return max(sub.certain(window_max, expiry) for sub in self.subs)


class AfterAny(AfterAll):
    """Once some part was ready (M-TRIG-24)."""

    def ready(self, state: State, moment: Moment) -> bool:
        return moment.rules.any_ready([sub.finished or trigger.ready(sub, moment) for trigger, sub in self.parts(state)])

    def fire(self, state: State, moment: Moment) -> None:
        for trigger, sub in self.parts(state):
            if not sub.finished and trigger.ready(sub, moment):
                trigger.fire(sub, moment)
            elif not sub.finished:
                sub.reset()
        state.finished = True

    def merge(self, states: Sequence[State], moment: Moment) -> State:
        subs = [self.merge_part(i, states, moment) for i in range(len(self.subs))]
        return State(any(sub.finished for sub in subs), subs=subs)

    def certain(self, window_max: int, expiry: int) -> int:
        return min(sub.certain(window_max, expiry) for sub in self.subs)


class AfterEach(Trigger):
    """Its parts one after the other; one firing advances at most one (M-TRIG-25)."""

    def _current(self, state: State) -> int:
        return next((i for i, sub in enumerate(state.subs) if not sub.finished), len(state.subs))

    def element(self, state: State, moment: Moment) -> None:
        at = self._current(state)
        for i in range(at, len(self.subs) if moment.merging else min(at + 1, len(self.subs))):
            if not state.subs[i].finished:
                self.subs[i].element(state.subs[i], moment)

    def ready(self, state: State, moment: Moment) -> bool:
        at = self._current(state)
        return at < len(self.subs) and self.subs[at].ready(state.subs[at], moment)

    def fire(self, state: State, moment: Moment) -> None:
        at = self._current(state)
        behind = moment.rules.advanced_to(at, len(self.subs))
        for trigger, sub in self.parts(state)[at:behind]:
            trigger.fire(sub, moment)
        for sub in state.subs[behind:]:
            sub.reset()
        state.finished = all(sub.finished for sub in state.subs)

    def merge(self, states: Sequence[State], moment: Moment) -> State:
        subs: list[State] = []
        for i in range(len(self.subs)):  # in order up to the first unfinished; the rest start anew (M-TRIG-43)
            behind = bool(subs) and not subs[-1].finished
            subs.append(self.subs[i].fresh() if behind else self.merge_part(i, states, moment))
        return State(all(sub.finished for sub in subs), subs=subs)

    def wake(self, state: State) -> int | None:
        at = self._current(state)
        return self.subs[at].wake(state.subs[at]) if at < len(self.subs) else None

    def certain(self, window_max: int, expiry: int) -> int:
        return self.subs[0].certain(window_max, expiry)


class OrFinally(Trigger):
    """Part 0, until part 1 is ready, which sees every element and counts across part 0's firings (M-TRIG-26)."""

    def element(self, state: State, moment: Moment) -> None:
        for trigger, sub in self.parts(state):
            if not sub.finished:
                trigger.element(sub, moment)

    def ready(self, state: State, moment: Moment) -> bool:
        main, last = state.subs
        return self.subs[0].ready(main, moment) or moment.rules.finally_ends(self.subs[1].ready(last, moment))

    def fire(self, state: State, moment: Moment) -> None:
        main, last = state.subs
        if moment.rules.finally_ends(self.subs[1].ready(last, moment)):
            self.subs[1].fire(last, moment)
            main.reset()
            state.finished = True
        else:
            self.subs[0].fire(main, moment)
            state.finished = main.finished

    def merge(self, states: Sequence[State], moment: Moment) -> State:
        subs = [self.merge_part(i, states, moment) for i in range(len(self.subs))]
        return State(any(sub.finished for sub in subs), subs=subs)

    def certain(self, window_max: int, expiry: int) -> int:
        return min(sub.certain(window_max, expiry) for sub in self.subs)


class Repeat(Trigger):
    """Its part, again and again; never finished (M-TRIG-27)."""

    def element(self, state: State, moment: Moment) -> None:
        self.subs[0].element(state.subs[0], moment)

    def ready(self, state: State, moment: Moment) -> bool:
        return moment.rules.repeat_ready(self.subs[0].ready(state.subs[0], moment), moment.at_end)

    def fire(self, state: State, moment: Moment) -> None:
        (sub,) = state.subs
        self.subs[0].fire(sub, moment)
        if sub.finished:
            if moment.rules.repeats():
                sub.reset()
            else:
                state.finished = True

    def merge(self, states: Sequence[State], moment: Moment) -> State:
        sub = self.merge_part(0, states, moment)
        if sub.finished:  # merging never finishes a Repeat: what would be finished begins anew
            sub.reset()
        return State(subs=[sub])

    def certain(self, window_max: int, expiry: int) -> int:
        return self.subs[0].certain(window_max, expiry)


_SIMPLE: dict[str, Callable[..., Trigger]] = {
    "default": Default,
    "never": Trigger,
    "always": Always,
    "element_count": ElementCount,
    "after_processing_time": AfterProcessingTime,
    "after_synchronized_processing_time": AfterSynchronizedProcessingTime,
}
_SEVERAL: dict[str, Callable[..., Trigger]] = {"after_all": AfterAll, "after_any": AfterAny, "after_each": AfterEach}


def compile_trigger(proto: Any, rules: Rules) -> Trigger:
    """The trigger of a Trigger message. Raises ValueError for one that is unset or unknown (M-TRIG-28)."""
    case = proto.WhichOneof("trigger")
    if case is None:
        raise ValueError("a trigger that is unset or unknown")
    inner = getattr(proto, case)
    if case in _SIMPLE:
        return _SIMPLE[case](inner)
    if case in _SEVERAL:
        return _SEVERAL[case](inner, [compile_trigger(sub, rules) for sub in inner.subtriggers])
    if case == "repeat":
        return Repeat(inner, [compile_trigger(inner.subtrigger, rules)])
    if case == "or_finally":
        return OrFinally(inner, [compile_trigger(each, rules) for each in (inner.main, getattr(inner, "finally"))])
    parts = [_optional(inner, name, rules) for name in rules.firing_phases()]
    return AfterEndOfWindow(inner, [part or Trigger(inner) for part in parts], late=parts[1] is not None)


def _optional(inner: Any, name: str, rules: Rules) -> Trigger | None:
    """Early or late firings; unset and empty mean none (M-TRIG-17)."""
    part = getattr(inner, name)
    return compile_trigger(part, rules) if part.WhichOneof("trigger") else None
