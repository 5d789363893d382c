"""Is this text a PromQL expression that gives a value for each series now? Checked with a PromQL parser."""

from __future__ import annotations

import promql_parser as promql

LONGEST = 8192
"""Characters."""

_LEAVES: dict[type[promql.Expr], promql.ValueType] = {
    promql.NumberLiteral: promql.ValueType.Scalar,
    promql.StringLiteral: promql.ValueType.String,
    promql.MatrixSelector: promql.ValueType.Matrix,
    promql.SubqueryExpr: promql.ValueType.Matrix,
}


def expression_fault(text: str) -> str | None:
    """Return what is wrong with ``text`` as an instant vector expression and what to do, or None."""
    if len(text) > LONGEST:
        return f"the expression has {len(text)} characters; at most {LONGEST}, move parts into a recording rule"
    try:
        expression = promql.parse(text)
    except ValueError as error:
        return f"this is not PromQL ({str(error).strip()}); correct the expression"
    kind = _type_of(expression)
    if kind == promql.ValueType.Vector:
        return None
    if kind == promql.ValueType.Matrix:
        return "this gives a range of samples for each series; wrap it in a function such as rate() or max_over_time()"
    return "this gives one number or text without labels, so no target can be found; select a metric"


def _type_of(expression: promql.Expr) -> promql.ValueType:
    """Return the type, without recursion: an expression may hold thousands of operands."""
    types = []
    left = [expression]
    while left:
        part = left.pop()
        if isinstance(part, promql.ParenExpr | promql.UnaryExpr):
            left.append(part.expr)
        elif isinstance(part, promql.BinaryExpr):
            left += [part.lhs, part.rhs]
        else:
            types.append(_leaf_type(part))
    # The parser lets only numbers and instant vectors be operands, and a vector makes the result one.
    return promql.ValueType.Vector if promql.ValueType.Vector in types else types[0]


def _leaf_type(expression: promql.Expr) -> promql.ValueType:
    if isinstance(expression, promql.Call):
        return expression.func.return_type
    kind: promql.ValueType = _LEAVES.get(type(expression), promql.ValueType.Vector)
    return kind
