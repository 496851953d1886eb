"""Programs that put values of a coder where a runner handles encoded values: keys, values, side inputs, state, timers.

Each `into_…` builds the program, each `check_…` compares what came out, byte for byte.
"""

from __future__ import annotations

from attrs import evolve

from conformance.pipeline import Fn, PCollection, Program, coders, state, windowing
from conformance.suite.checks import same
from conformance.suite.run import Run
from conformance.suite.u_coders.functions import to_json
from conformance.suite.u_coders.vectors import Coded

__all__ = [
    "check_keys",
    "check_side",
    "check_state",
    "check_state_keys",
    "check_values",
    "into_keys",
    "into_side",
    "into_state",
    "into_state_keys",
    "into_values",
]

_WINDOW = windowing.fixed(10_000)


def _source(program: Program, given: Coded, name: str, *, as_key: bool = False) -> PCollection:
    coder = coders.kv(given.coder, coders.VARINT) if as_key else coders.kv(coders.VARINT, given.coder)
    fn = Fn("coded_source", coder=to_json(given.coder), values=list(given.values), as_key=as_key, at=1000)
    return program.impulse(f"{name}/impulse").par_do(fn, coder, name=name)


def _numbered(given: Coded) -> list[tuple[int, str]]:
    return list(enumerate(given.values))


def into_values(program: Program, given: Coded, observer: str = "out") -> None:
    """Each value under a key of its own, through a GroupByKey."""
    grouped = _source(program, given, f"{observer}_source").group_by_key(name=f"{observer}_group")
    fn = Fn("coded_groups", observer=program.prefix + observer, value=to_json(given.coder))
    grouped.par_do(fn, coders.BYTES, name=f"{observer}_report")


def check_values(run: Run, given: Coded, observer: str = "out") -> None:
    """Every value arrived in its own group, unchanged."""
    __tracebackhide__ = True
    expected = [(number, [value]) for number, value in _numbered(given)]
    same(run.sorted_values(observer), expected, f"values of {given.coder} behind a GroupByKey", rule="P-DATA-05")


def into_keys(program: Program, given: Coded, observer: str = "out") -> None:
    """Each value twice as the key of a GroupByKey."""
    twice = evolve(given, values=given.values * 2)
    grouped = _source(program, twice, f"{observer}_source", as_key=True).group_by_key(name=f"{observer}_group")
    fn = Fn("coded_groups", observer=program.prefix + observer, key=to_json(given.coder))
    grouped.par_do(fn, coders.BYTES, name=f"{observer}_report")


def check_keys(run: Run, given: Coded, observer: str = "out") -> None:
    """One group for each value that has bytes of its own, with both of its numbers."""
    __tracebackhide__ = True
    count = len(given.values)
    expected = sorted((value, [number, number + count]) for number, value in _numbered(given))
    same(run.sorted_values(observer), expected, f"groups by keys of {given.coder}", rule="M-COMB-10")


def into_side(program: Program, given: Coded, observer: str = "out") -> None:
    """The values as an iterable side input, and as keys of a multimap side input."""
    main = program.create(["main"], name=f"{observer}_main")
    fn = Fn("coded_side", observer=program.prefix + observer, coder=to_json(given.coder), keys=list(given.values))
    sides = {
        "values": _source(program, given, f"{observer}_values").as_iterable(),
        "keys": _source(program, given, f"{observer}_keys", as_key=True).as_multimap(),
    }
    main.par_do(fn, coders.BYTES, name=f"{observer}_report", side_inputs=sides)


def check_side(run: Run, given: Coded, observer: str = "out") -> None:
    """All values were read from the one, and each key found its number in the other."""
    __tracebackhide__ = True
    numbered = _numbered(given)
    same(run.values(observer), [numbered], f"a side input of {given.coder}", rule="M-SIDE-04")
    found = [(value, [number]) for number, value in numbered]
    same(run.values(f"{observer}_keys"), [found], f"a side input with keys of {given.coder}", rule="M-SIDE-04")


def _stateful(keyed: PCollection, cell: coders.CoderSpec, observer: str, **parts: object) -> None:
    fn = Fn("coded_state", observer=keyed.program.prefix + observer, **parts)
    windowed = keyed.window_into(_WINDOW, name=f"{observer}_window")
    windowed.par_do(fn, coders.BYTES, name=f"{observer}_report", state={"values": state.bag(cell)}, timers={"end": "event"})


def into_state(program: Program, given: Coded, observer: str = "out") -> None:
    """Each value into a bag of its own key, read again by a timer at the end of the window."""
    _stateful(_source(program, given, f"{observer}_source"), given.coder, observer, value=to_json(given.coder))


def check_state(run: Run, given: Coded, observer: str = "out") -> None:
    """Every bag held the value that went in."""
    __tracebackhide__ = True
    expected = [(number, [value]) for number, value in _numbered(given)]
    same(run.sorted_values(observer), expected, f"bags of {given.coder}", rule="M-STATE-04")


def into_state_keys(program: Program, given: Coded, observer: str = "out") -> None:
    """Each value as the key of state and of a timer."""
    _stateful(_source(program, given, f"{observer}_source", as_key=True), coders.VARINT, observer, key=to_json(given.coder))


def check_state_keys(run: Run, given: Coded, observer: str = "out") -> None:
    """A timer came for every key, and found the state of that key."""
    __tracebackhide__ = True
    expected = sorted((value, [number]) for number, value in _numbered(given))
    same(run.sorted_values(observer), expected, f"state by keys of {given.coder}", rule="M-STATE-01")
