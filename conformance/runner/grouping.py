"""GroupByKey: groups elements by encoded key and window, merges windows, makes panes (M-TRIG 3.1). Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import define, field

from conformance.runner import cutting
from conformance.runner.bulk import Run
from conformance.runner.cutting import Element
from conformance.runner.plan import Collection
from conformance.runner.rules import Rules

__all__ = ["CHUNK_BYTES", "Grouping"]

#: Output chunks are cut at about this size: small enough to stream, large enough that a chunk's overhead does not show.
CHUNK_BYTES = 1 << 20


@define
class Cell:
    """What one (key, window) holds."""

    values: list[bytes] = field(factory=list)
    earliest: int = 0
    latest: int = 0

    def add(self, timestamp: int, value: bytes) -> None:
        if not self.values:
            self.earliest = self.latest = timestamp
        elif timestamp < self.earliest:
            self.earliest = timestamp
        elif timestamp > self.latest:
            self.latest = timestamp
        self.values.append(value)

    def extend(self, timestamp: int, values: list[bytes]) -> None:
        self.add(timestamp, values[0])
        self.values += values[1:]

    def absorb(self, other: Cell) -> None:
        if not self.values:
            self.earliest, self.latest = other.earliest, other.latest
        elif other.values:
            self.earliest = min(self.earliest, other.earliest)
            self.latest = max(self.latest, other.latest)
        self.values += other.values


class Grouping:
    """The contents of one GroupByKey."""

    def __init__(self, collection: Collection, rules: Rules) -> None:
        self._collection = collection
        self._strategy = collection.strategy
        self._rules = rules
        self._cells: dict[bytes, dict[bytes, Cell]] = {}
        self.dropped = 0

    @property
    def empty(self) -> bool:
        """Whether nothing waits to be emitted."""
        return not self._cells

    def add(self, chunks: Iterable[bytes], watermark: int) -> None:
        """Arrival (M-TRIG 3.1 step 1): windows exploded, droppable ones dropped."""
        rules, strategy, cut = self._rules, self._strategy, self._collection.cut
        dropped: dict[bytes, bool] = {}
        for chunk in chunks:
            runs = cut.runs(chunk)
            if runs is not None:
                self._add_runs(runs, watermark)
                continue
            for element in cut.elements(chunk):
                key, value = cut.key_of(element.value)
                windows = self._cells.setdefault(rules.group_key(key), {})
                for window in rules.explode(element):
                    if window not in dropped:
                        expiry = rules.expiry(rules.window_max(strategy.windows, window), strategy.allowed_lateness)
                        dropped[window] = rules.is_dropped(expiry, watermark)
                    if dropped[window]:
                        self.dropped += 1
                        continue
                    cell = windows.get(window)
                    if cell is None:
                        cell = windows[window] = Cell()
                    cell.add(element.timestamp, value)

    def _add_runs(self, runs: Iterable[Run], watermark: int) -> None:
        """The same for pairs that came cut and have one window each: a key at a time."""
        rules, strategy = self._rules, self._strategy
        for run in runs:
            shown = rules.explode(Element(run.timestamp, (run.window,), b"", b"", b""))
            expiries = [rules.expiry(rules.window_max(strategy.windows, window), strategy.allowed_lateness) for window in shown]
            windows = [window for window, at in zip(shown, expiries, strict=True) if not rules.is_dropped(at, watermark)]
            for key, values in run.groups.items():
                self.dropped += (len(shown) - len(windows)) * len(values)
                cells = self._cells.setdefault(rules.group_key(key), {})
                for window in windows:
                    cells.setdefault(window, Cell()).extend(run.timestamp, values)

    def to_merge(self) -> Mapping[bytes, list[bytes]]:
        """Keys with more than one window."""
        return {key: list(windows) for key, windows in self._cells.items() if len(windows) > 1}

    def merged(self, key: bytes, groups: Iterable[tuple[bytes, list[bytes]]]) -> None:
        """Contents of consumed windows go to the window that they merged into (M-TRIG-45)."""
        windows = self._cells[key]
        for result, consumed in groups:
            cell = Cell()
            for window in consumed:
                if window in windows:
                    cell.absorb(windows.pop(window))
            windows.setdefault(result, Cell()).absorb(cell)

    def fire(self, watermark: int) -> list[bytes]:
        """Panes of every window whose end the watermark passed, as chunks."""
        rules, strategy = self._rules, self._strategy
        if strategy.merging == "sessions":
            for key, windows in self._cells.items():
                if len(windows) > 1:
                    self.merged(key, rules.merge_sessions(list(windows)))
        chunks: list[bytes] = []
        parts: list[bytes] = []
        size = 0
        pane = cutting.encode_pane(rules.bounded_pane())
        for key in list(self._cells):
            windows = self._cells[key]
            for window in list(windows):
                last = rules.window_max(strategy.windows, window)
                if not rules.may_fire(last, watermark):
                    continue
                cell = windows.pop(window)
                timestamp = rules.output_timestamp(strategy.output_time, last, cell.earliest, cell.latest)
                value = key + cutting.iterable_of(cell.values)
                parts.append(cutting.windowed_value(timestamp, [window], pane, value))
                size += len(parts[-1])
                if size >= CHUNK_BYTES:
                    chunks.append(b"".join(parts))
                    parts, size = [], 0
            if not windows:
                del self._cells[key]
        if parts:
            chunks.append(b"".join(parts))
        return chunks
