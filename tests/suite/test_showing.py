"""What `show` tells of a leaf, an assertion and an invariant."""

from __future__ import annotations

import pytest

from conformance.suite.ledger import NoSuchLeaf
from conformance.suite.showing import show_lines


def told(name: str) -> str:
    return "\n".join(show_lines(name))


def test_a_scenario() -> None:
    text = told("core18/groups-every-value")
    assert "CORE18/groups-every-value  (MUST)" in text
    assert "rule: M-BATCH-01" in text
    assert "(docs/model.md)" in text
    assert "flowchart" in text


def test_a_probe_and_a_generated_program_have_pictures_too() -> None:
    assert "flowchart" in told("JOB11/reaches-cancelled")
    assert "flowchart" in told("TRIG01/generated-scripts")
    assert "flowchart" in told("CORE09/generated-programs")


def test_an_invariant_by_either_name_with_the_text_of_its_rules() -> None:
    text = told("I-GBK-01")
    assert "pane bookkeeping" in text
    assert "rule: P-COD-08 MUST" in text
    assert text == told("TRIG29/i-gbk-01")


def test_the_name_that_a_result_has() -> None:
    assert told("CORE18/groups-every-value--some-parameter") == told("CORE18/groups-every-value")


def test_a_rule_is_shown_with_its_words() -> None:
    assert "A firing is emitted iff" in told("TRIG25/no-empty-final-pane")


@pytest.mark.parametrize("name", ["CORE99", "CORE18/nothing-of-the-kind", "I-NON-01"])
def test_unknown(name: str) -> None:
    with pytest.raises(NoSuchLeaf):
        told(name)
