"""How elements travel: in many messages, among empty entries, behind the answer, large, through several sources and sinks."""

from __future__ import annotations

import pytest

from conformance.endpoints.outcome import TERMINAL
from conformance.harness import Session
from conformance.harness.invariants import discarded
from conformance.pipeline import Fn, PCollection, Program, coders
from conformance.suite.assertions import asserts
from conformance.suite.case import Case, Scenario
from conformance.suite.checks import holds, same
from conformance.suite.execution import RunnerUnderTest
from conformance.suite.m_job_api.driving import PAIRS, Job, run_program, started
from conformance.suite.o_control.watching import BRIEF, answer_to, bundles, descriptors, until
from conformance.suite.outcomes import NotExercised
from conformance.suite.p_data.functions import CHUNKS, SIZE_OF, TWO_FAMILIES
from conformance.wire import urns
from conformance.wire.api import fn_pb2

NUMBERS = list(range(40))
MIB = 1 << 20
SINK = urns.Runner.DATA_SINK


def _grouped(collection: PCollection, observer: str = "out", key: str = "k") -> PCollection:
    pairs = collection.par_do(Fn("with_key", key=key), coders.kv(coders.STRING, collection.coder), name=f"key-{observer}")
    return pairs.group_by_key(name=f"group-{observer}").observe(observer)


# Entries, messages and ends


@asserts("DATA01/a-message-an-element")
def test_message_an_element(case: Case) -> Scenario:
    case.program.create([("k", number) for number in NUMBERS]).par_do(Fn(CHUNKS)).group_by_key().observe("out")
    run = yield
    same(run.groups("out"), {"k": NUMBERS}, "the outcome where each element came in a message of its own", rule="P-DATA-04")


@asserts("DATA01/empty-entries")
def test_empty_entries(case: Case) -> Scenario:
    chunks = Fn(CHUNKS, empty=True)
    case.program.create([("k", number) for number in NUMBERS]).par_do(chunks).group_by_key().observe("out")
    run = yield
    same(run.groups("out"), {"k": NUMBERS}, "the outcome where entries without bytes came in between", rule="P-DATA-04")


@asserts("DATA01/many-elements-an-entry")
def test_many_elements_an_entry(case: Case) -> Scenario:
    case.program.create([("k", number) for number in range(5000)]).group_by_key().observe("out")
    run = yield
    same(run.groups("out"), {"k": list(range(5000))}, "the outcome where one entry held 5000 elements", rule="P-DATA-04")


def _numbers(program: Program) -> None:
    program.create([("k", number) for number in NUMBERS]).par_do(Fn("identity"), name="writes").group_by_key().observe("out")


def _bytes_in_terminators(session: Session) -> None:
    session.script.add("data_in_terminator", times=1000)


@asserts("DATA01/bytes-in-terminators")
def test_bytes_in_terminators(runner: RunnerUnderTest) -> None:
    run = run_program(runner, _numbers, label="bytes-in-terminators", setup=_bytes_in_terminators)
    same(run.groups("out"), {"k": NUMBERS}, "the outcome where the last bytes came in the ending entry", rule="P-DATA-03")


def _without_ends(runner: RunnerUnderTest) -> Session:
    session = runner.session()
    session.script.add("no_terminators", transform="writes")
    return session


def _answered(job: Job) -> fn_pb2.InstructionRequest:
    """The bundle that writes, once it is answered; its outputs are not ended. Fails if it does not come."""
    session = job.session

    def answered() -> bool:
        return any(answer_to(session, request) is not None for request in bundles(session, "writes"))

    holds(until(answered, job.soon), "no bundle of the writing stage came", rule="P-CTL-18")
    return next(request for request in bundles(session, "writes") if answer_to(session, request) is not None)


def _end_outputs(job: Job, bundle: fn_pb2.InstructionRequest, again: bool) -> None:
    """Send what was withheld: the end of every sink; with `again` all outputs of the bundle once more before it."""
    session, instruction_id = job.session, bundle.instruction_id
    came = session.transcript.events("control", direction="R->S", kind="InstructionRequest")
    [worker_id] = {event.worker_id for event in came if event.message.instruction_id == instruction_id}
    [worker] = [each for each in session.workers if each.worker_id == worker_id]
    descriptor = descriptors(session)[bundle.process_bundle.process_bundle_descriptor_id]
    sent = session.transcript.events("data", direction="S->R", worker_id=worker_id, kind="Elements")
    for sink, transform in descriptor.transforms.items():
        if transform.spec.urn != SINK:
            continue
        port = fn_pb2.RemoteGrpcPort.FromString(transform.spec.payload)
        elements = fn_pb2.Elements()
        for event in sent if again else ():
            entries = [each for each in event.message.data if (each.instruction_id, each.transform_id) == (instruction_id, sink)]
            elements.data.extend(entries)
        elements.data.add(instruction_id=instruction_id, transform_id=sink, is_last=True)
        worker.data.stream(port.api_service_descriptor.url, bundle.process_bundle.data_stream_id).send(elements)


@asserts("DATA01/ends-awaited")
def test_ends_awaited(runner: RunnerUnderTest) -> None:
    with started(runner, _numbers, session=_without_ends(runner)) as job:
        bundle = _answered(job)
        early = until(lambda: job.state() in TERMINAL, BRIEF)
        holds(not early, f"the job is {job.state()} although the outputs of a bundle are not ended", rule="P-CTL-18")
        _end_outputs(job, bundle, again=False)
        same(job.end(), "DONE", "the end of a job whose outputs were ended late", rule="P-CTL-18")
        same(job.as_run().groups("out"), {"k": NUMBERS}, "the outcome of a job whose outputs were ended late", rule="P-CTL-18")


@asserts("DATA01/outputs-behind-the-answer")
def test_outputs_behind_the_answer(runner: RunnerUnderTest) -> None:
    with started(runner, _numbers, session=_without_ends(runner)) as job:
        bundle = _answered(job)
        _end_outputs(job, bundle, again=True)
        same(job.end(), "DONE", "the end of a job with outputs behind a bundle's answer", rule="P-CTL-18")
        # A bundle that the runner runs again sends its outputs but once, the second time.
        thrown_away = bundle.instruction_id in {name for _, name in discarded(job.session.transcript)}
        wanted = {"k": NUMBERS if thrown_away else sorted(NUMBERS * 2)}
        same(job.as_run().groups("out"), wanted, "the outcome where outputs came twice, once behind the answer", rule="P-CTL-18")


@asserts("DATA02/no-output-ends")
def test_no_output_ends(case: Case) -> Scenario:
    nothing = case.program.create([1, 2, 3]).par_do(Fn("drop"), coders.VARINT, name="drop")
    _grouped(nothing, "nothing")
    _grouped(case.program.create([4], name="other"), "other")
    run = yield
    same(
        (run.values("nothing"), run.groups("other")), ([], {"k": [4]}), "the outcome of a stage without outputs", rule="P-DATA-14"
    )


@asserts("DATA02/chain-of-nothing")
def test_chain_of_nothing(case: Case) -> Scenario:
    created = case.program.create([1])
    created.observe("created")
    found = created.par_do(Fn("drop"), PAIRS, name="drop")
    for number in range(3):
        grouped = found.group_by_key(name=f"group{number}")
        found = grouped.par_do(Fn("ungroup"), PAIRS, name=f"ungroup{number}")
        found.observe(f"seen{number}")
    run = yield
    same(run.values("created"), [1], "what came before the groupings", rule="M-XF-17")
    same(
        [run.values(f"seen{number}") for number in range(3)], [[], [], []], "what groupings of nothing brought", rule="P-DATA-14"
    )


# Several bundles, sources and sinks


def _turns(program: Program) -> None:
    for name in ("a", "b"):
        pairs = program.create([("k", number) for number in range(6)], name=f"create-{name}")
        pairs.par_do(Fn(CHUNKS, gate=name), name=f"turns-{name}").group_by_key(name=f"group-{name}").observe(name)


@asserts("DATA03/bundles-in-turns")
def test_bundles_in_turns(runner: RunnerUnderTest) -> None:
    with started(runner, _turns) as job:
        gates = job.session.gates
        together = gates.arrived("a", timeout=BRIEF * 3) and gates.arrived("b", timeout=BRIEF * 3)
        for turn in range(2, 7) if together else ():  # one element of a, one of b, and so on
            for name in ("a", "b"):
                gates.pass_one(name)
                gates.arrived(name, turn, job.soon)
        gates.open("a")
        gates.open("b")
        same(job.end(), "DONE", "the end of a job with two bundles in turns", rule="P-DATA-08")
        run, wanted = job.as_run(), {"k": list(range(6))}
        same((run.groups("a"), run.groups("b")), (wanted, wanted), "the outcome of two bundles in turns", rule="P-DATA-08")
        if not together:
            raise NotExercised("the runner runs one bundle at a time")


def _held(program: Program) -> None:
    pairs = program.create([("k", number) for number in NUMBERS])
    pairs.par_do(Fn(CHUNKS, gate="held"), name="writes").group_by_key().observe("out")


@asserts("DATA03/unknown-instruction-ignored")
def test_unknown_instruction_ignored(runner: RunnerUnderTest) -> None:
    with started(runner, _held) as job:
        session = job.session
        job.is_held("held")
        sent = next(
            event
            for event in session.transcript.events("data", direction="S->R", kind="Elements")
            if any(entry.data for entry in event.message.data)
        )
        stray = fn_pb2.Elements()
        stray.CopyFrom(sent.message)
        for entry in stray.data:
            entry.instruction_id = "no-such-instruction"
        [worker] = [each for each in session.workers if each.worker_id == sent.worker_id]
        worker.data.stream(sent.stream).send(stray)
        job.release("held")
        same(job.end(), "DONE", "the end of a job to which outputs of an unknown bundle came", rule="P-DATA-12")
        same(job.as_run().groups("out"), {"k": NUMBERS}, "the outcome, without the stray outputs", rule="P-DATA-12")


@asserts("DATA04/sinks-apart")
def test_sinks_apart(case: Case) -> Scenario:
    tags = ["even", "odd", "never"]
    route = Fn("route", tags=tags, expr=["get", ["list", "even", "odd"], ["%", ["value"], 2]])
    outputs = case.program.create(NUMBERS).par_do(route, dict.fromkeys(tags, coders.VARINT))
    for tag, output in outputs.items():
        _grouped(output, tag)
    run = yield
    wanted: tuple[dict[str, list[int]], ...] = ({"k": NUMBERS[::2]}, {"k": NUMBERS[1::2]}, {})
    same(tuple(run.groups(tag) for tag in tags), wanted, "what came by each of three outputs", rule="P-DATA-01")


@asserts("DATA04/unconsumed-output")
def test_unconsumed_output(case: Case) -> Scenario:
    fan_out = Fn("fan_out", tags=["used", "unused"])
    outputs = case.program.create(NUMBERS).par_do(fan_out, {"used": coders.VARINT, "unused": coders.VARINT})
    _grouped(outputs["used"])
    run = yield
    same(run.groups("out"), {"k": NUMBERS}, "what came by the output that is consumed", rule="P-CTL-12")


@asserts("DATA04/sources-apart")
def test_sources_apart(case: Case) -> Scenario:
    parts: list[PCollection] = []
    wanted: dict[str, list[int]] = {}
    for index, name in enumerate(("a", "b", "c")):
        wanted[name] = [index * 10 + number for number in range(5)]
        pairs = case.program.create([(name, value) for value in wanted[name]], name=f"create-{name}")
        grouped = pairs.group_by_key(name=f"group-{name}")
        parts.append(grouped.par_do(Fn("ungroup"), PAIRS, name=f"ungroup-{name}"))
    case.program.flatten(parts).group_by_key(name="merged").observe("merged")
    run = yield
    same(run.groups("merged"), wanted, "three groupings that meet in a Flatten", rule="P-DATA-01")


# Timers on the data plane

FIRED = sorted([(key, family, fire * scale) for key, fire in (("x", 5), ("y", 7)) for family, scale in (("a", 1), ("b", 10))])


def _two_families(program: Program, observer: str) -> None:
    keyed = program.create([("x", 5), ("y", 7)], timestamps=[0, 0])
    keyed.par_do(Fn(TWO_FAMILIES, observer=observer), coders.BYTES, timers={"a": "event", "b": "event"})


@asserts("DATA05/families-apart")
def test_families_apart(case: Case) -> Scenario:
    _two_families(case.program, case.program.prefix + "fired")
    run = yield
    same(sorted(run.values("fired")), FIRED, "timers of two families and two keys", rule="P-DATA-02")


@asserts("DATA05/timers-behind-the-answer")
def test_timers_behind_the_answer(runner: RunnerUnderTest) -> None:
    session = runner.session()
    session.respond_first = True
    with started(runner, lambda program: _two_families(program, "fired"), session=session) as job:
        same(job.end(), "DONE", "the end of a job whose timers are set behind bundles' answers", rule="P-CTL-18")
        same(sorted(job.as_run().values("fired")), FIRED, "timers that were set behind the answer", rule="P-CTL-18")


# Size and loss


@asserts("DATA07/much-both-ways", alone=True)
def test_much_both_ways(case: Case) -> Scenario:
    large = case.program.impulse().par_do(Fn("large", size=MIB, count=12), coders.BYTES, name="large")
    pairs = large.par_do(Fn("with_key", key="k"), coders.kv(coders.STRING, coders.BYTES))
    values = pairs.group_by_key().par_do(Fn("flat_map", expr=["val"]), coders.BYTES, name="ungroup")
    again = values.par_do(Fn("with_key", key="j"), coders.kv(coders.STRING, coders.BYTES), name="key-again")
    last = again.group_by_key(name="group-again").par_do(Fn("flat_map", expr=["val"]), coders.BYTES, name="ungroup-again")
    last.par_do(Fn(SIZE_OF, observer=case.program.prefix + "out"), coders.BYTES)
    run = yield
    same(run.sorted_values("out"), [(number, MIB) for number in range(12)], "12 MiB through two groupings", rule="P-DATA-15")


@asserts("DATA08/element-of-16-mib", alone=True)
@pytest.mark.parametrize("size", [5 * MIB, 16 * MIB], ids=["5", "16"])
def test_large_element(case: Case, size: int) -> Scenario:
    large = case.program.impulse().par_do(Fn("large", size=size), coders.BYTES, name="large")
    pairs = large.par_do(Fn("with_key", key="k"), coders.kv(coders.STRING, coders.BYTES))
    values = pairs.group_by_key().par_do(Fn("flat_map", expr=["val"]), coders.BYTES, name="ungroup")
    values.par_do(Fn(SIZE_OF, observer=case.program.prefix + "out"), coders.BYTES)
    run = yield
    same(run.values("out"), [(0, size)], f"an element of {size} bytes, both ways", rule="P-CH-08")


@asserts("DATA10/lost-stream-noticed")
def test_lost_stream_noticed(runner: RunnerUnderTest) -> None:
    session = runner.session()
    session.script.add("drop", transform="writes", plane="data", at=0)
    session.script.add("never", transform="writes")
    with started(runner, _numbers, session=session) as job:
        state = job.end(job.hung)
        if state == "DONE":
            same(job.as_run().groups("out"), {"k": NUMBERS}, "the outcome of a job that got over a lost stream", rule="P-DATA-19")
            return
        same(state, "FAILED", "the end of a job whose worker lost its data stream inside a bundle", rule="P-DATA-19")
