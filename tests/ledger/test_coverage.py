"""What the suite covers, held to its data: assertions and tests, leaves and reasons, rules and what checks them, Beam's interface."""

from __future__ import annotations

import inspect
import re

from conformance.harness import invariants
from conformance.suite import catalogue, coverage, interface, ledger, rules
from conformance.wire.api import fn_pb2
from conformance.wire.api import pipeline_pb2 as pb

KNOWN = {assertion.id for assertion in ledger.load().assertions} | set(invariants.CATALOGUE)


class TestAssertions:
    def test_every_entry_is_asserted_and_every_test_has_an_entry(self) -> None:
        assert catalogue.unmatched() == ([], [])

    def test_every_tier_1_leaf_has_an_executed_must_assertion_or_a_reason(self) -> None:
        found = coverage.counts()
        assert found.open_leaves == ()
        assert found.total("asked1") + found.total("reasoned1") == found.total("tier1") == 298
        assert found.total("reasoned1") <= 15

    def test_breadth_of_tier_2_and_depth(self) -> None:
        found = coverage.counts()
        assert found.total("asked2") >= 70
        assert found.assertions >= 700


class TestRules:
    TEXT = """
- **M-X-01 MUST** First, over
  two lines. (source)
- **M-X-02 `name`** t → u. MUST. UNDEF at the edge.
- **P-Y-03 MUST★ C** end it.

  | a | table |

- **P-Y-04 MUST R: Flatten.** Inputs may differ.
- **M-X-05 UNDEF** Nobody knows.
- **M-X-06 MUST (SDK)** Java only.
## Heading
Not a rule's text.
"""

    def test_parser(self) -> None:
        found = {rule.id: rule for rule in rules.parse(self.TEXT, "x.md")}
        assert list(found) == ["M-X-01", "M-X-02", "P-Y-03", "P-Y-04", "M-X-05", "M-X-06"]
        assert found["M-X-01"].text == "First, over two lines. (source)"
        assert [found[name].level for name in found] == ["MUST", "MUST", "MUST★", "MUST", "UNDEFINED", "MUST"]
        assert [found[name].owed for name in ("P-Y-03", "P-Y-04", "M-X-06")] == ["C", "R: Flatten", "(SDK)"]
        assert not found["M-X-05"].must
        assert "Not a rule" not in found["M-X-06"].text

    def test_every_rule_of_the_documents_is_parsed(self) -> None:
        stated = {
            match
            for name in rules.DOCUMENTS
            for match in re.findall(r"^- \*\*([MP]-[A-Z]+-\d+)", (rules.documents() / name).read_text(), re.MULTILINE)
        }
        assert set(rules.rules()) == stated
        assert len(stated) > 450
        assert all(rule.text for rule in rules.rules().values())

    def test_ids_in_texts(self) -> None:
        assert rules.cited_ids("M-X-01 and P-Y-02..04, M-X-46/47; I-CTL-05") == [
            *("M-X-01", "P-Y-02", "P-Y-03", "P-Y-04", "M-X-46", "M-X-47", "I-CTL-05")
        ]

    def test_what_is_cited_exists(self) -> None:
        known = {*rules.rules(), *invariants.CATALOGUE}
        cited = {rule: assertion.id for assertion in ledger.load().assertions for rule in rules.cited_ids(assertion.rule)}
        cited |= {
            rule: entry.mark.assertion
            for entry in catalogue.entries()
            for literal in re.findall(r"rule=\"([^\"]+)\"", inspect.getsource(entry.function))
            for rule in rules.cited_ids(literal)
        }
        cited |= {rule: invariant.id for invariant in invariants.CATALOGUE.values() for rule in invariant.rules}
        cited |= dict.fromkeys(rules.also(), "checks.toml") | dict.fromkeys(rules.unchecked(), "unchecked.toml")
        assert {rule: where for rule, where in cited.items() if rule not in known} == {}

    def test_what_checks_a_rule_exists(self) -> None:
        assert {rule: name for rule, names in rules.also().items() for name in names if name not in KNOWN} == {}

    def test_excuses_are_for_must_rules(self) -> None:
        assert [rule for rule in rules.unchecked() if not rules.rules()[rule].must] == []

    def test_nine_in_ten_are_mapped(self) -> None:
        found = coverage.counts()
        assert found.rules_checked + found.rules_reasoned >= 0.9 * found.rules
        assert found.rules_checked >= 0.85 * found.rules


class TestInterface:
    def test_looks_into_payloads(self) -> None:
        reach = interface.Reach()
        side = pb.SideInput(access_pattern=pb.FunctionSpec(urn="beam:side_input:iterable:v1"))
        payload = pb.ParDoPayload(side_inputs={"a": side}).SerializeToString()
        reach.look(pb.PTransform(spec=pb.FunctionSpec(urn="beam:transform:pardo:v1", payload=payload)))
        assert reach.found == {
            *(
                "PTransform.spec",
                "FunctionSpec.urn",
                "FunctionSpec.payload",
                "ParDoPayload.side_inputs",
                "SideInput.access_pattern",
            ),
            *("beam:transform:pardo:v1", "beam:side_input:iterable:v1"),
        }

    def test_a_payload_that_is_none_is_no_error(self) -> None:
        reach = interface.Reach()
        reach.look(pb.FunctionSpec(urn="beam:transform:pardo:v1", payload=b"\xff\xff"))
        assert "FunctionSpec.payload" in reach.found

    def test_oneofs_and_maps(self) -> None:
        reach = interface.Reach()
        request = fn_pb2.InstructionRequest(
            instruction_id="i", process_bundle=fn_pb2.ProcessBundleRequest(process_bundle_descriptor_id="d")
        )
        reach.look(request)
        assert "InstructionRequest.process_bundle" in reach.found
        assert "ProcessBundleRequest.process_bundle_descriptor_id" in reach.found

    def test_every_urn_and_field_is_reached_or_explained(self) -> None:
        found = coverage.counts()
        assert found.urns.missing == ()
        assert found.fields.missing == ()

    def test_the_data_names_what_exists(self) -> None:
        inventory = {*interface.all_fields(), *interface.all_urns()}
        assert interface.reached() <= inventory

    def test_no_reason_without_need(self) -> None:
        """What a run reaches needs no reason, and a pattern that matches nothing is a mistake."""
        inventory = {*interface.all_fields(), *interface.all_urns()}
        used = dict.fromkeys(interface.patterns(), False)
        for name in inventory - interface.reached():
            for pattern in used:
                used[pattern] |= interface.matches(pattern, name)
        assert [pattern for pattern, needed in used.items() if not needed] == []
        assert [name for name in interface.patterns() if name in interface.reached()] == []
