"""Every always-on invariant, with a right transcript on which it looks and is silent, and a wrong one on which it speaks.

The wrong ones are the faults of faults_*.py; here stand the tests that go through them, and the freedoms that no check may punish.
"""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faults_control  # noqa: F401  (registers its faults)
import faults_data  # noqa: F401
import faults_jobs  # noqa: F401
import pytest
from invariant_fault import FAULTS, RIGHT, Fault, declare, embed, fire_timers
from invariant_jobs import (
    LAST,
    PAIRS,
    RESIDUAL,
    Job,
    failed,
    good,
    group,
    pair,
    retried,
    timer,
)

from conformance.harness.invariants import CATALOGUE, check, checked, judge
from conformance.harness.transcript import End, Note
from conformance.wire import coders, timestamps, urns
from conformance.wire.api import fn_pb2
from conformance.wire.values import GLOBAL_WINDOW, NO_FIRING, IntervalWindow, WindowedValue

# -- the tests ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [good, retried, failed], ids=lambda base: base.__name__)
def test_a_right_job_has_no_findings(base: Callable[[], Job]) -> None:
    assert [str(finding) for finding in check(base().transcript())] == []


@pytest.mark.parametrize("case", FAULTS, ids=lambda case: f"{case.invariant}-{case.what}")
def test_a_fault_is_found_where_it_is(case: Fault) -> None:
    job = case.base()
    wrong = case.change(job)
    findings = check(job.transcript())
    mine = [finding for finding in findings if finding.invariant == case.invariant]
    told = "\n".join(map(str, findings))
    assert mine, f"{case.invariant} is silent; found:\n{told or 'nothing'}"
    assert {finding.invariant for finding in findings} == {case.invariant} | case.also, told
    assert re.search(case.says, mine[0].statement), told
    assert mine[0].seq == job.seq(wrong), told
    rule = CATALOGUE[case.invariant]
    assert mine[0].side == rule.side
    assert mine[0].level == (case.level or rule.finding_level)


def test_every_invariant_has_a_fault_and_was_looked_at_where_nothing_is_wrong() -> None:
    decidable = {name for name, rule in CATALOGUE.items() if not rule.undecidable}
    assert {case.invariant for case in FAULTS} == decidable
    looked = {name for base in (good, retried, failed) for name, times in checked(base().transcript()).items() if times}
    # What these need beside the small jobs stands in tests of its own below.
    assert decidable - looked == {"I-CH-08", "I-CH-09", "I-CTL-14", "I-DATA-07", "I-TMR-03"}


def test_the_catalogue_is_the_documents_table() -> None:
    text = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
    rows = re.findall(r"^\| (I-[A-Z]+-\d+) ([RH]) \| (.*) \| (\S+) \| .* \| (.*) \|$", text, re.MULTILINE)
    mine = [(r.id, r.side, r.statement, r.level, r.catches) for r in CATALOGUE.values()]
    assert mine == [(name, side, said.replace("`", ""), level.replace("★", "*"), what) for name, side, said, level, what in rows]


def test_the_catalogue_cites_what_exists() -> None:
    text = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
    known = set(re.findall(r"\*\*(P-[A-Z]+-\d+)", text))
    assert {cited for rule in CATALOGUE.values() for cited in rule.rules} <= known


def test_the_catalogue_speaks_to_leaves_of_the_ledger() -> None:
    from conformance.suite import ledger

    leaves = {leaf.id for area in ledger.load().areas for leaf in area.leaves}
    assert {leaf for rule in CATALOGUE.values() for leaf in rule.leaves} <= leaves


# -- freedoms: what other rules or documents allow, and no check may punish -------------------------------------------------------


def _quiet(job: Job) -> None:
    assert [str(finding) for finding in check(job.transcript())] == []


def test_data_may_come_before_its_bundle() -> None:
    """P-DATA-10: FnApiRunner always sends it first."""
    job = good()
    for name in ("b2.data", "b2.ends"):
        record = job.drop(name)
        job.records.insert(job.records.index(job["b2"]), record)
        record.time = job["b2"].time
    _quiet(job)


def test_outputs_may_come_behind_our_answer() -> None:
    """The two are on streams of their own, whose order is free (P-CTL-18)."""
    job = good()
    job.move("b1.out.ends", "b1.answer")
    _quiet(job)


def test_an_impulse_may_be_split_away_whole() -> None:
    """A bundle gives all of its input back before it begins, and another one gets it (P-SPL-04: L may be -1)."""
    job = good()

    def of_b0(message: Any) -> None:
        for entry in message.data:
            entry.instruction_id = "b0"

    first = job.records.index(job["b1"])
    ask = job.put("b1.ends", "s1", "s0", lambda m: setattr(m, "instruction_id", "s0"))
    wanted = ask.message.process_bundle_split
    wanted.instruction_id = "b0"
    wanted.desired_splits["src1"].CopyFrom(wanted.desired_splits["src4"])
    del wanted.desired_splits["src4"]
    answer = job.put("s0", "s1.answer", "s0.answer", lambda m: setattr(m, "instruction_id", "s0"))
    [channel] = answer.message.process_bundle_split.channel_splits
    channel.transform_id, channel.last_primary_element, channel.first_residual_element = "src1", -1, 0
    copies = [
        job.put("s0.answer", "b1.answer", "b0.answer", lambda m: setattr(m, "instruction_id", "b0")),
        job.put("s0.answer", "b1.out.ends", "b0.out.ends", of_b0),
        answer,
        ask,
        job.put("b1.ends", "b1.ends", "b0.ends", of_b0),
        job.put("b1.ends", "b1.data", "b0.data", of_b0),
        job.put("b1.ends", "b1", "b0", lambda m: setattr(m, "instruction_id", "b0")),
    ]
    for record in copies:
        job.records.remove(record)
    for record in copies:
        record.time = job["b1"].time
        job.records.insert(first, record)
    _quiet(job)


def test_bundles_may_be_cut_anywhere() -> None:
    """Bundle boundaries and batching are free: each element in an entry of its own, and empty entries between (P-DATA-04, 08)."""
    job = good()
    data = job["b5.data"].message
    entry = copy.deepcopy(data.data[0])
    del data.data[:]
    for value in LAST:
        entry.data = value
        data.data.append(entry)
        data.data.add(instruction_id="b5", transform_id="src4")
    _quiet(job)


def test_a_view_may_be_read_in_another_order() -> None:
    """M-SIDE-04: any order. Prism lists the keys of a multimap in a new order at each request."""
    job = good()
    del job["b2"].message.process_bundle.cache_tokens[:]  # a token would promise equal bytes (I-CTL-16)
    job["r2a"].message.get.data, job["r2b"].message.get.data = b"\x02n2", b"\x02n1"
    _quiet(job)


def test_an_element_in_two_windows_may_come_back_as_two() -> None:
    """P-CTL-20: Flink does so with residuals."""
    job = good()
    one, other = IntervalWindow(0, 10_000), IntervalWindow(10_000, 20_000)
    value = WindowedValue((b"k1", 99), 3_000, (one, other))
    root = job["b5.answer"].message.process_bundle.residual_roots[0]
    root.application.element = PAIRS.encode(value)
    again = (PAIRS.encode(WindowedValue((b"k1", 99), 3_000, (window,))) for window in (one, other))
    job["b7.data"].message.data[0].data = b"".join(again)
    _quiet(job)


def test_a_stream_of_states_may_leave_steps_out() -> None:
    """P-JOB-03, P-JOB-06: a stream may coalesce; skipping STARTING is free."""
    job = good()
    job.drop("state.STOPPED")
    job.drop("state.STARTING")
    _quiet(job)


def test_the_error_message_may_come_behind_failed() -> None:
    """P-JOB-05: Prism sends it after the FAILED state event."""
    job = failed()
    job.move("error", "message.FAILED")
    _quiet(job)


def test_the_end_of_the_global_window_may_differ_by_one() -> None:
    """P-COD-02: the last instant is UNDEFINED by a millisecond."""
    job = good()
    last = timestamps.GLOBAL_WINDOW_MAX
    job["b3.out"].message.timers[0].timers = RIGHT[0] + timer(b"k1", last, 9_000)
    fire_timers(job, RIGHT[0], timer(b"k1", last - 1, 9_000))
    _quiet(job)


def test_progress_may_cross_the_answer_on_the_way() -> None:
    """I-CTL-19: what was in flight when the answer passed it is no finding."""
    job = good()
    record = job.put("b6.answer", "p1", change=lambda m: setattr(m, "instruction_id", "late"))
    record.message.process_bundle_progress.instruction_id = "b6"
    job.put("new", "p1.answer", "new2", lambda m: setattr(m, "instruction_id", "late"))
    _quiet(job)


def test_a_bundle_may_be_split_again() -> None:
    """The second split takes off what the first one left; each tail comes again behind its own split (P-SPL-04)."""
    job = good()
    ask = job.put("b6.answer", "s1", "s2", lambda m: setattr(m, "instruction_id", "s2"))
    answer = job.put("s2", "s1.answer", "s2.answer", lambda m: setattr(m, "instruction_id", "s2"))
    answer.message.process_bundle_split.channel_splits[0].last_primary_element = 0
    answer.message.process_bundle_split.channel_splits[0].first_residual_element = 1
    job.move("b5.answer", "s2.answer")
    ask.message.process_bundle_split.desired_splits["src4"].estimated_input_elements = 2
    job["b7.data"].message.data[0].data += LAST[1]
    for record in job.records[job.records.index(job["b7"]) :]:
        record.time += 2
    _quiet(job)
    job["b7.data"].message.data[0].data = RESIDUAL
    assert [finding.invariant for finding in check(job.transcript())] == ["I-CTL-25"]


@pytest.mark.parametrize("invariant", ["I-DATA-07", "I-GBK-02"])
def test_what_a_worker_took_with_it_may_come_again(invariant: str) -> None:
    case = next(fault for fault in FAULTS if fault.invariant == invariant)
    job = case.base()
    case.change(job)
    job.add("note", "control", "Control", "S->R", Note("drop at element 0 of b2"))
    assert [str(finding) for finding in check(job.transcript()) if finding.invariant == invariant] == []


def test_equal_elements_may_come_later() -> None:
    """I-CTL-25: a worker wrote the element twice, so that twice behind the split is no more than is owed."""
    job = good()
    job["b6.data"].message.data[0].data += LAST[3]
    assert [finding.invariant for finding in check(job.transcript())] == ["I-CTL-25"]
    job["b4.out"].message.data[0].data += LAST[3]
    _quiet(job)


def test_a_short_id_may_be_asked_for_while_the_answer_is_on_its_way() -> None:
    """Seen on Prism: two bundles tell of the same new id."""
    job = good()
    job.put("m1", "m1", change=lambda m: setattr(m, "instruction_id", "m2"))
    job.put("m1.answer", "m1.answer", "new2", lambda m: setattr(m, "instruction_id", "m2"))
    _quiet(job)


def test_a_connection_that_was_reset_had_been_accepted() -> None:
    """Seen on Prism when it died: its endpoints had listened (I-CH-04)."""
    job = good()
    job.drop("logging.end")
    record = job.put("b1", "control.end", "reset")
    record.plane, record.method = "logging", "Logging"
    record.message = End("UNAVAILABLE", "recvmsg:Connection reset by peer (104)")
    assert "I-CH-04" not in {finding.invariant for finding in check(job.transcript())}


def test_a_failing_job_may_take_its_endpoints_down_before_it_says_so() -> None:
    """Seen on the Python job service: a worker was started for a job that had failed already (I-CH-04)."""
    job = failed()
    record = job.put("bad.answer", "control.end", "refused")
    record.plane, record.method, record.stream = "provision", "GetProvisionInfo", "localhost:9"
    record.message = End("UNAVAILABLE", "failed to connect to all addresses")
    _quiet(job)


def test_ends_of_two_streams_may_swap() -> None:
    """Which of two ends arrives first, the network decides."""
    job = good()
    record = job.drop("logging.end")
    job.records.insert(job.records.index(job["control.end"]), record)
    record.time = job["control.end"].time - 0.1
    _quiet(job)


def test_an_unbatched_runner_may_hand_out_groups_without_panes() -> None:
    """I-GBK-03: UNKNOWN is what a batch runner puts on a group."""
    job = good()
    job["b2.data"].message.data[0].data = group(b"k1", [1, 2], NO_FIRING) + group(b"k2", [3], NO_FIRING)
    _quiet(job)


def test_a_runner_may_wrap_a_port_in_prefixes() -> None:
    """P-PIPE-13: a runner may take any coder for unknown, also in the port of a standard one."""
    job = good()
    message = job["d1"].message
    prefixed = coders.windowed_value(coders.length_prefix(coders.bytes_coder()), coders.global_window())
    message.coders["wv_bytes"].component_coder_ids[0] = coders.add_to(message.coders, prefixed.components[0])
    job["b1.data"].message.data[0].data = prefixed.encode(WindowedValue(b"", timestamps.MIN, (GLOBAL_WINDOW,)))
    names = (prefixed.encode(WindowedValue(name, 0)) for name in (b"n1", b"n2"))
    job["b1.out"].message.data[1].data = b"".join(names)
    _quiet(job)


def test_missing_stop_worker_is_undecided_when_the_pool_closed_at_once() -> None:
    job = good()
    job.drop("stop")
    for name in ("afterwards.ask", "afterwards"):
        job.drop(name)
    _quiet(job)


# -- what the small jobs do not exercise -------------------------------------------------------------------------------------------


def test_big_messages_long_streams_and_orphans_are_looked_at() -> None:
    job = good()
    job["b5.data"].message.data[0].data = pair(b"k1", 1) * 200_000
    job.later("b5", 30)
    looked = checked(job.transcript())
    assert looked["I-CH-08"] == 1
    assert looked["I-CH-09"] > 0
    job = good()
    declare(job, urns.Protocol.CONTROL_REQUEST_ELEMENTS_EMBEDDING)
    embed(job)
    _quiet(job)
    assert checked(job.transcript())["I-CTL-14"] == 1


def test_an_empty_transcript_has_nothing_to_look_at() -> None:
    findings, looked = judge([])
    assert findings == []
    assert list(looked) == list(CATALOGUE)
    assert not any(looked.values())


def test_findings_of_one_kind_are_counted_and_not_all_kept() -> None:
    job = good()
    for number in range(50):
        job.put("b6.answer", "b6.answer", f"new{number}", lambda m: setattr(m, "instruction_id", "nobody"))
    findings = check(job.transcript())
    assert len(findings) == 20
    assert findings[-1].evidence["more_like_this"] == 30


def test_hostile_bytes_give_findings_and_no_error() -> None:
    """Whatever a runner sends, the answer is a list."""
    for junk in (b"\xff" * 40, b"\x00", LAST[0][:-1], LAST[0] * 3 + b"\x80" * 20):
        job = good()
        job["b5.data"].message.data[0].data = junk
        job["b4.data"].message.timers[0].timers = junk
        job["d1"].message.transforms["make"].spec.payload = junk
        job["d2"].message.transforms["src2"].spec.payload = junk
        assert {"I-DATA-06", "I-DATA-09"} & {finding.invariant for finding in check(job.transcript())}


def processor_seconds(bundles: int) -> float:
    """What checking the transcript of so many bundles of four elements costs."""
    job = Job()
    job.begin()
    job.request("b0", "d4")
    job.descriptor("d4")
    job.inputs("b0", "d4", LAST)
    job.answer("b0", process_bundle=fn_pb2.ProcessBundleResponse())
    for number in range(1, bundles):
        name = f"b{number}"
        job.request(name, "d4")
        job.inputs(name, "d4", LAST)
        job.answer(name, process_bundle=fn_pb2.ProcessBundleResponse())
    transcript = job.transcript()
    begin = time.process_time()
    check(transcript)
    return time.process_time() - begin


def test_long_transcripts_cost_in_proportion() -> None:
    """Ten times the bundles cost some ten times as much, on whatever machine; what looked back over all of them would cost a hundred."""
    assert processor_seconds(20_000) < 30 * processor_seconds(2_000)
