"""The execute and verify stages' transactions: every move of the state machine asks for the owner's fence."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec import Struct

from remediator.adapters.ledger import rows
from remediator.adapters.ledger.conclusions import write_conclusions
from remediator.adapters.ledger.group_commit import GroupCommit, GroupLimits
from remediator.adapters.ledger.pool import Connection, LedgerPool, statement
from remediator.adapters.ledger.queries import QUERIES
from remediator.adapters.ledger.undo import read_former
from remediator.model.action import ActionState, BeforeImage
from remediator.model.entry import NewEntry
from remediator.model.undo import Former
from remediator.ports.actions import Claim, Conclusion, Due, NextLook, Standing

CONCLUSIONS = 32
"""How many actions one transaction ends at most: nothing is decided while it runs."""


class Move(Struct, frozen=True, kw_only=True):
    """One action's step to its next state, with the entry that tells of it."""

    number: int
    fence: int
    state: ActionState
    entry: NewEntry
    before: BeforeImage | None = None


class Moves:
    """What happens to actions at the same time shares a commit: moves with moves, ends with ends."""

    def __init__(self, pool: LedgerPool) -> None:
        """Work on ``pool``; somebody has to ``run`` it."""
        ends = GroupLimits(batch_items=CONCLUSIONS)
        self.moves = GroupCommit(pool, write_moves, size=_size, is_one_statement=lambda _: True)
        self.ends = GroupCommit(pool, write_conclusions, size=lambda _: 4096, limits=ends)

    async def run(self) -> None:
        """Store until ``close``."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.moves.run(), name="group-commit-moves")
            tasks.create_task(self.ends.run(), name="group-commit-ends")

    def close(self) -> None:
        """Take nothing more; ``run`` ends when all that waits is stored."""
        self.moves.close()
        self.ends.close()


class LedgerActionStore:
    """Implements ports.actions.ActionStore."""

    def __init__(self, pool: LedgerPool, moves: Moves, leases: LedgerPool | None = None) -> None:
        """Take ``moves`` of ``pool``, which must be running, and work on ``leases`` for what a crash may undo."""
        self._leases = leases or pool
        self._moves = moves

    async def claim(self, limit: int, owner: str, lease_s: float) -> tuple[Claim, ...]:
        """Take admitted actions and abandoned ones."""
        async with statement(self._leases) as connection:
            found = await connection.fetch(QUERIES["claim_actions"], limit, owner, lease_s)
        return tuple(
            Claim(
                action=rows.action(row),
                found_in=ActionState(row["found_in"]),
                before=rows.before_image(row["before_image"]),
                firing=row["firing"],
                now=row["now"],
                has_evidence=row["has_evidence"],
                tries=row["tries"],
                approved=row["approved"],
            )
            for row in found
        )

    async def renew(self, number: int, fence: int, lease_s: float) -> Standing | None:
        """Hold on to an action for longer, and learn how it stands."""
        async with statement(self._leases) as connection:
            row = await connection.fetchrow(QUERIES["renew_lease"], number, fence, lease_s)
        return Standing(firing=row["firing"], now=row["now"], paused=row["paused"] or "") if row is not None else None

    async def dispatched(self, number: int, fence: int, before: BeforeImage, entry: NewEntry) -> bool:
        """Write the intent down."""
        move = Move(number=number, fence=fence, state=ActionState.DISPATCHED, entry=entry, before=before)
        return await self._moves.moves.put(move)

    async def knows(self, action_id: str) -> bool:
        """Tell whether there is an action with this id."""
        async with statement(self._leases) as connection:
            return bool(await connection.fetchval(QUERIES["know_action"], action_id))

    async def in_doubt(self, number: int, fence: int, entry: NewEntry) -> bool:
        """Write the doubt down."""
        return await self._moves.moves.put(Move(number=number, fence=fence, state=ActionState.IN_DOUBT, entry=entry))

    async def applied(self, number: int, fence: int, entry: NewEntry) -> bool:
        """Write down that the write was stored."""
        return await self._moves.moves.put(Move(number=number, fence=fence, state=ActionState.VERIFYING, entry=entry))

    async def conclude(self, conclusion: Conclusion) -> bool:
        """End an action and set in motion what comes next."""
        return await self._moves.ends.put(conclusion)

    async def former(self, number: int) -> Former | None:
        """Return an action that is to be undone."""
        async with statement(self._leases) as connection:
            return await read_former(connection, number)

    async def due(self, limit: int, lease_s: float) -> tuple[Due, ...]:
        """Take applied actions whose next look is due."""
        async with statement(self._leases) as connection:
            found = await connection.fetch(QUERIES["due_actions"], limit, lease_s)
        return tuple(
            Due(
                action=rows.action(row),
                firing=row["firing"],
                quiet_since=row["quiet_since"],
                now=row["now"],
                ready_before=row["ready_before"],
                tries=row["tries"],
            )
            for row in found
        )

    async def look_again(self, looks: Sequence[NextLook]) -> frozenset[int]:
        """Set the times of next looks, all by one statement."""
        columns = (
            [look.number for look in looks],
            [look.fence for look in looks],
            [look.check_at for look in looks],
            [look.quiet_since for look in looks],
        )
        async with statement(self._leases) as connection:
            found = await connection.fetch(QUERIES["look_again_at_actions"], *columns)
        return frozenset(row["number"] for row in found)


def moves_together(pool: LedgerPool) -> Moves:
    """Return what lets moves and ends of actions share commits on ``pool``; somebody has to run it."""
    return Moves(pool)


def _size(move: Move) -> int:
    """Return about how many bytes a move takes: an intent carries the object's image."""
    return 16384 if move.before is not None else 2048


async def write_moves(connection: Connection, moves: Sequence[Move]) -> list[bool]:
    """Write many moves and their entries by one statement; an entry only for a move whose fence still held."""
    given = [
        {
            "place": place,
            "number": move.number,
            "fence": move.fence,
            "state": move.state.value,
            "before_image": move.before,
            "note": None,
            "ended": False,
            "entry": move.entry,
        }
        for place, move in enumerate(moves)
    ]
    moved = {row["place"] for row in await connection.fetch(QUERIES["move_actions"], rows.as_json(given))}
    return [place in moved for place in range(len(moves))]
