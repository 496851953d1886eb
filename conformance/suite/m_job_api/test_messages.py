"""The message stream: messages among states, the reason of a failure, who comes late."""

from __future__ import annotations

from conformance.endpoints import Wants
from conformance.endpoints.outcome import TERMINAL, Importance, state_name
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.m_job_api.driving import Watch, held, started
from conformance.suite.m_job_api.test_states import TEXT, fails


def _errors(watch: Watch) -> list[str]:
    return [message.message_text for message in watch.messages if message.importance == Importance.ERROR]


@asserts("JOB08/failed-with-user-text", any_outcome=True)
def test_failed_with_user_text(case: Case) -> Scenario:
    fails(case.program)
    case.job_options = {"wants": Wants(messages="always")}
    run = yield
    run.outcome.raise_for_error()
    same(run.outcome.state, "FAILED", "the end of a job whose function fails", rule="P-JOB-07")
    errors = [message.text for message in run.outcome.messages if message.importance == Importance.ERROR]
    holds(
        any(TEXT in text for text in errors),
        "no ERROR message holds the text of the function's error",
        expected=TEXT,
        observed=errors,
        rule="P-JOB-05",
    )


@asserts("JOB08/error-before-stream-ends")
def test_error_before_stream_ends(runner: RunnerUnderTest) -> None:
    with started(runner, fails) as job:
        watch = job.watch_messages()
        watch.wait_for_end(job.client.timeouts.run, "the message stream of a job that fails to end")
        holds(
            any(text.strip() for text in _errors(watch)),
            "the message stream of a FAILED job ended without a message of importance ERROR",
            observed=[(message.importance, message.message_text[:100]) for message in watch.messages],
            rule="P-JOB-05",
        )


@asserts("JOB08/error-in-late-stream")
def test_error_in_late_stream(runner: RunnerUnderTest) -> None:
    with started(runner, fails) as job:
        same(job.end(), "FAILED", "the end of the job", rule="P-JOB-07")
        watch = job.watch_messages()
        watch.wait_for_end(job.soon, "a message stream that was opened after the end to end")
        holds(any(_errors(watch)), "a message stream opened after FAILED gives no ERROR message", rule="P-JOB-05")


def _read_along(runner: RunnerUnderTest) -> Watch:
    """The message stream of a job, opened while it was held and read to its end."""
    with started(runner, held) as job:
        job.is_held()
        watch = job.watch_messages()
        job.release()
        watch.wait_for_end(job.client.timeouts.run, "the message stream to end after the job")
        same(job.end(), "DONE", "the end of the job", rule="P-JOB-04")
        return watch


@asserts("JOB09/states-among-messages")
def test_states_among_messages(runner: RunnerUnderTest) -> None:
    watch = _read_along(runner)
    holds(watch.has_state("DONE"), "the message stream gave no DONE", expected="DONE", observed=watch.states, rule="P-JOB-04")


@asserts("JOB09/nothing-after-done")
def test_nothing_after_done(runner: RunnerUnderTest) -> None:
    watch = _read_along(runner)
    after: list[str] = []
    over = False
    for event in watch.events:
        kind = event.WhichOneof("response")
        if over:
            after.append(str(event))
        over = over or (kind == "state_response" and state_name(event.state_response.state) in TERMINAL)
    same(after, [], "what follows DONE in the message stream", rule="P-JOB-04")


@asserts("JOB09/messages-well-formed")
def test_messages_well_formed(runner: RunnerUnderTest) -> None:
    with started(runner, fails) as job:
        watch = job.watch_messages()
        watch.wait_for_end(job.client.timeouts.run, "the message stream of a job that fails to end")
        known = {importance.value for importance in Importance} - {Importance.UNSPECIFIED}
        odd = [message for message in watch.messages if message.importance not in known or not message.message_text.strip()]
        same(odd, [], "messages without text or known importance", rule="P-JOB-17")


@asserts("JOB10/late-message-stream-ends")
def test_late_message_stream_ends(runner: RunnerUnderTest) -> None:
    with started(runner) as job:
        same(job.end(), "DONE", "the end of the job", rule="P-JOB-04")
        watch = job.watch_messages()
        watch.wait_for_end(job.soon, "a message stream that was opened after the end to end")


@asserts("JOB10/late-message-stream-has-state")
def test_late_message_stream_has_state(runner: RunnerUnderTest) -> None:
    with started(runner) as job:
        same(job.end(), "DONE", "the end of the job", rule="P-JOB-04")
        watch = job.watch_messages()
        watch.wait_for_end(job.soon, "a message stream that was opened after the end to end")
        holds(watch.has_state("DONE"), "a late message stream gives no DONE", observed=watch.states, rule="P-JOB-04")
