"""Undo of what was changed in a database: the former values, as long as nobody has set others since."""

from __future__ import annotations

from remediator.core.undo import obstacle
from remediator.model.database import DatabaseFacts, DatabaseView, RunStatement, SetLimits, Statement
from remediator.model.undo import Difference, Former, Returned, Undoing


def undoing_statement(former: Former, view: DatabaseView) -> Undoing:
    """Compare the database as it is now with how the action left it; the way back was planned with the action."""
    why = obstacle(former)
    back = former.plan.undo[0] if former.plan.undo else None
    done = former.plan.statement
    if not why and view.facts is None:
        why = f"nothing is known of its database: {view.problem}"
    if why or view.facts is None or done is None or back is None or not isinstance(back, RunStatement):
        return Undoing(action=former.number, mark=former.id, obstacle=why or "it has no way back")
    returned = _returned(done.statement)
    now = _now(done.statement, view.facts)
    return Undoing(
        action=former.number,
        mark=former.id,
        returned=returned,
        differences=tuple(
            Difference(path=one.path, ours=one.ours, theirs=theirs)
            for one, theirs in zip(returned, now, strict=True)
            if theirs != one.ours
        ),
        statement=back,
    )


def _returned(statement: Statement) -> tuple[Returned, ...]:
    """Return the values that are brought back."""
    if isinstance(statement, SetLimits):
        return tuple(
            Returned(path=(f"{one.scope} {one.name}", "connection limit"), ours=one.limit, former=one.before)
            for one in statement.limits
        )
    return (Returned(path=("max_connections",), ours=statement.value, former=statement.before),)


def _now(statement: Statement, facts: DatabaseFacts) -> tuple[int | None, ...]:
    """Return the same values as they are now; None where there is nothing of that name that we may change."""
    if isinstance(statement, SetLimits):
        limits = {(one.scope, one.name): one.limit for one in facts.limits}
        return tuple(limits.get((one.scope, one.name)) for one in statement.limits)
    return (facts.max_connections if facts.pending is None else facts.pending,)
