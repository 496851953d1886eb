"""The job servers of Flink and Spark: their command lines, and a class path that appears whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from conformance.endpoints import java
from conformance.endpoints.errors import AddressError, ToolMissing

FLINK, SPARK = java.SERVERS["flink"], java.SERVERS["spark"]
#: Stands for Maven: says what Maven says, and puts a file where it was asked to.
_MAVEN = """#!/bin/sh
for word; do case $word in -DoutputDirectory=*) target=${word#*=};; -f) ;; *.xml) cp "$word" "$ASKED";; esac; done
for n in $(seq 120); do echo "[INFO] Downloaded from central: a-$n.jar (1 kB at 1 kB/s)"; done
mkdir -p "$target" && touch "$target/a.jar" "$target/beam-sdks-java-harness-1.jar" "$target/z.jar"
"""


def _program(directory: Path, name: str, body: str) -> None:
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(body)
    (directory / name).chmod(0o755)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A $PATH with Java and a Maven that tells what it was asked, and an empty cache."""
    _program(tmp_path / "bin", "java", "#!/bin/sh\n")
    _program(tmp_path / "bin", "mvn", _MAVEN)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("ASKED", str(tmp_path / "asked.xml"))
    return tmp_path


@pytest.mark.parametrize("server", [FLINK, SPARK], ids=lambda server: server.name)
def test_resolved_once_with_progress(machine: Path, server: java.JobServer) -> None:
    told: list[str] = []
    words = java.command(server, None, told.append)
    directory = java.cached_jars(server)
    assert {path.name for path in directory.iterdir()} == {"a.jar", "beam-sdks-java-harness-1.jar", "z.jar"}
    assert directory.is_relative_to(machine / "cache")
    assert [path.name for path in directory.parent.iterdir()] == [directory.name]
    assert "Maven has fetched 100 files" in told
    assert words[words.index("-cp") + 1] == f"{directory}/a.jar:{directory}/z.jar:{directory}/beam-sdks-java-harness-1.jar"
    assert words[words.index("--job-port") + 1] == "0"
    asked = ElementTree.parse(machine / "asked.xml").getroot()
    artifacts = {each.text for each in asked.iter("{http://maven.apache.org/POM/4.0.0}artifactId")}
    assert any(server.name in (name or "") for name in artifacts)
    told.clear()
    (machine / "bin" / "mvn").unlink()
    assert java.command(server, None, told.append) == words
    assert told == []


def test_another_project_is_another_class_path() -> None:
    assert java.cached_jars(FLINK).parent != java.cached_jars(SPARK).parent


def test_maven_that_fails_leaves_no_class_path(machine: Path) -> None:
    _program(machine / "bin", "mvn", "#!/bin/sh\necho '[ERROR] Could not resolve beam-runners-flink'\nexit 1\n")
    with pytest.raises(ToolMissing, match=r"(?s)exit status 1.*Could not resolve beam-runners-flink"):
        java.jars(FLINK)
    assert not java.cached_jars(FLINK).exists()


def test_without_java_or_maven(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(machine / "bin"))
    (machine / "bin" / "mvn").unlink()
    with pytest.raises(ToolMissing, match=r"Install Maven, or name a job server's jar: flink:jar=PATH"):
        java.command(FLINK, None)
    (machine / "bin" / "java").unlink()
    with pytest.raises(ToolMissing, match="Spark needs Java"):
        java.command(SPARK, None)


def test_a_jar_of_the_user(machine: Path) -> None:
    jar = machine / "server.jar"
    jar.write_bytes(b"")
    words = java.command(FLINK, str(jar))
    assert words[words.index("-jar") + 1] == str(jar)
    assert FLINK.main not in words
    with pytest.raises(AddressError, match=r"There is no jar .*absent.*flink:jar=PATH"):
        java.command(FLINK, str(machine / "absent.jar"))
