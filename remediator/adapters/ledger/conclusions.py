"""The ends of actions: many in one transaction, each with what it sets in motion."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias, assert_never

from msgspec import structs

from remediator.adapters.ledger import rows
from remediator.adapters.ledger.endings import lock_admission, resolve
from remediator.adapters.ledger.pool import Connection
from remediator.adapters.ledger.queries import QUERIES
from remediator.model.action import ActionState
from remediator.model.entry import EntryKind, NewEntry
from remediator.ports.actions import CallPeople, Conclusion, NextRung, Nothing, Recovered, Settled

ACTOR = "remediator"
Placed: TypeAlias = tuple[int, Conclusion]


async def write_conclusions(connection: Connection, conclusions: Sequence[Conclusion]) -> list[bool]:
    """End many actions, each only if its fence still held, and write what comes after; tell which ended.

    What several do to rows that decisions lock too would be done in another order than there: so they wait for
    decisions under way, as whoever may resolve an incident has to.
    """
    if len(conclusions) > 1 or _over(conclusions[0]):
        await lock_admission(connection)
    ended: set[int] = set()
    entries: list[NewEntry] = []
    for group in _one_an_incident(conclusions):
        given = [_ending(place, conclusion) for place, conclusion in group]
        moved = {row["place"]: row for row in await connection.fetch(QUERIES["move_actions"], rows.as_json(given))}
        for place, conclusion in group:
            if place in moved:
                taken_back = await _take_back(connection, conclusion)
                entries += [*conclusion.entries, *taken_back, *await _follow(connection, conclusion, moved[place])]
        ended |= moved.keys()
    if ended:
        await connection.execute(QUERIES["append_entries"], rows.entries_json(entries))
        await connection.execute(QUERIES["wake"], "assess")
    return [place in ended for place in range(len(conclusions))]


def _one_an_incident(conclusions: Sequence[Conclusion]) -> Iterator[list[Placed]]:
    """Yield groups in which each incident is once: what the end of one action means hangs on those that are open."""
    left = list(enumerate(conclusions))
    while left:
        group: dict[int | None, Placed] = {}
        later: list[Placed] = []
        for placed in left:
            incident = placed[1].incident
            if incident is None or incident in group:
                later.append(placed)
            else:
                group[incident] = placed
        if not group:
            group[None] = later.pop(0)
        yield list(group.values())
        left = later


def _ending(place: int, conclusion: Conclusion) -> dict[str, Any]:
    return {
        "place": place,
        "number": conclusion.number,
        "fence": conclusion.fence,
        "state": conclusion.state.value,
        "before_image": None,
        "note": conclusion.note,
        "ended": True,
        "entry": None,
    }


async def _take_back(connection: Connection, conclusion: Conclusion) -> list[NewEntry]:
    """Ask for what did harm to be undone, as a person would (docs/adr/0011), and return the entry that says so."""
    if not conclusion.undo:
        return []
    if await connection.fetchval(QUERIES["ask_undo"], conclusion.number, ACTOR) is None:
        return []
    first = conclusion.entries[0]
    summary = f"{ACTOR} asks to undo it: {conclusion.undo}"
    return [structs.replace(first, kind=EntryKind.UNDO_ASKED, summary=summary, data={})]


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
