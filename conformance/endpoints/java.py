"""The job servers of Flink and Spark: their class paths resolved by Maven into the cache, their command lines, as data.

Central has no fat jar of them; a Maven project of a few lines (`job_servers/*.xml`) names the runner and what it needs. Resolved
once, into a directory named by the project's content, and moved into place when it is whole. Nothing needs root.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import platformdirs
from attrs import frozen

from conformance.endpoints.building import run_build
from conformance.endpoints.errors import AddressError, ToolMissing
from conformance.endpoints.process import SCRATCH

__all__ = ["SERVERS", "JobServer", "cached_jars", "command", "jars"]

Progress = Callable[[str], None]

#: 63 to 148 s on 2 cores with an empty local repository.
_RESOLVE_SECONDS = 1800.0
#: A suite is many small jobs: the quick compiler and the plain collector took 25 s of CPU for the first five jobs of Flink (10 and
#: 20 branches in the last two), where the defaults took 46 s. Without container support: the JVM stumbles over cgroups of version 1
#: here and there.
_JVM = (
    "-Xmx3g",
    "-XX:+IgnoreUnrecognizedVMOptions",
    "-XX:-UseContainerSupport",
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
)
#: What comes last on the class path.
_LAST = "beam-sdks-java-harness"
#: How many files Maven fetches between two words of progress.
_STEP = 50


@frozen
class JobServer:
    """One job server: its Maven project, its main class, and what it is started with."""

    name: str
    project: str
    main: str
    opens: tuple[str, ...]
    arguments: tuple[str, ...]
    properties: tuple[str, ...]
    version: str


SERVERS: dict[str, JobServer] = {
    server.name: server
    for server in (
        JobServer(
            "flink",
            "flink.xml",
            "org.apache.beam.runners.flink.FlinkJobServerDriver",
            opens=("java.lang", "java.nio", "java.util"),
            arguments=("--flink-master", "[local]"),
            properties=(
                "org.slf4j.simpleLogger.defaultLogLevel=warn",
                "org.slf4j.simpleLogger.log.org.apache.beam.runners.jobsubmission=info",
            ),
            version="Flink 1.19, Beam 2.70.0",
        ),
        JobServer(
            "spark",
            "spark.xml",
            "org.apache.beam.runners.spark.SparkJobServerDriver",
            opens=("sun.nio.ch", "java.nio", "java.util", "java.lang.invoke", "java.lang"),
            arguments=("--spark-master-url", "local[2]"),
            properties=("log4j2.configurationFile={files}/log4j2.properties", "spark.ui.enabled=false"),
            version="Spark 3.5.0, Beam 2.70.0",
        ),
    )
}


def command(server: JobServer, jar: str | None, progress: Progress = lambda message: None) -> tuple[str, ...]:
    """The command line, ports chosen by the server. `jar`: a fat jar instead of the resolved class path.

    Raises ToolMissing without Java, or without Maven when the class path has to be resolved; AddressError for a bad `jar`.
    """
    java = shutil.which("java")
    if java is None:
        raise ToolMissing(f"The job server of {server.name.capitalize()} needs Java. Install a JRE of version 11 or 17.")
    if jar is not None and not Path(jar).is_file():
        raise AddressError(f"There is no jar {jar}. Write {server.name}:jar=PATH with the path of a job server's jar.")
    files = str(resources.files(__package__) / "job_servers")
    words = [java, *_JVM, f"-Djava.io.tmpdir={SCRATCH}"]
    words += [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in server.opens]
    words += [f"-D{each.format(files=files)}" for each in server.properties]
    words += ["-jar", jar] if jar is not None else ["-cp", _class_path(jars(server, progress)), server.main]
    words += [*server.arguments, "--artifacts-dir", f"{SCRATCH}/artifacts"]
    return (*words, "--job-port", "0", "--artifact-port", "0", "--expansion-port", "-1")


def cached_jars(server: JobServer) -> Path:
    """Where the class path of a job server is kept, whether it is there or not."""
    digest = hashlib.sha256(_project(server).encode()).hexdigest()[:12]
    return platformdirs.user_cache_path("beam-conformance") / server.name / digest


def jars(server: JobServer, progress: Progress = lambda message: None) -> Path:
    """The directory of the class path, resolved unless it is in the cache. Raises ToolMissing."""
    target = cached_jars(server)
    if target.is_dir():
        return target
    maven = shutil.which("mvn")
    if maven is None:
        raise ToolMissing(
            f"The job server of {server.name.capitalize()} is resolved by Maven, which is not on $PATH. "
            f"Install Maven, or name a job server's jar: {server.name}:jar=PATH."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    progress(f"resolving the job server of {server.name.capitalize()} with Maven, once; this takes some minutes")
    # Made beside the target and moved into place, so that nobody ever sees half a class path.
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        (Path(folder) / "pom.xml").write_text(_project(server), encoding="utf-8")
        made = Path(folder) / "jars"
        _resolve([maven, "-B", "-f", f"{folder}/pom.xml", "dependency:copy-dependencies", f"-DoutputDirectory={made}"], progress)
        try:
            os.replace(made, target)
        except OSError:
            if not target.is_dir():  # else another run was quicker
                raise
    progress(f"resolved {sum(1 for _ in target.iterdir())} jars into {target}")
    return target


def _class_path(directory: Path) -> str:
    """The jars in an order of our own: Beam's harness is of an older version and brings copies of the runners' core classes, which
    must not come first (Flink in streaming mode then ends with NoSuchMethodError)."""
    found = sorted(directory.iterdir(), key=lambda path: (path.name.startswith(_LAST), path.name))
    return os.pathsep.join(map(str, found))


def _project(server: JobServer) -> str:
    return (resources.files(__package__) / "job_servers" / server.project).read_text(encoding="utf-8")


def _resolve(argv: list[str], progress: Progress) -> None:
    fetched = 0

    def heard(line: str) -> None:
        nonlocal fetched
        if line.startswith("Downloaded ") or " Downloaded from" in line:
            fetched += 1
            if fetched % _STEP == 0:
                progress(f"Maven has fetched {fetched} files")

    status, said = run_build(argv, heard, _RESOLVE_SECONDS)
    if status:
        told = "\n".join([line for line in said if "ERROR" in line][:8] or said[-8:])
        raise ToolMissing(
            f"Maven could not resolve the job server (exit status {status}). See what it says and try again.\n{told}"
        )
