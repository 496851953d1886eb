"""What counts as declined: a table of the texts that runners really send, and of texts that only look like it."""

from __future__ import annotations

import time

import pytest

from conformance.endpoints.errors import (
    ArtifactUnreadable,
    EndpointDied,
    EndpointError,
    EndpointUnreachable,
    PhaseTimeout,
    Refused,
    StagingViolation,
)
from conformance.endpoints.outcome import JobMessage, JobOutcome
from conformance.endpoints.refusal import Ending, classify, explain, unsupported

TRACEBACK = """\
Traceback (most recent call last):
  File "fn_runner.py", line 366, in run
    raise NotImplementedError(transform.spec.urn)
"""

#: (gRPC status, text) of a refusal at Prepare or Run, and the word for it.
REFUSALS: list[tuple[str, str, Ending]] = [
    ("UNKNOWN", "prism runner doesn't support the following required features: beam:requirement:x:v1", Ending.DECLINED),
    (
        "UNKNOWN",
        "found 1 uses of features unimplemented in prism in job p:\n"
        'unsupported feature "WindowingStrategy.MergeStatus" set with value NEEDS_MERGE',
        Ending.DECLINED,
    ),
    ("UNKNOWN", f"Exception calling application: {TRACEBACK}NotImplementedError: beam:transform:teststream:v1", Ending.DECLINED),
    ("INVALID_ARGUMENT", "cannot run beam:transform:teststream:v1 here", Ending.DECLINED),
    ("UNIMPLEMENTED", "triggers are not supported", Ending.DECLINED),
    ("UNKNOWN", "merging windows: unsupported", Ending.DECLINED),
    ("UNKNOWN", "unimplemented: merging windows", Ending.DECLINED),
    ("UNKNOWN", "UnsupportedClassVersionError: Unsupported class file major version 61", Ending.REFUSED),
    ("FAILED_PRECONDITION", "Side inputs with triggers are currently unsupported by this runner", Ending.DECLINED),
    ("UNKNOWN", "Exception calling application: 'beam:transform:teststream:v1'\nKeyError", Ending.FAILED),
    ("INTERNAL", "panic: runtime error: invalid memory address or nil pointer dereference", Ending.FAILED),
    ("INTERNAL", "java.lang.NullPointerException: environmentFactoryProvider is null", Ending.FAILED),
    ("UNAVAILABLE", "feature X is not supported", Ending.FAILED),
    ("RESOURCE_EXHAUSTED", "Received message larger than max, not supported", Ending.FAILED),
    ("INVALID_ARGUMENT", "", Ending.REFUSED),
    ("UNIMPLEMENTED", "", Ending.REFUSED),
    ("NOT_FOUND", 'Unknown Preparation Id "nope".', Ending.REFUSED),
    ("UNKNOWN", "Exception calling application: unsupported operand type(s) for +: 'int' and 'str'", Ending.REFUSED),
]


@pytest.mark.parametrize(("code", "text", "word"), REFUSALS)
@pytest.mark.parametrize("phase", ["prepare", "start"])
def test_a_refusal(phase: str, code: str, text: str, word: Ending) -> None:
    outcome = JobOutcome("j", error=Refused(phase, "Prepare", code, text))
    assert classify(outcome) == word
    assert explain(outcome).because


#: The text of the ERROR message of a FAILED job, and the word for it.
FAILURES: list[tuple[str, Ending]] = [
    (f"{TRACEBACK}NotImplementedError: beam:transform:teststream:v1", Ending.DECLINED),
    (f"{TRACEBACK}NotImplementedError\n", Ending.FAILED),
    (f"{TRACEBACK}ValueError: Unable to run pipeline with requirement: beam:requirement:odd:v1", Ending.DECLINED),
    ("Portable Flink runner doesn't support bundle finalization in batch mode. See #19526", Ending.DECLINED),
    ("java.lang.UnsupportedOperationException: The ActiveBundle has no checkpoint handler.", Ending.DECLINED),
    ("The ActiveBundle does not have a registered bundle finalization handler.", Ending.DECLINED),
    ("Unknown or unsupported WindowFn: beam:window_fn:odd:v1", Ending.DECLINED),
    ("GreedyPipelineFuser requires all root nodes to be runner-implemented beam:transform:impulse:v1 or", Ending.DECLINED),
    ("environment e with urn beam:env:odd:v1 unimplemented", Ending.DECLINED),
    ("Unknown type of URN beam:transform:odd:v1 for PTransform with id t.", Ending.DECLINED),
    ('error building stage s1: \nmakeWindowCoders, unknown urn: spec: {\n  urn: "beam:coder:odd:v1"\n}', Ending.DECLINED),
    ("Transform t has unknown URN beam:transform:odd:v1", Ending.DECLINED),
    ("PCollectionNodes [p] were consumed but never produced", Ending.FAILED),
    ("java.lang.NullPointerException", Ending.FAILED),
    ("bundle inst003 stage-003 failed: KeyError: 'beam:coder:odd:v1'", Ending.FAILED),
    ("SDK worker disconnected", Ending.FAILED),
    (f"{TRACEBACK}TypeError: unsupported operand type(s) for +: 'int' and 'str'", Ending.FAILED),
    ("Only one SparkContext should be running in this JVM", Ending.POISONED),
    ("", Ending.FAILED),
]  # fmt: skip


@pytest.mark.parametrize(("text", "word"), FAILURES)
def test_a_failed_job(text: str, word: Ending) -> None:
    outcome = JobOutcome("j", state="FAILED", messages=(JobMessage(5, text),) if text else ())
    assert classify(outcome) == word


def test_only_error_messages_count() -> None:
    outcome = JobOutcome("j", state="FAILED", messages=(JobMessage(4, "x is not supported, falling back"), JobMessage(5, "boom")))
    assert classify(outcome) == "failed"
    assert explain(outcome).because == "the job FAILED: boom"


def test_what_our_own_harness_said_is_not_the_runners_word() -> None:
    own = "beam-conformance: state kind multimap is not supported"
    outcome = JobOutcome("j", state="FAILED", messages=(JobMessage(5, f"bundle inst003 failed: {own}"),))
    assert classify(outcome) == "declined"
    assert classify(outcome, own_errors=[own]) == "failed"


def test_a_feature_may_be_named_by_a_word_of_the_caller() -> None:
    outcome = JobOutcome("j", error=Refused("prepare", "Prepare", "INVALID_ARGUMENT", "no OrFinally here, sorry"))
    assert classify(outcome) == "refused"
    assert explain(outcome, features=["orfinally"]).feature == "orfinally"


#: What stopped the client, and the word for it; a death or a silence is never declined, whatever the text.
ERRORS: list[tuple[EndpointError, Ending]] = [
    (PhaseTimeout("run", "a terminal state", 1.0), Ending.TIMEOUT),
    (EndpointDied("died", log_tail="panic: unsupported StateKey Get type: <nil>: 10: is not supported"), Ending.DIED),
    (EndpointUnreachable("x is not supported"), Ending.DIED),
    (StagingViolation("asked for what is not supported"), Ending.FAILED),
    (ArtifactUnreadable("no such file"), Ending.CALLER),
    (
        Refused("stage", "ReverseArtifactRetrievalService", "UNKNOWN", "beam:artifact:type:odd:v1 is not supported"),
        Ending.REFUSED,
    ),
]


@pytest.mark.parametrize(("error", "word"), ERRORS, ids=lambda value: type(value).__name__)
def test_what_stopped_the_client(error: EndpointError, word: Ending) -> None:
    assert classify(JobOutcome("j", state="RUNNING", error=error)) == word


@pytest.mark.parametrize("state", ["DONE", "CANCELLED", "DRAINED", "UPDATED"])
def test_other_terminal_states_speak_for_themselves(state: str) -> None:
    outcome = JobOutcome("j", state=state, messages=(JobMessage(5, "x is not supported"),))
    assert classify(outcome) == state.lower()


def test_stack_traces_do_not_decline() -> None:
    assert not unsupported('Traceback:\n    raise NotImplementedError("x is not supported")\nValueError: boom')
    assert not unsupported("java.lang.IllegalStateException: boom\n\tat org.apache.Unsupported.not supported(Foo.java:1)")


def test_a_reason_of_a_mebibyte_is_read_at_once() -> None:
    started = time.process_time()
    assert not unsupported("boom " * 200_000 + "\n" + "x" * 1_000_000)
    assert unsupported("y" * 1_000_000 + " is not supported\n").endswith("is not supported")
    assert time.process_time() - started < 2, "linear, where it would take hours otherwise"
