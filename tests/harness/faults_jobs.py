"""Faults that the client sees: states, messages, staging, metrics (I-JOB, I-MET)."""

from __future__ import annotations

from typing import Any

from invariant_fault import fault
from invariant_jobs import (
    Job,
    Record,
    S,
    counter,
    failed,
)

from conformance.wire.api import job_pb2

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
