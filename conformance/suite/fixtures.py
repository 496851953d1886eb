"""Where the data of golden pipelines is: inside the installed package, or in the repository that it was installed from."""

from __future__ import annotations

from pathlib import Path

import conformance

__all__ = ["golden"]


def golden(name: str) -> Path:
    """The directory of golden `name`. Raises FileNotFoundError if this installation has none."""
    package = Path(conformance.__file__).parent
    for root in (package / "fixtures", package.parent / "fixtures"):
        directory = root / "golden" / name
        if directory.is_dir():
            return directory
    raise FileNotFoundError(f"the golden data {name!r} is not installed; reinstall beam-conformance")
