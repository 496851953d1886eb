"""How a job ended, in one word: above all, whether the runner declined it. Pure: an outcome in, a word and its reason out.

Declined means that the runner said which feature it lacks: at Prepare or Run, or at the latest in the ERROR message of a FAILED
job (P-JOB-13). A crash is never declined, whatever its text holds; nor does a text count that our own harness sent.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable

from attrs import frozen

from conformance.endpoints.errors import (
    ArtifactUnreadable,
    EndpointDied,
    EndpointUnreachable,
    NotAJobService,
    PhaseTimeout,
    Refused,
    StagingViolation,
)
from conformance.endpoints.outcome import JobOutcome, Phase

__all__ = ["PHRASES", "Ending", "Explanation", "Phrase", "classify", "explain", "unsupported"]


class Ending(enum.StrEnum):
    """How a job ended."""

    DONE = "done"
    #: refused, naming what the runner lacks
    DECLINED = "declined"
    #: refused at Prepare, Run or staging for another reason, or without one
    REFUSED = "refused"
    FAILED = "failed"
    CANCELLED = "cancelled"
    DRAINED = "drained"
    UPDATED = "updated"
    TIMEOUT = "timeout"
    #: the endpoint went away or cannot be reached
    DIED = "died"
    #: failed because an earlier job broke the runner: restart it and try again
    POISONED = "poisoned"
    #: this side was at fault: the job never had a chance
    CALLER = "caller"


@frozen
class Explanation:
    """An ending and the sentence why; `feature` is the part of the runner's text that names what it lacks."""

    ending: Ending
    because: str
    feature: str = ""


@frozen
class Phrase:
    """A form of words that means "I do not support this", and who says it."""

    pattern: re.Pattern[str]
    who: str


def _phrase(pattern: str, who: str) -> Phrase:
    return Phrase(re.compile(pattern, re.IGNORECASE), who)


#: From the particular to the general. The particular ones were seen on the runners named (docs/protocol.md, P-JOB-12, P-JOB-13).
PHRASES: tuple[Phrase, ...] = (
    _phrase(r"unsupported feature \"[^\"]+\" set with value[^\n]*", "Prism, Prepare"),
    _phrase(r"doesn't support the following required features: [^\n]+", "Prism, Prepare"),
    _phrase(r"\d+ uses of features unimplemented in prism[^\n]*", "Prism, Prepare"),
    _phrase(r"environment \S+ with urn \S+ unimplemented", "Prism, job"),
    _phrase(r"unimplemented runner transform\[[^\]]*\]", "Prism, job"),
    _phrase(r"\w+, unknown urn: spec:", "Prism, job"),
    _phrase(r"NotImplementedError: \S[^\n]*", "Python service, job"),
    _phrase(r"Unable to run pipeline with requirement: \S+", "Python service, job"),
    _phrase(r"Unknown state type: \S+", "Python service, job"),
    _phrase(r"UnsupportedOperationException: [^\n]+", "Flink and Spark, job"),
    _phrase(r"does not have a registered bundle \w+ handler", "Flink and Spark, job"),
    _phrase(r"Unknown or unsupported WindowFn: [^\n]+", "Flink and Spark, job"),
    _phrase(r"Unknown type of URN \S+ for PTransform[^\n]*", "Flink, job"),
    _phrase(r"Transform \S+ has unknown URN \S+", "Spark, job"),
    _phrase(r"requires all root nodes to be runner-implemented[^\n]*", "Flink and Spark, job"),
    _phrase(
        r"(?m:^)[^\n]*\b(?:does not|doesn't|do not|don't|cannot|can't)(?: yet| currently)? support (?!it\b|this\b)[^\n]+", "any"
    ),
    _phrase(r"(?m:^)[^\n]*\S (?:not |not yet |not currently )(?:supported|implemented)\b[^\n]*", "any"),
    # Python's TypeError, Java's class file errors and io.UnsupportedOperation use the word for other things.
    _phrase(r"(?m:^)[^\n]*\b(?:unsupported|unimplemented)\b(?! operand| class |$)[^\n]*", "any"),
    _phrase(r"(?m:^)[^\n]*\S (?:currently |as yet )?(?:unsupported|unimplemented)$", "any"),
)

#: A refusal that shows one of these is a crash in disguise, unless one of the phrases says otherwise.
_CRASH = re.compile(
    r"panic:|SIGSEGV|nil pointer|NullPointerException|ClassCastException|IllegalStateException|OutOfMemory|"
    r"\b(?:KeyError|TypeError|ValueError|AttributeError|IndexError|AssertionError|StopIteration|RecursionError)\b"
)
_POISONED = re.compile(r"Only one SparkContext should be running in this JVM")
#: Statuses of a server that is in trouble; what it lacks it would tell with another.
_TROUBLE = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "RESOURCE_EXHAUSTED", "DATA_LOSS"})
_URN = re.compile(r"\bbeam:[a-z_]+:[a-z0-9_]+(?::v[0-9]+)?")
_TERMINAL: dict[str, tuple[Ending, str]] = {
    "DONE": (Ending.DONE, "the job ended DONE"),
    "CANCELLED": (Ending.CANCELLED, "the job ended CANCELLED"),
    "DRAINED": (Ending.DRAINED, "the job ended DRAINED"),
    "UPDATED": (Ending.UPDATED, "the job ended UPDATED"),
}


def classify(outcome: JobOutcome, own_errors: Iterable[str] = (), features: Iterable[str] = ()) -> Ending:
    """The word for an outcome; see `explain`."""
    return explain(outcome, own_errors, features).ending


def explain(outcome: JobOutcome, own_errors: Iterable[str] = (), features: Iterable[str] = ()) -> Explanation:
    """The word and why. `own_errors` are texts that the harness sent, which are not the runner's; `features` are names (URNs,
    words) that count as naming the feature in a refusal at Prepare or Run, beside any Beam URN."""
    match outcome.error:
        case Refused() as refused:
            return _refused(refused, own_errors, features)
        case PhaseTimeout() | EndpointDied() | EndpointUnreachable() | NotAJobService() as error:
            return Explanation(Ending.TIMEOUT if isinstance(error, PhaseTimeout) else Ending.DIED, _first_line(str(error)))
        case StagingViolation() as error:
            return Explanation(Ending.FAILED, _first_line(str(error)))
        case ArtifactUnreadable() as error:
            return Explanation(Ending.CALLER, _first_line(str(error)))
    if outcome.state in _TERMINAL:
        return Explanation(*_TERMINAL[outcome.state])
    if outcome.state != "FAILED":
        return Explanation(Ending.FAILED, f"the job was left in state {outcome.state or 'unknown'}")
    text = _without(outcome.error_text, own_errors)
    if _POISONED.search(text):
        return Explanation(Ending.POISONED, _first_line(text))
    if feature := unsupported(text):
        return Explanation(Ending.DECLINED, f"the job FAILED, saying: {feature}", feature)
    return Explanation(Ending.FAILED, f"the job FAILED: {_last_line(text) or 'the runner gave no reason'}")


def unsupported(text: str) -> str:
    """The part of a runner's text that says what it does not support; empty if nothing does. Stack traces do not count."""
    said = _said(text)
    for phrase in PHRASES:
        if match := phrase.pattern.search(said):
            return match[0].strip()
    return ""


def _refused(refused: Refused, own_errors: Iterable[str], features: Iterable[str]) -> Explanation:
    where = f"{refused.method} was refused with {refused.code}"
    text = _without(refused.text, own_errors)
    said = f"{where}: {_first_line(text)}" if text else f"{where} and no text"
    if refused.code in _TROUBLE:
        return Explanation(Ending.FAILED, said)
    if refused.phase not in (Phase.PREPARE, Phase.START):
        return Explanation(Ending.REFUSED, said)
    if feature := unsupported(text):
        return Explanation(Ending.DECLINED, f"{where}: {feature}", feature)
    if _CRASH.search(text):
        return Explanation(Ending.FAILED, said)
    named = _URN.search(text)
    feature = named[0] if named else next((name for name in features if name and name.lower() in text.lower()), "")
    if feature:
        return Explanation(Ending.DECLINED, said, feature)
    return Explanation(Ending.REFUSED, said)


#: A line is searched for a refusal in so many characters at its start and at its end: some searches take the square of its length,
#: and a function may fail with a reason of a mebibyte.
_LINE_ENDS = 1000


def _said(text: str) -> str:
    """The lines of a text that are messages, without those of stack traces (indented in Python, Java and Go), long ones cut."""
    lines = (line for line in text.splitlines() if line[:1] not in (" ", "\t"))
    return "\n".join(line if len(line) <= 2 * _LINE_ENDS else f"{line[:_LINE_ENDS]} … {line[-_LINE_ENDS:]}" for line in lines)


def _without(text: str, own_errors: Iterable[str]) -> str:
    for own in own_errors:
        if own:
            text = text.replace(own, "")
    return text


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2].strip()
