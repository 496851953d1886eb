"""Results go from process to process as plain data: what an error holds of other types must not get into them."""

from __future__ import annotations

import execnet
import pytest

from conformance.endpoints import errors
from conformance.endpoints.outcome import Phase
from conformance.suite.outcomes import judge_exception


@pytest.mark.parametrize(
    "error",
    [
        errors.PhaseTimeout(Phase.RUN, "a terminal state", 20),
        errors.EndpointDied("it died", phase=Phase.RUN),
        errors.Refused(Phase.PREPARE, "Prepare", "UNIMPLEMENTED", "TestStream is not supported"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_judgements_are_plain(error: Exception) -> None:
    judged = judge_exception(error)
    told = (judged.verdict.value, judged.phase, judged.message)
    assert execnet.loads(execnet.dumps(told)) == told
