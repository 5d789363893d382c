"""The execute and verify stages' transactions: every move of the state machine asks for the owner's fence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, assert_never

from msgspec import Struct

from remediator.adapters.ledger import rows
from remediator.adapters.ledger.endings import lock_admission, resolve
from remediator.adapters.ledger.group_commit import GroupCommit
from remediator.adapters.ledger.pool import Connection, LedgerPool, statement, transaction
from remediator.adapters.ledger.queries import QUERIES
from remediator.adapters.ledger.undo import read_former
from remediator.model.action import ActionState, BeforeImage
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.undo import Former
from remediator.ports.actions import (
    CallPeople,
    Claim,
    Conclusion,
    Due,
    NextLook,
    NextRung,
    Nothing,
    Recovered,
    Settled,
    Standing,
)


class Move(Struct, frozen=True, kw_only=True):
    """One action's step to its next state, with the entry that tells of it."""

    number: int
    fence: int
    state: ActionState
    entry: NewEntry
    before: BeforeImage | None = None


Moves: TypeAlias = GroupCommit[Move, bool]


class LedgerActionStore:
    """Implements ports.actions.ActionStore. Moves of actions that happen together share one commit."""

    def __init__(self, pool: LedgerPool, moves: Moves, leases: LedgerPool | None = None) -> None:
        """Work on ``pool``, and on ``leases`` for what a crash may undo; ``moves`` must be running."""
        self._pool = pool
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
        return await self._moves.put(move)

    async def in_doubt(self, number: int, fence: int, entry: NewEntry) -> bool:
        """Write the doubt down."""
        return await self._moves.put(Move(number=number, fence=fence, state=ActionState.IN_DOUBT, entry=entry))

    async def applied(self, number: int, fence: int, entry: NewEntry) -> bool:
        """Write down that the write was stored."""
        return await self._moves.put(Move(number=number, fence=fence, state=ActionState.VERIFYING, entry=entry))

    async def conclude(self, conclusion: Conclusion) -> bool:
        """End an action and set in motion what comes next."""
        async with transaction(self._pool) as connection:
            if _over(conclusion):
                await lock_admission(connection)
            moved = await connection.fetch(QUERIES["move_actions"], rows.as_json([_ending(conclusion)]))
            if not moved:
                return False
            entries = [*conclusion.entries, *await _follow(connection, conclusion, moved[0])]
            await connection.execute(QUERIES["append_entries"], rows.entries_json(entries))
            await connection.execute(QUERIES["wake"], "assess")
        return True

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
    """Return the group commit of moves on ``pool``; somebody has to run it."""
    return GroupCommit(pool, write_moves, size=_size, is_one_statement=lambda _: True)


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


def _ending(conclusion: Conclusion) -> dict[str, Any]:
    return {
        "place": 0,
        "number": conclusion.number,
        "fence": conclusion.fence,
        "state": conclusion.state.value,
        "before_image": None,
        "note": conclusion.note,
        "ended": True,
        "entry": None,
    }


async def _follow(connection: Connection, conclusion: Conclusion, moved: rows.Row) -> list[NewEntry]:
    """Write what comes after, and return the entries that tell of it."""
    incident, rule = moved["incident"], moved["rule"]
    entries: list[NewEntry] = []
    if conclusion.say:
        await tell_people(connection, incident, conclusion.number, conclusion.say)
    match conclusion.successor:
        case Nothing() if _over(conclusion):
            await _drive_on(connection, moved, moved["rung"])
        case Nothing() | Settled():
            pass
        case NextRung(rung=rung):
            await connection.execute(QUERIES["put_next_rung"], moved["candidate"], rung, incident)
        case Recovered(message=message):
            if await resolve(connection, incident):
                summary = f"resolved: {message}"
                entries.append(
                    NewEntry(kind=EntryKind.INCIDENT_RESOLVED, summary=summary, incident=incident, rule=rule)
                )
            else:
                await _drive_on(connection, moved, 0)
        case CallPeople(message=message):
            entries += await _escalate(connection, incident, rule, message)
            await tell_people(connection, incident, conclusion.number, message)
        case _:
            assert_never(conclusion.successor)
    return entries


def _over(conclusion: Conclusion) -> bool:
    """Tell whether an action ends because its alert is silent: then nothing comes after it."""
    silent = conclusion.state in (ActionState.EXPIRED, ActionState.REFUSED)
    return isinstance(conclusion.successor, Recovered) or (silent and isinstance(conclusion.successor, Nothing))


async def _drive_on(connection: Connection, moved: rows.Row, rung: int) -> None:
    """Go on with a rung if the alert fires again by now. Needs ``lock_admission``.

    The alert that fires has joined the incident as one that is being worked on, by the very action that ends here.
    """
    if await connection.fetchval(QUERIES["fires_again"], moved["incident"]):
        await connection.execute(QUERIES["put_next_rung"], moved["candidate"], rung, moved["incident"])


async def _escalate(connection: Connection, incident: int, rule: str, message: str) -> list[NewEntry]:
    if not await connection.fetch(QUERIES["escalate_incidents"], [incident]):
        return []
    summary = f"people are called: {message}"
    return [NewEntry(kind=EntryKind.INCIDENT_ESCALATED, summary=summary, incident=incident, rule=rule)]


async def tell_people(connection: Connection, incident: int, action: int | None, message: str) -> None:
    """Put one urgent message about an incident into the outbox."""
    row = await connection.fetchrow(QUERIES["read_incident"], incident)
    about = rows.incident(row) if row is not None else None
    payload = {
        "incident": incident,
        "title": about.title if about else "",
        "severity": about.severity if about else "P3",
        "target": about.target_key if about else "",
        "rule": about.rule if about else "",
        "action": action,
        "message": message,
        "urgent": True,
    }
    await connection.execute(QUERIES["put_outbox"], rows.as_json([{"incident": incident, "payload": payload}]))
