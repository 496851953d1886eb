"""PROCESS environments: workers that the runner starts by command."""

from __future__ import annotations

from collections.abc import Callable

from conformance.harness.__main__ import FUNCTIONS_VARIABLE
from conformance.pipeline import Fn, Program, coders
from conformance.suite.assertions import asserts
from conformance.suite.checks import holds, same
from conformance.suite.execution import RunnerUnderTest, raise_unless_done
from conformance.suite.m_job_api.driving import Job, build, plain, probing, run_program
from conformance.suite.outcomes import Declined
from conformance.suite.run import Run
from conformance.suite.s_environments import functions
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

GROUPED = {"k": [1, 2, 3]}
NOTE = "BEAM_CONFORMANCE_NOTE"
MISSING = "/beam-conformance/no/such/command"


def _run(runner: RunnerUnderTest, program: Callable[[Program], object], label: str, **variables: str) -> Run:
    """A job whose workers are processes. Raises Declined if the runner names the environment as the reason why not."""
    __tracebackhide__ = True
    run = run_program(
        runner, program, label=label, environment=lambda session: session.process_environment(env=variables), any_outcome=True
    )
    text = run.outcome.error_text
    if run.outcome.state != "DONE" and urns.Env.PROCESS in text:
        raise Declined(f"the runner starts no processes: {text.strip().splitlines()[0]}")
    raise_unless_done(run.outcome, run.session)
    return run


@asserts("ENV02/process-runs")
def test_process_runs(runner: RunnerUnderTest) -> None:
    same(_run(runner, plain, "process").groups("out"), GROUPED, rule="P-ENV-06")


@asserts("ENV02/env-given")
def test_env_given(runner: RunnerUnderTest) -> None:
    def noting(program: Program) -> None:
        program.create([1]).par_do(Fn("environment_variable", name=NOTE), coders.STRING).observe("out")

    odd = "a b=c 'd' \"e\" $HOME ü"
    run = _run(runner, noting, "process-env", **{NOTE: odd, FUNCTIONS_VARIABLE: functions.__name__})
    same(run.values("out"), [odd], "the variable as the process has it", rule="P-ENV-06")


@asserts("ENV02/unstartable-fails")
def test_unstartable_fails(runner: RunnerUnderTest) -> None:
    session = runner.session()
    with session, probing(runner, session) as client:
        payload = pb.ProcessPayload(command=MISSING)
        environment = pb.Environment(
            urn=urns.Env.PROCESS, payload=payload.SerializeToString(), capabilities=sorted(session.capabilities)
        )
        pipeline = build(session, plain, environment)
        prepared = client.prepare(pipeline, runner.job_options(), "missing-command")
        client.stage(prepared, pipeline)
        job = Job(runner, client, session, pipeline, prepared, client.run(prepared.preparation_id))
        runner.last_run = job.as_run()
        messages = job.watch_messages()
        end = job.end(job.hung)
        same(end, "FAILED", "the end of a job whose workers cannot be started", rule="M-BNDL-04")
        messages.wait_for_end(job.soon, "the message stream of a job that FAILED to end")
        text = "\n".join(message.message_text for message in messages.messages)
        if urns.Env.PROCESS in text and MISSING not in text:
            raise Declined("the runner starts no processes")
        holds(MISSING in text, "the reason does not name the command", expected=MISSING, observed=text, rule="M-BNDL-04")
