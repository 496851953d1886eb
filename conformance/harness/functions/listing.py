"""The registry as Markdown, for docs/harness.md: `python -m conformance.harness.functions.listing` rewrites the generated part."""

from __future__ import annotations

import sys
from pathlib import Path

from conformance.harness.functions import LIBRARY

__all__ = ["BEGIN", "END", "markdown", "rewrite"]

BEGIN, END = "<!-- generated: functions -->", "<!-- end of generated part -->"
_PACKAGE = LIBRARY.__class__.__module__.rpartition(".")[0]
_KINDS = {"dofn": "DoFns", "combine": "CombineFns", "window": "Window functions", "mapping": "Window mappings of side inputs"}


def markdown() -> str:
    """Every function of this package: name, arguments, what it does."""
    parts = []
    for kind, title in _KINDS.items():
        rows = [
            f"| `{entry.name}` | {f'`{entry.signature}`' if entry.signature else ''} | {entry.summary.replace('|', '&#124;')} |"
            for entry in LIBRARY.entries(kind)  # type: ignore[arg-type]
            if entry.factory.__module__.startswith(f"{_PACKAGE}.")
        ]
        parts.append("\n".join([f"### {title}", "", "| name | arguments | what it does |", "|---|---|---|", *rows]))
    return "\n\n".join(parts)


def rewrite(text: str) -> str:
    """`text` with the part between the marks made anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{markdown()}\n\n{END}{after}"


if __name__ == "__main__":
    page = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/harness.md")
    page.write_text(rewrite(page.read_text(encoding="utf-8")), encoding="utf-8")
