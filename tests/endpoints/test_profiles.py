"""What jobs get by a profile and the mode that an address asks for."""

from __future__ import annotations

import pytest

from conformance.endpoints.address import parse
from conformance.endpoints.endpoint import Endpoint, open_endpoint
from conformance.endpoints.errors import AddressError
from conformance.endpoints.profiles import PROFILES


class Unopened(Endpoint):
    """An endpoint that nobody started: what it says of options needs no server."""

    url = version = ""  # type: ignore[assignment]

    def alive(self) -> bool:
        return False

    def gone(self, seconds: float = 2.0) -> bool:
        return True

    def restart(self) -> None:
        raise NotImplementedError

    def log_tail(self, lines: int = 40) -> str:
        return ""

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("address", "program", "streaming"),
    [
        ("flink", "batch", None),
        ("flink", "streaming", True),
        ("flink:mode=streaming", "batch", True),
        ("flink:mode=batch", "streaming", None),
        ("prism", "streaming", None),
    ],
)
def test_options_of_a_mode(address: str, program: str, streaming: bool | None) -> None:
    parsed = parse(address)
    assert Unopened(parsed, PROFILES[parsed.kind]).options(program).get("streaming") is streaming


def test_a_mode_that_there_is_not() -> None:
    with pytest.raises(AddressError, match="must be batch or streaming"):
        parse("flink:mode=fast")


def test_a_set_of_options_by_name_goes_over_the_others() -> None:
    parsed = parse("flink:mode=streaming,with=checkpoints")
    usual = Unopened(parse("flink:mode=streaming"), PROFILES["flink"]).options("batch")
    asked = Unopened(parsed, PROFILES["flink"]).options("batch")
    assert asked["streaming"] is True
    assert asked["checkpointing_interval"] == "1000"
    assert asked["max_bundle_time_mills"] != usual["max_bundle_time_mills"]
    assert "checkpointing_interval" not in usual


def test_a_set_of_options_that_there_is_not() -> None:
    with pytest.raises(AddressError, match="with= takes checkpoints"):
        open_endpoint("flink:with=savepoints")
