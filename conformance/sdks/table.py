"""The rows, their programs and the talk's runners as the report wants them: plain data for the classic table."""

from __future__ import annotations

import tomllib
from importlib import resources

from conformance.report.classic import Classic, OtherRunner, RowOf
from conformance.sdks import rows
from conformance.sdks.languages import SDKS

__all__ = ["classic"]


def classic() -> Classic:
    """All that the page's classic table needs beside results."""
    text = (resources.files(__package__) / "runners.toml").read_text(encoding="utf-8")
    return Classic(
        rows=[_row(row) for row in rows.load()],
        runners=[OtherRunner(**entry) for entry in tomllib.loads(text)["runner"]],
    )


def _row(row: rows.Row) -> RowOf:
    paths = {name: sdk.path(row.name) for name, sdk in SDKS.items()}
    programs = {name: path.read_text(encoding="utf-8") for name, path in paths.items() if path.is_file()}
    return RowOf(row.id, row.title, row.phase, row.statement, row.group, row.rule, programs, row.said)
