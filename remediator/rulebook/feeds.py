"""What an expression lives on: the series without which it gives nothing, read off its syntax tree."""

from __future__ import annotations

from collections.abc import Iterable

import promql_parser as promql

MOST_GROUPS = 16
"""Alternatives that are told apart; a part of the expression that offers more is left out."""
# The parser's operators can be compared and not hashed.
_OPERATORS = (
    (promql.MatchOp.Equal, "="),
    (promql.MatchOp.NotEqual, "!="),
    (promql.MatchOp.Re, "=~"),
    (promql.MatchOp.NotRe, "!~"),
)
# Functions that give something where there is nothing.
_FROM_NOTHING = frozenset({"absent", "absent_over_time", "vector", "time"})

Groups = frozenset[frozenset[str]]
"""Enough is one of the groups, and a group is there if all of its selectors select something."""
_NOTHING_NEEDED: Groups = frozenset({frozenset()})


def needs_of(text: str) -> tuple[tuple[str, ...], ...]:
    """Return the groups of selectors of an expression without a fault, one of which must select something as a whole.

    Empty where it may give something in any case.
    """
    groups = _groups(promql.parse(text))
    if not groups or frozenset() in groups:
        return ()
    return tuple(sorted((tuple(sorted(group)) for group in groups), key=lambda group: (len(group), group)))


def _groups(expression: promql.Expr) -> Groups:
    """Walk the tree without recursion, operands before their operator: it may have thousands of them."""
    done: list[Groups] = []
    left: list[tuple[promql.Expr, bool]] = [(expression, False)]
    while left:
        part, ready = left.pop()
        operands = _operands(part)
        if operands and not ready:
            left += [(part, True), *((one, False) for one in operands)]
        elif operands:
            # The last operand was put on the pile last, so it was done first.
            taken = [done.pop() for _ in operands]
            done.append(_either(taken) if _is_or(part) else _together(taken))
        else:
            done.append(_leaf(part))
    return done[0]


def _operands(part: promql.Expr) -> list[promql.Expr]:
    match part:
        case promql.BinaryExpr():
            return [part.lhs] if str(part.op) == "unless" else [part.lhs, part.rhs]
        case promql.ParenExpr() | promql.UnaryExpr() | promql.SubqueryExpr() | promql.AggregateExpr():
            return [part.expr]
        case promql.Call():
            return [] if part.func.name in _FROM_NOTHING else list(part.args)
        case _:
            return []


def _is_or(part: promql.Expr) -> bool:
    return isinstance(part, promql.BinaryExpr) and str(part.op) == "or"


def _leaf(part: promql.Expr) -> Groups:
    selector = part.vector_selector if isinstance(part, promql.MatrixSelector) else part
    if not isinstance(selector, promql.VectorSelector):
        return _NOTHING_NEEDED
    return frozenset({frozenset({_selector(selector)})})


def _selector(selector: promql.VectorSelector) -> str:
    """Write a selector for the present moment: without offset and range."""
    if selector.matchers.or_matchers:
        return str(selector.prettify())
    conditions = ", ".join(f'{one.name}{_operator(one)}"{_escaped(one.value)}"' for one in selector.matchers.matchers)
    return f"{selector.name or ''}{{{conditions}}}" if conditions else str(selector.name)


def _operator(matcher: promql.Matcher) -> str:
    return next(sign for operator, sign in _OPERATORS if operator == matcher.op)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _either(operands: Iterable[Groups]) -> Groups:
    return _least(group for groups in operands for group in groups)


def _together(operands: Iterable[Groups]) -> Groups:
    found = _NOTHING_NEEDED
    for groups in operands:
        found = _least(one | other for one in found for other in groups)
    return found


def _least(groups: Iterable[frozenset[str]]) -> Groups:
    """Keep no group that holds another one; where there are too many, nothing is asked for."""
    kept: list[frozenset[str]] = []
    for group in sorted(set(groups), key=len):
        if not any(smaller <= group for smaller in kept):
            kept.append(group)
    return frozenset(kept) if len(kept) <= MOST_GROUPS else _NOTHING_NEEDED
