"""Bundles from request to answer, on a runner that a test drives by hand."""

from __future__ import annotations

import threading

from scripted import WAIT, ScriptedRunner, Stage

from conformance.harness import Session
from conformance.harness.transcript import End
from conformance.pipeline import Fn, coders, state, windowing
from conformance.pipeline.encoding import resolve
from conformance.wire import urns
from conformance.wire.api import fn_pb2
from conformance.wire.values import GLOBAL_WINDOW, IntervalWindow, StateBackedIterable, Timer, WindowedValue


def mapped(runner: ScriptedRunner) -> Stage:
    """source → doubled → sink"""
    stage = Stage(runner)
    stage.sink(stage.source(coders.VARINT).par_do(Fn("map", expr=["*", ["value"], 2]), name="double"))
    return stage


def test_a_bundle_is_fed_run_terminated_and_answered(session: Session, runner: ScriptedRunner) -> None:
    runner.start_worker()
    stage = mapped(runner)
    answer, instruction = runner.bundle(stage, [1, 2, 3])
    assert answer.WhichOneof("response") == "process_bundle", answer.error
    assert runner.values(instruction, stage) == [2, 4, 6]
    infos = {
        (info.urn, info.labels.get("PCOLLECTION", info.labels.get("PTRANSFORM"))): info
        for info in answer.process_bundle.monitoring_infos
    }
    assert infos[urns.Metric.ELEMENT_COUNT, "double.out"].payload == b"\x03"
    assert infos[urns.Metric.DATA_CHANNEL_READ_INDEX, "source"].payload == b"\x03"
    assert not session.local_errors
    assert not session.remote_errors


def test_data_before_its_instruction_waits(runner: ScriptedRunner) -> None:
    runner.start_worker()
    stage = mapped(runner)
    runner.bundle(stage, [0])
    runner.feed(runner.input("early", stage, {"source": [5]}))
    runner.send(instruction_id="early", process_bundle=fn_pb2.ProcessBundleRequest(process_bundle_descriptor_id="d"))
    assert runner.answer("early").error == ""
    assert runner.values("early", stage) == [10]


def test_terminators_come_last_in_one_message_and_are_empty(runner: ScriptedRunner) -> None:
    runner.start_worker()
    stage = Stage(runner)
    source = stage.source(coders.VARINT)
    stage.sink(source, "one")
    stage.sink(source, "two")
    _, instruction = runner.bundle(stage, [1])
    runner.output(instruction, stage, "one")
    assert len(runner.data) == 1
    entries = runner.data[0].data
    assert [(entry.transform_id, bool(entry.data), entry.is_last) for entry in entries] == [
        ("one", True, False),
        ("two", True, False),
        ("one", False, True),
        ("two", False, True),
    ] or [entry.is_last for entry in entries] == [False, False, True, True]
    assert all(not entry.data for entry in entries if entry.is_last)


def test_large_outputs_leave_in_entries_of_whole_elements(runner: ScriptedRunner) -> None:
    runner.start_worker()
    stage = Stage(runner)
    stage.sink(stage.source(coders.BYTES))
    values = [bytes([number]) * 600_000 for number in range(5)]
    _, instruction = runner.bundle(stage, values)
    assert runner.values(instruction, stage) == values
    assert len(runner.data) > 2


def test_a_function_that_fails_gives_its_text_and_a_new_instance_next_time(session: Session, runner: ScriptedRunner) -> None:
    runner.start_worker()
    stage = Stage(runner)
    failing = stage.source(coders.VARINT).par_do(Fn("fail", text="no twos", expr=["==", ["value"], 2]), name="fail")
    stage.sink(failing.par_do(Fn("observe_through", observer="seen")))
    answer, _ = runner.bundle(stage, [1, 2])
    assert answer.error.startswith("no twos\n[while running ")
    assert session.observations["seen"] == []
    assert [each.value for each in session.observations.uncommitted] == [1]
    answer, _ = runner.bundle(stage, [1])
    assert not answer.error
    [seen] = session.observations["seen"]
    assert (seen.value, seen.attempt) == (1, 2)
    events = [(event.event, event.fn) for event in session.observations.events if event.fn == "fail"]
    assert events == [
        ("setup", "fail"),
        ("start", "fail"),
        ("teardown", "fail"),
        ("setup", "fail"),
        ("start", "fail"),
        ("finish", "fail"),
    ]


def test_a_processor_is_set_up_once_and_used_again(session: Session, runner: ScriptedRunner) -> None:
    runner.start_worker()
    stage = mapped(runner)
    for _ in range(3):
        runner.bundle(stage, [1])
    runner.end()
    assert session.wait_ended(WAIT)
    events = [event.event for event in session.observations.events]
    assert events == ["setup", *["start", "finish"] * 3, "teardown"]


def test_bundles_of_one_descriptor_run_side_by_side(session: Session, runner: ScriptedRunner) -> None:
    runner.start_worker()
    stage = Stage(runner)
    stage.sink(stage.source(coders.STRING).par_do(Fn("wait_at", gate="g", expr=["==", ["value"], "wait"])))
    runner.add(stage)
    blocked = runner.start_bundle()
    runner.feed(runner.input(blocked, stage, {"source": ["wait"]}))
    assert session.gates.arrived("g")
    answer, _ = runner.bundle(stage, ["go"])
    assert not answer.error
    assert runner.unanswered(blocked)
    session.gates.open("g")
    assert not runner.answer(blocked).error


def test_an_unknown_request_and_an_unknown_descriptor_are_answered_with_errors(session: Session, runner: ScriptedRunner) -> None:
    runner.start_worker()
    assert "known" in runner.ask().error
    assert "NOT_FOUND" in runner.answer(runner.start_bundle("nowhere")).error
    assert len(session.remote_errors) == 2
    assert not session.local_errors


def test_bytes_that_are_no_elements_are_the_runners_fault(session: Session, runner: ScriptedRunner) -> None:
    runner.start_worker()
    stage = mapped(runner)
    runner.add(stage)
    instruction = runner.start_bundle()
    runner.feed(fn_pb2.Elements(data=[fn_pb2.Elements.Data(instruction_id=instruction, transform_id="source", data=b"\x00\x01")]))
    assert "no elements" in runner.answer(instruction).error
    assert len(session.remote_errors) == 1
    assert not session.local_errors


def test_registered_descriptors_are_used(runner: ScriptedRunner) -> None:
    runner.start_worker()
    stage = mapped(runner)
    stage.descriptor_id = "registered"
    answer = runner.ask(register=fn_pb2.RegisterRequest(process_bundle_descriptor=[stage.descriptor()]))
    assert answer.WhichOneof("response") == "register"
    instruction = runner.start_bundle("registered")
    runner.feed(runner.input(instruction, stage, {"source": [4]}))
    assert not runner.answer(instruction).error


def test_embedded_input_is_taken_from_the_request(runner: ScriptedRunner) -> None:
    runner.start_worker()
    stage = mapped(runner)
    runner.add(stage)
    elements = runner.input("embedded", stage, {"source": [7]})
    runner.send(
        instruction_id="embedded",
        process_bundle=fn_pb2.ProcessBundleRequest(process_bundle_descriptor_id="d", elements=elements),
    )
    assert not runner.answer("embedded").error
    assert runner.values("embedded", stage) == [14]


def test_outputs_are_embedded_where_the_runner_reads_them(session: Session) -> None:
    session.embed_outputs = True
    with ScriptedRunner(session, [urns.RunnerProtocol.CONTROL_RESPONSE_ELEMENTS_EMBEDDING]) as runner:
        runner.start_worker()
        stage = mapped(runner)
        answer, _ = runner.bundle(stage, [1])
        embedded = answer.process_bundle.elements
        assert [entry.is_last for entry in embedded.data] == [False, True]
        assert runner.data == []


def test_short_ids_alone_where_the_runner_reads_them(session: Session) -> None:
    with ScriptedRunner(session, [urns.RunnerProtocol.MONITORING_INFO_SHORT_IDS]) as runner:
        runner.start_worker()
        answer, _ = runner.bundle(mapped(runner), [1, 2])
        assert not answer.process_bundle.monitoring_infos
        shorts = list(answer.process_bundle.monitoring_data)
        infos = runner.ask(monitoring_infos=fn_pb2.MonitoringInfosMetadataRequest(monitoring_info_id=shorts))
        found = infos.monitoring_infos.monitoring_info
        counts = {
            info.labels["PCOLLECTION"]: answer.process_bundle.monitoring_data[short]
            for short, info in found.items()
            if info.urn == urns.Metric.ELEMENT_COUNT
        }
        assert counts == {"source.out": b"\x02", "double.out": b"\x02"}
        unknown = runner.ask(monitoring_infos=fn_pb2.MonitoringInfosMetadataRequest(monitoring_info_id=["never"]))
        assert "never" in unknown.error


def test_a_named_data_stream_is_a_further_stream(runner: ScriptedRunner) -> None:
    runner.start_worker()
    stage = mapped(runner)
    runner.bundle(stage, [1])
    answer, instruction = runner.bundle(stage, [2], data_stream_id="second")
    assert not answer.error
    assert runner.values(instruction, stage) == [4]
    assert [headers.get("data_stream_id", "") for headers in runner.data_headers] == ["", "second"]
    assert {headers["worker_id"] for headers in runner.data_headers} == {"w"}


def test_finalization_is_asked_for_answered_and_reported(session: Session, runner: ScriptedRunner) -> None:
    runner.start_worker()
    stage = Stage(runner)
    stage.sink(stage.source(coders.VARINT).par_do(Fn("finalizer", observer="done")))
    answer, instruction = runner.bundle(stage, [1, 2])
    assert answer.process_bundle.requires_finalization
    assert session.observations["done"] == []
    finalized = runner.ask(finalize_bundle=fn_pb2.FinalizeBundleRequest(instruction_id=instruction))
    assert finalized.WhichOneof("response") == "finalize_bundle"
    assert session.observations.values_of("done") == [(instruction, 2)]
    unknown = runner.ask(finalize_bundle=fn_pb2.FinalizeBundleRequest(instruction_id="never"))
    assert not unknown.error


def test_samples_are_in_nested_encoding(runner: ScriptedRunner) -> None:
    runner.start_worker()
    runner.bundle(mapped(runner), [300])
    samples = runner.ask(sample_data=fn_pb2.SampleDataRequest(pcollection_ids=["source.out"])).sample_data.element_samples
    assert [each.element for each in samples["source.out"].elements] == [b"\xac\x02"]


def test_logs_name_bundle_and_transform(runner: ScriptedRunner, session: Session) -> None:
    runner.start_worker()
    stage = Stage(runner)
    stage.sink(stage.source(coders.STRING).par_do(Fn("log", text=["value"], severity="WARN"), name="logs"))
    _, instruction = runner.bundle(stage, ["hello"])
    runner.end()
    assert session.wait_ended(WAIT)
    assert [(entry.message, entry.instruction_id, entry.transform_id) for entry in runner.logs] == [
        ("hello", instruction, "logs")
    ]


def test_control_ends_before_logging(session: Session, runner: ScriptedRunner) -> None:
    runner.start_worker()
    runner.bundle(mapped(runner), [1])
    runner.end()
    assert session.wait_ended(WAIT)
    ends = [event.plane for event in session.transcript if isinstance(event.message, End)]
    assert ends.index("control") < ends.index("logging")
    headers = {dict(event.message.metadata)["worker_id"] for event in session.transcript.events(kind="open")}
    assert headers == {"w"}


def test_worker_status_is_answered(session: Session) -> None:
    with ScriptedRunner(session) as runner:
        runner.status_url = runner.url
        runner.start_worker()
        assert runner.connected.wait(WAIT)
        assert "worker w" in runner.ask_status().status_info


def test_timers_fire_with_the_hold_timestamp_and_are_set_on_the_data_plane(runner: ScriptedRunner) -> None:
    runner.start_worker()
    stage = Stage(runner)
    keyed = stage.source(coders.kv(coders.STRING, coders.VARINT), strategy=windowing.Strategy(windowing.fixed(10)))
    program = Fn(
        "program",
        on_element=[["set", "t", 7, 6, "x"], ["clear", "u"]],
        on_timer={"t": [["emit_at", ["kv", ["key"], ["fire"]], ["timestamp"]]]},
    )
    stage.sink(keyed.par_do(program, coders.kv(coders.STRING, coders.VARINT), name="timed", timers={"t": "event", "u": "event"}))
    window = IntervalWindow(0, 10)
    _, instruction = runner.bundle(stage, [WindowedValue(("k", 1), 3, (window,))])
    runner.output(instruction, stage)
    coder = resolve(coders.timer(coders.STRING, coders.INTERVAL_WINDOW))
    written = {entry.timer_family_id: entry for elements in runner.data for entry in elements.timers if entry.timers}
    [timer] = coder.decode_all(written["t"].timers)
    assert timer == Timer("k", "x", (window,), False, 7, 6)
    [cleared] = coder.decode_all(written["u"].timers)
    assert cleared.clear
    ended = sorted(entry.timer_family_id for elements in runner.data for entry in elements.timers if entry.is_last)
    assert ended == ["t", "u"]
    _, fired = runner.bundle(stage, [], timers=[("timed", "t", coder.encode(timer))])
    [output] = runner.output(fired, stage)
    assert (output.value, output.timestamp, output.windows) == (("k", 7), 6, (window,))


def test_a_state_backed_iterable_is_read_as_often_as_it_is_iterated(runner: ScriptedRunner) -> None:
    runner.start_worker()
    stage = Stage(runner)
    element = coders.kv(coders.STRING, coders.iterable(coders.VARINT))
    backed = coders.kv(coders.STRING, coders.state_backed_iterable(coders.VARINT))
    source = stage.source(element, full=coders.windowed_value(backed, coders.GLOBAL_WINDOW))
    stage.sink(source.par_do(Fn("map", expr=["list", ["len", ["val"]], ["sum", ["val"]]]), coders.JSON))
    key = fn_pb2.StateKey(runner=fn_pb2.StateKey.Runner(key=b"token")).SerializeToString(deterministic=True)
    runner.state[key] = [b"\x03", b"\x04", b"\x05"]
    runner.page_size = 2
    answer, instruction = runner.bundle(stage, [("k", StateBackedIterable((1, 2), b"token"))])
    assert not answer.error
    assert runner.values(instruction, stage) == [[5, 15]]
    assert len({request.id for request in runner.state_requests}) == len(runner.state_requests) == 6


def test_state_writes_are_acknowledged_before_the_answer_and_paged_reads_are_joined(runner: ScriptedRunner) -> None:
    runner.start_worker()
    runner.page_size = 1
    stage = Stage(runner)
    program = Fn("program", on_element=[["do", "b", "add", ["val"]], ["read", "all", "b", "read"]])
    stage.sink(
        stage.source(coders.kv(coders.STRING, coders.VARINT)).par_do(
            program, coders.kv(coders.STRING, coders.JSON), state={"b": state.bag(coders.VARINT)}
        )
    )
    answer, instruction = runner.bundle(stage, [("k", 1), ("k", 2), ("j", 3)])
    assert not answer.error
    reads = [value["reads"][0][1] for _, value in runner.values(instruction, stage)]
    assert reads == [[1], [1, 2], [3]]
    [key, _] = list(runner.state)
    bag = fn_pb2.StateKey.FromString(key).bag_user_state
    assert (bag.transform_id, bag.user_state_id, bag.key, bag.window) == ("program", "b", b"\x01k", b"")


def test_the_cache_spares_reads_under_one_token_and_forgets_a_failed_bundle(session: Session, runner: ScriptedRunner) -> None:
    runner.start_worker()
    stage = Stage(runner)
    program = Fn(
        "program",
        on_element=[
            ["do", "b", "add", ["val"]],
            ["read", "all", "b", "read"],
            ["when", ["==", ["val"], 9], [["fail", "nine"]]],
        ],
    )
    stage.sink(
        stage.source(coders.kv(coders.STRING, coders.VARINT)).par_do(
            program, coders.kv(coders.STRING, coders.JSON), state={"b": state.bag(coders.VARINT)}
        )
    )
    token = fn_pb2.ProcessBundleRequest.CacheToken(user_state=fn_pb2.ProcessBundleRequest.CacheToken.UserState(), token=b"t1")

    def gets() -> int:
        return sum(request.HasField("get") for request in runner.state_requests)

    _, first = runner.bundle(stage, [("k", 1), ("k", 2)], cache_tokens=[token])
    assert [value["reads"][0][1] for _, value in runner.values(first, stage)] == [[1], [1, 2]]
    assert gets() == 1
    _, second = runner.bundle(stage, [("k", 3)], cache_tokens=[token])
    assert [value["reads"][0][1] for _, value in runner.values(second, stage)] == [[1, 2, 3]]
    assert gets() == 1
    answer, _ = runner.bundle(stage, [("k", 9)], cache_tokens=[token])
    assert answer.error.splitlines()[0] == "nine"
    [key] = list(runner.state)
    runner.wait_for_state(lambda: len(runner.state[key]) == 4)
    runner.state[key] = runner.state[key][:3]  # a runner discards what a failed bundle wrote
    _, third = runner.bundle(stage, [("k", 4)], cache_tokens=[token])
    assert [value["reads"][0][1] for _, value in runner.values(third, stage)] == [[1, 2, 3, 4]]
    assert gets() == 2


def test_merging_and_mapping_of_windows_on_request(runner: ScriptedRunner) -> None:
    runner.start_worker()
    stage = Stage(runner)
    window = coders.INTERVAL_WINDOW
    received = coders.kv(coders.BYTES, coders.iterable(window))
    result = coders.kv(
        coders.BYTES, coders.kv(coders.iterable(window), coders.iterable(coders.kv(window, coders.iterable(window))))
    )
    source = stage.source(received)
    merge = windowing.custom(Fn("sessions", gap=10), merging=True).to_spec()
    merged = stage.raw("merge", urns.Transform.MERGE_WINDOWS, merge.SerializeToString(), {"in": source}, {"out": result})["out"]
    stage.sink(merged)
    a, b, c = IntervalWindow(0, 10), IntervalWindow(5, 15), IntervalWindow(15, 20)
    _, instruction = runner.bundle(stage, [(b"n", [a, b, c])])
    assert runner.values(instruction, stage) == [(b"n", ([c], [(IntervalWindow(0, 15), [a, b])]))]

    other = Stage(runner, "other")
    mapping = Fn("previous", size=10).to_spec()
    pair = coders.kv(coders.BYTES, window)
    mapped_windows = other.raw(
        "map", urns.Transform.MAP_WINDOWS, mapping.SerializeToString(), {"in": other.source(pair)}, {"out": pair}
    )["out"]
    other.sink(mapped_windows)
    _, instruction = runner.bundle(other, [(b"n", IntervalWindow(20, 30))])
    assert runner.values(instruction, other) == [(b"n", IntervalWindow(10, 20))]


def test_a_hidden_window_is_unwrapped_and_written_as_it_came(runner: ScriptedRunner) -> None:
    """A runner may wrap a window coder that the environment did not declare (P-PIPE-13)."""
    runner.start_worker()
    stage = Stage(runner)
    hidden = coders.custom_window(coders.length_prefix(coders.INTERVAL_WINDOW))
    strategy = windowing.Strategy(windowing.WindowFn(urns.WindowFn.FIXED, windowing.fixed(10).payload, hidden))
    source = stage.source(coders.VARINT, strategy=strategy)
    stage.sink(source.par_do(Fn("map", expr=["+", ["value"], ["window_end"]])))
    from conformance.wire.values import CustomWindow

    wrapped = CustomWindow(9, IntervalWindow(0, 10))
    _, instruction = runner.bundle(stage, [WindowedValue(1, 3, (wrapped,))])
    [output] = runner.output(instruction, stage)
    assert (output.value, output.windows) == (11, (wrapped,))


def test_session_close_frees_functions_at_gates(runner: ScriptedRunner) -> None:
    session = Session()
    with ScriptedRunner(session) as own:
        own.start_worker()
        stage = Stage(own)
        stage.sink(stage.source(coders.VARINT).par_do(Fn("wait_at", gate="never")))
        own.add(stage)
        instruction = own.start_bundle()
        own.feed(own.input(instruction, stage, {"source": [1]}))
        assert session.gates.arrived("never")
        closer = threading.Thread(target=session.close)
        closer.start()
        closer.join(WAIT)
        assert not closer.is_alive()


def test_side_inputs_are_asked_in_the_mapped_window(runner: ScriptedRunner) -> None:
    runner.start_worker()
    stage = Stage(runner)
    main = stage.source(coders.STRING, strategy=windowing.Strategy(windowing.fixed(10)))
    side = stage.raw("elsewhere", urns.Transform.IMPULSE, outputs={"out": coders.kv(coders.STRING, coders.VARINT)})["out"]
    side = side.program.raw("far", "", outputs={"out": side.coder}, strategy=windowing.Strategy(windowing.fixed(100)))["out"]
    stage.sink(
        main.par_do(Fn("side_lookup", side="s", expr=["value"]), coders.JSON, side_inputs={"s": side.as_multimap()}, name="reads")
    )
    window = resolve(coders.INTERVAL_WINDOW).encode(IntervalWindow(0, 100))
    body = fn_pb2.StateKey.MultimapSideInput(transform_id="reads", side_input_id="s", window=window, key=b"\x01k")
    runner.state[fn_pb2.StateKey(multimap_side_input=body).SerializeToString(deterministic=True)] = [b"\x07"]
    stage.graph.components.transforms.pop("elsewhere")
    stage.graph.components.transforms.pop("far")
    answer, instruction = runner.bundle(stage, [WindowedValue("k", 3, (IntervalWindow(0, 10),))])
    assert not answer.error
    assert runner.values(instruction, stage) == [("k", [7])]


def test_global_window_is_the_default(runner: ScriptedRunner) -> None:
    runner.start_worker()
    stage = mapped(runner)
    _, instruction = runner.bundle(stage, [WindowedValue(1, 5)])
    [output] = runner.output(instruction, stage)
    assert (output.timestamp, output.windows) == (5, (GLOBAL_WINDOW,))
