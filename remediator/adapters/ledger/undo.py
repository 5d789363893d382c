"""Actions that are to be undone: reading one as it stands, and putting the wish where the daemon finds it."""

from __future__ import annotations

from remediator import redaction
from remediator.adapters.ledger import rows
from remediator.adapters.ledger.pool import Connection, LedgerPool, transaction
from remediator.adapters.ledger.queries import QUERIES
from remediator.model.action import ActionState
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.undo import Former


class LedgerUndos:
    """Implements ports.ledger.Undos."""

    def __init__(self, pool: LedgerPool) -> None:
        """Work on ``pool``."""
        self._pool = pool

    async def former(self, number: int) -> Former | None:
        """Return the action as it stands."""
        async with transaction(self._pool) as connection:
            return await read_former(connection, number)

    async def ask(self, former: Former, *, actor: str, reason: str) -> bool:
        """Put the wish among the candidates, with its ledger entry."""
        actor, reason = redaction.text(actor), redaction.text(reason)
        async with transaction(self._pool) as connection:
            if await connection.fetchval(QUERIES["ask_undo"], former.number, actor) is None:
                return False
            entry = NewEntry(
                kind=EntryKind.UNDO_ASKED,
                summary=f"{actor} asks to undo it" + (f": {reason}" if reason else ""),
                incident=former.incident,
                action=former.number,
                rule=former.rule,
                target_key=former.target.key,
                actor=actor,
            )
            await connection.execute(QUERIES["append_entries"], rows.entries_json([entry]))
            await connection.execute(QUERIES["wake"], "assess")
        return True


async def read_former(connection: Connection, number: int) -> Former | None:
    """Return one action as it stands, or None."""
    row = await connection.fetchrow(QUERIES["read_former"], number)
    if row is None:
        return None
    return Former(
        number=row["number"],
        id=row["id"],
        incident=row["incident"],
        rule=row["rule"],
        state=ActionState(row["state"]),
        target=rows.target(row["target"]),
        plan=rows.plan(row["plan"]),
        before=rows.before_image(row["before_image"]),
        applied_at=row["applied_at"],
        undone_by=row["undone_by"],
    )
