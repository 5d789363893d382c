"""Raises connection limits of roles and databases, and ends sessions that idle in a transaction. Nothing restarts.

The limits are those that the database's owner lists; of these, the ones that are nearly used up are raised. Where the
server itself is full, higher limits would help nobody: then only idle sessions can be ended.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from remediator.actions.connections import KINDS, READS, Aim, HowFar, aim, faults, known, no_room
from remediator.actions.parameters import Span, seconds_of
from remediator.actions.shape import ActionType
from remediator.model.database import (
    ChangedLimit,
    ConnectionLimit,
    DatabaseFacts,
    EndIdle,
    RunStatement,
    SetLimits,
)
from remediator.model.facts import Facts
from remediator.model.plan import CannotPlan, Plan
from remediator.model.policy import Policy
from remediator.model.rule import Rule
from remediator.model.target import Target

ALL = 100


class RaiseParameters(HowFar, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``full``: percent of a limit that must be used before it is raised, and of the server before it counts as full.

    ``end_idle_after``: end sessions idle in a transaction for so many seconds, ``end_idle_most`` of them.
    ``return_after``: the limits are lent, and go back when they have not been needed for so long (``2h``).
    """

    full: Annotated[int, Meta(ge=1, le=100)] = 80
    end_idle_after: Annotated[int, Meta(ge=60, le=86_400)] | None = None
    end_idle_most: Annotated[int, Meta(ge=1, le=50)] = 10
    return_after: Span | None = None


def plan(target: Target, parameters: RaiseParameters, facts: Facts, _rule: Rule, _policy: Policy) -> Plan | CannotPlan:
    """Plan absolute limits for all that are nearly used up, and which sessions end."""
    found = known(target, facts)
    if isinstance(found, CannotPlan):
        return found
    _, database = found
    full = database.used * ALL >= parameters.full * database.ordinary
    tight = [] if full else [one for one in database.limits if _tight(one, parameters.full)]
    aims = [(one, aim(parameters, one.limit, {"allowed": one.most, "server": database.ordinary})) for one in tight]
    raised = [(one, wish) for one, wish in aims if wish.count > one.limit]
    idle = _idle(database, parameters)
    if not raised and idle is None:
        return _nothing(database, aims, full=full)
    changes = tuple(
        ChangedLimit(scope=one.scope, name=one.name, before=one.limit, limit=wish.count) for one, wish in raised
    )
    return Plan(
        action="raise_connections",
        target=target,
        summary=_summary(target, database, changes, idle) + (raised[0][1].less if raised else ""),
        steps=(_step(target, database, changes, idle),),
        undo=(_step(target, database, tuple(_back(one) for one in changes), None),) if changes else (),
        changes=True,
        return_after_s=seconds_of(parameters.return_after) if changes and parameters.return_after else None,
    )


def _tight(limit: ConnectionLimit, full: int) -> bool:
    """Tell whether there is a limit, and it is nearly used up."""
    return limit.limit >= 0 and limit.used * ALL >= full * limit.limit


def _idle(database: DatabaseFacts, parameters: RaiseParameters) -> EndIdle | None:
    """Return which sessions end, None where there are none to end."""
    after = parameters.end_idle_after
    if after is None or not any(age >= after for age in database.idle):
        return None
    return EndIdle(older_than_s=after, most=parameters.end_idle_most)


def _nothing(database: DatabaseFacts, aims: list[tuple[ConnectionLimit, Aim]], *, full: bool) -> CannotPlan:
    """Return why there is nothing to raise, and what would help."""
    numbers = {"used": database.used, "ordinary": database.ordinary, "max_connections": database.max_connections}
    if full:
        message = (
            f"database {database.name} has {database.used} of {database.ordinary} connections in use: max_connections "
            "itself is what is used up, and that takes a restart (raise_max_connections); look who holds them first"
        )
        return CannotPlan(reason="server_full", message=message, numbers=numbers)
    if aims:
        one, wish = aims[0]
        return no_room(f"the connection limit of {one.scope} {one.name}", wish)
    message = f"no connection limit of database {database.name} that we may raise is nearly used up"
    return CannotPlan(reason="nothing_full", message=message, numbers=numbers)


def _summary(target: Target, database: DatabaseFacts, changes: tuple[ChangedLimit, ...], idle: EndIdle | None) -> str:
    """Return one sentence."""
    parts = [f"raise the connection limit of {', '.join(str(one) for one in changes)}"] if changes else []
    if idle is not None:
        parts.append(f"end up to {idle.most} sessions idle in a transaction for {idle.older_than_s} s")
    return f"{' and '.join(parts)} in database {database.name} of {target}"


def _step(
    target: Target, database: DatabaseFacts, changes: tuple[ChangedLimit, ...], idle: EndIdle | None
) -> RunStatement:
    return RunStatement(target=target, database=database.name, statement=SetLimits(limits=changes, end_idle=idle))


def _back(change: ChangedLimit) -> ChangedLimit:
    """Return the change that takes a change back."""
    return ChangedLimit(scope=change.scope, name=change.name, before=change.limit, limit=change.before)


RAISE_CONNECTIONS = ActionType(
    name="raise_connections",
    title="Raise connection limits of roles and databases, end sessions idle in a transaction; no restart",
    parameters=RaiseParameters,
    kinds=KINDS,
    changes=True,
    disruptive=False,
    permissions=READS,
    plan=plan,
    faults=faults,
    surroundings=True,
    passes=True,
)
