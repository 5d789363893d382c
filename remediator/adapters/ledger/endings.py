"""Resolving an incident, with what still waited for it: never while a decision about it is being made."""

from __future__ import annotations

from remediator.adapters.ledger.pool import Connection
from remediator.adapters.ledger.queries import QUERIES


async def lock_admission(connection: Connection) -> None:
    """Wait for decisions under way, and keep others off until this transaction ends.

    To be taken before any row is locked: whoever decides, matches or resolves takes it first, so none of them
    deadlock.
    """
    await connection.execute(QUERIES["lock_admission"])


async def resolve(connection: Connection, incident: int) -> bool:
    """End an incident unless an alert fires or an action is open; tell whether it ended. Needs ``lock_admission``.

    An alert that joins an incident in the moment in which that is resolved would be tied to a dead one, and nobody
    would ever look at it again.
    """
    if await connection.fetchval(QUERIES["resolve_incident"], incident) is None:
        return False
    await connection.execute(QUERIES["drop_leftovers"], incident)
    return True
