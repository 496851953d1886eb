"""Faults on the channels, in provision and on the control plane (I-CH, I-LOG, I-PRV, I-CTL-01 to 21)."""

from __future__ import annotations

from invariant_fault import cut_behind, declare, embed, fault, port_coder
from invariant_jobs import (
    LAST,
    RESIDUAL,
    V1,
    Job,
    Record,
    S,
    failed,
    pair,
    retried,
)

from conformance.harness.transcript import End
from conformance.wire import coders, urns
from conformance.wire.api import fn_pb2, job_pb2
from conformance.wire.api import pipeline_pb2 as pb
from conformance.wire.values import Pane, Timing

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
    job.later("b4", 5)
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


@fault("I-CTL-10", "'src4' has coder 'kv' of beam:coder:kv:v1, not a windowed value")
def _a_port_coder_without_window(job: Job) -> Record:
    return port_coder(job, "d4", "src4", "kv")


@fault("I-CTL-10", "'snk3' has the element coder bytes, but its PCollection 'last' has kv<bytes, varint>")
def _a_port_coder_of_another_type(job: Job) -> Record:
    coder = job["d3"].message.coders["wv_pairs"]
    coder.component_coder_ids[0] = coders.add_to(job["d3"].message.coders, coders.bytes_coder())
    # Source and sink have the same coder; only the sink is to be wrong.
    right = job["d3"].message.coders["right"]
    right.CopyFrom(job["d4"].message.coders["wv_pairs"])
    port_coder(job, "d3", "src3", "right")
    for name in ("b3.out", "b3.out.ends", "b4.out", "b4.out.ends"):
        for entry in job[name].message.data:
            entry.data = b""
    job["d4"].message.Clear()
    cut_behind(job, "b4.answer")
    return job["d3"]


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
    cut_behind(job, "d2")
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


@fault("I-CTL-14", "'b7' has its elements in the request, which worker 'w1' did not declare")
def _elements_in_the_request_unasked(job: Job) -> Record:
    return embed(job)


@fault("I-CTL-14", "'b7' do not end .*src4", also="I-DATA-01")
def _elements_in_the_request_without_their_end(job: Job) -> Record:
    declare(job, urns.Protocol.CONTROL_REQUEST_ELEMENTS_EMBEDDING)
    return embed(job, complete=False)


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
    cut_behind(job, "b2.answer")
    return job["b1.answer"]
