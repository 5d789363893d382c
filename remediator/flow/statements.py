"""What statements in a database add to the stages: who sends them, who is asked in doubt, and what their undo is."""

from __future__ import annotations

from remediator.flow.parts import Parts
from remediator.model.action import Action
from remediator.model.database import DatabaseView, RunStatement
from remediator.model.plan import PatchObject
from remediator.model.target import Target
from remediator.ports.cluster import WriteMark, WriteRefused, WriteResult
from remediator.ports.databases import Ran, StatementMark

NO_FILE = "this replica was given no file of databases (--databases)"


async def send(parts: Parts, step: PatchObject | RunStatement, mark: WriteMark, *, dry_run: bool) -> WriteResult | Ran:
    """Send one write to where it belongs, once."""
    if isinstance(step, PatchObject):
        return await parts.cluster.writer.patch(step, mark, dry_run=dry_run)
    if parts.databases is None:
        return WriteRefused(reason="invalid", message=NO_FILE)
    by = StatementMark(action_id=mark.action_id, number=mark.number, fence=mark.fence)
    return await parts.databases.run(step, by, dry_run=dry_run)


async def settled(parts: Parts, action: Action, step: RunStatement, *, close: bool) -> bool | None:
    """Tell whether a statement was done; None: nobody can know now. ``close``: if not, it cannot be any more."""
    if parts.databases is None:
        return None
    mark = StatementMark(action_id=action.id, number=action.number, fence=action.fence)
    return await parts.databases.settle(step, mark, close=close)


async def look(parts: Parts, target: Target) -> DatabaseView:
    """Look at the database of a workload, for an undo."""
    found = await parts.databases.look(target) if parts.databases is not None else None
    return found or DatabaseView(problem=NO_FILE if parts.databases is None else f"no database is known for {target}")
