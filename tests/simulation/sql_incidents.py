"""The statements of sql/incidents.sql, sql/pauses.sql and sql/seals.sql, over the tables in memory."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.simulation.registry import statement
from tests.simulation.sql_actions import unbroken
from tests.simulation.sql_admit import put_messages
from tests.simulation.tables import OPEN, Database, Row, Session, decode, encode

INCIDENT = ("id", "target_key", "severity", "state", "rule", "title", "opened_at", "resolved_at")
PAUSE = ("number", "scope", "key", "reason", "actor", "since", "until")


@statement(writes=True)
def due_incidents(db: Database, session: Session, limit: int, lease_s: float) -> list[Row]:
    """Open incidents whose next look is due."""
    now = db.now()
    due = [one for one in db.incidents if one["state"] != "resolved" and one["check_at"] <= now]
    due.sort(key=lambda one: one["check_at"])
    for one in due[:limit]:
        db.incidents.change(one, check_at=now + timedelta(seconds=lease_s))
    return [
        {
            **{name: one[name] for name in INCIDENT},
            "target": encode(one["target"]) if one["target"] else None,
            "healthy_since": unbroken(db, one["id"], one["healthy_since"]),
            "now": now,
            "firing": db.firing(one["id"]),
            "moving": _is_moving(db, one["id"]),
            "hushed": bool(db.hushed.rows) and db.hush_on("", "", one["id"]) is not None,
        }
        for one in due[:limit]
    ]


def _is_moving(db: Database, incident: int) -> bool:
    tied = {(tie["source"], tie["fingerprint"]) for tie in db.ties if tie["incident"] == incident}
    return any(one["incident"] == incident and one["state"] in OPEN for one in db.actions) or any(
        one["state"] != "decided" and (one["incident"] == incident or (one["source"], one["fingerprint"]) in tied)
        for one in db.candidates
    )


@statement(writes=True)
def look_again_at_incidents(db: Database, session: Session, *columns: Any) -> list[Row]:
    """Set the next look at incidents."""
    now = db.now()
    for number, check_at, healthy_since in zip(*columns, strict=True):
        one = db.incidents.rows[number]
        if one["resolved_at"] is None:
            due = one["check_at"] if one["check_at"] <= now else check_at
            db.incidents.change(one, check_at=due, healthy_since=healthy_since)
    return []


@statement(writes=True)
def resolve_incident(db: Database, session: Session, number: int) -> list[Row]:
    """End an incident, unless an alert of it fires or an action of it is still open."""
    one = db.incidents.rows[number]
    busy = any(action["incident"] == number and action["state"] in OPEN for action in db.actions)
    if one["state"] == "resolved" or busy or db.firing(number):
        return []
    db.incidents.change(one, state="resolved", resolved_at=db.now())
    return [{"id": number}]


@statement(writes=True)
def drop_leftovers(db: Database, session: Session, incident: int) -> list[Row]:
    """What still waited for a resolved incident has no purpose any more; but for a person's wish to undo something."""
    for one in db.candidates:
        if one["incident"] == incident and one["state"] != "decided" and one["cause"] != "undo":
            db.candidates.change(one, state="decided", lease_until=None)
    note = "the incident was resolved before anybody answered"
    for one in db.actions:
        if one["incident"] == incident and one["state"] == "awaiting_approval":
            db.actions.change(one, state="expired", ended_at=db.now(), note=note)
    return []


@statement(writes=True)
def put_outbox(db: Database, session: Session, messages: str) -> list[Row]:
    """Messages to people."""
    put_messages(db, decode(messages))
    return []


@statement(writes=True)
def take_outbox(db: Database, session: Session, limit: int, lease_s: float) -> list[Row]:
    """Lease messages that are due."""
    now = db.now()
    due = [one for one in db.outbox if one["state"] == "waiting" and one["not_before"] <= now]
    due.sort(key=lambda one: one["not_before"])
    for one in due[:limit]:
        db.outbox.change(one, not_before=now + timedelta(seconds=lease_s), attempts=one["attempts"] + 1)
    return [
        {**{name: one[name] for name in ("id", "incident", "attempts")}, "payload": encode(one["payload"])}
        for one in due[:limit]
    ]


@statement(writes=True)
def outbox_sent(db: Database, session: Session, number: int) -> list[Row]:
    """Delivered."""
    db.outbox.change(db.outbox.rows[number], state="sent", last_error="")
    return []


@statement(writes=True)
def outbox_failed(db: Database, session: Session, number: int, error: str, seconds: float | None) -> list[Row]:
    """Not delivered: try again later, or never."""
    state, again = ("dead" if seconds is None else "waiting"), db.now() + timedelta(seconds=seconds or 0)
    db.outbox.change(db.outbox.rows[number], state=state, last_error=error, not_before=again)
    return []


# --------------------------------------------------------------------------------------------------------------- pauses


@statement(writes=True)
def put_pause(db: Database, session: Session, *values: Any) -> list[Row]:
    """Pause a scope, for some seconds or until it is lifted."""
    scope, key, reason, actor, seconds = values
    number, now = db.next("pauses"), db.now()
    until = now + timedelta(seconds=seconds) if seconds is not None else None
    row = {"number": number, "scope": scope, "key": key, "reason": reason, "actor": actor, "since": now, "until": until}
    return [db.pauses.insert(number, {**row, "lifted_at": None, "lifted_by": ""})]


@statement()
def pauses_in_force(db: Database, session: Session) -> list[Row]:
    """All pauses that stop something now."""
    return db.in_force()


@statement(writes=True)
def lift_pauses(db: Database, session: Session, scope: str, key: str, number: int | None, actor: str) -> list[Row]:
    """Lift the pauses of one scope, or the one with the number."""
    found = [
        one
        for one in db.in_force()
        if (number is None and (one["scope"], one["key"]) == (scope, key)) or one["number"] == number
    ]
    for one in found:
        db.pauses.change(one, lifted_at=db.now(), lifted_by=actor)
    return found


@statement(writes=True)
def hasten_paused(db: Database, session: Session) -> list[Row]:
    """Candidates that were held for a pause are due now."""
    now = db.now()
    for one in db.candidates:
        if one["state"] == "held" and "paused" in one["last_reasons"] and one["not_before"] > now:
            db.candidates.change(one, not_before=now)
    return []


# ---------------------------------------------------------------------------------------------------------------- seals


def _head(db: Database) -> Row:
    head = db.seals.rows.get(len(db.seals.rows))
    return {name: head[name] if head else None for name in ("number", "upto", "hash", "sealed_at")}


@statement()
def look_at_seals(db: Database, session: Session, known: int) -> list[Row]:
    """How sealing stands. Entries are seen when they are committed, so nobody can bring an earlier one."""
    head = _head(db)
    waits = [one["at"] for one in db.ledger if one["seq"] > (head["upto"] or 0)]
    seal = db.seals.rows.get(known)
    return [
        {
            "newest": max(db.ledger.rows, default=0),
            **head,
            "known_hash": seal["hash"] if seal else None,
            "waiting_s": (db.now() - waits[0]).total_seconds() if waits else 0.0,
            "writers": [],
        }
    ]


@statement()
def read_head(db: Database, session: Session) -> list[Row]:
    """The newest seal, and the time."""
    return [{"now": db.now(), **_head(db)}]


@statement()
def read_stored(db: Database, session: Session, after: int, upto: int, limit: int) -> list[Row]:
    """Entries as they are stored, by number."""
    return [one for one in db.ledger if after < one["seq"] <= upto][:limit]


@statement(writes=True)
def put_seal(db: Database, session: Session, *values: Any) -> list[Row]:
    """One more link."""
    names = ("number", "upto", "seqs", "digests", "prev", "hash", "sealed_at", "sealed_by")
    db.seals.insert(values[0], dict(zip(names, values, strict=True)))
    return []
