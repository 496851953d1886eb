"""From a program in the oracle's language to a pipeline, and from observations back to what the oracle judges.

Functions are named `program_…`; what they do is written in `conformance.suite.generated.functions`, independently of the oracle.
"""

from __future__ import annotations

from typing import Any, Literal

from conformance.oracle import program as language
from conformance.oracle.analysis import Analysis, analyse
from conformance.oracle.functions import COMBINERS
from conformance.oracle.observed import Seen
from conformance.pipeline import Fn, PCollection, Program, coders, state, teststream, triggers, windowing
from conformance.pipeline.coders import CoderSpec
from conformance.pipeline.state import StateCell
from conformance.suite.outcomes import NotExercised
from conformance.suite.run import Run
from conformance.suite.scripting import TESTSTREAM, play
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["compile_program", "seen_by"]

BASIC: dict[str, CoderSpec] = {"int": coders.VARINT, "str": coders.STRING, "bytes": coders.BYTES}


def coder_of(type_: language.Type) -> CoderSpec:
    """The coder of a type of the language."""
    if isinstance(type_, str):
        return BASIC[type_]
    if type_[0] == "kv":
        return coders.kv(coder_of(type_[1]), coder_of(type_[2]))
    return coders.iterable(coder_of(type_[1]))


def window_fn_of(fn: language.WindowFn) -> windowing.WindowFn:
    match fn:
        case language.Global():
            return windowing.global_windows()
        case language.Fixed(size, offset):
            return windowing.fixed(size, offset)
        case language.Sliding(size, period, offset):
            return windowing.sliding(size, period, offset)
        case language.Sessions(gap):
            return windowing.sessions(gap)


def trigger_of(trigger: language.Trigger) -> pb.Trigger:
    match trigger:
        case language.DefaultTrigger():
            return triggers.default()
        case language.Never():
            return triggers.never()
        case language.Always():
            return triggers.always()
        case language.AfterCount(n):
            return triggers.after_count(n)
        case language.AfterEndOfWindow(early, late):
            return triggers.after_watermark(trigger_of(early) if early else None, trigger_of(late) if late else None)
        case language.AfterProcessingTime(delay):
            return triggers.after_processing_time(delay)
        case language.AfterSynchronizedProcessingTime():
            return triggers.after_synchronized_processing_time()
        case language.AfterAll(parts):
            return triggers.after_all(*map(trigger_of, parts))
        case language.AfterAny(parts):
            return triggers.after_any(*map(trigger_of, parts))
        case language.AfterEach(parts):
            return triggers.after_each(*map(trigger_of, parts))
        case language.OrFinally(main, until):
            return triggers.or_finally(trigger_of(main), trigger_of(until))
        case language.Repeat(sub):
            return triggers.repeatedly(trigger_of(sub))


def strategy_of(given: language.Windowing) -> windowing.Strategy:
    return windowing.Strategy(
        window_fn_of(given.fn),
        trigger=trigger_of(given.trigger),
        accumulation=given.accumulation,  # type: ignore[arg-type]
        allowed_lateness=given.allowed_lateness,
        closing=given.closing,  # type: ignore[arg-type]
        on_time=given.on_time,  # type: ignore[arg-type]
        output_time=given.output_time,  # type: ignore[arg-type]
    )


CELLS: dict[str, StateCell] = {
    "bag": state.bag(coders.VARINT),
    "value": state.value(coders.VARINT),
    "combining": state.combining(Fn("program_combine_sum"), coders.VARINT),
    "set": state.set_(coders.VARINT),
    "map": state.map_(coders.VARINT, coders.VARINT),
    "multimap": state.multimap(coders.VARINT, coders.VARINT),
    # The one shape of entries that all runners agree on (P-STATE-10).
    "ordered_list": state.ordered_list(coders.length_prefix(coders.VARINT)),
}


DOMAINS: dict[str, Literal["event", "processing"]] = {"event": "event", "processing": "processing"}


def compile_program(program: language.Program, into: Program, source: str = TESTSTREAM) -> Analysis:
    """Build `program` with `into`, its scripts played by `source`; each Observe becomes an observer of its id.

    Raises what `analyse` raises, and NotExercised for a script that `source` cannot play.
    """
    analysis = analyse(program)
    made: dict[str, PCollection] = {}
    for step in program:
        _step(step, into, made, analysis, source)
    return analysis


def _step(step: language.Step, into: Program, made: dict[str, PCollection], analysis: Analysis, player: str) -> None:
    def result(output: str = "") -> CoderSpec:
        return coder_of(analysis.type_of(output or step.id))

    match step:
        case language.Bounded(id_, elements, type_):
            values = [element.value for element in elements]
            made[id_] = into.create(values, coder_of(type_), [element.timestamp for element in elements], name=id_)
        case language.Script(id_, events, type_, 1):
            made[id_] = play(player, into, [_event(event) for event in events], coder_of(type_), name=id_)
        case language.Script(id_, events, type_, ways):
            if player != TESTSTREAM:
                raise NotExercised(
                    "only a TestStream has several outputs with watermarks of their own, and the runner declines it"
                )
            tags = [str(way) for way in range(ways)]
            streams = into.test_stream(
                [_event(event, tagged=True) for event in events] + [teststream.to_infinity(tag) for tag in tags],
                dict.fromkeys(tags, coder_of(type_)),
                name=id_,
            )
            made.update({f"{id_}#{tag}": streams[tag] for tag in tags})
        case language.ParDo(id_, source, fn, arg):
            made[id_] = made[source].par_do(Fn("program_map", fn=fn, arg=arg), result(), name=id_)
        case language.Partition(id_, source, ways):
            outputs = {str(way): result(f"{id_}#{way}") for way in range(ways)}
            parts = made[source].par_do(Fn("program_partition", ways=ways), outputs, name=id_)
            made.update({f"{id_}#{way}": parts[str(way)] for way in range(ways)})
        case language.Flatten(id_, sources, type_):
            made[id_] = into.flatten([made[source] for source in sources], coder_of(type_) if not sources else result(), name=id_)
        case language.WindowInto(id_, source, given):
            made[id_] = made[source].window_into(strategy_of(given), name=id_)
        case language.GroupByKey(id_, source):
            made[id_] = made[source].group_by_key(name=id_)
        case language.Combine(id_, source, fn):
            accumulator = coder_of(COMBINERS[fn].result) if fn == "collect" else coders.VARINT
            value = coder_of(analysis.type_of(id_)[2])
            made[id_] = made[source].combine_per_key(Fn(f"program_combine_{fn}"), accumulator, value, name=id_)
        case language.Reshuffle(id_, source):
            made[id_] = made[source].reshuffle(name=id_)
        case language.Redistribute(id_, source, by_key):
            collection = made[source]
            made[id_] = collection.redistribute_by_key(name=id_) if by_key else collection.redistribute_arbitrarily(name=id_)
        case language.SideInput(id_, source, side, view):
            sides = {"side": made[side].as_iterable() if view == "iterable" else made[side].as_multimap()}
            made[id_] = made[source].par_do(Fn("program_side_input", view=view), result(), side_inputs=sides, name=id_)
        case language.Splittable(id_, source, splits, every, delay, base, spacing):
            positions = Fn("program_positions", splits=splits, every=every, delay=delay, base=base, step=spacing)
            made[id_] = made[source].par_do(positions, result(), name=id_, restriction_coder=coders.OFFSET_RANGE)
        case language.Stateful():
            made[step.id] = _stateful(step, made[step.input], result(), analysis.windowing_of(step.input).allowed_lateness)
        case language.Observe(id_, source):
            made[source].observe(id_)
        case _:
            raise NotImplementedError(f"{type(step).__name__} is not compiled yet")


def _event(event: language.Event, *, tagged: bool = False) -> teststream.Event:
    match event:
        case language.AddElements(elements, output):
            return teststream.Elements([(e.value, e.timestamp) for e in elements], tag=str(output) if tagged else "")
        case language.AdvanceWatermark(to, output):
            return teststream.Watermark(to, tag=str(output) if tagged else "")
        case language.AdvanceProcessingTime(by):
            return teststream.ProcessingTime(by)


def _ops(ops: tuple[language.Op, ...]) -> list[dict[str, Any]]:
    data = language.to_json(ops)
    assert isinstance(data, list)
    return data


def _stateful(step: language.Stateful, source: PCollection, coder: CoderSpec, lateness: int) -> PCollection:
    fn = Fn(
        "program_stateful",
        cells={cell.name: cell.kind for cell in step.cells},
        on_element=_ops(step.on_element),
        on_timer=_ops(step.on_timer),
        on_expiration=_ops(step.on_expiration),
        domains={family.name: family.domain for family in step.families},
        lateness=lateness,
    )
    return source.par_do(
        fn,
        coder,
        name=step.id,
        state={cell.name: CELLS[cell.kind] for cell in step.cells},
        timers={family.name: DOMAINS[family.domain] for family in step.families} if step.on_timer else {},
        requires_time_sorted_input=step.time_sorted,
        on_window_expiration="expiration" if step.on_expiration else None,
    )


def seen_by(program: language.Program, run: Run) -> dict[str, list[Seen]]:
    """Observer → what it saw, as the oracle reads it."""
    return {
        observer.id: [Seen(seen.value, seen.timestamp, seen.window, seen.pane) for seen in run.seen(observer.id)]
        for observer in program.observers
    }
