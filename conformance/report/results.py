"""The results file: JSON lines, streamed as things end, readable by anything.

    header      once, first: which suite, runner, SDK, environment, seed, command
    blob        a large piece of evidence, written once and referred to by digest from the results that share it
    result      one assertion in one mode
    footer      once, last: counts; a file without it is a partial run and says so everywhere

`results.schema.json` beside this module is generated from these types (`python -m conformance.report.results` prints it) and a
test holds the two equal. Adding a field keeps the schema number; changing or removing one raises it. Readers ignore fields
that they do not know.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Annotated, Any, Final, Self

import attrs
import msgspec
from msgspec import Meta

from conformance.report import evidence as _evidence
from conformance.report.verdicts import Level, Verdict, counts

__all__ = [
    "SCHEMA",
    "BadLine",
    "Blob",
    "Footer",
    "Header",
    "NotResults",
    "Result",
    "Results",
    "ResultsError",
    "ResultsWriter",
    "Runner",
    "UnknownSchema",
    "json_schema",
    "published",
    "read",
    "schema_text",
    "write_all",
]

SCHEMA: Final = 1


class ResultsError(ValueError):
    """A results file cannot be used."""


class NotResults(ResultsError):
    """The file is something else: it is missing, empty, or does not begin with a header line."""


class BadLine(ResultsError):
    """One line is no line of a results file. `number` counts from 1."""

    def __init__(self, path: Path, number: int, reason: str) -> None:
        super().__init__(f"{path}:{number}: {reason}. Restore the file, or delete this line and treat the run as partial")
        self.path = path
        self.number = number
        self.reason = reason


class UnknownSchema(ResultsError):
    """The file was written by a later suite."""


class Runner(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who was asked."""

    name: Annotated[str, Meta(description="Short name, e.g. prism")]
    version: Annotated[str, Meta(description="As the runner or its launcher says; empty when unknown")] = ""
    address: Annotated[str, Meta(description="The address as it was given to --runner")] = ""


class Header(msgspec.Struct, frozen=True, tag_field="kind", tag="header", omit_defaults=True):
    """The facts of a run that hold for all its results."""

    suite: Annotated[str, Meta(description="Version of beam-conformance")]
    runner: Runner
    beam: Annotated[str, Meta(description="Version of the Beam model that the suite speaks")] = ""
    sdk: Annotated[str, Meta(description="Which SDK ran the functions: harness, or python, java, go")] = "harness"
    environment: Annotated[str, Meta(description="How workers were started: external, loopback, process, docker")] = ""
    seed: Annotated[int | None, Meta(description="Of all generated programs")] = None
    command: Annotated[str, Meta(description="The command line that repeats the run")] = ""
    started: Annotated[str, Meta(description="ISO 8601, with zone")] = ""
    modes: Annotated[tuple[str, ...], Meta(description="Modes that were asked for: batch, streaming")] = ()
    selected: Annotated[int | None, Meta(description="How many results the run set out to have")] = None
    selection: Annotated[str, Meta(description="What narrowed the run (-k, --area, …); empty for the whole suite")] = ""
    shard: Annotated[str, Meta(description="I/N when the run is one part of several")] = ""
    host: Annotated[str, Meta(description="Operating system, processor count, Python")] = ""
    #: Written always, whatever its value: it is what a reader looks at first.
    schema: Annotated[int, Meta(description="Number of this format")] = msgspec.field(default_factory=lambda: SCHEMA)


class Result(msgspec.Struct, frozen=True, tag_field="kind", tag="result", omit_defaults=True):
    """One assertion, judged once."""

    assertion: Annotated[str, Meta(description="LEAF/slug", pattern=r"^[A-Z]+[0-9]+/[a-z0-9-]+$")]
    leaf: Annotated[str, Meta(description="Id of the ledger's leaf")]
    level: Level
    verdict: Verdict
    mode: Annotated[str, Meta(description="batch or streaming")] = "batch"
    tier: Annotated[int, Meta(description="1: the matrix proper, 2: extended")] = 1
    sdk: str = "harness"
    seconds: Annotated[float, Meta(description="Wall time", ge=0)] = 0.0
    phase: Annotated[str, Meta(description="How far it came: setup, prepare, stage, run, judge, …; not-applicable")] = ""
    message: Annotated[str, Meta(description="What happened, one sentence first")] = ""
    statement: Annotated[str, Meta(description="What was asserted")] = ""
    source: Annotated[str, Meta(description="Where Beam says so")] = ""
    rule: Annotated[str, Meta(description="Rule id in docs/model.md or docs/protocol.md; several are separated by a space")] = ""
    expected: Annotated[Any, Meta(description="What would have been admissible: text or any JSON")] = None
    observed: Annotated[Any, Meta(description="What was seen: text or any JSON")] = None
    listed: Annotated[str, Meta(description="Issue link of the baseline entry that expects exactly this")] = ""
    evidence: Annotated[
        dict[str, Any],
        Meta(description="What lets a reader see for themselves", extra_json_schema={"properties": _evidence.SCHEMA_PROPERTIES}),
    ] = {}

    @property
    def key(self) -> tuple[str, str, str]:
        """What identifies a result within a file and across files."""
        return (self.assertion, self.mode, self.sdk)


class Blob(msgspec.Struct, frozen=True, tag_field="kind", tag="blob"):
    """A piece of evidence that several results share."""

    digest: str
    value: Any


class Footer(msgspec.Struct, frozen=True, tag_field="kind", tag="footer", omit_defaults=True):
    """The run came to its end."""

    counts: dict[Verdict, int]
    seconds: float = 0.0
    unexpected: Annotated[int, Meta(description="Results that no baseline expects; decides exit code 1")] = 0
    exit_code: int | None = None
    ended: str = ""
    interrupted: Annotated[str, Meta(description="Why it ended early, if it did; the run then counts as partial")] = ""


Line = Header | Result | Blob | Footer
_DECODER = msgspec.json.Decoder(Line)


class _Opening(msgspec.Struct):
    """As much of a first line as can be read whatever the schema."""

    kind: str
    schema: int = 0


@attrs.frozen
class Results:
    """A results file, read. Evidence is complete: references to blobs are resolved."""

    header: Header
    results: tuple[Result, ...]
    footer: Footer | None = None
    path: Path | None = None

    @property
    def partial(self) -> bool:
        """Did the run stop before its end? Then absence means nothing."""
        return self.footer is None or bool(self.footer.interrupted)

    @property
    def why_partial(self) -> str:
        """One sentence; empty when the run is whole."""
        if not self.partial:
            return ""
        selected = self.header.selected or 0
        wanted = f" of {selected} selected" if selected > len(self.results) else ""
        reason = self.footer.interrupted if self.footer else "the file has no footer, so the run was cut off"
        return f"Partial run: {reason}; {len(self.results)}{wanted} results are here."

    @property
    def narrowed(self) -> bool:
        """Was only a part of the suite asked for?"""
        return bool(self.header.selection or self.header.shard)

    @property
    def label(self) -> str:
        return " ".join(part for part in (self.header.runner.name, self.header.runner.version) if part)


class ResultsWriter:
    """Writes a results file line by line, each flushed, so that a run which dies keeps what it had. Safe from several threads.

    As a context manager it closes the file; it never writes a footer by itself, because only a run that ended has one.
    """

    def __init__(self, path: str | Path, header: Header, *, budget: int = _evidence.FILE_BUDGET) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file: IO[bytes] = self.path.open("wb")
        self._lock = threading.Lock()
        self._blobs: set[str] = set()
        self._left = budget
        self._results: list[Result] = []
        self._line(header)

    def write(self, result: Result) -> None:
        """Append one result. Its evidence is cut to size, and pieces that were written before are referred to."""
        with self._lock:
            kept = _evidence.cap(result.evidence, limit=min(_evidence.RESULT_LIMIT, max(self._left, _evidence.FLOOR)))
            slim: dict[str, Any] = {}
            for name, value in kept.items():
                if name in _evidence.SHARED and len(encoded := _evidence.encode(value)) > _evidence.SHARE_FROM:
                    digest = hashlib.sha256(encoded).hexdigest()[:16]
                    if digest not in self._blobs:
                        self._blobs.add(digest)
                        self._left -= self._line(Blob(digest, value))
                    slim[name] = {"blob": digest}
                else:
                    slim[name] = value
            self._left -= _evidence.size(slim)
            self._line(
                msgspec.structs.replace(
                    result,
                    evidence=slim,
                    message=_evidence.cut(result.message, _evidence.TEXT_LIMIT),
                    expected=_evidence.cut_value(result.expected),
                    observed=_evidence.cut_value(result.observed),
                )
            )
            self._results.append(msgspec.structs.replace(result, evidence={}, expected=None, observed=None))

    def finish(
        self,
        *,
        seconds: float = 0.0,
        unexpected: int = 0,
        exit_code: int | None = None,
        ended: str = "",
        interrupted: str = "",
    ) -> Footer:
        """Write the footer, with the counts of what was written, and close."""
        footer = Footer(counts(self._results), seconds, unexpected, exit_code, ended, interrupted)
        with self._lock:
            self._line(footer)
        self.close()
        return footer

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _line(self, line: Line) -> int:
        data = _evidence.encode(line) + b"\n"
        self._file.write(data)
        self._file.flush()
        return len(data)


def read(path: str | Path) -> Results:
    """The results in a file.

    A last line that was cut off in the middle of being written is left out, and the run is partial for want of a footer anyway.

    Raises NotResults, UnknownSchema, BadLine.
    """
    path = Path(path)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise NotResults(f"{path} cannot be read ({error.strerror}); give the results.jsonl that a run wrote") from error
    lines = text.split(b"\n")
    last_is_whole = lines[-1] == b""
    _check_opening(path, lines[0])
    header: Header | None = None
    footer: Footer | None = None
    results: list[Result] = []
    blobs: dict[str, Any] = {}
    for number, raw in enumerate(lines, start=1):
        if not raw.strip():
            continue
        try:
            line = _DECODER.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if number == len(lines) and not last_is_whole:
                break
            raise BadLine(path, number, str(error)) from error
        match line:
            case Header() if header is not None:
                raise BadLine(path, number, "a second header; join files with `beam-conformance merge`, not with cat")
            case Header():
                header = line
            case _ if footer is not None:
                raise BadLine(path, number, "a line after the footer")
            case Result():
                results.append(_resolved(line, blobs, path, number))
            case Blob():
                blobs[line.digest] = line.value
            case Footer():
                footer = line
    assert header is not None, "the opening was checked"
    return Results(header, tuple(results), footer, path)


def _check_opening(path: Path, raw: bytes) -> None:
    try:
        opening = msgspec.json.decode(raw, type=_Opening)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotResults(f"{path} is no results file: its first line is not a header. Give the results.jsonl of a run") from error
    if opening.kind != "header":
        raise NotResults(f"{path} begins with a {opening.kind!r} line, not a header. Give the whole results.jsonl of a run")
    if opening.schema != SCHEMA:
        raise UnknownSchema(
            f"{path} has schema {opening.schema}, this version reads {SCHEMA}. Read it with the beam-conformance that wrote it"
        )
    try:
        _DECODER.decode(raw)
    except msgspec.DecodeError as error:
        raise BadLine(path, 1, str(error)) from error


def _resolved(result: Result, blobs: Mapping[str, Any], path: Path, number: int) -> Result:
    if not result.evidence:
        return result
    whole = {}
    for name, value in result.evidence.items():
        if isinstance(value, dict) and value.keys() == {"blob"}:
            if value["blob"] not in blobs:
                raise BadLine(path, number, f"evidence {name!r} refers to blob {value['blob']!r}, which no earlier line holds")
            value = blobs[value["blob"]]
        whole[name] = value
    return msgspec.structs.replace(result, evidence=whole)


def write_all(path: str | Path, results: Results) -> None:
    """Write what was read (or merged): the same lines again, the footer only if there was one."""
    with ResultsWriter(path, results.header) as writer:
        for result in results.results:
            writer.write(result)
        if footer := results.footer:
            writer.finish(
                seconds=footer.seconds,
                unexpected=footer.unexpected,
                exit_code=footer.exit_code,
                ended=footer.ended,
                interrupted=footer.interrupted,
            )


#: Where something is installed or written on the machine of the run: of interest there only.
_INSTALLED = re.compile(rb"(?:/[\w.@~+-]+)+/(?=site-packages/|pkg/mod/|lib/python3|conformance/)")
_TEMPORARY = re.compile(rb"/(?:tmp|var/tmp|home|root)(?:/[\w.@~+-]+)+")
_OUTPUT = re.compile(r" (?:--output|-o|--beam-report)[ =]\S+")


def published(results: Results, evidence: int) -> Results:
    """The run in a form to keep and to show: each result with at most about so many bytes of evidence (`evidence.brief`), and without
    the paths of the machine that ran it."""
    header = msgspec.structs.replace(results.header, command=_OUTPUT.sub("", results.header.command))
    return attrs.evolve(results, header=header, results=tuple(_published(result, evidence) for result in results.results))


def _published(result: Result, limit: int) -> Result:
    kept = _evidence.brief(result.evidence, limit, passed=result.verdict is Verdict.PASS)
    text = _evidence.encode(msgspec.structs.replace(result, evidence=kept))
    return msgspec.json.decode(_TEMPORARY.sub(b"/\xe2\x80\xa6", _INSTALLED.sub(b"/\xe2\x80\xa6/", text)), type=Result)


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of one line."""
    (schema,), components = msgspec.json.schema_components([Line], ref_template="#/$defs/{name}")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A line of a beam-conformance results file",
        "description": f"Schema number {SCHEMA}. A file is one header, then blobs and results in any order, then one footer.",
        **schema,
        "$defs": components,
    }


def schema_text() -> str:
    """What stands in `results.schema.json`."""
    return msgspec.json.format(msgspec.json.encode(json_schema(), order="sorted"), indent=2).decode() + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")
