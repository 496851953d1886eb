"""Small expressions over an element, as JSON: what map, filter and key functions compute without any code in a payload.

An expression is a JSON scalar (itself) or a list [operator, operand, …]:

    ["value"] ["timestamp"] ["key"] ["val"] ["window_start"] ["window_end"] ["pane_index"] ["timing"]
    ["get", e, i]  ["len", e]  ["list", e…]  ["kv", k, v]  ["const", json value]
    ["+", a, b] ["-", a, b] ["*", a, b] ["//", a, b] ["%", a, b] ["neg", a]
    ["==", a, b] ["!=", a, b] ["<", a, b] ["<=", a, b] [">", a, b] [">=", a, b] ["and", a, b] ["or", a, b] ["not", a] ["in", a, b]
    ["if", c, a, b] ["str", e] ["int", e] ["upper", e] ["split", e] ["range", e] ["sum", e] ["sorted", e] ["repeat", e, n] ["bytes", n]
    ["call", "name", e…]  a function of PYTHON, by name
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from conformance.harness.errors import FunctionError
from conformance.pipeline.values import from_json

if TYPE_CHECKING:
    from conformance.harness.context import Context

__all__ = ["PYTHON", "evaluate"]

#: Python functions that ["call", name, …] may name.
PYTHON: dict[str, Callable[..., Any]] = {}

_CONTEXT: dict[str, Callable[[Context], Any]] = {
    "value": lambda ctx: ctx.value,
    "timestamp": lambda ctx: ctx.timestamp,
    "key": lambda ctx: ctx.key,
    "val": lambda ctx: ctx.value[1],
    "window_start": lambda ctx: getattr(ctx.window, "start", None),
    "window_end": lambda ctx: getattr(ctx.window, "end", None),
    "pane_index": lambda ctx: ctx.pane.index,
    "timing": lambda ctx: ctx.pane.timing.name,
}
_STRICT: dict[str, Callable[..., Any]] = {
    "get": lambda item, index: item[index],
    "len": lambda item: sum(1 for _ in item) if not hasattr(item, "__len__") else len(item),
    "list": lambda *items: list(items),
    "kv": lambda key, value: (key, value),
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "neg": operator.neg,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "not": operator.not_,
    "in": lambda item, items: item in items,
    "str": str,
    "int": int,
    "upper": str.upper,
    "split": lambda text: text.split(),
    "range": lambda count: list(range(count)),
    "sum": sum,
    "sorted": lambda items: sorted(items, key=repr),
    "repeat": lambda item, count: [item] * count,
    "bytes": lambda count: bytes(count),
}


def evaluate(expression: Any, ctx: Context, extra: Mapping[str, Callable[..., Any]] | None = None) -> Any:
    """The value of `expression` for the element at hand; `extra` are further operators.

    Raises FunctionError for an expression that is none.
    """
    if not isinstance(expression, list):
        return from_json(expression)
    if not expression or not isinstance(expression[0], str):
        raise FunctionError(f"{expression!r} is no expression; write a list as ['list', …]")
    name, *operands = expression
    if name in _CONTEXT:
        return _CONTEXT[name](ctx)
    if name == "const":
        return from_json(operands[0])
    if name == "if":
        return evaluate(operands[1] if evaluate(operands[0], ctx, extra) else operands[2], ctx, extra)
    if name == "and":
        return all(evaluate(operand, ctx, extra) for operand in operands)
    if name == "or":
        return any(evaluate(operand, ctx, extra) for operand in operands)
    strict = (extra or {}).get(name) or _STRICT.get(name)
    if name == "call":
        strict, operands = PYTHON.get(operands[0]), operands[1:]
    if strict is None:
        raise FunctionError(f"no operator is called {name!r}; see conformance.harness.functions.expressions")
    return strict(*(evaluate(operand, ctx, extra) for operand in operands))
