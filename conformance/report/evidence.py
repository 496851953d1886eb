"""Evidence: what a result carries so that a reader can see for themselves, and how it is kept from exploding.

A result's evidence is a plain dict with the keys of `KEYS`, all optional. A report once reached half a gigabyte in another suite
because every failure repeated the same long lists; hence the limits here: a result's evidence is cut to `RESULT_LIMIT`, pieces
that several results share are written once (`results.Blob`), and a file has a budget after which only the small facts are
kept. What was cut says so in `notes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

__all__ = ["FILE_BUDGET", "KEYS", "RESULT_LIMIT", "SCHEMA_PROPERTIES", "SHARED", "brief", "cap", "cut", "cut_value"]

#: Bytes of JSON.
RESULT_LIMIT: Final = 64 * 1024
#: What is left to a result when the file's budget is used up: command, seed, a few lines.
FLOOR: Final = 4 * 1024
FILE_BUDGET: Final = 32 * 1024 * 1024
TEXT_LIMIT: Final = 8 * 1024
VALUE_LIMIT: Final = 16 * 1024
#: Smaller pieces are not worth a reference.
SHARE_FROM: Final = 512

#: Key → (JSON type or types, meaning).
KEYS: Final[Mapping[str, tuple[str | list[str], str]]] = {
    "program": ("object", "The pipeline: {mermaid: text, svg: text}, or a reference to a blob"),
    "script": (["array", "object", "string"], "The event script or inputs that the program was given"),
    "transcript": (["array", "object"], "Messages as conformance.harness.Event.to_json has them, or a reference to a blob"),
    "mark_seq": (["integer", "null"], "The seq of the first wrong message in the transcript"),
    "expected": ([], "As in the result, where the producer has it here"),
    "observed": ([], "As in the result, where the producer has it here"),
    "reference": ([], "What the reference runner did with the same program"),
    "seed": (["integer", "string", "null"], "Of the generated program"),
    "digest": ("string", "Of what the runner was asked to run: equal in all runs of one seed, packed or not"),
    "command": ("string", "Repeats this one result"),
    "rule": ("string", "As in the result"),
    "log_tail": ("string", "The end of the runner's log, or a reference to a blob"),
    "notes": ("array", "Remarks, among them what was cut from this evidence"),
}
_REFERABLE = {"log_tail": ["string", "object"]}
SCHEMA_PROPERTIES: Final[dict[str, Any]] = {
    key: ({"type": _REFERABLE.get(key, kind)} if kind else {}) | {"description": meaning} for key, (kind, meaning) in KEYS.items()
}
#: What a pass keeps in a file that is to be small: how to see it again, and what was run.
OF_A_PASS: Final = frozenset({"command", "seed", "digest", "rule", "script_source"})
#: Pieces that results of one job, or of one dead endpoint, have in common.
SHARED: Final = frozenset({"program", "transcript", "log_tail"})


_ENCODER = msgspec.json.Encoder(enc_hook=repr)


def encode(value: Any) -> bytes:
    """JSON of anything: what has no JSON form is shown by its repr, because no odd value may stop a run from being recorded."""
    try:
        return _ENCODER.encode(value)
    except (TypeError, UnicodeEncodeError):
        return _ENCODER.encode(plain(value))


def plain(value: Any) -> Any:
    """The value with every part that JSON cannot hold replaced by its repr."""
    if isinstance(value, msgspec.Struct):
        tag = value.__struct_config__.tag
        return ({"kind": tag} if tag else {}) | plain(msgspec.structs.asdict(value))
    if isinstance(value, dict):
        return {
            (name if isinstance(name, str) else repr(name)).encode(errors="replace").decode(): plain(v)
            for name, v in value.items()
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    return value if isinstance(value, int | float | bool | None) else repr(value)


def size(value: Any) -> int:
    return len(encode(value))


def cut(text: str, limit: int) -> str:
    """The text, or its two ends with a note between them of how much is missing."""
    if len(text) <= limit:
        return text
    head = limit * 2 // 3
    tail = limit - head
    return f"{text[:head]}\n… {len(text) - head - tail} characters left out …\n{text[-tail:]}"


def cut_value(value: Any, limit: int = VALUE_LIMIT) -> Any:
    """A value small enough to keep: as it is, or as cut text."""
    if isinstance(value, str):
        return cut(value, limit)
    if value is None or size(value) <= limit:
        return value
    return cut(encode(value).decode(), limit)


def cap(evidence: Mapping[str, Any], limit: int = RESULT_LIMIT) -> dict[str, Any]:
    """The evidence in at most about `limit` bytes. Least telling things go first: messages far from the marked one and from
    both ends, the middle of the log, the drawing (its source stays longer), the script; last the values are cut."""
    kept = dict(evidence)
    if size(kept) <= limit:
        return kept
    dropped: list[str] = []
    for words, step in _STEPS:
        if step(kept, limit):
            dropped.append(words)
        if size(kept) <= limit:
            break
    kept["notes"] = [*_notes(kept), "Cut to fit: " + "; ".join(dropped)]
    return kept


def brief(evidence: Mapping[str, Any], limit: int, *, passed: bool) -> dict[str, Any]:
    """The evidence for a file that is published: of a pass only how to repeat it, of anything else at most about `limit` bytes."""
    if passed:
        return {name: value for name, value in evidence.items() if name in OF_A_PASS}
    return cap(evidence, limit)


def _notes(evidence: Mapping[str, Any]) -> list[Any]:
    notes = evidence.get("notes", [])
    return list(notes[:20]) if isinstance(notes, list) else [str(notes)]


def _shorten_transcript(kept: dict[str, Any], limit: int) -> bool:
    events = kept.get("transcript")
    if not isinstance(events, list) or not events:
        return False
    events = [_slim(event) for event in events]
    room = limit // 2
    mark = kept.get("mark_seq")
    at = next((n for n, event in enumerate(events) if isinstance(event, dict) and event.get("seq") == mark), None)
    centre = [at] if mark is not None and at is not None else []
    # Nearest to the marked message first, then from both ends inwards.
    order = sorted(range(len(events)), key=lambda n: min([n, len(events) - 1 - n, *(abs(n - c) for c in centre)]))
    chosen: set[int] = set()
    for number in order:
        cost = size(events[number])
        if cost > room:
            break
        room -= cost
        chosen.add(number)
    kept["transcript"] = [events[number] for number in sorted(chosen)]
    return True


def _slim(event: Any, limit: int = 2048) -> Any:
    """An event whose message is cut when it is very long, as a data message full of elements is."""
    if isinstance(event, dict) and size(event.get("message")) > limit:
        return {**event, "message": {"cut": cut(encode(event["message"]).decode(), limit)}}
    return event


def _shorten_log(kept: dict[str, Any], limit: int) -> bool:
    log = kept.get("log_tail")
    if not isinstance(log, str) or len(log) <= limit // 8:
        return False
    kept["log_tail"] = "…\n" + log[-(limit // 8) :]
    return True


def _drop_svg(kept: dict[str, Any], limit: int) -> bool:
    program = kept.get("program")
    if not isinstance(program, dict) or "svg" not in program:
        return False
    kept["program"] = {name: value for name, value in program.items() if name != "svg"}
    return True


def _drop_script(kept: dict[str, Any], limit: int) -> bool:
    return kept.pop("script", None) is not None


def _drop_transcript(kept: dict[str, Any], limit: int) -> bool:
    return kept.pop("transcript", None) is not None


def _drop_program(kept: dict[str, Any], limit: int) -> bool:
    return kept.pop("program", None) is not None


def _cut_values(kept: dict[str, Any], limit: int) -> bool:
    share = max(limit // (len(kept) + 1), 64)
    for name, value in kept.items():
        kept[name] = cut_value(value, share) if name != "notes" else [cut(str(note), 200) for note in _notes(kept)]
    return True


_STEPS: Final[tuple[tuple[str, Callable[[dict[str, Any], int], bool]], ...]] = (
    ("messages of the transcript", _shorten_transcript),
    ("the beginning of the log", _shorten_log),
    ("the drawing", _drop_svg),
    ("the script", _drop_script),
    ("the rest of the transcript", _drop_transcript),
    ("the program", _drop_program),
    ("long values", _cut_values),
)
