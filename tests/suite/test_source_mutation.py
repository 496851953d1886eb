"""What is kept of source mutation adds up, and every survivor that was explained has a reason."""

from __future__ import annotations

import re

import pytest

from conformance.suite.mutants import source


@pytest.mark.parametrize("name", ["engine", "oracle"])
def test_samples_add_up(name: str) -> None:
    sample = source.load()[name]
    assert sample.killed + sample.broken + sample.explained_in_sample + len(sample.open) == sample.sample
    assert sample.explained_in_sample <= len(sample.explained)
    for key, reason in sample.explained.items():
        assert re.fullmatch(r"[0-9a-f]{10}", key)
        assert len(reason) > 20, f"{key}: why is it no fault?"
