"""GetState and the state stream: what comes first and last, who may ask when, and the order of states."""

from __future__ import annotations

from itertools import pairwise

from conformance.endpoints.errors import Refused
from conformance.endpoints.outcome import TERMINAL, state_name
from conformance.pipeline import Fn, Program
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.m_job_api.driving import Watch, held, plain, started

#: From each state, those that may follow; optional ones may be skipped (P-JOB-06).
FOLLOWS = {
    "UNSPECIFIED": {"STOPPED", "STARTING", "RUNNING"},
    "STOPPED": {"STARTING", "RUNNING", "CANCELLING"} | TERMINAL,
    "STARTING": {"RUNNING", "CANCELLING", "DRAINING", "UPDATING"} | TERMINAL,
    "RUNNING": {"CANCELLING", "DRAINING", "UPDATING"} | TERMINAL,
    "CANCELLING": {"CANCELLED", "FAILED", "DONE"},
    "DRAINING": {"DRAINED", "FAILED", "CANCELLING", "CANCELLED"},
    "UPDATING": {"UPDATED", "FAILED"},
}
#: States that need somebody to ask for them.
ASKED_FOR = {"CANCELLING", "CANCELLED", "DRAINING", "DRAINED", "UPDATING", "UPDATED"}
TEXT = "the function failed as it was told"


def fails(program: Program) -> None:
    """A program whose function fails at its second element."""
    program.create([1, 2, 3]).par_do(Fn("fail", text=TEXT, expr=["==", ["value"], 2])).observe("out")


def legal(states: list[str], rule: str = "P-JOB-06") -> None:
    """Each state may follow the one before it."""
    __tracebackhide__ = True
    for earlier, later in pairwise(states):
        holds(
            earlier == later or later in FOLLOWS.get(earlier, set()),
            f"{later} followed {earlier}, in {' → '.join(states)}",
            expected=f"after {earlier}: {', '.join(sorted(FOLLOWS.get(earlier, set()))) or 'nothing'}",
            observed=" → ".join(states),
            rule=rule,
        )


@asserts("JOB05/running-then-done")
def test_running_then_done(runner: RunnerUnderTest) -> None:
    with started(runner, held) as job:
        job.is_held()
        state = job.state()
        holds(
            state not in TERMINAL and state != "UNSPECIFIED",
            f"the state of a job in the middle of a bundle is {state}",
            rule="P-JOB-03",
        )
        job.release()
        same(job.end(), "DONE", "the end of the job", rule="P-JOB-03")
        same(job.state(), "DONE", "GetState after the end", rule="P-JOB-03")


@asserts("JOB05/prepared-is-stopped")
def test_prepared_is_stopped(runner: RunnerUnderTest) -> None:
    with started(runner, run=False) as job:
        try:
            state = state_name(job.client.state(job.prepared.preparation_id))
        except Refused:
            return
        same(state, "STOPPED", "the state of a job that was prepared and not run", rule="P-JOB-06")


@asserts("JOB05/times-do-not-go-back")
def test_times_do_not_go_back(runner: RunnerUnderTest) -> None:
    with started(runner) as job:
        watch = job.watch_states()
        watch.wait_for_end(job.client.timeouts.run, "the end of the state stream")
        times = [(event.timestamp.seconds, event.timestamp.nanos) for event in watch.state_events]
        holds(all(time != (0, 0) for time in times), "a state came without its time", observed=times, rule="P-JOB-03")
        holds(times == sorted(times), "the times of the states go back", observed=times, rule="P-JOB-03")


def _complete(watch: Watch, seconds: float, state: str) -> None:
    __tracebackhide__ = True
    watch.wait_for_end(seconds, f"the state stream to end after {state} (seen: {' → '.join(watch.states) or 'nothing'})")
    reached = [each for each in watch.states if each in TERMINAL]
    same(reached, [state], "the terminal states in the stream", rule="P-JOB-03")
    same(watch.states[-1], state, "the last state of the stream", rule="P-JOB-03")


@asserts("JOB06/terminal-last-then-end")
def test_terminal_last_then_end(runner: RunnerUnderTest) -> None:
    with started(runner, held) as job:
        job.is_held()
        watch = job.watch_states()
        holds(watch.wait_for_event(job.soon), "the state stream of a running job gave no state at once", rule="P-JOB-03")
        holds(watch.states[-1] not in TERMINAL, f"the state of a held job is {watch.states[-1]}", rule="P-JOB-03")
        job.release()
        _complete(watch, job.client.timeouts.run, "DONE")


@asserts("JOB06/late-subscriber")
def test_late_subscriber(runner: RunnerUnderTest) -> None:
    with started(runner) as job:
        same(job.end(), "DONE", "the end of the job", rule="P-JOB-03")
        _complete(job.watch_states(), job.soon, "DONE")


@asserts("JOB06/two-subscribers")
def test_two_subscribers(runner: RunnerUnderTest) -> None:
    with started(runner, held) as job:
        job.is_held()
        first, second = job.watch_states(), job.watch_states()
        for watch in (first, second):
            holds(watch.wait_for_event(job.soon), "one of two state streams gave no state at once", rule="P-JOB-03")
        job.release()
        for watch in (first, second):
            _complete(watch, job.client.timeouts.run, "DONE")


@asserts("JOB06/before-run")
def test_before_run(runner: RunnerUnderTest) -> None:
    with started(runner, run=False) as job:
        watch = Watch(job.client.state_stream(job.prepared.preparation_id))
        try:
            answered = watch.wait_for_event(job.soon)
            if isinstance(watch.error, Refused):
                return
            holds(answered, "the state stream on a preparation id was taken, and gives no state before Run", rule="P-JOB-02")
            same(watch.states[0], "STOPPED", "the first state", rule="P-JOB-06")
        finally:
            watch.stop()


@asserts("JOB07/legal-transitions", alone=True)
def test_legal_transitions(case: Case) -> Scenario:
    plain(case.program)
    run = yield
    states = [event.state for event in run.outcome.states]
    legal(states)
    same([state for state in states if state in TERMINAL], ["DONE"], "the terminal states", rule="P-JOB-06")


@asserts("JOB07/failed-legal-transitions")
def test_failed_legal_transitions(runner: RunnerUnderTest) -> None:
    with started(runner, fails) as job:
        watch = job.watch_states()
        watch.wait_for_end(job.client.timeouts.run, "the state stream of a job that fails to end")
        legal(watch.states)
        same([state for state in watch.states if state in TERMINAL], ["FAILED"], "the terminal states", rule="P-JOB-06")
        same(job.state(), "FAILED", "GetState after the end", rule="P-JOB-06")


@asserts("JOB23/not-in-a-plain-job", alone=True)
def test_not_in_a_plain_job(case: Case) -> Scenario:
    plain(case.program)
    run = yield
    seen = {event.state for event in (*run.outcome.states, *run.outcome.message_states)}
    same(sorted(seen & ASKED_FOR), [], "states that nobody asked for", rule="P-JOB-06")
