"""What faults do to a bundle's last message: odd terminators, elements cut short or gone astray."""

from __future__ import annotations

from conformance.wire.api import fn_pb2

__all__ = ["tamper"]


def _merge_terminators(elements: fn_pb2.Elements) -> None:
    """Put `is_last` on the entry that holds the last bytes of each sink."""
    kept: list[fn_pb2.Elements.Data] = []
    for entry in elements.data:
        before = next((each for each in reversed(kept) if each.transform_id == entry.transform_id), None)
        if entry.is_last and before is not None:
            before.is_last = True
        else:
            copy = fn_pb2.Elements.Data()
            copy.CopyFrom(entry)
            kept.append(copy)
    del elements.data[:]
    elements.data.extend(kept)


def _drop_terminators(elements: fn_pb2.Elements) -> None:
    data = [entry for entry in elements.data if not entry.is_last]
    timers = [entry for entry in elements.timers if not entry.is_last]
    kept = fn_pb2.Elements(data=data, timers=timers)
    elements.CopyFrom(kept)


def _cut(elements: fn_pb2.Elements) -> None:
    """Take the last byte of every entry that has any."""
    for entry in elements.data:
        entry.data = entry.data[:-1]


def _stray(elements: fn_pb2.Elements) -> None:
    """Send everything a second time, to a sink that nobody has."""
    for entry in list(elements.data):
        copy = elements.data.add()
        copy.CopyFrom(entry)
        copy.transform_id = "no-such-sink"


def tamper(last: dict[str, fn_pb2.Elements], actions: set[str]) -> None:
    """Change the last messages (by address) as the actions of the script say."""
    for elements in last.values():
        if "data_in_terminator" in actions:
            _merge_terminators(elements)
        if "no_terminators" in actions:
            _drop_terminators(elements)
        if "cut_outputs" in actions:
            _cut(elements)
        if "stray_output" in actions:
            _stray(elements)
        if "double_terminators" in actions:
            elements.data.extend([entry for entry in elements.data if entry.is_last])
