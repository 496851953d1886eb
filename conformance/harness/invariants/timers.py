"""I-TMR and I-COD-02: a model of every timer, kept from what the harness set, against what the runner fires."""

from __future__ import annotations

from collections import defaultdict
from typing import Final, NamedTuple

import attrs

from conformance.harness.invariants.catalogue import Docket, Level
from conformance.harness.invariants.elements import Book, Firing
from conformance.harness.invariants.index import Bundle, Entry, Index
from conformance.harness.invariants.stages import Stage
from conformance.wire import coders, timestamps
from conformance.wire.api import pipeline_pb2 as pb

__all__ = ["check"]

EVENT_TIME: Final = pb.TimeDomain.EVENT_TIME
#: The last instant of the global window differs by one between SDKs (P-COD-02).
GLOBAL_ENDS: Final = frozenset({timestamps.GLOBAL_WINDOW_MAX, timestamps.GLOBAL_WINDOW_MAX - 1})
_ON_TIME: Final = 1

#: (transform, family, tag, key, window): P-TMR-03
Identity = tuple[str, str, bytes, bytes, bytes]


def check(index: Index, book: Book, docket: Docket) -> None:
    """All rules of this module."""
    _Model(index, book, docket).run()
    _order(index, book, docket)
    _early(index, book, docket)


@attrs.define(eq=False)
class Setting:
    """A committed setting (or clearing) of one timer."""

    firing: Firing
    bundle: Bundle
    end: int | None
    #: The OK bundle that it fired in.
    fired_in: Bundle | None = None

    @property
    def seq(self) -> int:
        return self.bundle.answered


def _same_instant(one: int, other: int) -> bool:
    return one == other or (one in GLOBAL_ENDS and other in GLOBAL_ENDS)


def _same_hold(wanted: int, got: int) -> bool:
    """A hold behind everything means none; a runner clamps it (P-TMR-06)."""
    return _same_instant(wanted, got) or wanted > timestamps.GLOBAL_WINDOW_MAX


def _differences(wanted: Firing, got: Firing) -> list[str]:
    found = []
    if not _same_instant(wanted.fire, got.fire):
        found.append(f"fire timestamp {got.fire}, set {wanted.fire}")
    if not _same_hold(wanted.hold, got.hold):
        found.append(f"hold timestamp {got.hold}, set {wanted.hold}")
    return found


class _Breach(NamedTuple):
    """The invariant that a firing breaks, how, and the level where that is not the invariant's own."""

    rule: str
    statement: str
    level: Level | None = None


class _Model:
    """Settings by identity, in the order of their commits, and firings against them."""

    def __init__(self, index: Index, book: Book, docket: Docket) -> None:
        self.index, self.book, self.docket = index, book, docket
        self.settings: dict[Identity, list[Setting]] = defaultdict(list)
        self.stages: dict[str, Stage] = {}
        self.domains: dict[tuple[str, str], int] = {}

    def run(self) -> None:
        """Collect settings, then judge each firing where it came."""
        firings: list[tuple[Entry, Firing, Bundle, Stage]] = []
        for bundle in self.index.executed():
            stage = self.book.stage(bundle)
            if stage is None or not stage.families:
                continue
            self.domains.update(stage.domains)
            if bundle.ok:
                self._collect(bundle)
            for load in self.book.inputs(bundle).values():
                for entry, cut in load.entries if load.port.family is not None else ():
                    firings += [(entry, firing, bundle, stage) for firing in cut.firings]
        for settings in self.settings.values():
            settings.sort(key=lambda setting: setting.seq)
        firings.sort(key=lambda fired: fired[0].seq)
        for entry, firing, bundle, stage in firings:
            self._judge(entry, firing, bundle, stage)
        self._unfired()

    def _collect(self, bundle: Bundle) -> None:
        last: dict[Identity, Setting] = {}
        for (transform, family), load in self.book.outputs(bundle).items():
            if family is None:
                continue
            for firing in load.firings:
                for window, span in zip(firing.windows, firing.spans, strict=True):
                    end = span[1] - 1 if span is not None else timestamps.GLOBAL_WINDOW_MAX if not window else None
                    # Per identity the last one of a bundle wins (P-TMR-04).
                    last[(transform, family, firing.tag, firing.key, window)] = Setting(firing, bundle, end)
        for identity, setting in last.items():
            self.settings[identity].append(setting)

    def _judge(self, entry: Entry, firing: Firing, bundle: Bundle, stage: Stage) -> None:
        family = entry.family or ""
        # The runner sets this family itself (P-TMR-10).
        if stage.expiration.get(entry.transform) == family:
            return
        for rule in ("I-TMR-01", "I-TMR-02", "I-COD-02"):
            self.docket.look(rule)
        found = self._verdict(entry.transform, family, firing, bundle)
        if found is not None:
            rule, statement, level = found
            self.docket.find(
                rule,
                entry.seq,
                f"timer {firing.tag.decode('utf-8', 'replace')!r} of family {family!r} of {entry.transform!r}, key {firing.key.hex()}, "
                f"in bundle {bundle.id!r} {statement}",
                level=level,
                bundle=bundle.id,
                key=firing.key.hex(),
                fire=firing.fire,
                hold=firing.hold,
            )

    def _verdict(self, transform: str, family: str, firing: Firing, bundle: Bundle) -> _Breach | None:
        """What a firing breaks; notes what it fired."""
        if firing.clear:
            return _Breach("I-TMR-01", "has the clear bit set")
        if len(firing.windows) != 1:
            return _Breach("I-TMR-01", f"has {len(firing.windows)} windows, not one")
        identity = (transform, family, firing.tag, firing.key, firing.windows[0])
        committed = [setting for setting in self.settings.get(identity, ()) if setting.seq < firing.seq]
        if not committed:
            return self._unknown(identity)
        current = committed[-1]
        # After a failure a runner may have gone back to a checkpoint, and with it to older settings.
        rolled_back = self.index.any_failed
        if current.firing.clear:
            return None if rolled_back else _Breach("I-TMR-02", f"fires, and bundle {current.bundle.id!r} had cleared it")
        if differences := _differences(current.firing, firing):
            if rolled_back:
                return None
            for earlier in committed[:-1]:
                if not earlier.firing.clear and not _differences(earlier.firing, firing):
                    told = f"fires as bundle {earlier.bundle.id!r} set it, and {current.bundle.id!r} set it anew"
                    return _Breach("I-TMR-02", told)
            return _Breach("I-TMR-01", f"is not as bundle {current.bundle.id!r} set it: {'; '.join(differences)}")
        if current.fired_in is bundle or (current.fired_in is not None and not rolled_back):
            return _Breach("I-TMR-02", f"fires a second time; it did in bundle {current.fired_in.id!r}")
        if bundle.ok:
            current.fired_in = bundle
        if current.firing.pane != firing.pane and not rolled_back:
            told = f"is not as bundle {current.bundle.id!r} set it: pane {firing.pane}, set {current.firing.pane}"
            return _Breach("I-TMR-01", told, "SHOULD")
        return None

    def _unknown(self, identity: Identity) -> _Breach:
        """A firing without a setting: perhaps its key is another encoding of one that was set."""
        transform, family, tag, key, window = identity
        for other in self.settings:
            if (*other[:3], other[4]) == (transform, family, tag, window):
                longer, shorter = sorted((other[3], key), key=len, reverse=True)
                if longer == coders.encode_varint(len(shorter)) + shorter:
                    return _Breach("I-COD-02", f"has the key {key.hex()}, which the SDK wrote as {other[3].hex()}")
        return _Breach("I-TMR-01", "was never set")

    def _unfired(self) -> None:
        if not self.index.done or self.index.any_failed:
            return
        for (transform, family, tag, key, _), settings in self.settings.items():
            if self.domains.get((transform, family)) != EVENT_TIME:
                continue
            last = settings[-1]
            self.docket.look("I-TMR-04")
            if last.firing.clear or last.fired_in is not None or last.end is None or last.firing.fire > last.end:
                continue
            self.docket.find(
                "I-TMR-04",
                last.seq,
                f"timer {tag.decode('utf-8', 'replace')!r} of family {family!r} of {transform!r}, key {key.hex()}, set by bundle "
                f"{last.bundle.id!r} for {last.firing.fire}, never fired and the job is DONE",
                bundle=last.bundle.id,
                key=key.hex(),
                fire=last.firing.fire,
            )


def _order(index: Index, book: Book, docket: Docket) -> None:
    for bundle in index.executed():
        stage = book.stage(bundle)
        if stage is None or not stage.families:
            continue
        latest: dict[tuple[str, int, bytes], int] = {}
        for entry in bundle.inputs:
            if entry.family is None or not entry.payload or (entry.transform, entry.family) not in stage.families:
                continue
            domain = stage.domains.get((entry.transform, entry.family), 0)
            load = book.inputs(bundle)[entry.port]
            cut = next(cut for held, cut in load.entries if held is entry)
            for firing in cut.firings:
                docket.look("I-TMR-05")
                before = latest.get((entry.transform, domain, firing.key))
                if before is not None and firing.fire < before:
                    docket.find(
                        "I-TMR-05",
                        entry.seq,
                        f"timers of {entry.transform!r}, key {firing.key.hex()}, in bundle {bundle.id!r} fire for {before} "
                        f"and then for {firing.fire}",
                        bundle=bundle.id,
                        key=firing.key.hex(),
                    )
                latest[(entry.transform, domain, firing.key)] = firing.fire


def _early(index: Index, book: Book, docket: Docket) -> None:
    """An ON_TIME pane holds the watermark at its timestamp until it is through; a timer that fired for later was early."""
    fired: dict[str, tuple[int, int, Bundle, int]] = {}
    for bundle in index.executed():
        stage = book.stage(bundle)
        if stage is None or not stage.families or not bundle.ok:
            continue
        for name, port in stage.keyed_sources():
            if not port.is_grouped:
                continue
            docket.look("I-TMR-03")
            early = fired.get(name)
            if early is not None and bundle.seq > early[1]:
                for element in book.kept(bundle, port.transform):
                    if element.pane[0] >> 2 == _ON_TIME and element.timestamp < early[0]:
                        docket.find(
                            "I-TMR-03",
                            early[3],
                            f"an event timer of {name!r} fired for {early[0]} in bundle {early[2].id!r}, and bundle {bundle.id!r} still "
                            f"got an ON_TIME pane of {element.timestamp}",
                            bundle=early[2].id,
                        )
                        fired.pop(name)
                        break
        for (transform, family), load in book.inputs(bundle).items():
            if family is not None and stage.domains.get((transform, family)) == EVENT_TIME:
                for firing in load.firings:
                    if transform not in fired or firing.fire > fired[transform][0]:
                        fired[transform] = (firing.fire, bundle.answered, bundle, firing.seq)
