"""EXTERNAL environments: the pool's part, starting and stopping workers, a pool that serves several jobs."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf.message import Message

from conformance.harness import Session
from conformance.suite.assertions import asserts
from conformance.suite.checks import holds, same
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.m_job_api.driving import Job, plain, run_program, started
from conformance.suite.run import Run

GROUPED = {"k": [1, 2, 3]}
REFUSAL = "this pool has no room for another worker"


def _calls(run: Run, method: str) -> list[str]:
    """The worker ids of the calls of one method."""
    return [event.worker_id for event in run.transcript.events("pool", method, "R->S")]


@asserts("ENV03/pool-runs")
def test_pool_runs(runner: RunnerUnderTest) -> None:
    run = run_program(runner, plain, label="external")
    same(run.groups("out"), GROUPED, rule="P-CH-03")
    requests = run.transcript.events("pool", "StartWorker", "R->S")
    holds(bool(requests), "the pool was never asked for a worker", rule="P-CH-03")
    for event in requests:
        holds(bool(event.message.worker_id), "StartWorker came without a worker id", rule="P-CH-02")
        named = event.message.control_endpoint.url or event.message.provision_endpoint.url
        holds(bool(named), "StartWorker names neither a control nor a provision endpoint", rule="P-CH-03")


@asserts("ENV03/no-authentication")
def test_no_authentication(runner: RunnerUnderTest) -> None:
    run = run_program(runner, plain, label="endpoints")
    held = [event.message for event in run.transcript.events(direction="R->S") if isinstance(event.message, Message)]
    named = [(message.DESCRIPTOR.name, endpoint) for message in held for endpoint in _endpoints(message)]
    holds(bool(named), "the runner named no endpoint at all", rule="P-CH-10")
    marked = sorted({f"{name}: {endpoint.url}" for name, endpoint in named if endpoint.HasField("authentication")})
    same(marked, [], "endpoints with authentication, which harnesses refuse", rule="P-CH-10")


@asserts("ENV03/params-handed-over")
def test_params_handed_over(runner: RunnerUnderTest) -> None:
    params = {"a": "1", "with space": "ü=x"}
    run = run_program(runner, plain, label="params", environment=lambda session: session.environment(params=params))
    for event in run.transcript.events("pool", "StartWorker", "R->S"):
        found = {key: value for key, value in event.message.params.items() if key in params}
        same(found, params, "the parameters of StartWorker", rule="P-ENV-04")


def _endpoints(message: Message) -> Iterator[Any]:
    """Every ApiServiceDescriptor in a message, however deep."""
    if message.DESCRIPTOR.name == "ApiServiceDescriptor":
        yield message
    for field, value in message.ListFields():
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for each in value if isinstance(value, Sequence) else (value,):
                yield from _endpoints(each)


def _refusing(runner: RunnerUnderTest) -> Run:
    """A job whose pool answers every StartWorker with an error."""

    def refuse(session: Session) -> None:
        session.script.add("error", on="start_worker", text=REFUSAL, times=1000)

    return run_program(runner, plain, label="refusing-pool", setup=refuse, any_outcome=True)


@asserts("ENV03/start-error-fails")
def test_start_error_fails(runner: RunnerUnderTest) -> None:
    run = _refusing(runner)
    run.outcome.raise_for_error()
    same(run.outcome.state, "FAILED", "the end of a job whose pool starts no worker", rule="P-ENV-04")


@asserts("ENV03/start-error-named")
def test_start_error_named(runner: RunnerUnderTest) -> None:
    run = _refusing(runner)
    run.outcome.raise_for_error()
    text = run.outcome.error_text
    holds(REFUSAL in text, "the reason does not hold the pool's error", expected=REFUSAL, observed=text, rule="P-ENV-04")


class Counted(Session):
    """A session whose pool tells when a worker was stopped."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = threading.Condition()
        self._stopped: set[str] = set()

    def stop_worker(self, worker_id: str) -> None:
        super().stop_worker(worker_id)
        with self._changed:
            self._stopped.add(worker_id)
            self._changed.notify_all()

    def wait_stopped(self, timeout: float) -> None:
        """Wait until every worker that was started is stopped, or the runner had the time to do it."""
        with self._changed:
            self._changed.wait_for(lambda: {worker.worker_id for worker in self.workers} <= self._stopped, timeout)


@asserts("ENV04/stopped-once")
def test_stopped_once(runner: RunnerUnderTest) -> None:
    session = Counted()
    with started(runner, session=session) as job:
        same(job.end(), "DONE", "the end of the job", rule="P-ENV-03")
        session.wait_stopped(job.soon / 4)
        run = job.as_run()
        stopped = sorted(_calls(run, "StopWorker"))
        same(stopped, sorted(_calls(run, "StartWorker")), "the workers that were stopped", rule="P-ENV-03")


@asserts("ENV04/control-completed")
def test_control_completed(runner: RunnerUnderTest) -> None:
    with started(runner) as job:
        same(job.end(), "DONE", "the end of the job", rule="P-CH-11")
        holds(job.session.wait_ended(job.soon), "the runner did not end Control after the job was DONE", rule="P-CH-11")
        ends = job.session.transcript.events("control", "Control", "R->S", kind="end")
        same([event.message.status for event in ends], ["OK"] * len(ends), "how Control streams ended", rule="P-CH-11")


@asserts("ENV11/pool-serves-next-job")
def test_pool_serves_next_job(runner: RunnerUnderTest) -> None:
    with started(runner) as job:
        same(job.end(), "DONE", "the end of the first job", rule="P-ENV-02")
        same(job.as_run().groups("out"), GROUPED, "the results of the first job", rule="P-ENV-02")
        prepared = job.client.prepare(job.pipeline, runner.job_options(), "next")
        job.client.stage(prepared, job.pipeline)
        again = Job(runner, job.client, job.session, job.pipeline, prepared, job.client.run(prepared.preparation_id))
        same(again.end(), "DONE", "the end of the second job", rule="P-ENV-02")
        same(again.as_run().groups("out"), {"k": [1, 1, 2, 2, 3, 3]}, "the results of both jobs", rule="P-ENV-02")
