"""Events from a TestStreamService: those of the service, each in its place, as if they stood in the payload."""

from __future__ import annotations

from conformance.pipeline import windowing
from conformance.suite.assertions import asserts
from conformance.suite.c_windowing.reading import window_groups
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import same, same_multiset
from conformance.suite.k_test_stream.serving import EventService
from conformance.suite.scripting import END, PAIRS, add, wm
from conformance.wire import urns


@asserts("TS09/events-of-the-service", modes=("streaming",), alone=True)
def test_events_of_the_service(case: Case) -> Scenario:
    with EventService([add((1, 1)), wm(12), wm(13), add((2, 2)), END], PAIRS) as service:
        program = case.program
        payload = service.payload(program.graph.coder(PAIRS))
        script = program.raw("script", urns.Transform.TEST_STREAM, payload, outputs={"out": PAIRS}, bounded=False)["out"]
        script.observe("all")
        script.window_into(windowing.fixed(10)).group_by_key().observe("grouped")
        run = yield
        same_multiset([value for _, value in run.values("all")], [1, 2], "elements of the service", rule="M-TS-02")
        same(window_groups(run, "grouped"), {("k", 0, 10): [1]}, "groups: 2 is late by the service's watermark", rule="M-TS-03")
        same(service.asked, 1, "streams that were opened to the service", rule="M-TS-08")
