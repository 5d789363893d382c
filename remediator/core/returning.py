"""Returning: what was lent goes back step by step, as long as nobody else has touched it and all is well.

A step brings every number half of the way back, the rest of the way at last; limits of a database go back at once,
where there is room for what is in use. Each is an action of its own, decided under the guards of an undo, and compares
the object with how the step before it has left it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, assert_never

from msgspec import structs

from remediator.core.undo import as_left, by_name, differences, obstacle, proposal, returned_values, value_at
from remediator.model.action import ActionState
from remediator.model.database import DatabaseView, SetLimits
from remediator.model.decision import HoldReason, Refusal
from remediator.model.facts import Facts
from remediator.model.incident import Candidate
from remediator.model.loan import LoanState, Move, Step
from remediator.model.plan import Plan
from remediator.model.undo import Difference, Former, Undoing

LOOK_S = 2.0
"""Seconds between two looks at a step that is under way."""
PAUSE_S = 60.0
"""Seconds between two steps: what was taken away must have been missed by then."""
BACK_OFF_S = 60.0
LONGEST_S = 3600.0
ROOM_PERCENT = 80
"""A limit that would be used up to so much of it again is still needed as it is."""
# Somebody else decides about it now, or there is nothing left to bring back: asking again would find the same.
FOREIGN = frozenset({HoldReason.CHANGED_SINCE.value, HoldReason.TARGET_NOT_FOUND.value, HoldReason.CANNOT_PLAN.value})


def returning(lent: Former, last: Former, image: dict[str, Any], later: Sequence[Former] = ()) -> Undoing:
    """Say what the next step of a return comes to: ``last`` is the latest step of it, at first ``lent`` itself.

    ``later``: what else we have written to the object since ``last``, in order. It does no harm to the loan where the
    values that were lent are in the end as ``last`` has left them.
    """
    why = obstacle(lent) if last.number == lent.number else _standing(last)
    if why:
        return Undoing(action=last.number, mark=last.id, obstacle=why, loan=lent.number)
    same = [one for one in later if one.plan.lever == lent.plan.lever and one.plan.statement is None]
    stands = newest(last, same)
    former = {one.path: one.former for one in returned_values(lent)}
    left, ours = as_left(last), as_left(stands)
    moved = tuple(
        Difference(path=path, ours=value_at(left, path), theirs=value_at(ours, path))
        for path in former
        if value_at(left, path) != value_at(ours, path)
    )
    steps = tuple(
        structs.replace(one, ours=now, former=halfway(now, former[one.path]))
        for one in returned_values(lent)
        if (now := value_at(ours, one.path)) != former[one.path]
    )
    return Undoing(
        action=stands.number,
        mark=stands.id,
        returned=steps,
        differences=(*moved, *differences(ours, image)),
        through=lent.plan.lever,
        by_name=by_name(lent.plan),
        loan=lent.number,
        final=all(one.former == former[one.path] for one in steps),
    )


def newest(last: Former, later: Iterable[Former]) -> Former:
    """Return the action of ours whose write stands: each found the object as the one before it had left it.

    Where somebody else has written in between, that is found by what comes after it: the last mark is not there.
    """
    for one in later:
        if one.before is not None and not differences(as_left(last), one.before.object):
            last = one
    return last


def halfway(now: Any, former: Any) -> Any:
    """Return the next value on the way back: half of the way for numbers, all of it for anything else."""
    if type(now) is not int or type(former) is not int:
        return former
    return former + int((now - former) / 2)


def return_proposal(candidate: Candidate, facts: Facts) -> Plan | Refusal:
    """Plan the next step of a return, or say why not; only where workload and measure are known to be well."""
    workload = facts.workload
    if workload is not None and not facts.problem and not (workload.rolled_out and workload.ready >= workload.replicas):
        return Refusal(
            reason=HoldReason.MIN_HEALTHY,
            message=f"{workload.ready} of {workload.replicas} pods of {workload.target} are ready: nothing is returned",
            numbers={"ready": workload.ready, "replicas": workload.replicas},
        )
    if facts.undo is not None and facts.undo.uneasy:
        message = f"what A{facts.undo.loan} has lent may be needed, nothing is returned: {facts.undo.uneasy}"
        return Refusal(reason=HoldReason.NOT_CALM, message=message, numbers={"action": facts.undo.loan})
    return proposal(candidate, facts)


def still_needed(view: DatabaseView, wanted: Undoing) -> str:
    """Return why limits must not go back, "" if they may: what is in use would fill them again, or nobody knows it."""
    if view.facts is None:
        return f"nothing is known of the database: {view.problem}"
    statement = wanted.statement.statement if wanted.statement is not None else None
    used = {(one.scope, one.name): one.used for one in view.facts.limits}
    for one in statement.limits if isinstance(statement, SetLimits) else ():
        now = used.get((one.scope, one.name), 0)
        if one.limit >= 0 and now * 100 >= ROOM_PERCENT * one.limit:
            return f"{one.scope} {one.name} has {now} connections, its limit would be {one.limit}"
    return ""


def next_move(step: Step) -> Move:
    """Say what becomes of a loan whose return was asked for."""
    if step.waits:
        return Move(state=LoanState.RETURNING, wait_s=LOOK_S, tries=step.tries)
    if step.action is None:
        return _held(step)
    state = ActionState(step.state)
    match state:
        case ActionState.RECOVERED if step.final:
            note = f"returned by A{step.action}"
            return Move(state=LoanState.RETURNED, wait_s=0.0, last=step.action, note=note)
        case ActionState.RECOVERED:
            note = f"in part, by A{step.action}"
            return Move(state=LoanState.LENT, wait_s=PAUSE_S, last=step.action, note=note)
        case ActionState.DONE | ActionState.REFUSED | ActionState.EXPIRED | ActionState.OBSERVED | ActionState.REJECTED:
            return _again(step, step.note)
        case ActionState.UNCHANGED | ActionState.WORSE | ActionState.UNKNOWN:
            note = f"A{step.action} ended {state.value}: people were called"
            return Move(state=LoanState.KEPT, wait_s=0.0, last=step.action, note=note)
        case (
            ActionState.AWAITING_APPROVAL
            | ActionState.ADMITTED
            | ActionState.CLAIMED
            | ActionState.DISPATCHED
            | ActionState.IN_DOUBT
            | ActionState.VERIFYING
        ):
            return Move(state=LoanState.RETURNING, wait_s=LOOK_S, tries=step.tries)
        case _:
            assert_never(state)


def _held(step: Step) -> Move:
    """Return what follows from a step that was held: the end where it is somebody else's, else another try."""
    if FOREIGN.intersection(step.reasons):
        return Move(state=LoanState.KEPT, wait_s=0.0, note=f"kept: {', '.join(step.reasons)}")
    return _again(step, ", ".join(step.reasons))


def _again(step: Step, why: str) -> Move:
    wait = min(BACK_OFF_S * 2 ** min(step.tries, 10), LONGEST_S)
    return Move(state=LoanState.LENT, wait_s=wait, tries=step.tries + 1, note=why)


def _standing(last: Former) -> str:
    """Return why a step that was taken cannot be gone on from, "" if it can."""
    if last.undone_by is not None:
        return f"A{last.undone_by} has changed it since"
    if last.applied_at is None or last.before is None:
        return f"it has changed nothing ({last.state.value})"
    return ""
