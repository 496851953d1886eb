"""Runs programs on the endpoint under test: one job each or packed, with a harness session, deadlines, and restarts.

The result of a program is the same packed or not: a pack in which anything goes wrong is split until the failing program
stands alone, and only then is that program judged.
"""

from __future__ import annotations

import gc
import hashlib
import pkgutil
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from functools import cache, cached_property
from typing import Any, NoReturn

from attrs import frozen
from google.protobuf.message import Message

from conformance.endpoints import Endpoint, JobClient, errors
from conformance.endpoints.outcome import JobOutcome, Phase, Timeouts
from conformance.endpoints.refusal import Ending, classify, explain
from conformance.harness import Session, invariants
from conformance.harness.__main__ import FUNCTIONS_VARIABLE
from conformance.harness.invariants import Finding
from conformance.harness.transcript import End, Transcript
from conformance.pipeline import Program, pack, violations
from conformance.suite.case import Case
from conformance.suite.containers import Containers
from conformance.suite.interface import Reach
from conformance.suite.outcomes import Declined, EndpointGone, JobEndedBadly, NotExercised
from conformance.suite.run import Run
from conformance.suite.scripting import IN_STEP, SDF, TESTSTREAM, in_step
from conformance.suite.settings import Settings
from conformance.wire import urns
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["RunnerUnderTest", "digest", "own_errors"]


#: Garbage is collected after a transcript of so many bytes; left alone, a run peaks at some 800 MB a process instead of 350.
LARGE_BYTES = 4 << 20
#: Of so many breaches of one invariant the messages around are kept.
KEPT_BREACHES = 3
#: What a job gets for each program that is packed into it, on top of what any job gets.
BRANCH_SECONDS = 1.0
#: How many messages before and after the first wrong one are kept.
AROUND = 30


#: What a bundle descriptor must be like; a runner may find out by its worker that it cannot run a pipeline, and fail the job.
DESCRIPTOR_RULES = frozenset(f"I-CTL-{number:02}" for number in range(5, 14))
#: What ends with the job: requests of bundles that were under way when another bundle failed it.
CUT_SHORT_RULES = frozenset({"I-ST-08"})


@frozen
class Breach:
    """A finding of an always-on invariant, the job it was seen in, and the messages around the first wrong one."""

    finding: Finding
    job: str
    around: list[dict[str, Any]]
    #: The mode in which results tell of the job.
    mode: str = "batch"


def events_around(transcript: Transcript, seq: int) -> list[dict[str, Any]]:
    """The events near `seq`, as JSON-able data."""
    return [event.to_json() for event in transcript.events() if abs(event.seq - seq) <= AROUND]


class RunnerUnderTest:
    """The endpoint under test as the suite uses it: sessions, jobs, packs; every job's transcript is checked here."""

    def __init__(self, endpoint: Endpoint, settings: Settings, pack_size: int = 1) -> None:
        self.endpoint = endpoint
        self.settings = settings
        self.pack_size = pack_size
        #: Violations of always-on invariants, over all jobs, and how often each rule had something to look at.
        self.breaches: list[Breach] = []
        #: The latter by mode and rule: what streaming jobs showed says nothing about batch.
        self.checked: Counter[tuple[str, str]] = Counter()
        self._breached: Counter[str] = Counter()
        self.jobs = 0
        #: The mode of the assertion at hand, for runners whose options differ by it.
        self.mode = "batch"
        #: The harness in containers, for whoever asks.
        self.containers = Containers()
        #: The last run, as evidence for property-based tests.
        self.last_run: Run | None = None
        #: Was there a large transcript since garbage was last collected?
        self._large = False
        #: What the assertion at hand asked the runner to run, in order: digests of pipelines, drawn programs in words.
        self.asked: list[str] = []
        #: What of Beam's interface the transcripts held, if the settings ask for it.
        self.reach = Reach()
        self._seen: list[Transcript] = []
        #: What played the scripts of the assertion at hand, "" if it has none; as evidence for property-based tests.
        self.played_by = ""
        #: Admissible behaviour in which runners differ, seen in generated programs of the assertion at hand, and how often.
        self.remarks: Counter[str] = Counter()
        #: How many generated scripts had an outcome that only a lagging watermark explains, or may explain.
        self.lagged = 0
        self._never: dict[str, str] = {}
        self._budgets = Timeouts(run=endpoint.profile.job_seconds)
        self._client = JobClient(endpoint, timeouts=self._budgets, timeout_scale=settings.timeout_scale, end_event=End)
        self._waiting: deque[Case] = deque()
        self._done: dict[Case, Run | Exception] = {}

    def begin(self, mode: str) -> None:
        """Make ready for the next assertion; nothing of the one before it is kept."""
        self.played_by = ""
        self.mode = mode
        self.remarks.clear()
        self.asked.clear()
        self.last_run = None
        if self._large:  # transcripts hang in cycles, and the collector counts objects, not bytes
            gc.collect()
            self._large = False

    # -- what this runner does and never does, learned once a run

    @cached_property
    def script_source(self) -> str:
        """What plays event scripts: as asked for, or TestStream unless the runner declines it, or lets its events overtake the watermark
        (what area K then says), so that a script would show nothing else."""
        if self.settings.script_source != "auto":
            return self.settings.script_source
        try:
            (run,) = self.run_builders([in_step], label="is-there-a-test-stream")
        except Declined:
            return SDF
        except EndpointGone:
            raise
        except Exception:  # it has one, and it fails: whoever asks for it will say how
            return TESTSTREAM
        return TESTSTREAM if run.sorted_values("out") == IN_STEP else SDF

    def needs(self, habit: str) -> None:
        """Raise NotExercised at once if an earlier assertion of this run waited for `habit` ("split", "progress") in vain."""
        __tracebackhide__ = True
        if habit in self._never:
            raise NotExercised(f"{self._never[habit]} (seen earlier in this run)")

    def never_saw(self, habit: str, reason: str) -> NoReturn:
        """Raise NotExercised with `reason`, and remember it, so that no other assertion waits for the same."""
        __tracebackhide__ = True
        self._never.setdefault(habit, reason)
        raise NotExercised(reason)

    # -- plumbing for probes

    def client(self, transcript: Any = None) -> JobClient:
        """A job client of its own, for probes that drive the Job API themselves; a managed endpoint that is dead is replaced first.

        Raises EndpointGone when there is no endpoint left to ask.
        """
        self._ensure_alive()
        return JobClient(
            self.endpoint,
            transcript=transcript,
            timeouts=self._budgets,
            timeout_scale=self.settings.timeout_scale,
            end_event=End,
        )

    def recover(self, error: BaseException | None = None) -> None:
        """After a probe met `error`: a managed endpoint that died or hung is replaced, so that the next assertion is judged on a
        healthy one. Raises EndpointGone when there is no endpoint left to ask.
        """
        if isinstance(error, errors.PhaseTimeout):
            self._after_trouble(dead=False)
        elif isinstance(error, errors.EndpointDied | errors.EndpointUnreachable):
            self._after_trouble(dead=True)
        else:
            self._ensure_alive()

    def session(self, **options: Any) -> Session:
        """A harness session for one job; use it as a context manager."""
        session = Session(**options)
        if self.settings.reach:
            self._seen.append(session.transcript)
        return session

    def look(self) -> None:
        """Take in what the messages of the assertion at hand reached of Beam's interface."""
        for event in (event for transcript in self._seen for event in transcript.events()):
            if isinstance(event.message, Message):
                self.reach.look(event.message)
        self._seen.clear()

    def environment(self, session: Session) -> pb.Environment:
        """The environment that the run was asked to use: the session's own worker pool, a process or a container of its own.

        Raises NotExercised if that is a container and no engine answers.
        """
        if self.settings.environment == "process":
            return session.process_environment(function_variables())
        if self.settings.environment == "docker":
            return self.containers.environment(session, function_variables())
        return session.environment()

    def job_options(self, extra: dict[str, Any] | None = None) -> dict[str, Any]:
        """Pipeline options: the profile's for the mode of the assertion at hand, then `extra`."""
        return {**self.endpoint.options(self.mode), **(extra or {})}

    def submit(
        self,
        pipeline: pb.Pipeline,
        session: Session,
        *,
        options: dict[str, Any] | None = None,
        label: str = "job",
        patience: float | None = None,
        **job: Any,
    ) -> JobOutcome:
        """Run one pipeline to its end, or as far as it gets, and check the invariants of its transcript.

        `patience`: seconds (scaled as every budget) for the job to end, where a wrong runner hangs. Whatever happened is in the
        outcome. Raises EndpointGone when there is no endpoint left to ask.
        """
        __tracebackhide__ = True
        self._ensure_alive()
        self.jobs += 1
        client = self._client if patience is None else self._client.patient(patience * self.settings.timeout_scale)
        job |= {"options": self.job_options(options), "job_name": label, "transcript": session.transcript}
        try:
            outcome = client.run_job(pipeline, **job)
            if self.endpoint.managed and (classify(outcome) is Ending.POISONED or _died_before_it_was_asked(outcome)):
                # An earlier job did it, and was told so as its own result; this one has not been asked yet.
                self._restart()
                outcome = client.run_job(pipeline, **job)
        finally:
            session.close()
        self._check(session, pipeline, label, failed=outcome.state == "FAILED")
        if isinstance(outcome.error, errors.EndpointDied | errors.EndpointUnreachable):
            self._after_trouble(dead=True)
        elif isinstance(outcome.error, errors.PhaseTimeout):
            self._after_trouble(dead=False)
        return outcome

    def run_pipeline(
        self, build: Callable[[Session], pb.Pipeline], *, label: str, any_outcome: bool = False, **options: Any
    ) -> Run:
        """Run what `build` makes of a fresh session, as a job of its own, and raise unless it ended DONE (or `any_outcome`)."""
        __tracebackhide__ = True
        session_options = options.pop("session_options", {})
        session = self.session(**session_options)
        pipeline = build(session)
        self.asked.append(digest(pipeline))
        outcome = self.submit(pipeline, session, label=label, **options)
        run = Run("", outcome, session, pipeline)
        self.last_run = run
        if not any_outcome:
            raise_unless_done(outcome, session)
        return run

    def run_builders(
        self, builders: Sequence[Callable[[Program], object]], *, label: str, patience: float | None = None
    ) -> list[Run]:
        """Run programs that builder functions make, in one job: a run each. Raises unless the job ended DONE. `patience` as in `submit`."""
        __tracebackhide__ = True
        session = self.session()
        prefixes = [f"g{index}." for index in range(len(builders))]
        pipelines = []
        for prefix, build in zip(prefixes, builders, strict=True):
            program = Program(label, prefix=prefix)
            build(program)
            pipelines.append(program.build(self.environment(session)))
        pipeline = _one_pipeline(pipelines)
        outcome = self.submit(pipeline, session, label=label, patience=patience)
        runs = [Run(prefix, outcome, session, pipeline, shared=len(builders) > 1) for prefix in prefixes]
        self.last_run = runs[0]
        raise_unless_done(outcome, session)
        return runs

    # -- cases

    def expect(self, cases: Iterable[Case]) -> None:
        """Tell which packable cases will come, in order, so that they may run together with the one whose turn it is."""
        self._waiting.extend(cases)

    def run_case(self, case: Case) -> Run:
        """The run of `case`; later packable cases may be run with it. Raises what kept the case from a judgeable run."""
        __tracebackhide__ = True
        if case not in self._done:
            members = [case]
            if case.mark.packable and self.pack_size > 1:
                members += self._companions(case)
            self._run_members(members)
        if case in self._waiting:
            self._waiting.remove(case)
        result = self._done.pop(case)
        if isinstance(result, Exception):
            raise result
        self.last_run = result
        return result

    def run_alone(self, case: Case) -> Run:
        """The run of `case` in a job of its own, whatever was run before. Raises as `run_case` does."""
        __tracebackhide__ = True
        self._run_members([case])
        return self.run_case(case)

    def _companions(self, case: Case) -> list[Case]:
        found: list[Case] = []
        while self._waiting and len(found) < self.pack_size - 1:
            other = self._waiting.popleft()
            if other is case or other in self._done or other.mark.modes != case.mark.modes:
                continue
            try:
                other.prepare()
            except Exception:  # the scenario itself is broken: it says so when its own turn comes
                continue
            found.append(other)
        return found

    def _run_members(self, members: Sequence[Case]) -> None:
        """Fill `_done` for each member: run the pack, and divide it as long as it is more than one and goes wrong."""
        try:
            runs = self._run_together(members)
        except EndpointGone:
            raise
        except Exception as error:
            if len(members) == 1:
                self._done[members[0]] = error
                return
            for part in _divided(members, str(error)):
                self._run_members(part)
        else:
            self._done.update(zip(members, runs, strict=True))

    def _run_together(self, members: Sequence[Case]) -> list[Run]:
        first = members[0]
        alone = len(members) == 1
        session_options = dict(first.session_options) if alone else {}
        if alone and first.capabilities is not None:
            session_options["capabilities"] = first.capabilities
        session = self.session(**session_options)
        pipeline = _one_pipeline([case.program.build(self.environment(session)) for case in members])
        if alone:
            options, label, job = first.options, first.mark.assertion, first.job_options
        else:
            options, label = None, f"pack-of-{len(members)}"
            job = {"patience": self.endpoint.profile.job_seconds + BRANCH_SECONDS * len(members)}
        outcome = self.submit(pipeline, session, options=options, label=label, **job)
        runs = [Run(case.prefix, outcome, session, pipeline, shared=not alone) for case in members]
        if alone:
            first.run = runs[0]
        if not (alone and first.mark.any_outcome):
            raise_unless_done(outcome, session)
        return runs

    # -- health and invariants

    def _check(self, session: Session, pipeline: pb.Pipeline, label: str, *, failed: bool) -> None:
        messages = (event.message for event in session.transcript.events())
        size = sum(message.ByteSize() for message in messages if isinstance(message, Message))
        self._large |= size > LARGE_BYTES
        if self.settings.environment != "loopback":  # the Fn API side of the transcript is in the processes
            return
        if session.script.breaks_protocol:  # what a runner makes of such a worker is its freedom (o_control.misbehaving)
            return
        if violations(pipeline):  # negative tests: what a runner makes of an invalid pipeline breaks no rule
            return
        findings, checked = invariants.judge(session.transcript, pipeline)
        self.checked.update({(self.endpoint.mode or self.mode, rule): looks for rule, looks in checked.items()})
        for finding in findings:
            if finding.side == "H" and session.script:  # a fault that the scenario injected
                continue
            if failed and finding.invariant in DESCRIPTOR_RULES | CUT_SHORT_RULES:
                continue
            self._breached[finding.invariant] += 1
            kept = self._breached[finding.invariant] <= KEPT_BREACHES
            around = events_around(session.transcript, finding.seq) if kept else []
            self.breaches.append(Breach(finding, label, around, self.endpoint.mode or self.mode))

    def _ensure_alive(self) -> None:
        if self.endpoint.alive():
            return
        if not self.endpoint.managed:
            raise EndpointGone(
                f"{self.endpoint.url} no longer answers; start it again and repeat the run (what finished is in the results)"
            )
        self._restart()

    def _restart(self) -> None:
        """Start a managed endpoint anew, and warm it up if it is slow at first: what comes next has budgets for one that is warm."""
        self.endpoint.restart()
        self.warm_up()

    def warm_up(self) -> None:
        """Run a trivial job where the profile says that the first one takes long; whatever comes of it is nobody's verdict."""
        if not self.endpoint.profile.slow_at_first:
            return
        program = Program("warm-up")
        program.create([("k", 1)]).group_by_key().observe("out")
        with self.session() as session:
            self._client.run_job(
                program.build(session.environment()),
                options=self.endpoint.options(self.mode),
                job_name="beam-conformance-warm-up",
                transcript=session.transcript,
            )

    def _after_trouble(self, *, dead: bool) -> None:
        """A managed endpoint that died or hung is replaced, so that the next assertion is judged on a healthy one."""
        if self.endpoint.managed:
            self._restart()
        elif dead and not self.endpoint.alive():
            raise EndpointGone(f"{self.endpoint.url} died in the middle of a job; what finished is in the results")


def _divided(members: Sequence[Case], told: str) -> tuple[Sequence[Case], Sequence[Case]]:
    """Two parts of a pack that went wrong: those whose ids the error names and the rest, which saves most of the jobs that halving takes;
    halves if it names none or all."""
    named = [case for case in members if case.prefix in told]
    if 0 < len(named) < len(members):
        return named, [case for case in members if case not in named]
    middle = len(members) // 2
    return members[:middle], members[middle:]


def _died_before_it_was_asked(outcome: JobOutcome) -> bool:
    """Whether the endpoint was gone before it had the pipeline: a process may go down some moments after the job that did it had its
    answer. A pipeline that an endpoint dies of in Prepare does so a second time."""
    gone = isinstance(outcome.error, errors.EndpointDied | errors.EndpointUnreachable)
    return gone and outcome.phase in (Phase.CONNECT, Phase.DESCRIBE, Phase.PREPARE)


@cache
def function_modules() -> tuple[str, ...]:
    """The suite's modules that register functions, for harnesses in other processes."""
    import conformance.suite

    found = pkgutil.walk_packages(conformance.suite.__path__, "conformance.suite.")
    return tuple(info.name for info in found if info.name.rpartition(".")[2] == "functions")


def function_variables() -> dict[str, str]:
    """The variables by which a harness in another process finds the suite's functions."""
    return {FUNCTIONS_VARIABLE: " ".join(function_modules())}


def _one_pipeline(pipelines: Sequence[pb.Pipeline]) -> pb.Pipeline:
    """A single pipeline as it is, several as branches of one."""
    return pipelines[0] if len(pipelines) == 1 else pack([(f"b{index}", each) for index, each in enumerate(pipelines)])


def digest(pipeline: pb.Pipeline) -> str:
    """Tells pipelines apart, and equal ones of two runs not: the address of the harness, which is new in each job, is left out."""
    plain = pb.Pipeline()
    plain.CopyFrom(pipeline)
    for environment in plain.components.environments.values():
        if environment.urn in (urns.Env.EXTERNAL, urns.Env.PROCESS):
            environment.ClearField("payload")
    return hashlib.sha256(plain.SerializeToString(deterministic=True)).hexdigest()[:16]


def raise_unless_done(outcome: JobOutcome, session: Session | None = None) -> None:
    """Raise what kept the job from DONE: the client's error, Declined or JobEndedBadly with the runner's own text.

    A job that failed because our harness refused what the runner sent is the runner's fault in the protocol, and is told so.
    """
    __tracebackhide__ = True
    told = explain(outcome, own_errors=own_errors(session) if session else ())
    if told.ending is Ending.DONE:
        return
    for error in session.remote_errors if session is not None else ():
        if str(error) in outcome.error_text:
            raise error
    if told.ending is Ending.DECLINED:
        rest = outcome.error_text.replace(told.feature, "").split("\n")[1:6] if told.feature else []
        raise Declined(" ".join([told.because, *(line.strip() for line in rest if line.strip())]))
    outcome.raise_for_error()
    raise JobEndedBadly(f"{told.because}\n{outcome.error_text}".strip())


def own_errors(session: Session) -> list[str]:
    """The texts that our harness sent to the runner as errors: whatever they say, it is not the runner that says it."""
    return [str(error) for error in [*session.remote_errors, *session.local_errors]]
