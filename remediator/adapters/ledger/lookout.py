"""The lookout's side of the ledger: turns, what is held against Alertmanager, silences, and gaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import structs

from remediator.adapters.ledger import rows
from remediator.adapters.ledger.pool import Connection, LedgerPool, statement, transaction
from remediator.adapters.ledger.queries import QUERIES
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.sighting import Gap, Holdings, KnownAlert
from remediator.ports.lookout import MissedIncident, Notes, Turn

DUTY = "lookout"
HURRY_S = 10.0
"""How many seconds lie between two turns at least, however much of a hurry anybody is in."""
SILENT_S = 900.0
"""After how many seconds without an answer people are called."""
MOST_STATES = 20_000


class LedgerLookoutStore:
    """Implements ports.lookout.LookoutStore. ``keep_gaps``: there is somebody to ask what happened in them."""

    def __init__(self, pool: LedgerPool, leases: LedgerPool, *, keep_gaps: bool, hurry_s: float = HURRY_S) -> None:
        """Work on ``pool``, and on ``leases`` for what a crash may undo."""
        self._pool = pool
        self._leases = leases
        self._keep_gaps = keep_gaps
        self._hurry_s = hurry_s

    async def take(self, owner: str, lease_s: float, *, hurry: bool) -> Turn | None:
        """Note that this replica is at work, and take the turn if it is due or wanted in a hurry."""
        values = (DUTY, owner, lease_s, hurry, self._keep_gaps, self._hurry_s)
        async with statement(self._leases) as connection:
            row = await connection.fetchrow(QUERIES["take_turn"], *values)
        return Turn(number=row["turn"], now=row["now"]) if row is not None else None

    async def known(self, source: str, fingerprints: Sequence[str]) -> Holdings:
        """Return what fires here of a source, and what is known of the given alerts."""
        async with transaction(self._leases) as connection:
            held = await connection.fetch(QUERIES["held_alerts"], source, list(fingerprints))
            hushed = await connection.fetch(QUERIES["hushed_of"], source)
        return Holdings(
            alerts={row["fingerprint"]: _known(row) for row in held},
            hushed=frozenset(row["fingerprint"] for row in hushed),
        )

    async def note(self, turn: Turn, notes: Notes) -> bool:
        """Write down what was found, if the turn is still ours."""
        async with transaction(self._leases) as connection:
            if not await connection.fetchval(QUERIES["keep_turn"], DUTY, turn.number):
                return False
            missing = list(notes.absent), list(notes.absent.values())
            await connection.execute(QUERIES["put_absent"], notes.source, *missing)
            if notes.hushed:
                await connection.execute(QUERIES["put_hushed"], rows.as_json(notes.hushed))
            if notes.audible:
                await connection.execute(QUERIES["lift_hushed"], notes.source, list(notes.audible))
                await connection.execute(QUERIES["wake"], "assess")
        return True

    async def finish(self, turn: Turn, again_s: float, heard: Mapping[str, str]) -> tuple[str, ...]:
        """End the turn, and call people where nobody has answered for long."""
        answered = [source for source, problem in heard.items() if not problem]
        silent = [source for source, problem in heard.items() if problem]
        async with transaction(self._pool) as connection:
            told = await connection.fetch(QUERIES["hear_sources"], answered, silent, SILENT_S)
            lost = [(row["source"], row["seen_at"]) for row in told if row["lost"]]
            found = [row["source"] for row in told if row["found"]]
            entries = [_lost(source, since, heard[source]) for source, since in lost]
            await _tell(connection, [*entries, *(_found(source) for source in found)])
            if entries:
                messages = [{"incident": None, "payload": _message(entry.summary, urgent=True)} for entry in entries]
                await connection.execute(QUERIES["put_outbox"], rows.as_json(messages))
            await connection.execute(QUERIES["end_turn"], DUTY, turn.number, again_s)
        return tuple(source for source, _ in lost)

    async def gaps(self, limit: int) -> tuple[Gap, ...]:
        """Return gaps whose history is still to be looked at."""
        async with statement(self._leases) as connection:
            found = await connection.fetch(QUERIES["open_gaps"], limit)
        return tuple(Gap(id=row["id"], from_at=row["from_at"], to_at=row["to_at"], tries=row["tries"]) for row in found)

    async def known_since(self, begin: datetime) -> tuple[KnownAlert, ...]:
        """Return the alerts that fire, or whose state has changed since ``begin``."""
        async with statement(self._leases) as connection:
            found = await connection.fetch(QUERIES["states_since"], begin, MOST_STATES)
        return tuple(KnownAlert(state=rows.alert_state(row)) for row in found)

    async def settle(self, gap: Gap, missed: Sequence[MissedIncident], told: str) -> bool:
        """Record what was missed in a gap and tell people, once."""
        async with transaction(self._pool) as connection:
            if await connection.fetchval(QUERIES["settle_gap"], gap.id) is None:
                return False
            await _record(connection, missed)
            if told:
                message = {"incident": None, "payload": _message(told, urgent=False)}
                await connection.execute(QUERIES["put_outbox"], rows.as_json([message]))
        return True

    async def postpone(self, gap: Gap, seconds: float) -> None:
        """Look at a gap again later."""
        async with statement(self._leases) as connection:
            await connection.execute(QUERIES["postpone_gap"], gap.id, seconds)


def _known(row: rows.Row) -> KnownAlert:
    return KnownAlert(state=rows.alert_state(row), told_at=row["told_at"], absent_since=row["absent_since"])


async def _record(connection: Connection, missed: Sequence[MissedIncident]) -> None:
    """Write the incidents of what was missed; what no rule matches has its entry alone."""
    ruled = [one for one in missed if one.rule]
    if ruled:
        (numbers,) = await connection.fetch(QUERIES["allocate"], len(ruled), 0)
        given = list(zip(numbers["incidents"], ruled, strict=True))
        await connection.execute(
            QUERIES["put_missed_incidents"], rows.as_json([_incident(number, one) for number, one in given])
        )
        await _tell(connection, [structs.replace(one.entry, incident=number) for number, one in given])
    await _tell(connection, [one.entry for one in missed if not one.rule])


def _incident(number: int, one: MissedIncident) -> dict[str, Any]:
    return {
        "id": number,
        "source": one.source,
        "fingerprint": one.fingerprint,
        "severity": one.severity,
        "rule": one.rule,
        "title": one.title,
        "opened_at": one.began_at,
        "resolved_at": one.ended_at,
    }


async def _tell(connection: Connection, entries: Sequence[NewEntry]) -> None:
    if entries:
        await connection.execute(QUERIES["append_entries"], rows.entries_json(entries))


def _lost(source: str, since: datetime, problem: str) -> NewEntry:
    summary = (
        f"nobody of {source} has answered since {since:%H:%M:%S} UTC ({problem}): alerts that are lost on the way are"
        " not found, and what was silenced stays so"
    )
    return NewEntry(kind=EntryKind.MONITORING_LOST, summary=summary, data={"source": source, "problem": problem})


def _found(source: str) -> NewEntry:
    return NewEntry(kind=EntryKind.MONITORING_FOUND, summary=f"{source} answers again", data={"source": source})


def _message(message: str, *, urgent: bool) -> dict[str, Any]:
    """Return a message to people that belongs to no incident."""
    return {
        "incident": None,
        "title": "remediator and the monitoring",
        "severity": "P2" if urgent else "P4",
        "target": "",
        "rule": "",
        "action": None,
        "message": message,
        "urgent": urgent,
    }
