"""Builds of drivers in other languages: once, into the user's cache, in a directory named by the sources' content.

Made beside the target and moved into place when whole, so that nobody ever sees half a build, and two at once do not disturb each other.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import platformdirs

from conformance.endpoints.building import run_build
from conformance.endpoints.errors import ToolMissing

__all__ = ["Progress", "built", "cached", "install_go", "run"]

Progress = Callable[[str], None]
#: With empty caches on 2 busy cores Maven took 3 minutes, Go 4.
BUILD_SECONDS = 1800.0
#: How many fetched files there are between two words of progress.
STEP = 25


def cached(name: str, sources: Path) -> Path:
    """Where the build of these sources is kept, whether it is there or not."""
    digest = hashlib.sha256()
    for path in files(sources):
        digest.update(f"{path.relative_to(sources)}\0".encode() + path.read_bytes())
    return platformdirs.user_cache_path("beam-conformance") / "sdks" / name / digest.hexdigest()[:12]


def files(sources: Path) -> Iterable[Path]:
    return sorted(path for path in sources.rglob("*") if path.is_file() and "target" not in path.relative_to(sources).parts)


def built(name: str, sources: Path, make: Callable[[Path, Path], None], progress: Progress) -> Path:
    """The directory of a build. `make(sources, output)` makes it, where the cache has none; it gets a copy of the sources."""
    target = cached(name, sources)
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    progress(f"building the programs of the {name.capitalize()} SDK, once; this takes some minutes where nothing is cached")
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        copy, output = Path(folder) / "sources", Path(folder) / "output"
        shutil.copytree(sources, copy, ignore=shutil.ignore_patterns("target", "__pycache__"))
        output.mkdir()
        make(copy, output)
        try:
            os.replace(output, target)
        except OSError:
            if not target.is_dir():  # else another run was quicker
                raise
    progress(f"built {target}")
    return target


def install_go(go: str, module: str, target: Path, progress: Progress) -> None:
    """Installs a program of a Go module as `target`. Raises ToolMissing."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        run([go, "install", module], Path(folder), progress, {"GOBIN": folder})
        os.replace(Path(folder) / target.name, target)


def run(argv: Sequence[str], directory: Path, progress: Progress, environment: Mapping[str, str] | None = None) -> None:
    """Runs one build command; tells how many files were fetched meanwhile. Raises ToolMissing with what it said last."""
    fetched = 0

    def heard(line: str) -> None:
        nonlocal fetched
        if "ownloaded from" in line or line.startswith("go: downloading"):
            fetched += 1
            if fetched % STEP == 0:
                progress(f"{Path(argv[0]).name} has fetched {fetched} files")

    status, said = run_build(argv, heard, BUILD_SECONDS, directory, environment)
    if status:
        told = "\n".join([line for line in said if "ERROR" in line][:8] or said[-12:])
        raise ToolMissing(
            f"{Path(argv[0]).name} could not build the programs (exit status {status}); see what it says, mend that and "
            f"try again:\n{told}"
        )
