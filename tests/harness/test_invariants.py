"""Every always-on invariant, with a right transcript on which it looks and is silent, and a wrong one on which it speaks.

A Fault is a right job, one change, and what must come of it: this invariant and no other (save those in `also`, where one fault
breaks two rules), at this message, in a sentence that names the offender.
"""

from __future__ import annotations

import copy
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from invariant_jobs import (
    IN_GLOBAL,
    LAST,
    PAIRS,
    RESIDUAL,
    TIMERS,
    V1,
    V2,
    V3,
    WINDOW,
    Job,
    Record,
    S,
    counter,
    failed,
    good,
    group,
    pair,
    retried,
    timer,
)

from conformance.harness.invariants import CATALOGUE, check, checked, judge
from conformance.harness.transcript import End
from conformance.wire import coders, timestamps, urns
from conformance.wire.api import fn_pb2, job_pb2
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.values import GLOBAL_WINDOW, NO_FIRING, IntervalWindow, Pane, Timer, Timing, WindowedValue

Change = Callable[[Job], Record]


@attrs.frozen
class Fault:
    """One change to a right job."""

    invariant: str
    what: str
    change: Change
    #: A regular expression that the finding's sentence must match.
    says: str
    base: Callable[[], Job] = good
    also: frozenset[str] = frozenset()
    level: str | None = None


FAULTS: list[Fault] = []


def fault(
    invariant: str, says: str, base: Callable[[], Job] = good, also: str = "", level: str | None = None
) -> Callable[[Change], Change]:
    """Register a change as a fault; the function's name says what it does."""

    def register(change: Change) -> Change:
        FAULTS.append(Fault(invariant, change.__name__.strip("_"), change, says, base, frozenset(also.split()), level))
        return change

    return register


# -- channels, provision, logging ---------------------------------------------------------------------------------------------


@fault("I-CH-01", "'w2' connected Control")
def _a_worker_is_forgotten(job: Job) -> Record:
    record = job.put("control", "control")
    record.worker = "w2"
    start = job.put("started", "start", "start2", lambda m: setattr(m, "worker_id", "w2"))
    stop = job.put("stop", "stop", "stop2", lambda m: setattr(m, "worker_id", "w2"))
    start.worker = stop.worker = "w2"
    return record


@fault("I-CH-02", "carries no worker_id")
def _a_call_without_worker_id(job: Job) -> Record:
    record = job.put("data", "statestream")
    record.worker = ""
    return record


@fault("I-CH-02", "'w9', which no StartWorker gave")
def _a_call_with_a_foreign_worker_id(job: Job) -> Record:
    record = job.put("data", "statestream")
    record.worker = "w9"
    return record


@fault("I-CH-03", "'w1' was started and, the job ended, never stopped")
def _a_worker_is_never_stopped(job: Job) -> Record:
    job.drop("stop")
    return job["start"]


@fault("I-CH-03", "'w1', which was stopped before")
def _a_worker_is_stopped_twice(job: Job) -> Record:
    return job.put("stop", "stop")


@fault("I-CH-04", "the state endpoint .* accepts no connection")
def _the_state_endpoint_does_not_listen(job: Job) -> Record:
    opened = job.put("statestream", "statestream")
    opened.stream = "localhost:9"
    record = job.put("new", "control.end", "refused")
    record.plane, record.method, record.stream = "state", "State", "localhost:9"
    record.message = End("UNAVAILABLE", "failed to connect to all addresses: connection refused")
    return record


@fault("I-CH-05", "Control of 'w1' ended with UNAVAILABLE")
def _control_breaks_behind_done(job: Job) -> Record:
    job["control.end"].message = End("UNAVAILABLE", "socket closed")
    return job["control.end"]


@fault("I-CH-06", "'w1' got an instruction behind the end")
def _an_instruction_behind_controls_end(job: Job) -> Record:
    return job.put("control.end", "sample", change=lambda m: setattr(m, "instruction_id", "late"))


@fault("I-CH-06", "the data stream of 'w1' outlived its Control by 40 s")
def _a_stream_outlives_control(job: Job) -> Record:
    job.later("data.end", 40)
    return job["data.end"]


@fault("I-CH-07", "Logging of 'w1' was ended 3.0 s before its Control")
def _logging_is_ended_first(job: Job) -> Record:
    record = job.move("logging.end", "afterwards.ask")
    job.records.remove(record)
    job.records.insert(job.records.index(job["control.end"]), record)
    record.time = job["control.end"].time
    job.later("control.end", 3.0)
    return record


@fault("I-CH-08", "Data of w1 ended with RESOURCE_EXHAUSTED")
def _a_message_is_too_big(job: Job) -> Record:
    job["data.end"].message = End("RESOURCE_EXHAUSTED", "Received message larger than max (4194305 vs. 4194304)")
    return job["data.end"]


@fault("I-CH-09", "Data of 'w1' was cut for pings")
def _pings_earn_goaway(job: Job) -> Record:
    job["data.end"].message = End("UNAVAILABLE", "GOAWAY received: too_many_pings")
    return job["data.end"]


@fault("I-LOG-01", "Logging of 'w1' ended with UNIMPLEMENTED")
def _logging_is_refused(job: Job) -> Record:
    job.drop("logging.end")
    record = job.put("control", "logging")
    record.direction, record.message = "R->S", End("UNIMPLEMENTED")
    return record


@fault("I-PRV-01", "names no artifact_endpoint")
def _provision_without_an_endpoint(job: Job) -> Record:
    job["start"].message.ClearField("artifact_endpoint")
    return job["provision"]


@fault("I-PRV-01", "'nonsense' is no URN")
def _a_capability_that_is_no_urn(job: Job) -> Record:
    job["provision"].message.info.runner_capabilities.append("nonsense")
    return job["provision"]


@fault("I-PRV-02", "'w1' lists 1 dependencies that are not those of its environment 'env'")
def _a_dependency_is_missing(job: Job) -> Record:
    del job["provision"].message.info.dependencies[1]
    return job["provision"]


@fault("I-PRV-02", "dependencies of 'env' in another order")
def _dependencies_in_another_order(job: Job) -> Record:
    dependencies = job["provision"].message.info.dependencies
    dependencies.append(dependencies.pop(0))
    return job["provision"]


@fault("I-PRV-03", r"a\.txt' reaches 'w1' as 5 bytes that differ from the 6 staged")
def _an_artifact_is_damaged(job: Job) -> Record:
    job["fetch"].message.data = b"other"
    return job["fetch.ask"]


@fault("I-PRV-03", r"a\.txt' cannot be fetched by 'w1': NOT_FOUND")
def _an_artifact_is_lost(job: Job) -> Record:
    job["fetch.end"].message = End("NOT_FOUND")
    return job["fetch.end"]


@fault("I-PRV-03", "with a sha256 that its bytes do not have")
def _an_artifact_with_a_wrong_hash(job: Job) -> Record:
    artifact = job["fetch.ask"].message.artifact
    artifact.type_payload = pb.ArtifactFilePayload(path="x", sha256="00").SerializeToString()
    return job["fetch.ask"]


@fault("I-PRV-04", "lacks the submitted option 'beam:option:streaming:v1'")
def _an_option_is_lost(job: Job) -> Record:
    del job["provision"].message.info.pipeline_options.fields["beam:option:streaming:v1"]
    return job["provision"]


# -- control ------------------------------------------------------------------------------------------------------------------


@fault("I-CTL-01", "'m1' is used a second time on worker 'w1'")
def _an_instruction_id_is_reused(job: Job) -> Record:
    record = job.put("sample.answer", "sample", change=lambda m: setattr(m, "instruction_id", "m1"))
    job.put("new", "sample.answer", "new2", lambda m: setattr(m, "instruction_id", "m1"))
    return record


@fault("I-CTL-02", "we answered process_bundle 'b6' 2 times")
def _we_answer_twice(job: Job) -> Record:
    return job.put("b6.answer", "b6.answer")


@fault("I-CTL-02", "'nobody', which nobody asked")
def _we_answer_what_nobody_asked(job: Job) -> Record:
    return job.put("b6.answer", "b6.answer", change=lambda m: setattr(m, "instruction_id", "nobody"))


@fault("I-CTL-02", "we answered finalize_bundle 'f1' with sample_data")
def _we_answer_with_another_kind(job: Job) -> Record:
    job["f1.answer"].message.sample_data.SetInParent()
    return job["f1.answer"]


@fault("I-CTL-02", "we never answered process_bundle_progress 'p1'")
def _we_do_not_answer(job: Job) -> Record:
    job.drop("p1.answer")
    job.later("s1", 10)
    return job["p1"]


@fault("I-CTL-03", "'empty' has no request set")
def _a_request_without_its_kind(job: Job) -> Record:
    record = job.put("p1.answer", "sample", change=lambda m: m.Clear())
    record.message.instruction_id = "empty"
    return record


@fault("I-CTL-04", "'w1' got the descriptor 'dx', which it did not ask for")
def _another_descriptor_comes(job: Job) -> Record:
    job.put("d4", "d4.ask")
    return job.put("new", "d4", "newer", lambda m: setattr(m, "id", "dx"))


@fault("I-CTL-04", "descriptor 'd4' has other contents")
def _a_descriptor_changes(job: Job) -> Record:
    job.put("d4", "d4.ask")
    return job.put("new", "d4", "newer", lambda m: m.transforms["end"].annotations.update({"x": b"y"}))


@fault("I-CTL-05", "'d4': PCollection 'last' names the coder 'lost'")
def _a_coder_is_missing(job: Job) -> Record:
    job["d4"].message.pcollections["last"].coder_id = "lost"
    return job["d4"]


@fault("I-CTL-05", "coder 'kv' names the coder 'lost'")
def _a_component_coder_is_missing(job: Job) -> Record:
    job["d1"].message.coders["kv"].component_coder_ids[0] = "lost"
    return job["d1"]


@fault("I-CTL-05", "'lost', which is not in it", also="I-CTL-08")
def _an_input_pcollection_is_missing(job: Job) -> Record:
    job["d4"].message.transforms["end"].inputs["in"] = "lost"
    return job["d4"]


@fault("I-CTL-05", "output of 'end' names the PCollection 'unused'", level="SHOULD")
def _an_unconsumed_output_is_missing(job: Job) -> Record:
    job["d4"].message.transforms["end"].outputs["x"] = "unused"
    return job["d4"]


@fault("I-CTL-06", "'end' is a composite of 1 transforms")
def _a_composite_is_sent(job: Job) -> Record:
    job["d4"].message.transforms["end"].subtransforms.append("part")
    return job["d4"]


@fault("I-CTL-06", "'win' has no spec")
def _a_transform_without_spec(job: Job) -> Record:
    job["d1"].message.transforms["win"].ClearField("spec")
    return job["d1"]


@fault("I-CTL-06", "'win' is beam:transform:group_by_key:v1, which no SDK executes")
def _a_grouping_is_sent(job: Job) -> Record:
    job["d1"].message.transforms["win"].spec.urn = urns.Transform.GROUP_BY_KEY
    return job["d1"]


@fault("I-CTL-07", "transform 'end' of environment 'other' to worker 'w1', which runs environment 'env'")
def _a_transform_of_another_environment(job: Job) -> Record:
    other = job.pipeline.components.environments["other"]
    other.urn, other.payload = urns.Env.EXTERNAL, b"elsewhere"
    job.pipeline.components.transforms["end"].environment_id = "other"
    job["prepare.ask"].message.pipeline.CopyFrom(job.pipeline)
    job["d4"].message.transforms["end"].environment_id = "other"
    # Two environments: what the worker serves is not certain, so provision and capabilities are not judged.
    return job["d4"]


@fault("I-CTL-08", "PCollection 'last' is produced by both")
def _two_sources_for_one_input(job: Job) -> Record:
    transforms = job["d4"].message.transforms
    transforms["end"].outputs["x"] = "last"
    return job["d4"]


@fault("I-CTL-08", "transform 'loose' cannot be reached")
def _a_transform_without_input(job: Job) -> Record:
    loose = job["d4"].message.transforms["loose"]
    loose.CopyFrom(job["d4"].message.transforms["end"])
    loose.inputs.clear()
    return job["d4"]


@fault("I-CTL-08", "form a cycle")
def _a_cycle(job: Job) -> Record:
    message = job["d1"].message
    for name, other in (("x", "y"), ("y", "x")):
        message.transforms[name].CopyFrom(message.transforms["win"])
        message.transforms[name].inputs["in"] = f"p{other}"
        message.transforms[name].outputs["out"] = f"p{name}"
        message.pcollections[f"p{name}"].CopyFrom(message.pcollections["raw"])
    return job["d1"]


@fault("I-CTL-09", "side input 'si' of 'use' reads 'names', which 'more' of the same stage produces")
def _a_side_input_from_the_same_stage(job: Job) -> Record:
    message = job["d2"].message
    message.transforms["more"].CopyFrom(message.transforms["use"])
    more = message.transforms["more"]
    payload = pb.ParDoPayload.FromString(more.spec.payload)
    payload.side_inputs.clear()
    more.spec.payload = payload.SerializeToString()
    del more.inputs["si"]
    more.outputs["out"] = "names"
    return job["d2"]


@fault("I-CTL-10", "port 'src4' has no URL")
def _a_port_without_url(job: Job) -> Record:
    spec = job["d4"].message.transforms["src4"].spec
    port = fn_pb2.RemoteGrpcPort.FromString(spec.payload)
    port.ClearField("api_service_descriptor")
    spec.payload = port.SerializeToString()
    return job["d4"]


def _port_coder(job: Job, stage: str, transform: str, coder_id: str) -> Record:
    spec = job[stage].message.transforms[transform].spec
    port = fn_pb2.RemoteGrpcPort.FromString(spec.payload)
    port.coder_id = coder_id
    spec.payload = port.SerializeToString()
    return job[stage]


@fault("I-CTL-10", "'src4' has coder 'kv' of beam:coder:kv:v1, not a windowed value")
def _a_port_coder_without_window(job: Job) -> Record:
    return _port_coder(job, "d4", "src4", "kv")


@fault("I-CTL-10", "'snk3' has the element coder bytes, but its PCollection 'last' has kv<bytes, varint>")
def _a_port_coder_of_another_type(job: Job) -> Record:
    coder = job["d3"].message.coders["wv_pairs"]
    coder.component_coder_ids[0] = coders.add_to(job["d3"].message.coders, coders.bytes_coder())
    # Source and sink have the same coder; only the sink is to be wrong.
    right = job["d3"].message.coders["right"]
    right.CopyFrom(job["d4"].message.coders["wv_pairs"])
    _port_coder(job, "d3", "src3", "right")
    for name in ("b3.out", "b3.out.ends", "b4.out", "b4.out.ends"):
        for entry in job[name].message.data:
            entry.data = b""
    job["d4"].message.Clear()
    _cut_behind(job, "b4.answer")
    return job["d3"]


def _cut_behind(job: Job, name: str) -> None:
    """Leave out what follows a record, up to the end of the job."""
    start, stop = job.records.index(job[name]) + 1, job.records.index(job["message.DONE"])
    del job.records[start:stop]


@fault("I-CTL-11", "'d3' has user state in 'keep' but no state endpoint")
def _no_state_endpoint(job: Job) -> Record:
    job["d3"].message.ClearField("state_api_service_descriptor")
    return job["d3"]


@fault("I-CTL-11", "timer family 't' of 'keep' but no timer endpoint")
def _no_timer_endpoint(job: Job) -> Record:
    job["d3"].message.ClearField("timer_api_service_descriptor")
    return job["d3"]


@fault("I-CTL-12", "the key of 'keep' is encoded in more than one way")
def _timer_keys_with_a_length_prefix(job: Job) -> Record:
    message = job["d3"].message
    prefixed = coders.add_to(message.coders, coders.length_prefix(coders.bytes_coder()))
    message.coders["timer"].component_coder_ids[0] = prefixed
    return job["d3"]


@fault("I-CTL-12", "holds the unknown coder 'sdk:secret:v1' without a length prefix")
def _an_unknown_coder_without_prefix(job: Job) -> Record:
    table = job["d2"].message.coders
    table["secret"].spec.urn = "sdk:secret:v1"
    table["kv"].component_coder_ids[1] = "secret"
    _cut_behind(job, "d2")
    answer = job.put("d2", "b1.answer", "b2.failed", lambda m: setattr(m, "instruction_id", "b2"))
    answer.message.error = "cannot decode"
    _fail(job, "cannot decode")
    return job["d2"]


def _fail(job: Job, text: str) -> None:
    """Turn a job that ends DONE into one that FAILED for a reason."""
    failed_state = S.Value("FAILED")
    job["message.DONE"].message.state_response.state = failed_state
    job["state.DONE"].message.state = failed_state
    job["getstate"].message.state = job["afterwards"].message.state = failed_state
    job["metrics"].message.metrics.Clear()
    record = job.put("state.DONE", "message.DONE", "why")
    said = job_pb2.JobMessage(importance=job_pb2.JobMessage.JOB_MESSAGE_ERROR, message_text=text)
    record.message.message_response.CopyFrom(said)


@fault("I-CTL-13", "the payload of 'use' differs from the submitted one in do_fn")
def _a_payload_is_changed(job: Job) -> Record:
    spec = job["d2"].message.transforms["use"].spec
    payload = pb.ParDoPayload.FromString(spec.payload)
    payload.do_fn.payload = b"something else"
    spec.payload = payload.SerializeToString()
    return job["d2"]


def _embed(job: Job, complete: bool = True) -> Record:
    elements = job["b7"].message.process_bundle.elements
    elements.CopyFrom(job.drop("b7.data").message)
    ends = job.drop("b7.ends").message
    if complete:
        elements.MergeFrom(ends)
    return job["b7"]


@fault("I-CTL-14", "'b7' has its elements in the request, which worker 'w1' did not declare")
def _elements_in_the_request_unasked(job: Job) -> Record:
    return _embed(job)


@fault("I-CTL-14", "'b7' do not end .*src4", also="I-DATA-01")
def _elements_in_the_request_without_their_end(job: Job) -> Record:
    _declare(job, urns.Protocol.CONTROL_REQUEST_ELEMENTS_EMBEDDING)
    return _embed(job, complete=False)


def _declare(job: Job, capability: str) -> None:
    job["prepare.ask"].message.pipeline.components.environments["env"].capabilities.append(capability)


@fault("I-CTL-15", "'b3' has 2 cache tokens for user state")
def _two_cache_tokens(job: Job) -> Record:
    tokens = job["b3"].message.process_bundle.cache_tokens
    tokens.add(token=b"more").user_state.SetInParent()
    return job["b3"]


@fault("I-CTL-15", "'b3' has the cache token of bundle 'bad', which failed", base=retried)
def _a_cache_token_survives_a_failure(job: Job) -> Record:
    job["b3"].message.process_bundle.cache_tokens[0].token = b"user bad"
    return job["b3"]


@fault("I-CTL-16", "'b4' reads other contents of bag_user_state 'b' of 'keep'", also="I-ST-03")
def _other_contents_under_one_token(job: Job) -> Record:
    job["b4.again"].message.get.data = V1
    return job["b4.again"]


@fault("I-CTL-17", "'b6' names the data stream 'second', which worker 'w1' did not declare")
def _a_named_data_stream_unasked(job: Job) -> Record:
    capabilities = job["prepare.ask"].message.pipeline.components.environments["env"].capabilities
    capabilities.remove(urns.Protocol.NAMED_DATA_STREAMS)
    return job["b6"]


@fault("I-CTL-17", "'b4' has has_no_state set, but bag_user_state 'b' of 'keep' is not empty")
def _state_where_none_was_promised(job: Job) -> Record:
    job["b4"].message.process_bundle.has_no_state = True
    return job["b4.read"]


@fault("I-CTL-18", "process_bundle_progress 'p1' names 'b99', which is no bundle of this Control stream")
def _progress_of_a_bundle_elsewhere(job: Job) -> Record:
    job["p1"].message.process_bundle_progress.instruction_id = "b99"
    return job["p1"]


@fault("I-CTL-18", "sample_data 'sample' was sent to worker 'w1', which did not declare")
def _sampling_unasked(job: Job) -> Record:
    capabilities = job["prepare.ask"].message.pipeline.components.environments["env"].capabilities
    capabilities.remove(urns.Protocol.DATA_SAMPLING)
    return job["sample"]


@fault("I-CTL-19", "process_bundle_progress 'late' names bundle 'b1', which was answered")
def _progress_long_behind_the_answer(job: Job) -> Record:
    record = job.put("b6.answer", "p1", change=lambda m: setattr(m, "instruction_id", "late"))
    record.message.process_bundle_progress.instruction_id = "b1"
    job.put("new", "p1.answer", "new2", lambda m: setattr(m, "instruction_id", "late"))
    return record


@fault("I-CTL-20", "'b3' asked for finalization and the job ended DONE without it")
def _finalization_is_forgotten(job: Job) -> Record:
    job.drop("f1")
    job.drop("f1.answer")
    return job["b3.answer"]


@fault("I-CTL-20", "'f1' came before bundle 'b3' was answered")
def _finalization_comes_early(job: Job) -> Record:
    job.move("f1", "b3.empty")
    return job["f1"]


@fault("I-CTL-20", "'b3' was finalized 2 times")
def _finalization_comes_twice(job: Job) -> Record:
    record = job.put("f1.answer", "f1", change=lambda m: setattr(m, "instruction_id", "f2"))
    job.put("new", "f1.answer", "new2", lambda m: setattr(m, "instruction_id", "f2"))
    return record


@fault("I-CTL-20", "'f2' names bundle 'b1', which did not ask for it", level="SHOULD")
def _finalization_unasked(job: Job) -> Record:
    record = job.put("f1.answer", "f1", change=lambda m: setattr(m, "instruction_id", "f2"))
    record.message.finalize_bundle.instruction_id = "b1"
    job.put("new", "f1.answer", "new2", lambda m: setattr(m, "instruction_id", "f2"))
    return record


@fault("I-CTL-21", "bundle 'bad' failed and was finalized", base=retried)
def _a_failed_bundle_is_finalized(job: Job) -> Record:
    record = job.put("f1.answer", "f1", change=lambda m: setattr(m, "instruction_id", "f2"))
    record.message.finalize_bundle.instruction_id = "bad"
    job.put("new", "f1.answer", "new2", lambda m: setattr(m, "instruction_id", "f2"))
    return record


@fault("I-CTL-22", "residual root of bundle 'b5' never came again")
def _a_residual_is_lost(job: Job) -> Record:
    job["b7.data"].message.data[0].data = b""
    return job["b5.answer"]


@fault("I-CTL-22", "residual root of bundle 'b5' came again 2 times, in bundles 'b7', 'b7'")
def _a_residual_is_doubled(job: Job) -> Record:
    job["b7.data"].message.data[0].data += RESIDUAL
    return job["b7.data"]


@fault("I-CTL-23", "asked for 0.50 s came again after 0.2")
def _a_residual_comes_early(job: Job) -> Record:
    job.later("b7", -0.4)
    return job["b7.data"]


@fault("I-CTL-24", "'s1' of bundle 'b5' names 'end', which is no source")
def _a_split_of_something_else(job: Job) -> Record:
    splits = job["s1"].message.process_bundle_split.desired_splits
    splits["end"].CopyFrom(splits["src4"])
    del splits["src4"]
    return job["s1"]


@fault("I-CTL-24", "asks for the fraction 1.5")
def _a_split_fraction_above_one(job: Job) -> Record:
    job["s1"].message.process_bundle_split.desired_splits["src4"].fraction_of_remainder = 1.5
    return job["s1"]


@fault("I-CTL-24", "estimates 1 elements for 'src4', 4 were sent")
def _a_split_estimate_too_low(job: Job) -> Record:
    job["s1"].message.process_bundle_split.desired_splits["src4"].estimated_input_elements = 1
    return job["s1"]


@fault("I-CTL-25", "element behind the split of bundle 'b5' never came again")
def _an_element_behind_the_split_is_lost(job: Job) -> Record:
    job["b6.data"].message.data[0].data = LAST[2]
    return job["s1.answer"]


@fault("I-CTL-25", "element behind the split of bundle 'b5' came again 2 times")
def _an_element_behind_the_split_is_doubled(job: Job) -> Record:
    job["b6.data"].message.data[0].data += LAST[3]
    return job["b6.data"]


@fault("I-CTL-26", "bundle 'bad' failed, the job ended DONE, and an element of source 'src3' was never retried", base=retried)
def _a_failed_bundle_is_retried_in_part(job: Job) -> Record:
    job["b3.data"].message.data[0].data = pair(b"k1", 3, 9_999, Pane(True, True, Timing.ON_TIME, 0, 0))
    return job["bad.answer"]


@fault("I-CTL-27", "no message holds the error of bundle 'bad': .*seven is odd", base=failed)
def _the_error_text_is_lost(job: Job) -> Record:
    job["error"].message.message_response.message_text = "unknown error"
    return job["message.FAILED"]


@fault("I-CTL-28", "bundles 'b3' and 'b4' of stateful 'keep' hold the key 026b31 at once", also="I-TMR-01 I-TMR-04")
def _two_bundles_hold_one_key(job: Job) -> Record:
    job.move("b4", "b3.ends")
    job.move("b4.data", "b4")
    return job["b4"]


@fault("I-CTL-29", "for 99 s nothing was outstanding")
def _the_runner_sleeps(job: Job) -> Record:
    job.later("b2", 99)
    _cut_behind(job, "b2.answer")
    return job["b1.answer"]


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
    _cut_behind(job, "b3.answer")
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


@fault("I-DATA-14", "we sent output of bundle 'b1' behind our answer")
def _we_write_behind_our_answer(job: Job) -> Record:
    job.move("b1.out.ends", "b1.answer")
    return job["b1.out.ends"]


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


def _fire(job: Job, *timers: bytes) -> Record:
    job["b4.data"].message.timers[0].timers = b"".join(timers)
    return job["b4.data"]


RIGHT = (timer(b"k2", 5_000), timer(b"k1", 9_999, 9_000))


@fault("I-TMR-01", "is not as bundle 'b3' set it: fire timestamp 9998, set 9999", also="I-TMR-04")
def _a_timer_with_another_fire_timestamp(job: Job) -> Record:
    return _fire(job, RIGHT[0], timer(b"k1", 9_998, 9_000))


@fault("I-TMR-01", "hold timestamp 9999, set 9000", also="I-TMR-04")
def _a_timer_without_its_hold(job: Job) -> Record:
    return _fire(job, RIGHT[0], timer(b"k1", 9_999, 9_999))


@fault("I-TMR-01", "has the clear bit set", also="I-TMR-04")
def _a_cleared_timer_fires(job: Job) -> Record:
    return _fire(job, RIGHT[0], timer(b"k1", 0, clear=True))


@fault("I-TMR-01", "'tag' of family 't' of 'keep', key 026b31, in bundle 'b4' was never set")
def _a_timer_nobody_set(job: Job) -> Record:
    return _fire(job, *RIGHT, timer(b"k1", 9_999, tag="tag"))


@fault("I-TMR-02", "fires a second time; it did in bundle 'b4'")
def _a_timer_fires_twice(job: Job) -> Record:
    return _fire(job, *RIGHT, RIGHT[1])


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
    _port_coder(job, "d3", "src3", "wv_groups")
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
    _fire(job, RIGHT[0])
    return job["b3.answer"]


@fault("I-TMR-05", "key 026b31, in bundle 'b4' fire for 9999 and then for 8000")
def _timers_of_a_key_out_of_order(job: Job) -> Record:
    job["b3.out"].message.timers[0].timers += timer(b"k1", 8_000, tag="x")
    return _fire(job, *RIGHT, timer(b"k1", 8_000, tag="x"))


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


# -- jobs and metrics -----------------------------------------------------------------------------------------------------------


@fault("I-JOB-01", "GetStateStream completes in RUNNING, which is no terminal state")
def _no_terminal_state(job: Job) -> Record:
    job.drop("state.DONE")
    return job["GetStateStream.end"]


@fault("I-JOB-01", "GetStateStream goes from RUNNING to STOPPED")
def _a_state_goes_back(job: Job) -> Record:
    return job.put("state.RUNNING", "state.STOPPED")


@fault("I-JOB-01", "GetStateStream tells RUNNING behind the terminal state DONE")
def _a_state_behind_the_terminal_one(job: Job) -> Record:
    return job.put("state.DONE", "state.RUNNING")


@fault("I-JOB-02", "GetState says FAILED, GetMessageStream had said DONE")
def _get_state_disagrees(job: Job) -> Record:
    job["getstate"].message.state = S.Value("FAILED")
    return job["getstate"]


@fault("I-JOB-03", "its message stream ended without an ERROR text", base=failed, also="I-CTL-27")
def _no_error_message(job: Job) -> Record:
    job.drop("error")
    return job["GetMessageStream.end"]


@fault("I-JOB-04", r"the dependency '.*b\.txt' was never asked for")
def _a_dependency_is_not_staged(job: Job) -> Record:
    for name in ("get.b.txt", "give.b.txt", "given.b.txt"):
        job.drop(name)
    del job["resolve"].message.resolve_artifact.artifacts[1]
    del job["resolved"].message.resolve_artifact_response.replacements[1]
    return job["staged"]


@fault("I-JOB-04", "which no environment lists")
def _an_unknown_artifact_is_asked_for(job: Job) -> Record:
    return job.put("given.b.txt", "resolve", change=lambda m: _rename(m.resolve_artifact.artifacts[0]))


def _rename(artifact: Any) -> None:
    artifact.role_payload = b"other"


@fault("I-JOB-05", "worker 'w1' was started while artifacts were still being staged")
def _a_worker_before_its_artifacts(job: Job) -> Record:
    job.move("start", "resolve")
    return job["start"]


@fault("I-JOB-06", "CANCELLED and nobody had asked", base=failed)
def _cancelled_by_nobody(job: Job) -> Record:
    state = S.Value("CANCELLED")
    job["message.FAILED"].message.state_response.state = state
    job["state.FAILED"].message.state = job["getstate"].message.state = job["afterwards"].message.state = state
    return job["message.FAILED"]


@fault("I-JOB-06", "DONE behind Cancel, which was answered CANCELLED")
def _done_behind_cancel(job: Job) -> Record:
    ask = job.put("b7.answer", "metrics.ask", "cancel.ask")
    ask.method, ask.message = "Cancel", job_pb2.CancelJobRequest(job_id="j1")
    answer = job.put("cancel.ask", "metrics", "cancel")
    answer.method, answer.message = "Cancel", job_pb2.CancelJobResponse(state=S.Value("CANCELLED"))
    return job["message.DONE"]


@fault("I-JOB-06", "DONE though its last bundle 'bad' failed for good", base=failed, also="I-CTL-26")
def _done_behind_a_failure(job: Job) -> Record:
    state = S.Value("DONE")
    job["message.FAILED"].message.state_response.state = state
    job["state.FAILED"].message.state = job["getstate"].message.state = job["afterwards"].message.state = state
    return job["message.FAILED"]


@fault("I-MET-01", "committed beam:metric:user:sum_int64:v1 'keep:n:c' is 7, committed bundles sum to 5", also="I-MET-02")
def _a_committed_sum_is_wrong(job: Job) -> Record:
    job["metrics"].message.metrics.committed[0].payload = b"\x07"
    return job["metrics"]


@fault("I-MET-01", "committed metrics hold .* more than once")
def _a_metric_is_told_twice(job: Job) -> Record:
    job["metrics"].message.metrics.committed.add().CopyFrom(counter(5))
    return job["metrics"]


@fault("I-MET-02", "attempted .* is 4, less than the committed 5")
def _attempted_below_committed(job: Job) -> Record:
    job["metrics"].message.metrics.attempted[0].payload = b"\x04"
    return job["metrics"]


@fault("I-MET-02", "with labels that no bundle reported")
def _a_relabelled_metric(job: Job) -> Record:
    for infos in (job["metrics"].message.metrics.committed, job["metrics"].message.metrics.attempted):
        infos[0].labels["NAME"] = "other"
    return job["metrics"]


@fault("I-MET-03", "'m1' asks what metric 'zz' is, which worker 'w1' never reported")
def _an_unknown_short_id_is_asked_for(job: Job) -> Record:
    job["m1"].message.monitoring_infos.monitoring_info_id.append("zz")
    return job["m1"]


@fault("I-MET-03", "'m2' asks again what metric 'c' of 'w1' is")
def _a_short_id_is_asked_for_again(job: Job) -> Record:
    record = job.put("b6.answer", "m1", change=lambda m: setattr(m, "instruction_id", "m2"))
    job.put("new", "m1.answer", "new2", lambda m: setattr(m, "instruction_id", "m2"))
    return record


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
    _fire(job, RIGHT[0], timer(b"k1", last - 1, 9_000))
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
    _declare(job, urns.Protocol.CONTROL_REQUEST_ELEMENTS_EMBEDDING)
    _embed(job)
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


def test_a_hundred_thousand_events_take_about_a_second() -> None:
    """Measured 0.9 s on a busy machine with two cores; the bound allows for a slower one."""
    job = Job()
    job.begin()
    job.request("b0", "d4")
    job.descriptor("d4")
    job.inputs("b0", "d4", LAST)
    job.answer("b0", process_bundle=fn_pb2.ProcessBundleResponse())
    for number in range(1, 25_000):
        name = f"b{number}"
        job.request(name, "d4")
        job.inputs(name, "d4", LAST)
        job.answer(name, process_bundle=fn_pb2.ProcessBundleResponse())
    transcript = job.transcript()
    assert len(transcript) > 100_000
    begin = time.process_time()
    check(transcript)
    assert time.process_time() - begin < 5
