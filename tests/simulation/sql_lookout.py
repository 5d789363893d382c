"""The statements of sql/lookout.sql, as they are there, over the tables in memory."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tests.simulation.registry import statement
from tests.simulation.sql_admit import tie_alert
from tests.simulation.tables import Database, Row, Session, decode, encode, moment


@statement(writes=True)
def take_turn(db: Database, session: Session, *values: Any) -> list[Row]:
    """Note a sign of life, keep a gap without any, and take the turn if it is due or wanted in a hurry."""
    name, owner, lease_s, hurry, keep_gaps, fresh_s = values
    now, before = db.now(), db.pulse["at"]
    db.pulse.update(at=now, before_at=before)
    if keep_gaps and before is not None and now - before > timedelta(seconds=10):
        _keep_gap(db, before, now)
    duty = db.duties.rows[name]
    free = duty["lease_until"] is None or duty["lease_until"] < now or duty["owner"] == owner
    stale = duty["began_at"] is None or duty["began_at"] < now - timedelta(seconds=fresh_s)
    if not free or not (duty["due_at"] <= now or (hurry and stale)):
        return []
    if keep_gaps and duty["lease_until"] is not None and duty["lease_until"] < now:
        heard = max((one["seen_at"] for one in db.monitoring), default=now)
        _keep_gap(db, min(duty["began_at"], heard), now)
    lease = now + timedelta(seconds=lease_s)
    db.duties.change(duty, turn=duty["turn"] + 1, owner=owner, began_at=now, lease_until=lease)
    return [{"turn": duty["turn"], "now": now}]


def _keep_gap(db: Database, begin: datetime, end: datetime) -> None:
    number = db.next("gaps")
    gap = {"id": number, "from_at": begin, "to_at": end, "tries": 0, "due_at": end, "settled_at": None}
    db.gaps.insert(number, gap)


@statement(writes=True)
def keep_turn(db: Database, session: Session, name: str, turn: int) -> list[Row]:
    """Whether the turn is still ours; its row is locked until the end of the transaction."""
    duty = db.duties.rows[name]
    ours = duty["turn"] == turn and duty["lease_until"] is not None and duty["lease_until"] > db.now()
    return [{"ours": True}] if ours else []


@statement(writes=True)
def end_turn(db: Database, session: Session, name: str, turn: int, seconds: float) -> list[Row]:
    """The next turn is due in about so many seconds."""
    db.pulse.update(at=db.now())
    duty = db.duties.rows[name]
    if duty["turn"] == turn:
        db.duties.change(duty, lease_until=None, due_at=db.now() + timedelta(seconds=seconds))
    return []


@statement()
def held_alerts(db: Database, session: Session, source: str, fingerprints: list[str]) -> list[Row]:
    """What fires here of a source, and what is known of the given alerts."""
    found = []
    for one in db.alerts:
        if one["source"] != source or (one["status"] != "firing" and one["fingerprint"] not in fingerprints):
            continue
        absent = db.absent.rows.get((source, one["fingerprint"]))
        asked = one["status"] == "firing" and one["fingerprint"] not in fingerprints
        found.append(
            {
                **one,
                "labels": encode(one["labels"]),
                "absent_since": absent["since"] if absent and one["status"] == "firing" else None,
                "told_at": _told_at(db, source, one["fingerprint"]) if asked else None,
            }
        )
    return found


def _told_at(db: Database, source: str, fingerprint: str) -> datetime | None:
    wanted = (source, fingerprint, "firing")
    times = (s["last_seen_at"] for s in db.signals if (s["source"], s["fingerprint"], s["status"]) == wanted)
    return max(times, default=None)


@statement()
def hushed_of(db: Database, session: Session, source: str) -> list[Row]:
    """The alerts of a source that were silenced or inhibited at the last look."""
    return [{"fingerprint": one["fingerprint"]} for one in db.hushed if one["source"] == source]


@statement(writes=True)
def put_absent(db: Database, session: Session, source: str, prints: list[str], times: list[datetime]) -> list[Row]:
    """The alerts of a source that are missing replace those that were."""
    given = dict(zip(prints, times, strict=True))
    for key in [key for key in db.absent.rows if key[0] == source and key[1] not in given]:
        db.absent.delete(key)
    for fingerprint, since in given.items():
        db.absent.delete((source, fingerprint))
        db.absent.insert((source, fingerprint), {"since": since})
    return []


@statement(writes=True)
def put_hushed(db: Database, session: Session, given: str) -> list[Row]:
    """Alerts that are silenced or inhibited; how long they have been stays."""
    for one in decode(given):
        key = (one["source"], one["fingerprint"])
        known = db.hushed.rows.get(key)
        since = known["since"] if known and known["how"] == one["how"] else moment(one["since"])
        db.hushed.delete(key)
        db.hushed.insert(key, {**one, "since": since, "seen_at": db.now()})
    return []


@statement(writes=True)
def lift_hushed(db: Database, session: Session, source: str, prints: list[str]) -> list[Row]:
    """Alerts that are silent no more: what waited for that is decided about now."""
    lifted = {(source, one) for one in prints if (source, one) in db.hushed.rows}
    for key in lifted:
        db.hushed.delete(key)
    incidents = db.incidents_of(lifted)
    for one in db.candidates:
        waits = one["state"] == "held" and {"silenced", "inhibited"} & set(one["last_reasons"])
        if waits and ((one["source"], one["fingerprint"]) in lifted or one["incident"] in incidents):
            db.candidates.change(one, not_before=db.now())
    return []


@statement(writes=True)
def hear_sources(db: Database, session: Session, heard: list[str], silent: list[str], seconds: float) -> list[Row]:
    """These sources were heard, and nobody of those."""
    now, told = db.now(), []
    for source in (*heard, *silent):
        known = db.monitoring.rows.get(source)
        if known is None:
            row = {"source": source, "seen_at": now, "called": False, "was_called": False}
            told.append({**db.monitoring.insert(source, row), "lost": False, "found": False})
            continue
        was, late = known["called"], known["seen_at"] < now - timedelta(seconds=seconds)
        called = source in silent and (was or late)
        seen = now if source in heard else known["seen_at"]
        db.monitoring.change(known, was_called=was, called=called, seen_at=seen)
        told.append({"source": source, "seen_at": seen, "lost": called and not was, "found": was and not called})
    return told


@statement()
def open_gaps(db: Database, session: Session, limit: int) -> list[Row]:
    """Gaps whose history is still to be looked at."""
    due = [one for one in db.gaps if one["settled_at"] is None and one["due_at"] <= db.now()]
    return sorted(due, key=lambda one: (one["due_at"], one["id"]))[:limit]


@statement()
def states_since(db: Database, session: Session, begin: datetime, limit: int) -> list[Row]:
    """The alerts that fire, and those whose state has changed since then."""
    found = [one for one in db.alerts if one["status"] == "firing" or one["changed_at"] >= begin]
    found.sort(key=lambda one: one["changed_at"], reverse=True)
    return [{**one, "labels": encode(one["labels"])} for one in found[:limit]]


@statement(writes=True)
def settle_gap(db: Database, session: Session, number: int) -> list[Row]:
    """Its history was looked at; tells whether nobody else has done it."""
    one = db.gaps.rows[number]
    if one["settled_at"] is not None:
        return []
    db.gaps.change(one, settled_at=db.now())
    return [{"id": number}]


@statement(writes=True)
def postpone_gap(db: Database, session: Session, number: int, seconds: float) -> list[Row]:
    """Its history could not be looked at: again later."""
    one = db.gaps.rows[number]
    if one["settled_at"] is None:
        db.gaps.change(one, tries=one["tries"] + 1, due_at=db.now() + timedelta(seconds=seconds))
    return []


@statement(writes=True)
def put_missed_incidents(db: Database, session: Session, given: str) -> list[Row]:
    """Incidents of alerts that began and ended while nobody listened, each with its alert."""
    for one in decode(given):
        key = f"alert/{one['source']}/{one['fingerprint']}"
        row = {name: one[name] for name in ("id", "severity", "rule", "title")}
        ended = moment(one["resolved_at"])
        times = {"opened_at": moment(one["opened_at"]), "check_at": ended, "resolved_at": ended}
        none = {"target": None, "healthy_since": None, "escalated_at": None}
        db.incidents.insert(one["id"], {**row, "target_key": key, "state": "resolved", **times, **none})
        tie_alert(db, one["id"], one["source"], one["fingerprint"])
    return []
