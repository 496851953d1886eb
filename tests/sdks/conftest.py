"""Programs of other SDKs are built with their own tools, which takes minutes the first time: only with --sdks."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--sdks", action="store_true", help="build and run the programs of Beam's Go and Java SDKs")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "sdks: needs the tools of another SDK (go, mvn, java); run with tests/sdks --sdks")
    config.addinivalue_line("markers", "it_validatesrunner: of Beam's own tests")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Importing Beam's own tests takes ten seconds."""
    return True if collection_path.name == "test_beam_python.py" and not config.getoption("--sdks", default=False) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--sdks", default=False):
        return
    left_out = [item for item in items if item.get_closest_marker("sdks")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
