"""Parts of one run (shards, a run and its repetition) made into one results file.

Parts belong together when the same suite asked the same runner through the same SDK. Where two parts judged the same
assertion, the worse verdict stays: a result that can go wrong does go wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from conformance.report.results import Footer, Header, Result, Results, ResultsError
from conformance.report.verdicts import SEVERITY, counts

__all__ = ["CannotMerge", "merge"]

#: Header fields in which all parts must agree.
SAME = ("suite", "runner", "beam", "sdk")


class CannotMerge(ResultsError):
    """The parts are not of one run."""


def merge(parts: Sequence[Results]) -> Results:
    """One run out of its parts; partial if any part is, or if a shard is missing."""
    if not parts:
        raise CannotMerge("there is nothing to merge; give at least one results file")
    first = parts[0].header
    for part in parts[1:]:
        for name in SAME:
            a, b = getattr(first, name), getattr(part.header, name)
            if a != b:
                raise CannotMerge(
                    f"{parts[0].path} and {part.path} differ in {name} ({_short(a)}, {_short(b)}); "
                    "put runs of different runners side by side with `beam-conformance report` instead"
                )
    merged: dict[tuple[str, str, str], Result] = {}
    for result in (result for part in parts for result in part.results):
        merged[result.key] = _worse(merged[result.key], result) if result.key in merged else result
    results = tuple(merged.values())
    missing = _missing_shards(parts)
    return Results(_header(parts, complete=not missing), results, _footer(parts, results, missing))


def _short(value: object) -> str:
    return " ".join(str(getattr(value, name)) for name in ("name", "version")) if hasattr(value, "name") else repr(value)


def _worse(a: Result, b: Result) -> Result:
    if a.verdict is b.verdict:
        return a
    worse, better = (a, b) if SEVERITY.index(a.verdict) > SEVERITY.index(b.verdict) else (b, a)
    note = f"(another part of this run came to {better.verdict})"
    return msgspec.structs.replace(worse, message=f"{worse.message} {note}".strip())


def _missing_shards(parts: Sequence[Results]) -> list[str]:
    shards = {part.header.shard for part in parts if part.header.shard}
    totals = {shard.partition("/")[2] for shard in shards}
    if len(totals) > 1:
        raise CannotMerge(f"shards of different divisions cannot be one run: {', '.join(sorted(shards))}")
    if not totals:
        return []
    (total,) = totals
    if not total.isdigit():
        raise CannotMerge(f"{next(iter(shards))!r} is no shard; write I/N")
    return [f"{number}/{total}" for number in range(1, int(total) + 1) if f"{number}/{total}" not in shards]


def _header(parts: Sequence[Results], *, complete: bool) -> Header:
    headers = [part.header for part in parts]
    selections = list(dict.fromkeys(header.selection for header in headers))
    selected = [header.selected for header in headers]
    shards = " ".join(sorted({header.shard for header in headers if header.shard}))
    return msgspec.structs.replace(
        headers[0],
        started=min((header.started for header in headers if header.started), default=""),
        modes=tuple(dict.fromkeys(mode for header in headers for mode in header.modes)),
        # Of an unsharded repetition the numbers overlap, so no sum says how many there should be.
        selected=sum(n for n in selected if n is not None) if shards and None not in selected else None,
        selection="" if "" in selections else ", ".join(selections),
        shard="" if complete else shards,
        command="\n".join(dict.fromkeys(header.command for header in headers if header.command)),
    )


def _footer(parts: Sequence[Results], results: tuple[Result, ...], missing: list[str]) -> Footer | None:
    if any(part.footer is None for part in parts):
        return None
    footers = [part.footer for part in parts if part.footer]
    reasons = [footer.interrupted for footer in footers if footer.interrupted]
    if missing:
        reasons.append(f"shard {', '.join(missing)} is missing")
    return Footer(
        counts=counts(results),
        seconds=sum(footer.seconds for footer in footers),
        unexpected=sum(footer.unexpected for footer in footers),
        ended=max((footer.ended for footer in footers), default=""),
        interrupted="; ".join(reasons),
    )
