"""The proxy before a runner: whole jobs come by it as if it were not there, and one fault is told apart from none."""

from __future__ import annotations

import pytest

from conformance.endpoints import open_endpoint
from conformance.endpoints.address import parse
from conformance.endpoints.errors import AddressError
from conformance.mutation import ask, node_ids


def test_address() -> None:
    assert str(parse("proxy:PXY-01@reference:variant=unfused")) == "proxy:PXY-01@reference:variant=unfused"
    assert str(parse("proxy:@localhost:8099")) == "proxy:@grpc://localhost:8099"


@pytest.mark.parametrize("text", ["proxy:", "proxy:PXY-01", "proxy:PXY-99@reference", "proxy:PXY-01@", "proxy:PXY-01@referenze"])
def test_bad_address(text: str) -> None:
    with pytest.raises(AddressError):
        parse(text)


def test_everything_comes_by_without_a_fault() -> None:
    """Data, timers, state of several pages, finalization, artifacts, streams of the job: all as without a proxy."""
    asked = [
        "CORE18/groups-every-value",
        "STATE08/larger-than-a-message",
        "TIMER01/fires-once",
        "FIN01/every-asking-bundle",
        "ART02/file-arrives",
        "JOB16/equivalent",
        "JOB06/terminal-last-then-end",
    ]
    kept = ask("proxy:@reference", node_ids(asked))
    assert {result.assertion for result in kept.results} >= set(asked)
    assert [result.assertion for result in kept.results if result.verdict.value != "pass"] == []


def test_a_fault_is_seen() -> None:
    kept = ask("proxy:PXY-02@reference", node_ids(["CORE18/groups-every-value"]))
    (told,) = [result for result in kept.results if result.assertion == "CORE18/groups-every-value"]
    assert told.verdict.value == "wrong"
    assert "[1, 1, 3, 3, 4, 4]" in told.message


def test_a_restart_gets_a_front_of_its_own() -> None:
    with open_endpoint("proxy:@reference") as endpoint:
        before = endpoint.url
        endpoint.restart()
        assert endpoint.alive()
        assert endpoint.url != before
