"""The loans' side of the ledger: what was lent, what is due, and what became of each step back."""

from __future__ import annotations

from typing import Any

from remediator.adapters.ledger import rows
from remediator.adapters.ledger.pool import Connection, LedgerPool, statement, transaction
from remediator.adapters.ledger.queries import QUERIES
from remediator.adapters.ledger.undo import read_former
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.loan import Loan, LoanState, Move, Step
from remediator.model.measure import SOURCE
from remediator.ports.loans import Judge, Lent

QUIET_S = 300.0
"""For so many seconds nothing may have been wrong with a target before anything of it goes back, unless told else."""
LOOK_BACK = 10_000
"""How many actions below the newest loan are looked through: a write may be stored after that of a later action."""

MOST_LATER = 20
"""So many writes after a step are looked at; where there are more, the object is not as the last of these left it."""


class LedgerLoanStore:
    """Implements ports.loans.LoanStore and LoanView. ``quiet_s``: see QUIET_S."""

    def __init__(self, pool: LedgerPool, *, quiet_s: float = QUIET_S) -> None:
        """Work on ``pool``."""
        self._pool = pool
        self._quiet_s = quiet_s

    async def step(self, limit: int, judge: Judge) -> int:
        """Note what was lent, follow what is on its way back, and ask for what is due."""
        async with transaction(self._pool) as connection:
            await connection.fetch(QUERIES["find_loans"], LOOK_BACK)
            entries = [_entry(row, row["note"]) for row in await connection.fetch(QUERIES["undone_loans"])]
            for row in await connection.fetch(QUERIES["steps_of_loans"], limit):
                move = judge(_step(row))
                await connection.execute(QUERIES["move_loan"], row["action"], *_values(move))
                if move.state in (LoanState.RETURNED, LoanState.KEPT):
                    entries.append(_entry(row, move.note))
            due = await connection.fetch(QUERIES["due_loans"], limit, self._quiet_s)
            asked = [row for row in due if await self._ask(connection, row)]
            entries += [_entry(row, "what it lent is due to go back", EntryKind.RETURN_DUE) for row in asked]
            if entries:
                await connection.execute(QUERIES["append_entries"], rows.entries_json(entries))
            if asked:
                await connection.execute(QUERIES["wake"], "assess")
        return len(asked)

    async def former(self, number: int) -> Lent | None:
        """Return the action that lent, the latest step of its return, and what was written since."""
        async with transaction(self._pool) as connection:
            last = await connection.fetchval(QUERIES["read_loan"], number)
            if last is None:
                return None
            lent, step = await read_former(connection, number), await read_former(connection, last)
            since = [row["number"] for row in await connection.fetch(QUERIES["written_since"], last, MOST_LATER)]
            later = [await read_former(connection, one) for one in since]
        if lent is None or step is None:
            return None
        return Lent(lent=lent, last=step, later=tuple(one for one in later if one is not None))

    async def uneasy(self, number: int, fresh_s: float) -> tuple[str, ...]:
        """Return what of the loan's measures is not known to be well."""
        async with statement(self._pool) as connection:
            found = await connection.fetch(QUERIES["uneasy_measures"], number, SOURCE, fresh_s)
        return tuple(f"{row['measure']} is {row['why']}" for row in found)

    async def lent(self, limit: int) -> tuple[Loan, ...]:
        """Return what is lent now."""
        async with statement(self._pool) as connection:
            found = await connection.fetch(QUERIES["lent"], limit)
        return tuple(
            Loan(
                action=row["action"],
                target_key=row["target_key"],
                state=LoanState(row["state"]),
                return_at=row["return_at"],
                summary=row["summary"],
                note=row["note"],
            )
            for row in found
        )

    async def _ask(self, connection: Connection, row: Any) -> bool:
        """Put the wish among the candidates; False where one of this loan waits already."""
        values = (row["rule"], row["labels"], row["incident"], row["severity"], row["priority"])
        candidate = await connection.fetchval(QUERIES["ask_return"], row["action"], *values)
        if candidate is None:
            return False
        await connection.execute(QUERIES["loan_asked"], row["action"], candidate)
        return True


def _step(row: Any) -> Step:
    return Step(
        waits=row["asked"] != "decided",
        reasons=tuple(row["reasons"]),
        action=row["number"],
        state=row["state"] or "",
        note=row["note"] or "",
        final=bool(row["final"]),
        tries=row["tries"],
    )


def _values(move: Move) -> tuple[Any, ...]:
    return move.state.value, move.last, move.tries, move.note, move.wait_s


def _entry(row: Any, summary: str, kind: EntryKind = EntryKind.RETURN_ENDED) -> NewEntry:
    return NewEntry(
        kind=kind,
        summary=summary,
        incident=row["incident"],
        action=row["action"],
        target_key=row["target_key"],
    )
