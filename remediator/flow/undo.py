"""What undo adds to the stages: reading the object beside the action, and how the return of it ends."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec import structs

from remediator.core.undo import undoing
from remediator.core.undo_statement import undoing_statement
from remediator.flow.parts import Parts
from remediator.flow.statements import look
from remediator.model.action import Action, ActionState
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.errors import ClusterError
from remediator.model.facts import Facts
from remediator.model.incident import Candidate
from remediator.model.owners import Lever
from remediator.model.undo import Former, Undoing

Compare = Callable[[dict[str, Any]], Undoing]
"""From the object as it is now to what its return comes to."""


async def undo_facts(parts: Parts, candidate: Candidate) -> Facts:
    """Read the very object of the action that is to be undone, and compare it with how the action left it."""
    former = await parts.stores.actions.former(int(candidate.fingerprint))
    if former is None:
        detail = f"there is no action A{candidate.fingerprint}"
        return Facts(read_at=parts.clock.now(), problem="target_not_found", detail=detail)
    facts = await parts.cluster.reader.facts(former.target)
    if facts.workload is None:
        return facts
    if former.before is None:
        return structs.replace(facts, undo=undoing(former, {}))
    if former.plan.statement is not None:
        return structs.replace(facts, undo=undoing_statement(former, await look(parts, former.target)))
    return structs.replace(facts, undo=await compared(parts, former, former.plan.lever, partial(undoing, former)))


async def compared(parts: Parts, former: Former, lever: Lever | None, compare: Compare) -> Undoing:
    """Read the object that an action has left, and compare it as it is now; or say that it cannot be read."""
    try:
        live = await parts.cluster.reader.live(former.target, through=lever)
    except ClusterError as error:
        if error.retryable:
            raise
        return Undoing(action=former.number, mark=former.id, obstacle=f"the object cannot be read: {error}")
    return compare(live.image.object)


def undone_entries(action: Action, state: ActionState) -> tuple[NewEntry, ...]:
    """Return what the ledger says of the action that was undone, where the return of it held."""
    if action.plan.undoes is None or action.plan.undoes.loan is not None or state is not ActionState.RECOVERED:
        return ()
    number = action.plan.undoes.action
    return (
        NewEntry(
            kind=EntryKind.ACTION_UNDONE,
            summary=f"undone by A{action.number}",
            incident=action.incident,
            action=number,
            rule=action.rule,
            target_key=action.target.key,
            data={"undone_by": action.number},
        ),
    )
