"""Checks whose failure says what was expected and what was observed, apart, so that a page can show them side by side.

A plain `assert` is fine where the two are evident. All of these raise `Wrong`; none of them decides anything about the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from conformance.suite.run import Run

__all__ = ["Wrong", "holds", "refused_naming", "same", "same_multiset"]

#: How much of a value a message shows; the evidence holds more.
SHOWN = 200


class Wrong(AssertionError):
    """The outcome is not admissible: what was expected, what was observed, and the rule that tells."""

    def __init__(self, message: str, *, expected: Any = None, observed: Any = None, rule: str = "") -> None:
        super().__init__(message)
        self.expected = _shown(expected)
        self.observed = _shown(observed)
        self.rule = rule


def _shown(value: Any) -> str | None:
    return None if value is None else value if isinstance(value, str) else repr(value)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def same(observed: Any, expected: Any, what: str = "the outcome", rule: str = "") -> None:
    """`observed` equals `expected`."""
    __tracebackhide__ = True
    if observed != expected:
        message = f"{what}: expected {_short(expected)}, observed {_short(observed)}"
        raise Wrong(message, expected=expected, observed=observed, rule=rule)


def same_multiset(observed: Iterable[Any], expected: Iterable[Any], what: str = "the elements", rule: str = "") -> None:
    """The same elements, as often, in any order (M-BNDL-09). Elements need not be hashable or comparable."""
    __tracebackhide__ = True
    seen, wanted = list(observed), list(expected)
    missing, extra = list(wanted), []
    for value in seen:
        if value in missing:
            missing.remove(value)
        else:
            extra.append(value)
    if not missing and not extra:
        return
    parts = [f"missing {_short(missing)}"] if missing else []
    parts += [f"not expected {_short(extra)}"] if extra else []
    raise Wrong(f"{what}: {', '.join(parts)}", expected=wanted, observed=seen, rule=rule)


def holds(condition: bool, message: str, *, expected: Any = None, observed: Any = None, rule: str = "") -> None:
    """`condition` is true; `message` is a sentence about what is wrong if it is not."""
    __tracebackhide__ = True
    if not condition:
        raise Wrong(message, expected=expected, observed=observed, rule=rule)


def refused_naming(run: Run, names: Sequence[str], rule: str = "") -> None:
    """The job was refused or FAILED, and the text names one of `names`: a failure for any other reason satisfies nothing."""
    __tracebackhide__ = True
    outcome = run.outcome
    text = outcome.error_text
    if outcome.state == "DONE":
        raise Wrong(
            f"the job ended DONE although {names[0]} cannot be honoured; expected a refusal that names it",
            expected=f"refused, naming {' or '.join(names)}",
            observed="DONE",
            rule=rule,
        )
    outcome_refused = outcome.state == "FAILED" or getattr(outcome.error, "text", None) is not None
    if not outcome_refused:
        outcome.raise_for_error()
    if not any(name.lower() in text.lower() for name in names):
        raise Wrong(
            f"refused, but the reason names none of {', '.join(names)}: {_short(text)}",
            expected=f"a reason that names {' or '.join(names)}",
            observed=text,
            rule=rule,
        )
