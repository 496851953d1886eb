"""The shipped ledger is whole, and the loader refuses every way in which it could stop being so."""

from __future__ import annotations

import collections

import pytest

from conformance.suite.ledger import Assertion, LedgerError, NoSuchLeaf, load, parse

LEAF = """
[[leaf]]
id = "{id}"
title = "t"
definition = "d"
tier = 1
requires = [{requires}]
"""


def toml(*leaves: str, area: str = "A") -> bytes:
    return (f'area = "{area}"\ntitle = "x"\n' + "".join(leaves)).encode()


def leaf(leaf_id: str, *requires: str) -> str:
    return LEAF.format(id=leaf_id, requires=", ".join(f'"{r}"' for r in requires))


class TestShipped:
    def test_counts(self) -> None:
        shipped = load()
        assert len(shipped.areas) == 23
        assert "".join(area.id for area in shipped.areas) == "ABCDEFGHIJKLMNOPQRSTUVW"
        assert len(shipped.leaves) == 413
        assert collections.Counter(leaf.tier for leaf in shipped.leaves) == {1: 298, 2: 115}
        assert sum(leaf.nobody for leaf in shipped.leaves) == 105
        assert sum(leaf.nobody for leaf in shipped.leaves if leaf.tier == 1) == 49

    def test_every_leaf_says_what_it_is(self) -> None:
        for entry in load().leaves:
            assert entry.title
            assert entry.definition
            assert entry.beam_tests, entry.id
            assert entry.nobody == entry.beam_tests.startswith("nobody"), entry.id

    def test_numbers_within_a_prefix_have_no_gaps(self) -> None:
        numbers: dict[str, list[int]] = collections.defaultdict(list)
        for entry in load().leaves:
            numbers[entry.id.rstrip("0123456789")].append(int(entry.id.lstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")))
        assert all(found == list(range(1, len(found) + 1)) for found in numbers.values())

    def test_urns_are_those_of_beam(self) -> None:
        from conformance.wire import urns

        known = {
            value
            for space in vars(urns).values()
            if isinstance(space, type)
            for value in vars(space).values()
            if isinstance(value, str) and value.startswith("beam:")
        }
        # Two that Beam's protos do not list: the fused stage that Java runners make, and Python's packed combiner.
        known |= {"beam:runner:executable_stage:v1", "beam:combinefn:packed_python:v1"}
        named = {urn for entry in load().leaves for urn in entry.urns}
        unlisted = {urn for urn in named - known if not urn.startswith("beam:schematransform:")}
        assert not unlisted

    def test_everything_rests_on_impulse_or_on_a_service_of_its_own(self) -> None:
        roots = {entry.id for entry in load().leaves if not entry.requires}
        assert roots == {"CORE01", "JOB01", "XL01"}

    def test_prerequisites_come_farthest_first(self) -> None:
        assert load().prerequisites("STATE07") == ("CORE01", "CORE03", "STATE01", "STATE06")


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ([toml(leaf("AB01"), leaf("AB01"))], "AB01 is there twice"),
        ([toml(leaf("AB01", "AB02"))], "near it: AB01"),
        ([toml(leaf("AB01", "AB02"), leaf("AB02", "AB01"))], "in a circle"),
        ([toml(leaf("ab1"))], "no leaf id"),
        ([toml(leaf("AB01")), toml(leaf("AB02"))], "share a letter"),
        ([toml(leaf("AB01").replace("tier = 1", "tier = 3"))], "tier"),
        ([toml(leaf("AB01") + "colour = 1")], "colour"),
        ([toml(leaf("AB01") + 'urns = ["transform:x:v1"]')], "full beam: form"),
        ([toml(leaf("AB01") + "[[leaf.assertions]]\nslug = 'x'\nlevel = 'WILL'\nstatement = 's'")], "level|WILL"),
        ([toml(leaf("AB01") + "[[leaf.assertions]]\nslug = 'X y'\nlevel = 'MUST'\nstatement = 's'")], "no assertion id"),
        ([toml(leaf("AB01") + "[[leaf.assertions]]\nslug = 'x'\nlevel = 'MUST'\nstatement = ''")], "states nothing"),
        (
            [toml(leaf("AB01") + "[[leaf.assertions]]\nslug = 'x'\nlevel = 'MUST'\nstatement = 's'\n" * 2)],
            "AB01/x is there twice",
        ),
        (
            [toml(leaf("AB01") + "untestable = 'w'\n[[leaf.assertions]]\nslug = 'x'\nlevel = 'MUST'\nstatement = 's'\n")],
            "untestable",
        ),
        ([b"area = "], "f0.toml"),
    ],
)
def test_refused(texts: list[bytes], says: str) -> None:
    with pytest.raises(LedgerError, match=says):
        parse({f"f{n}.toml": text for n, text in enumerate(texts)})


def test_near_misses_are_offered() -> None:
    with pytest.raises(NoSuchLeaf, match="CORE18"):
        load().leaf("core18")
    with pytest.raises(KeyError, match="names them all"):
        load().leaf("nonsense")


class TestAssertions:
    ONE = Assertion("CORE18/tested-words", "CORE18", "MUST", "Every value of a key arrives once.", "M-XF-20")

    def test_written_in_the_data(self) -> None:
        text = toml(leaf("AB01") + "[[leaf.assertions]]\nslug = 'x-y'\nlevel = 'SHOULD'\nstatement = 's'\nrule = 'M-TIME-01'\n")
        found = parse({"a.toml": text}).assertion("AB01/x-y")
        assert (found.level, found.rule, found.slug) == ("SHOULD", "M-TIME-01", "x-y")

    def test_registered(self) -> None:
        bare = parse({"a.toml": toml(leaf("CORE18"))})
        more = bare.with_assertions([self.ONE, self.ONE])
        assert more.assertion(self.ONE.id) == self.ONE
        assert more.leaf("CORE18").assertions == (self.ONE,)
        assert bare.assertions == ()
        assert more.with_assertions([self.ONE]).assertions == (self.ONE,)

    def test_contradiction(self) -> None:
        with pytest.raises(LedgerError, match="defined twice"):
            load().with_assertions([self.ONE, Assertion(self.ONE.id, "CORE18", "MAY", "Something else.")])

    def test_unknown_leaf(self) -> None:
        with pytest.raises(NoSuchLeaf, match="near it: CORE4"):
            load().with_assertions([Assertion("CORE49/x", "CORE49", "MUST", "s")])

    def test_wrong_leaf(self) -> None:
        with pytest.raises(LedgerError, match="before the slash"):
            Assertion("CORE18/x", "CORE19", "MUST", "s")
