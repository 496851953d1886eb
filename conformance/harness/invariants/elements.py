"""Data and timer entries cut into elements, each at most once.

Here live Element, Firing, the cut of one entry, and the Book that keeps all of them for the rules. Headers are read by hand: the
rules want the very bytes of windows, keys and values; those are cut with `wire.coders`, whose `skip` builds no values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import attrs

from conformance.harness.invariants.index import Bundle, Entry, Index, Instruction
from conformance.harness.invariants.stages import Port, Stage
from conformance.wire import coders, timestamps, urns

__all__ = ["Book", "Cut", "Element", "Firing", "Flaw"]

#: At most so many bytes of one entry are cut into elements; what is behind them is counted as not looked at.
CUT_LIMIT: Final = 4 * 1024 * 1024

#: (end, start) of an interval, or None for a window that is not one.
Span = tuple[int, int] | None


class Element(NamedTuple):
    """One element of a data entry. `windows` and `value` are bytes as they came; `spans` are intervals (start, end) or None."""

    seq: int
    timestamp: int
    windows: tuple[bytes, ...]
    spans: tuple[Span, ...]
    #: (form and flags byte, index, nonspeculative index)
    pane: tuple[int, int, int]
    value: bytes
    #: Length of the key's encoding in `value` if the port's elements are KV, else 0.
    key_length: int

    @property
    def key(self) -> bytes:
        return self.value[: self.key_length]

    def units(self) -> list[tuple[int, bytes, tuple[int, int, int], bytes]]:
        """The element once a window: an element in n windows may come again as n elements (P-CTL-20)."""
        return [(self.timestamp, window, self.pane, self.value) for window in self.windows]


class Firing(NamedTuple):
    """One timer on the wire: a setting (from the SDK) or a firing (from the runner)."""

    seq: int
    key: bytes
    tag: bytes
    windows: tuple[bytes, ...]
    spans: tuple[Span, ...]
    clear: bool
    fire: int
    hold: int
    pane: tuple[int, int, int]


class Flaw(NamedTuple):
    """Something wrong with the bytes of an entry, and the invariant that says so."""

    invariant: str
    reason: str
    offset: int


@attrs.define(eq=False)
class Cut:
    """What one entry holds. `complete` is False if bytes at its end were not looked at (or could not be)."""

    elements: list[Element] = attrs.field(factory=list)
    firings: list[Firing] = attrs.field(factory=list)
    flaws: list[Flaw] = attrs.field(factory=list)
    complete: bool = True
    #: Bytes of an element that the entry ends within.
    rest: bytes = b""


class _Broken(Exception):
    """These bytes cannot be cut further."""

    def __init__(self, invariant: str, reason: str, offset: int) -> None:
        super().__init__(reason)
        self.flaw = Flaw(invariant, reason, offset)


_NO_PANE: Final = (0x0F, 0, 0)
_ONE_WINDOW: Final[tuple[bytes, ...]] = (b"",)
_ONE_SPAN: Final[tuple[Span, ...]] = (None,)
WindowReader = Callable[[bytes, int, int], tuple[Span, int]]


def _varint(data: bytes, pos: int, end: int) -> tuple[int, int, bool]:
    """Value, position behind it, and whether it was written as short as can be."""
    value, after = coders.read_varint(data, pos, end)
    return value, after, after - pos == 1 or data[after - 1] != 0


def _read_global(data: bytes, pos: int, end: int) -> tuple[Span, int]:
    return None, pos


def _read_interval(data: bytes, pos: int, end: int) -> tuple[Span, int]:
    if pos + 9 > end:
        raise _Broken("I-DATA-06", "ends inside a window", pos)
    stop = timestamps.decode_timestamp(data, pos)
    length, after, shortest = _varint(data, pos + 8, end)
    if not shortest:
        raise _Broken("I-COD-01", f"window span {length} is not in its shortest form", pos + 8)
    return (stop - length, stop), after


def _window_reader(window: coders.Coder) -> WindowReader:
    if window.urn == urns.Coder.GLOBAL_WINDOW:
        return _read_global
    if window.urn == urns.Coder.INTERVAL_WINDOW:
        return _read_interval

    def read(data: bytes, pos: int, end: int) -> tuple[Span, int]:
        return None, window.skip(data, pos, end, True)

    return read


def _read_windows(data: bytes, pos: int, end: int, read: WindowReader) -> tuple[tuple[bytes, ...], tuple[Span, ...], int]:
    if pos + 4 > end:
        raise _Broken("I-DATA-06", "ends inside the number of windows", pos)
    count = int.from_bytes(data[pos : pos + 4], "big", signed=True)
    if count < 0 or count > end - pos + 1024:
        raise _Broken("I-DATA-09", f"number of windows is {count}", pos)
    pos += 4
    if count == 1:
        span, after = read(data, pos, end)
        return (data[pos:after],), (span,), after
    windows: list[bytes] = []
    spans: list[Span] = []
    for _ in range(count):
        span, after = read(data, pos, end)
        windows.append(data[pos:after])
        spans.append(span)
        pos = after
    return tuple(windows), tuple(spans), pos


def _read_pane(data: bytes, pos: int, end: int, flaws: list[Flaw]) -> tuple[tuple[int, int, int], int]:
    """The pane at `pos`; what is not canonical is noted in `flaws` (P-COD-08, P-COD-09)."""
    if pos >= end:
        raise _Broken("I-DATA-06", "ends before the pane", pos)
    head = data[pos]
    if head == 0x0F:
        return _NO_PANE, pos + 1
    form, timing = head >> 4 & 0x07, head >> 2 & 0x03
    start, pos, index, nonspeculative, shortest = pos, pos + 1, 0, 0, True
    if form > 2:
        raise _Broken("I-DATA-09", f"pane byte {head:#04x} has no known form", start)
    if form >= 1:
        index, pos, shortest = _varint(data, pos, end)
        nonspeculative = -1 if timing == 0 else index
    if form == 2:
        nonspeculative, pos, second = _varint(data, pos, end)
        shortest = shortest and second
    if not shortest:
        flaws.append(Flaw("I-COD-01", f"pane {data[start:pos].hex()} is not in its shortest form", start))
    if head & 0x80:
        length, pos = coders.read_varint(data, pos, end)
        if length < 0 or pos + length > end:
            raise _Broken("I-DATA-06", "ends inside element metadata", pos)
        pos += length
        flaws.append(Flaw("I-DATA-09", f"pane byte {head:#04x} announces element metadata", start))
    # Form 0 iff both indices are 0 or timing is UNKNOWN; form 1 iff they are equal or timing is EARLY (section 8.1).
    if (index == 0 and nonspeculative == 0) or timing == 3:
        wanted = 0
    elif index == nonspeculative or timing == 0:
        wanted = 1
    else:
        wanted = 2
    if form != wanted and not (form == 0 and timing == 0):
        flaws.append(Flaw("I-DATA-09", f"pane {data[start:pos].hex()} has form {form}, canonical is {wanted}", start))
    elif form == 0 and timing == 0:
        flaws.append(Flaw("I-DATA-09", f"pane {data[start:pos].hex()} is EARLY without index, canonical is form 1", start))
    return (head & 0x0F, index, nonspeculative), pos


def cut_data(payload: bytes, port: Port, seq: int) -> Cut:
    """All elements of a data entry."""
    cut = Cut()
    if port.element is None or port.window is None:
        cut.complete = not payload
        return cut
    element, keyed = port.element, port.is_keyed
    key = element.components[0] if keyed else element
    read_window, bare, flaws = _window_reader(port.window), port.bare, cut.flaws
    end, pos, begin = len(payload), 0, 0
    try:
        while pos < end:
            if pos > CUT_LIMIT:
                cut.complete = False
                break
            begin = pos
            if bare:
                timestamp, windows, spans, pane = timestamps.MIN, _ONE_WINDOW, _ONE_SPAN, _NO_PANE
            else:
                if pos + 8 > end:
                    raise _Broken("I-DATA-06", "ends inside a timestamp", pos)
                timestamp = timestamps.decode_timestamp(payload, pos)
                windows, spans, pos = _read_windows(payload, pos + 8, end, read_window)
                pane, pos = _read_pane(payload, pos, end, flaws)
            start, key_length = pos, 0
            if keyed:
                key_length = key.skip(payload, pos, end, True) - pos
            pos = element.skip(payload, pos, end, True)
            if pos == begin:
                # An element without bytes cannot be counted (P-DATA-06, UNDEFINED).
                cut.complete = False
                break
            cut.elements.append(Element(seq, timestamp, windows, spans, pane, payload[start:pos], key_length))
    except _Broken as broken:
        flaws.append(broken.flaw)
        cut.complete, cut.rest = False, payload[begin:]
    except coders.CoderError as error:
        flaws.append(Flaw("I-DATA-06", str(error), begin))
        cut.complete, cut.rest = False, payload[begin:]
    return cut


def cut_timers(payload: bytes, port: Port, seq: int) -> Cut:
    """All timers of a timer entry (P-TMR-01)."""
    cut = Cut()
    if port.key is None or port.window is None:
        cut.complete = not payload
        return cut
    key, read_window, tag_coder = port.key, _window_reader(port.window), coders.bytes_coder()
    end, pos, begin = len(payload), 0, 0
    try:
        while pos < end:
            begin = pos
            after = key.skip(payload, pos, end, True)
            key_bytes = payload[pos:after]
            tag, pos = tag_coder.read(payload, after, end, True)
            windows, spans, pos = _read_windows(payload, pos, end, read_window)
            if pos >= end:
                raise _Broken("I-DATA-06", "ends before the clear bit", pos)
            clear, pos, fire, hold, pane = payload[pos] != 0, pos + 1, 0, 0, _NO_PANE
            if not clear:
                if pos + 16 > end:
                    raise _Broken("I-DATA-06", "ends inside a timer's timestamps", pos)
                fire, hold = timestamps.decode_timestamp(payload, pos), timestamps.decode_timestamp(payload, pos + 8)
                pane, pos = _read_pane(payload, pos + 16, end, cut.flaws)
            cut.firings.append(Firing(seq, key_bytes, tag, windows, spans, clear, fire, hold, pane))
    except _Broken as broken:
        cut.flaws.append(broken.flaw)
        cut.complete, cut.rest = False, payload[begin:]
    except coders.CoderError as error:
        cut.flaws.append(Flaw("I-DATA-06", str(error), begin))
        cut.complete, cut.rest = False, payload[begin:]
    return cut


@attrs.define(eq=False)
class Load:
    """What a bundle was given, or gave, at one port, entry after entry."""

    port: Port
    entries: list[tuple[Entry, Cut]] = attrs.field(factory=list)

    @property
    def complete(self) -> bool:
        return all(cut.complete for _, cut in self.entries)

    @property
    def elements(self) -> list[Element]:
        if len(self.entries) == 1:
            return self.entries[0][1].elements
        return [element for _, cut in self.entries for element in cut.elements]

    @property
    def firings(self) -> list[Firing]:
        return [firing for _, cut in self.entries for firing in cut.firings]


class Book:
    """The stages of an index, and the elements of its bundles, cut when first asked for."""

    def __init__(self, index: Index) -> None:
        self.index = index
        self._stages: dict[tuple[str, str], Stage] = {}
        self._cuts: dict[Entry, Cut] = {}
        self._loads: dict[tuple[Bundle, bool], dict[tuple[str, str | None], Load]] = {}
        by_content: dict[bytes, Stage] = {}
        for (worker, name), events in index.descriptors.items():
            content = events[0].message.SerializeToString(deterministic=True)
            stage = by_content.get(content)
            if stage is None:
                stage = by_content[content] = Stage(events[0].message, events[0].seq)
            self._stages[(worker, name)] = stage
        self._by_bundle = {bundle: self._stages.get((bundle.worker, bundle.descriptor_id)) for bundle in index.bundles.values()}
        #: Distinct descriptors in order of arrival.
        self.stages: list[Stage] = list(by_content.values())

    def stage(self, bundle: Bundle) -> Stage | None:
        """The descriptor of a bundle, if the worker fetched it (on whichever connection)."""
        return self._by_bundle[bundle]

    def workers_of(self, stage: Stage) -> list[str]:
        return [worker for (worker, _), known in self._stages.items() if known is stage]

    def stages_of(self, worker: str) -> list[Stage]:
        return [stage for (known, _), stage in self._stages.items() if known == worker]

    def inputs(self, bundle: Bundle) -> dict[tuple[str, str | None], Load]:
        """What R sent the bundle, by port. Entries that name no port of the stage are left out (I-DATA-04)."""
        return self._load(bundle, True)

    def outputs(self, bundle: Bundle) -> dict[tuple[str, str | None], Load]:
        """What S sent for the bundle, by port."""
        return self._load(bundle, False)

    def _load(self, bundle: Bundle, inbound: bool) -> dict[tuple[str, str | None], Load]:
        known = self._loads.get((bundle, inbound))
        if known is not None:
            return known
        loads: dict[tuple[str, str | None], Load] = {}
        stage = self.stage(bundle)
        if stage is not None:
            ports = stage.sources if inbound else stage.sinks
            for entry in bundle.inputs if inbound else bundle.outputs:
                if entry.family is None:
                    port = ports.get(entry.transform)
                else:
                    port = stage.families.get((entry.transform, entry.family))
                if port is None:
                    continue
                load = loads.get(entry.port)
                if load is None:
                    load = loads[entry.port] = Load(port)
                load.entries.append((entry, (cut_data if entry.family is None else cut_timers)(entry.payload, port, entry.seq)))
        self._loads[(bundle, inbound)] = loads
        return loads

    def channel_splits(self, bundle: Bundle, source: str) -> list[tuple[Instruction, int]]:
        """The splits of that source in the order of our answers, each with its first residual element."""
        found: list[tuple[Instruction, int]] = []
        for split in bundle.splits:
            if split.ok and split.response is not None:
                for channel in split.response.process_bundle_split.channel_splits:
                    # An empty id means the only source (P-SPL-06).
                    if channel.transform_id in ("", source):
                        found.append((split, int(channel.first_residual_element)))
        return sorted(found, key=lambda one: one[0].answers[0].seq)

    def first_residual(self, bundle: Bundle, source: str) -> int | None:
        """The smallest F of the channel splits of that source: elements from F on are not the bundle's any more."""
        return min((place for _, place in self.channel_splits(bundle, source)), default=None)

    def kept(self, bundle: Bundle, source: str) -> list[Element]:
        """The elements of a source that the bundle itself was to process: those before its first residual."""
        load = self.inputs(bundle).get((source, None))
        if load is None:
            return []
        elements = load.elements
        cut = self.first_residual(bundle, source)
        return elements if cut is None else elements[:cut]
