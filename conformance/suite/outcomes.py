"""From how a job or a test ended to one of the six verdicts: exceptions of our own, and one pure mapping."""

from __future__ import annotations

from attrs import frozen

from conformance.endpoints import errors
from conformance.harness import LocalProtocolError, RemoteProtocolError
from conformance.report.verdicts import Verdict

__all__ = ["Blocked", "Declined", "EndpointGone", "JobEndedBadly", "Judgement", "NotExercised", "judge_exception"]


class Declined(Exception):
    """The runner refused the program, or its job failed naming the unsupported feature. The text is the runner's."""


class JobEndedBadly(Exception):
    """The job ended in a state that the scenario did not ask for."""


class Blocked(Exception):
    """A prerequisite did not pass, so that this assertion could not be judged."""


class NotExercised(Exception):
    """The assertion could not be judged on this endpoint in this mode; the text says why."""


class EndpointGone(Exception):
    """An endpoint that we did not start no longer answers; the run ends with what finished."""


@frozen
class Judgement:
    """A verdict with the phase in which it fell ("" when the job ran to its end) and one sentence."""

    verdict: Verdict
    message: str
    phase: str = ""


def judge_exception(error: BaseException) -> Judgement:
    """The verdict for what a test raised. Anything that is not known here is an error, never `wrong` (and never a pass)."""
    text = str(error).strip() or type(error).__name__
    match error:
        case AssertionError():
            return Judgement(Verdict.WRONG, text)
        case RemoteProtocolError():
            return Judgement(Verdict.WRONG, text, "protocol")
        case Declined():
            return Judgement(Verdict.DECLINED, text, "prepare")
        case Blocked() | NotExercised() | EndpointGone():
            return Judgement(Verdict.NO_VERDICT, text)
        case errors.PhaseTimeout():
            return Judgement(Verdict.TIMEOUT, text, str(error.phase))
        case errors.Refused():
            return Judgement(Verdict.DECLINED, text, str(error.phase))
        case errors.EndpointDied():
            return Judgement(Verdict.ERROR, text, str(error.phase))
        case JobEndedBadly():
            return Judgement(Verdict.ERROR, text, "run")
        case LocalProtocolError():
            return Judgement(Verdict.ERROR, f"our own fault, please report it: {text}", "harness")
        case _:
            return Judgement(Verdict.ERROR, f"{type(error).__name__}: {text}")
