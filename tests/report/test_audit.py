"""Claims against results: each way that they can go together, the features as data, and the published reports."""

from __future__ import annotations

import pytest

from conformance.endpoints.profiles import PROFILES
from conformance.report import audit, page
from conformance.report.audit import Claim, Feature, Shown
from conformance.report.results import Footer, Header, Result, Results, Runner
from conformance.report.verdicts import Level, Verdict
from conformance.suite import features, ledger

STATE = Feature("state", "State", ("STATE01", "STATE06"))
PASS, WRONG, DECLINED, ERROR, TIMEOUT, NONE = (
    Verdict.PASS,
    Verdict.WRONG,
    Verdict.DECLINED,
    Verdict.ERROR,
    Verdict.TIMEOUT,
    Verdict.NO_VERDICT,
)


def result(assertion: str, verdict: Verdict, level: Level = Level.MUST, mode: str = "batch") -> Result:
    return Result(assertion=assertion, leaf=assertion.partition("/")[0], level=level, verdict=verdict, mode=mode)


def run(*results: Result, runner: str = "flink") -> Results:
    return Results(Header(suite="0", runner=Runner(runner, "1")), tuple(results), Footer(counts={}, seconds=1.0))


@pytest.mark.parametrize(
    ("verdicts", "seen"),
    [
        ([], Shown.NOTHING),
        ([NONE], Shown.NOTHING),
        ([PASS, NONE], Shown.DEMONSTRATED),
        ([PASS, DECLINED], Shown.REFUSED),
        ([PASS, DECLINED, ERROR], Shown.FAILED),
        ([TIMEOUT], Shown.FAILED),
        ([DECLINED, ERROR, WRONG], Shown.WRONG),
    ],
)
def test_what_results_show(verdicts: list[Verdict], seen: Shown) -> None:
    assert audit.shown([result("STATE01/a", verdict) for verdict in verdicts]) is seen


@pytest.mark.parametrize(
    ("declared", "seen", "claim"),
    [
        (True, Shown.DEMONSTRATED, Claim.AGREES),
        (True, Shown.REFUSED, Claim.OVER),
        (True, Shown.WRONG, Claim.OVER),
        (True, Shown.FAILED, Claim.OVER),
        (True, Shown.NOTHING, Claim.UNSEEN),
        (False, Shown.DEMONSTRATED, Claim.UNDER),
        (False, Shown.REFUSED, Claim.AGREES),
        (False, Shown.WRONG, Claim.IGNORED),
        (False, Shown.FAILED, Claim.UNREFUSED),
        (False, Shown.NOTHING, Claim.UNSEEN),
    ],
)
def test_how_claim_and_results_go_together(declared: bool, seen: Shown, claim: Claim) -> None:
    assert audit.claim_of(declared, seen) is claim


def test_only_musts_of_its_leaves_in_its_mode_count() -> None:
    found = audit.audit(
        run(
            result("STATE01/a", PASS),
            result("STATE01/should", WRONG, Level.SHOULD),
            result("STATE01/i-st-01", WRONG),
            result("STATE02/other", WRONG),
            result("STATE06/a", DECLINED, mode="streaming"),
        ),
        [STATE],
        lambda mode: {"state"},
    )
    assert [(each.mode, each.rows[0].claim, each.rows[0].against) for each in found] == [
        ("batch", Claim.AGREES, ()),
        ("streaming", Claim.OVER, ("STATE06/a",)),
    ]


def test_nobody_claims_nothing_is_audited() -> None:
    assert audit.audit(run(result("STATE01/a", PASS)), [STATE], lambda mode: None) == ()
    assert features.audit_of(run(result("STATE01/a", PASS), runner="grpc")) == ()
    assert features.audit_of(run(result("STATE01/a", PASS), runner="a stranger")) == ()


def test_what_does_not_agree_is_told_first() -> None:
    text = audit.to_text(
        features.audit_of(run(result("TIMER22/a", WRONG), result("FIN01/a", DECLINED), result("TIMER01/a", PASS)))
    )
    lines = [line.split()[0] for line in text.splitlines()[1:]]
    assert lines[0] == "accepted"
    assert lines.index("agrees") > 0


def test_features_are_of_the_ledger_and_claims_of_the_features() -> None:
    book = ledger.load()
    known = {leaf.id: [each.level for each in leaf.assertions] for leaf in book.leaves}
    for feature in features.features():
        assert all("MUST" in known[leaf] for leaf in feature.leaves), f"{feature.name} has a leaf without a MUST"
    names = {feature.name for feature in features.features()}
    for profile in PROFILES.values():
        for mode in ("batch", "streaming"):
            assert (profile.claimed(mode) or frozenset()) <= names, profile.name


def test_the_page_has_what_does_not_agree() -> None:
    results = run(result("TIMER22/a", WRONG), result("TIMER01/a", PASS))
    text = page.render([results], ledger.load(), audits=features.audit_of(results))
    assert "accepted but ignored" in text
    assert "OnWindowExpiration" in text
    assert "Claims and what was shown" not in page.render([results], ledger.load())
