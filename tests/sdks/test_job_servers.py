"""The released job servers of Flink and Spark, resolved by Maven the first time: one element comes through."""

from __future__ import annotations

import pytest

from conformance.suite.smoke import smoke


@pytest.mark.sdks
@pytest.mark.parametrize("address", ["flink", "flink:mode=streaming", "spark"])
def test_smoke(address: str) -> None:
    told = smoke(address, timeout_scale=3)
    assert told.ok, told.lines
