"""The smallest root file system that runs this package: the running Python's own files and the libraries that they link to.

Everything keeps the path that it has on this machine, because interpreters and libraries have paths compiled into them; only the
package and what it depends on move, to LIBRARY. No distribution, no package manager, no shell: built in a second or two
from what is here, so no registry is asked. Nothing here knows about Docker.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

from conformance.endpoints.errors import ToolMissing

__all__ = ["LIBRARY", "content_hash", "interpreter", "package_files", "runtime_files", "tar"]

#: Where the package and its dependencies are in the image.
LIBRARY = "/opt/beam-conformance"
_DISTRIBUTION = "beam-conformance"
#: Parts of the standard library that no harness needs; the rest has 60 MB.
_UNNEEDED = {
    "site-packages",
    "dist-packages",
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "lib2to3",
    "pydoc_data",
}
_CACHE = f".{sys.implementation.cache_tag}.pyc"
_LINKED = re.compile(r"(?:=>\s*|^\s*)(/\S+)\s+\(0x")
#: Loaded by name while running, so that ldd does not show it: the C library ends threads with it.
_LOADED_LATER = "libgcc_s.so.1"

#: Path in the image → path here.
Files = dict[str, Path]


def interpreter() -> Path:
    """The running interpreter itself, past the links of virtual environments."""
    return Path(sys.executable).resolve()


def runtime_files() -> Files:
    """Interpreter, standard library, the distributions that this package needs, and the libraries of all. Changes seldom.

    Raises ToolMissing on a machine whose programs do not run in a Linux container.
    """
    if sys.platform != "linux":
        raise ToolMissing(
            "The harness' image is made of this machine's own Python and so can be built on Linux only. "
            "Run the suite on Linux (in a virtual machine, say) for DOCKER environments."
        )
    files = {str(path): path for path in (interpreter(), *_standard_library())}
    for name in _closure(_DISTRIBUTION):
        files |= _distribution(name)
    binaries = [path for path in files.values() if path == interpreter() or ".so" in path.suffixes]
    return files | {str(path): path for path in _linked(binaries)}


def package_files() -> Files:
    """This package's own files. Change with every edit."""
    package = Path(__file__).parents[1]
    found = (path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {f"{LIBRARY}/{package.name}/{path.relative_to(package)}": path for path in found}


def content_hash(files: Mapping[str, Path], *others: str) -> str:
    """Hex digest of paths and contents (compiled files left out: they follow from the others) and of `others`."""
    digest = hashlib.sha256("\0".join(others).encode())
    for name, path in sorted(files.items()):
        if not name.endswith(".pyc"):
            digest.update(f"\0{name}\0".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def tar(files: Mapping[str, Path], texts: Mapping[str, str] | None = None, directories: Iterable[str] = ()) -> bytes:
    """A tar archive of files, links followed, owned by root, with modification times (compiled files are checked by them)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", dereference=True) as archive:
        for name in directories:
            entry = tarfile.TarInfo(name.lstrip("/"))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
            archive.addfile(entry)
        for name, text in (texts or {}).items():
            entry = tarfile.TarInfo(name.lstrip("/"))
            entry.size, entry.mode = len(text.encode()), 0o644
            archive.addfile(entry, io.BytesIO(text.encode()))
        for name, path in sorted(files.items()):
            entry = archive.gettarinfo(str(path), name.lstrip("/"))
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            # Hard links of this machine mean nothing there.
            entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", path.stat().st_size
            with path.open("rb") as content:
                archive.addfile(entry, content)
    return buffer.getvalue()


def _standard_library() -> Iterator[Path]:
    roots = {Path(sysconfig.get_path(name, vars={"installed_base": sys.base_prefix})) for name in ("stdlib",)}
    roots |= {Path(sys.base_prefix) / sys.platlibdir / f"python{sysconfig.get_python_version()}"}
    for root in roots:
        yield from _tree(root, lambda name: name not in _UNNEEDED and not name.startswith("config-"))


def _tree(root: Path, wanted: Callable[[str], bool]) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if wanted(name)]
        for name in names:
            path = Path(folder, name)
            if path.is_file() and (path.suffix != ".pyc" or name.endswith(_CACHE)):
                yield path


def _closure(name: str, seen: set[str] | None = None) -> set[str]:
    """The distributions that one needs, extras left out, itself not among them."""
    seen = set() if seen is None else seen
    for line in metadata.requires(name) or ():
        requirement, _, marker = line.partition(";")
        needed = re.split(r"[^A-Za-z0-9._-]", requirement.strip())[0]
        if "extra" in marker or needed in seen:
            continue
        try:
            metadata.distribution(needed)
        except metadata.PackageNotFoundError:  # for another platform or version of Python
            continue
        seen.add(needed)
        _closure(needed, seen)
    return seen


def _distribution(name: str) -> Files:
    files: Files = {}
    for entry in metadata.distribution(name).files or ():
        path = Path(str(entry.locate()))
        if ".." not in entry.parts and path.is_file() and (path.suffix != ".pyc" or path.name.endswith(_CACHE)):
            files[f"{LIBRARY}/{entry}"] = path
    return files


def _linked(binaries: list[Path]) -> set[Path]:
    try:
        said = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, timeout=120, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolMissing(
            f"ldd, which tells the libraries of the harness' image, does not run ({error}). Install libc-bin."
        ) from None
    found = {Path(match[1]) for line in said.splitlines() if (match := _LINKED.search(line))}
    # Libraries that a distribution brings along are in the image at its own place, and found there relative to it.
    found = {path for path in found if "site-packages" not in path.parts and "dist-packages" not in path.parts}
    return found | {path.parent / _LOADED_LATER for path in found if (path.parent / _LOADED_LATER).exists()}
