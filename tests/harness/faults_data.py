"""Faults in data, groups, state and timers (I-DATA, I-GBK, I-ST, I-TMR, I-COD)."""

from __future__ import annotations

from invariant_fault import RIGHT, cut_behind, fault, fire_timers, port_coder
from invariant_jobs import (
    IN_GLOBAL,
    RESIDUAL,
    TIMERS,
    V1,
    V2,
    V3,
    WINDOW,
    Job,
    Record,
    group,
    pair,
    retried,
    timer,
)

from conformance.wire import coders, timestamps, urns
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.values import GLOBAL_WINDOW, NO_FIRING, IntervalWindow, Pane, Timer, Timing, WindowedValue

# -- data ---------------------------------------------------------------------------------------------------------------------


@fault("I-DATA-01", "source 'src2' of bundle 'b2' is never ended")
def _a_source_is_not_ended(job: Job) -> Record:
    job.drop("b2.ends")
    return job["b2"]


@fault("I-DATA-01", "source 'src2' of bundle 'b2' is ended twice")
def _a_source_is_ended_twice(job: Job) -> Record:
    return job.put("b2.ends", "b2.ends")


@fault("I-DATA-02", "timer family 't' of 'keep' of bundle 'b3' is never ended")
def _a_family_that_did_not_fire_is_not_ended(job: Job) -> Record:
    del job["b3.ends"].message.timers[:]
    return job["b3"]


@fault("I-DATA-03", "come for source 'src1' of bundle 'b1' behind its end", also="I-DATA-12")
def _data_behind_the_end(job: Job) -> Record:
    return job.put("b1.ends", "b1.data")


@fault("I-DATA-04", "names timer family '' of 'keep'", also="I-TMR-04")
def _a_blank_family(job: Job) -> Record:
    job["b4.data"].message.timers[0].timer_family_id = ""
    return job["b4.data"]


@fault("I-DATA-04", "bundle 'b2' names source 'use'")
def _an_entry_for_the_consumer(job: Job) -> Record:
    return job.put("b2.data", "b2.data", change=lambda m: setattr(m.data[0], "transform_id", "use"))


@fault("I-DATA-05", "ends source 'src4' of bundle 'b7' carries 27 bytes")
def _the_end_carries_bytes(job: Job) -> Record:
    job["b7.ends"].message.data[0].data = job.drop("b7.data").message.data[0].data
    return job["b7.ends"]


@fault("I-DATA-06", "source 'src4' of bundle 'b6'", also="I-CTL-25")
def _an_element_is_cut(job: Job) -> Record:
    entry = job["b6.data"].message.data[0]
    more = job["b6.data"].message.data.add()
    more.CopyFrom(entry)
    entry.data, more.data = entry.data[:30], b""
    return job["b6.data"]


@fault("I-DATA-07", "data for 'ghost' came to worker 'w1'")
def _data_for_no_bundle(job: Job) -> Record:
    return job.put("b1.data", "b1.data", change=lambda m: setattr(m.data[0], "instruction_id", "ghost"))


@fault("I-DATA-08", "source 'src3' of bundle 'b3' goes on behind the end of timer family 't' of 'keep'")
def _a_terminator_before_the_last_data(job: Job) -> Record:
    first = job.put("b3", "b3.ends")
    del first.message.data[:]
    del job["b3.ends"].message.timers[:]
    return job["b3.data"]


@fault("I-DATA-09", "timestamp 9999999999999999 is outside", also="I-DATA-12")
def _a_timestamp_out_of_range(job: Job) -> Record:
    value = IN_GLOBAL.encode(WindowedValue(b"", 0, (GLOBAL_WINDOW,)))
    job["b1.data"].message.data[0].data = timestamps.encode_timestamp(9_999_999_999_999_999) + value[8:]
    return job["b1.data"]


@fault("I-DATA-09", r"window \[0, 7000\) is none of its strategy's")
def _a_window_of_another_strategy(job: Job) -> Record:
    # In each of the two groups' place, so that nothing else changes.
    job["b2.data"].message.data[0].data = group(b"k1", [1, 2], window=IntervalWindow(0, 7_000)) + group(b"k2", [3])
    return job["b2.data"]


@fault("I-DATA-09", "is in no window", level="SHOULD", also="I-CTL-22")
def _an_element_without_windows(job: Job) -> Record:
    data = RESIDUAL[:8] + b"\0\0\0\0" + RESIDUAL[22:]
    job["b7.data"].message.data[0].data = data
    return job["b7.data"]


@fault("I-DATA-09", "pane 1700 has form 1, canonical is 0", also="")
def _a_pane_in_another_form(job: Job) -> Record:
    data = job["b2.data"].message.data[0].data
    job["b2.data"].message.data[0].data = data[:22] + b"\x17\x00" + data[23:]
    return job["b2.data"]


@fault("I-DATA-10", "bundle 'b3' got a value of PCollection 'out' that no bundle wrote")
def _a_value_is_damaged(job: Job) -> Record:
    entry = job["b3.data"].message.data[0]
    entry.data = entry.data[:-1] + b"\x07"
    return job["b3.data"]


@fault("I-DATA-11", "'out' left its stage as 3 elements and came to 'plain' as 2: 1 lost")
def _an_element_is_lost(job: Job) -> Record:
    _without_state(job)
    return job["b3"]


@fault("I-DATA-11", "'out' left its stage as 2 elements and came to 'keep' as 3: 1 duplicated")
def _an_element_is_duplicated(job: Job) -> Record:
    entry = job["b3.data"].message.data[0]
    entry.data += pair(b"k2", 3, 9_999, Pane(True, True, Timing.ON_TIME, 0, 0))
    return job["b3"]


def _without_state(job: Job) -> None:
    """Make the stateful stage a plain one, to which two of three elements come."""
    names = {r.name for r in job.records}
    for name in sorted(names):
        if name.startswith("b3.") and name.split(".")[1] in ("empty", "first", "one", "other", "second", "out"):
            job.drop(name)
    cut_behind(job, "b3.answer")
    transforms = job["d3"].message.transforms
    plain = transforms["plain"]
    plain.spec.urn = urns.Transform.PAR_DO
    plain.spec.payload = pb.ParDoPayload(do_fn=pb.FunctionSpec(urn="x")).SerializeToString()
    plain.environment_id = "env"
    plain.inputs["in"] = "out"
    del transforms["keep"]
    del transforms["snk3"]
    for name in ("b3.ends", "b3.data"):
        del job[name].message.timers[:]
    job["b3"].message.process_bundle.ClearField("cache_tokens")
    job["b3.answer"].message.process_bundle.Clear()
    job["b3.answer"].message.process_bundle.SetInParent()
    job["metrics"].message.metrics.Clear()
    job["b2.out"].message.data[0].data += pair(b"k2", 3, 9_999, Pane(True, True, Timing.ON_TIME, 0, 0))


@fault("I-DATA-12", "Impulse 'imp' in bundle 'b1' has timestamp 5, not the minimum")
def _an_impulse_of_now(job: Job) -> Record:
    job["b1.data"].message.data[0].data = IN_GLOBAL.encode(WindowedValue(b"", 5, (GLOBAL_WINDOW,)))
    return job["b1.data"]


@fault("I-DATA-12", "Impulse 'imp' gave 2 elements")
def _two_impulses(job: Job) -> Record:
    job["b1.data"].message.data[0].data *= 2
    return job["b1.data"]


@fault("I-DATA-13", "the job became DONE while bundle 'b7' was in flight")
def _done_too_early(job: Job) -> Record:
    answer = job.drop("b7.answer")
    job.records.insert(job.records.index(job["state.DONE"]) + 1, answer)
    answer.time = job["state.DONE"].time
    return job["message.DONE"]


@fault("I-DATA-14", "we sent output of bundle 'b1' to 'make', which is no sink")
def _we_write_to_no_sink(job: Job) -> Record:
    return job.put("b1.out", "b1.out", change=lambda m: setattr(m.data[0], "transform_id", "make"))


@fault("I-DATA-14", "we ended output 'snk1' of bundle 'b1' 0 times")
def _we_do_not_end_an_output(job: Job) -> Record:
    del job["b1.out.ends"].message.data[0]
    return job["b1.answer"]


# -- grouping -----------------------------------------------------------------------------------------------------------------


def _trigger(job: Job) -> None:
    """Give the grouping a trigger that may fire more than once."""
    for stage in ("d1", "d2", "d3", "d4"):
        strategy = job[stage].message.windowing_strategies["fixed"]
        strategy.trigger.always.SetInParent()


def _groups(job: Job, *panes: Pane) -> Record:
    _trigger(job)
    fired = [group(b"k1", [1], pane) for pane in panes]
    job["b2.data"].message.data[0].data = b"".join([*fired, group(b"k2", [3])])
    return job["b2.data"]


@fault("I-GBK-01", "pane 2 in bundle 'b2' without pane 1")
def _a_pane_index_is_left_out(job: Job) -> Record:
    early = Pane(True, False, Timing.EARLY, 0, -1)
    return _groups(job, early, Pane(False, True, Timing.ON_TIME, 2, 0))


@fault("I-GBK-01", "the pane of index 1 in bundle 'b2' has is_first True")
def _a_second_pane_says_first(job: Job) -> Record:
    early = Pane(True, False, Timing.EARLY, 0, -1)
    return _groups(job, early, Pane(True, True, Timing.ON_TIME, 1, 0))


@fault("I-GBK-01", "pane 0 in bundle 'b2' says it is the last, and pane 1 came too")
def _a_pane_behind_the_last(job: Job) -> Record:
    early = Pane(True, True, Timing.EARLY, 0, -1)
    return _groups(job, early, Pane(False, True, Timing.ON_TIME, 1, 0))


@fault("I-GBK-02", "has two panes of index 0, the second in bundle 'b2'")
def _a_group_comes_twice(job: Job) -> Record:
    return _groups(job, Pane(True, True, Timing.ON_TIME, 0, 0), Pane(True, True, Timing.ON_TIME, 0, 0))


@fault("I-GBK-02", "is in 2 windows, not one")
def _a_group_in_two_windows(job: Job) -> Record:
    data = group(b"k1", [1, 2])
    job["b2.data"].message.data[0].data = data[:8] + b"\0\0\0\2" + data[12:22] * 2 + data[22:] + group(b"k2", [3])
    return job["b2.data"]


@fault("I-GBK-03", "fired EARLY in bundle 'b2' under the default trigger")
def _an_early_pane_by_default(job: Job) -> Record:
    job["b2.data"].message.data[0].data = group(b"k1", [1, 2], Pane(True, True, Timing.EARLY, 0, -1)) + group(b"k2", [3])
    return job["b2.data"]


@fault("I-GBK-03", "has 2 panes under the default trigger")
def _two_panes_by_default(job: Job) -> Record:
    panes = (Pane(True, False, Timing.ON_TIME, 0, 0), Pane(False, True, Timing.ON_TIME, 1, 1))
    job["b2.data"].message.data[0].data = b"".join(group(b"k1", [1], pane) for pane in panes) + group(b"k2", [3])
    return job["b2.data"]


# -- state --------------------------------------------------------------------------------------------------------------------


@fault("I-ST-01", "has the id 'odd', which is not outstanding")
def _a_state_answer_to_nothing(job: Job) -> Record:
    return job.put("b4.read", "b4.read", change=lambda m: setattr(m, "id", "odd"))


@fault("I-ST-01", "'b3.first' asks append and is answered with clear")
def _a_state_answer_of_another_kind(job: Job) -> Record:
    job["b3.first"].message.clear.SetInParent()
    return job["b3.first"]


@fault("I-ST-02", "state request 'r2b' of bundle 'b2' .* was not answered in 2")
def _a_state_request_is_dropped(job: Job) -> Record:
    job.drop("r2b")
    job.later("b3", 20)
    return job["r2b.ask"]


@fault("I-ST-03", "state 'b' of 'keep' for key 026b31 reads as 1 bytes in bundle 'b4', 2 were written")
def _a_write_is_lost(job: Job) -> Record:
    job["b4.read"].message.get.data = job["b4.again"].message.get.data = V1
    return job["b4.read"]


@fault("I-ST-03", "in bundle 'b3', 1 were written")
def _a_bundle_does_not_see_its_own_write(job: Job) -> Record:
    job["b3.one"].message.get.data = b""
    return job["b3.one"]


@fault("I-ST-04", "it holds what the failed bundle 'bad' wrote", base=retried)
def _writes_of_a_failed_bundle_survive(job: Job) -> Record:
    job["b3.empty"].message.get.data = V1 + V2
    job["b3.one"].message.get.data = V1 + V2 + V1
    job["b4.read"].message.get.data = job["b4.again"].message.get.data = V1 + V2 + V1 + V2
    return job["b3.empty"]


@fault("I-ST-05", "leads back to the page 6d6f7265: it never ends")
def _the_first_page_for_ever(job: Job) -> Record:
    for name in ("r1b", "r2b"):
        job[name].message.CopyFrom(job[f"{name[:2]}a"].message)
        job[name].message.id = name
    return job["r1b"]


@fault("I-ST-05", "does not hold whole elements")
def _a_page_is_cut_inside_an_element(job: Job) -> Record:
    for turn in ("r1", "r2"):
        job[f"{turn}a"].message.get.data = b"\x02n1\x02"
        job[f"{turn}b"].message.get.data = b"n2"
    return job["r1a"]


@fault("I-ST-06", "iterable_side_input 'si' of 'use' changed within bundle 'b2'", also="I-CTL-16")
def _a_side_input_moves(job: Job) -> Record:
    job["r2b"].message.get.data = b"\x02n3"
    return job["r2b"]


@fault("I-ST-07", "it holds what was written to 'c' of 'keep'")
def _two_states_share_content(job: Job) -> Record:
    job["b4.read"].message.get.data = job["b4.again"].message.get.data = V3
    return job["b4.read"]


@fault("I-ST-08", "reading state 'b' of 'keep' for key 026b31, never written, fails in bundle 'b3'")
def _empty_state_is_an_error(job: Job) -> Record:
    job["b3.empty"].message.error = "no such key"
    job["b3.empty"].message.ClearField("get")
    return job["b3.empty"]


# -- timers -------------------------------------------------------------------------------------------------------------------


@fault("I-TMR-01", "is not as bundle 'b3' set it: fire timestamp 9998, set 9999", also="I-TMR-04")
def _a_timer_with_another_fire_timestamp(job: Job) -> Record:
    return fire_timers(job, RIGHT[0], timer(b"k1", 9_998, 9_000))


@fault("I-TMR-01", "hold timestamp 9999, set 9000", also="I-TMR-04")
def _a_timer_without_its_hold(job: Job) -> Record:
    return fire_timers(job, RIGHT[0], timer(b"k1", 9_999, 9_999))


@fault("I-TMR-01", r"pane \(15, 0, 0\), set", level="SHOULD")
def _a_timer_without_its_pane(job: Job) -> Record:
    return fire_timers(job, RIGHT[0], timer(b"k1", 9_999, 9_000, pane=NO_FIRING))


@fault("I-TMR-01", "has the clear bit set", also="I-TMR-04")
def _a_cleared_timer_fires(job: Job) -> Record:
    return fire_timers(job, RIGHT[0], timer(b"k1", 0, clear=True))


@fault("I-TMR-01", "'tag' of family 't' of 'keep', key 026b31, in bundle 'b4' was never set")
def _a_timer_nobody_set(job: Job) -> Record:
    return fire_timers(job, *RIGHT, timer(b"k1", 9_999, tag="tag"))


@fault("I-TMR-02", "fires a second time; it did in bundle 'b4'")
def _a_timer_fires_twice(job: Job) -> Record:
    return fire_timers(job, *RIGHT, RIGHT[1])


@fault("I-TMR-02", "fires, and bundle 'b3' had cleared it")
def _a_cleared_setting_fires(job: Job) -> Record:
    job["b3.out"].message.timers[0].timers += timer(b"k1", 0, clear=True)
    return job["b4.data"]


@fault("I-TMR-02", "fires as bundle 'b3' set it, and 'b3b' set it anew", also="I-TMR-04")
def _a_replaced_timer_fires(job: Job) -> Record:
    # A further bundle of the key sets the timer for another time, before b4 fires the old setting.
    names = ("b3", "b3.data", "b3.ends", "b3.out", "b3.out.ends", "b3.answer")
    after = "f1.answer"
    for name in names:
        record = job.put(after, name, name.replace("b3", "b3b"))
        message = record.message
        for entry in (*getattr(message, "data", ()), *getattr(message, "timers", ())):
            entry.instruction_id = "b3b"
        if hasattr(message, "instruction_id") and message.DESCRIPTOR.name.startswith("Instruction"):
            message.instruction_id = "b3b"
        if name in ("b3.data", "b3.out"):
            del message.data[:]
            if name == "b3.out":
                message.timers[0].timers = timer(b"k1", 9_000)
        if name == "b3.answer":
            message.process_bundle.Clear()
            message.process_bundle.SetInParent()
        after = record.name
    return job["b4.data"]


@fault("I-TMR-03", "an event timer of 'keep' fired for 9999 in bundle 'b4'")
def _an_event_timer_is_early(job: Job) -> Record:
    """The stateful stage reads groups; an on-time one of an earlier time comes behind the timer."""
    transforms = job["d3"].message.transforms
    transforms["keep"].inputs["in"] = transforms["src3"].outputs["o"] = "groups"
    port_coder(job, "d3", "src3", "wv_groups")
    job["b3.data"].message.data[0].data = group(b"k1", [3]) + group(b"k2", [3])
    later = job.put("b4.answer", "b4", "late", lambda m: setattr(m, "instruction_id", "late"))
    later.message.process_bundle.ClearField("cache_tokens")
    data = job.put("late", "b3.data", "late.data")
    data.message.data[0].instruction_id = "late"
    earlier = Pane(True, True, Timing.ON_TIME, 0, 0)
    data.message.data[0].data = group(b"k9", [4], earlier, IntervalWindow(-10_000, 0))
    ends = job.put("late.data", "b3.ends", "late.ends")
    ends.message.data[0].instruction_id = ends.message.timers[0].instruction_id = "late"
    out = job.put("late.ends", "b3.out.ends", "late.out")
    out.message.data[0].instruction_id = out.message.timers[0].instruction_id = "late"
    job.put("late.out", "b4.answer", "late.answer", lambda m: setattr(m, "instruction_id", "late"))
    job["late.answer"].message.process_bundle.Clear()
    job["late.answer"].message.process_bundle.SetInParent()
    return job["b4.data"]


@fault("I-TMR-04", "key 026b31, set by bundle 'b3' for 9999, never fired and the job is DONE")
def _a_timer_never_fires(job: Job) -> Record:
    fire_timers(job, RIGHT[0])
    return job["b3.answer"]


@fault("I-TMR-05", "key 026b31, in bundle 'b4' fire for 9999 and then for 8000")
def _timers_of_a_key_out_of_order(job: Job) -> Record:
    job["b3.out"].message.timers[0].timers += timer(b"k1", 8_000, tag="x")
    return fire_timers(job, *RIGHT, timer(b"k1", 8_000, tag="x"))


@fault("I-COD-01", "is not in its shortest form")
def _a_window_with_a_long_varint(job: Job) -> Record:
    data = job["b7.data"].message.data[0].data
    span = coders.encode_varint(10_000)
    job["b7.data"].message.data[0].data = data.replace(span, span[:-1] + bytes([span[-1] | 0x80, 0]), 1)
    job["b5.answer"].message.process_bundle.residual_roots[0].application.element = b""
    return job["b7.data"]


@fault("I-COD-02", "has the key 03026b31, which the SDK wrote as 026b31", also="I-TMR-04")
def _a_fired_key_with_one_more_prefix(job: Job) -> Record:
    for name in ("b4.data",):
        key = b"\x02k1"
        # The family's coder reads bytes: a key whose bytes are the encoding of the right one.
        wrong = TIMERS.encode(Timer(key, "", (WINDOW,), False, 9_999, 9_000, Pane(True, True, Timing.ON_TIME, 0, 0)))
        assert wrong.startswith(b"\x03\x02k1")
        job[name].message.timers[0].timers = RIGHT[0] + wrong
    return job["b4.data"]
