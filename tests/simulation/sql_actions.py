"""The statements of sql/actions.sql and sql/undo.sql, as they are there, over the tables in memory."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import asyncpg

from tests.simulation.registry import statement
from tests.simulation.sql_intake import put_candidate, waiting
from tests.simulation.tables import Database, Row, Session, decode, encode

ACTION = (
    *("id", "number", "incident", "rule", "rung", "mode", "state", "admitted_at", "good_until", "attempts", "fence"),
    *("applied_at", "note"),
)
AFTER_UNDO = ("refused", "expired", "observed", "rejected")


def _told(one: Row) -> Row:
    texts = {"target": encode(one["target"]), "plan": encode(one["plan"])}
    return {**{name: one[name] for name in ACTION}, **texts}


def _tries(db: Database, action: Row) -> int:
    same = (action["incident"], action["rule"], action["rung"])
    return sum((other["incident"], other["rule"], other["rung"]) == same for other in db.actions)


def _pause(db: Database, action: Row) -> Row | None:
    return db.pause_on(action["namespace"], action["rule"], action["target_key"])


@statement(writes=True)
def claim_actions(db: Database, session: Session, limit: int, owner: str, lease_s: float) -> list[Row]:
    """Take admitted actions, and those whose owner's lease has ended. The fence rises with each claim."""
    now = db.now()
    abandoned = [one for one in db.actions if _is_abandoned(one, now)]
    abandoned.sort(key=lambda one: one["lease_until"])
    admitted = [one for one in db.actions if one["state"] == "admitted" and _may_go(db, one, now)]
    claims = []
    for one in (*abandoned[:limit], *admitted[:limit])[:limit]:
        found_in = one["state"]
        db.actions.change(
            one,
            owner=owner,
            lease_until=now + timedelta(seconds=lease_s),
            fence=db.next("fences"),
            attempts=one["attempts"] + 1,
            state="claimed" if found_in == "admitted" else found_in,
        )
        image = one["before_image"]
        claims.append(
            {
                **_told(one),
                "before_image": encode(image) if image is not None else None,
                "found_in": found_in,
                "now": now,
                "firing": db.firing(one["incident"]) > 0,
                "has_evidence": _has_evidence(db, one, now),
                "approved": _is_approved(db, one),
                "tries": _tries(db, one),
            }
        )
    return claims


def _is_abandoned(action: Row, now: datetime) -> bool:
    lease = action["lease_until"]
    return action["state"] in ("claimed", "dispatched", "in_doubt") and lease is not None and lease < now


def _may_go(db: Database, action: Row, now: datetime) -> bool:
    return not action["changes"] or action["good_until"] < now or _pause(db, action) is None


def _has_evidence(db: Database, action: Row, now: datetime) -> bool:
    about, since = (action["incident"], action["target_key"]), now - timedelta(minutes=10)
    return any((one["incident"], one["target_key"]) == about and one["captured_at"] > since for one in db.evidence)


def _is_approved(db: Database, action: Row) -> bool:
    candidate = db.candidates.rows[action["candidate"]]
    return bool(candidate["approved_by"]) and candidate["approved_plan"] == action["plan"]["summary"]


@statement(writes=True)
def renew_lease(db: Database, session: Session, number: int, fence: int, lease_s: float) -> list[Row]:
    """Hold on to an action, if it is still ours, and tell whether there still is a reason for it."""
    one = db.actions.rows.get(number)
    if one is None or one["fence"] != fence or one["ended_at"] is not None:
        return []
    db.actions.change(one, lease_until=db.now() + timedelta(seconds=lease_s))
    pause = _pause(db, one) if one["changes"] else None
    paused = f"paused by {pause['actor']}: {pause['reason']}" if pause else None
    return [{"now": db.now(), "paused": paused, "firing": db.firing(one["incident"]) > 0}]


@statement(writes=True)
def move_actions(db: Database, session: Session, given: str) -> list[Row]:
    """Move actions to their next state, each only if its fence is still the owner's."""
    now, moved = db.now(), []
    for one in decode(given):
        action = db.actions.rows.get(one["number"])
        if action is None or action["fence"] != one["fence"] or action["ended_at"] is not None:
            continue
        if one["entry"] is not None and one["entry"]["data"].get("action_id", action["id"]) != action["id"]:
            continue
        if one["state"] == "dispatched" and not (_has_reason(db, action, now) and _is_ours(db, one["before_image"])):
            continue
        applied = one["state"] == "verifying"
        db.actions.change(
            action,
            state=one["state"],
            before_image=one["before_image"] if one["before_image"] is not None else action["before_image"],
            applied_at=now if applied else action["applied_at"],
            check_at=now + timedelta(seconds=5) if applied else None,
            lease_until=None if applied else action["lease_until"],
            ended_at=now if one["ended"] else None,
            note=one["note"] if one["note"] is not None else action["note"],
        )
        moved.append(
            {name: action[name] for name in ("incident", "rule", "rung", "candidate")} | {"place": one["place"]}
        )
        if one["entry"] is not None:
            db.say([one["entry"]])
    return moved


def _has_reason(db: Database, action: Row, now: datetime) -> bool:
    wanted = (action["plan"].get("undoes") or {}).get("action") is not None or db.firing(action["incident"]) > 0
    return now <= action["good_until"] and _pause(db, action) is None and wanted


def _is_ours(db: Database, image: Row) -> bool:
    mark = image["object"].get("metadata", {}).get("annotations", {}).get("remediator.io/action", "")
    return not mark or any(one["id"] == mark for one in db.actions)


@statement()
def know_action(db: Database, session: Session, mark: str) -> list[Row]:
    """Whether a mark on an object is that of an action here."""
    return [{"known": any(one["id"] == mark for one in db.actions)}]


@statement(writes=True)
def due_actions(db: Database, session: Session, limit: int, lease_s: float) -> list[Row]:
    """Applied actions whose next look is due; each is looked at by one replica at a time."""
    now = db.now()
    due = [
        one
        for one in db.actions
        if one["state"] == "verifying" and one["check_at"] is not None and one["check_at"] <= now
    ]
    due.sort(key=lambda one: one["check_at"])
    for one in due[:limit]:
        db.actions.change(one, check_at=now + timedelta(seconds=lease_s))
    return [
        {
            **_told(one),
            "quiet_since": unbroken(db, one["incident"], one["quiet_since"]),
            "now": now,
            "firing": db.firing(one["incident"]),
            "tries": _tries(db, one),
            "ready_before": _ready_before(db, one),
        }
        for one in due[:limit]
    ]


def unbroken(db: Database, incident: int, since: datetime | None) -> datetime | None:
    """Return since when it is quiet; None where an alert has changed since."""
    broken = since is not None and any(alert["changed_at"] > since for alert in db.ties_of(incident))
    return None if broken else since


def _ready_before(db: Database, action: Row) -> int | None:
    facts = db.candidates.rows[action["candidate"]]["facts"] or {}
    workload = facts.get("workload") or {}
    return workload.get("ready")


@statement(writes=True)
def look_again_at_actions(db: Database, session: Session, *columns: Any) -> list[Row]:
    """Set the next look at applied actions, each only if its fence is still the owner's."""
    now, found = db.now(), []
    for number, fence, check_at, quiet_since in zip(*columns, strict=True):
        one = db.actions.rows.get(number)
        if one is None or one["fence"] != fence or one["ended_at"] is not None:
            continue
        hastened = one["check_at"] is not None and one["check_at"] <= now
        db.actions.change(one, check_at=one["check_at"] if hastened else check_at, quiet_since=quiet_since)
        found.append({"number": number})
    return found


@statement()
def fires_again(db: Database, session: Session, incident: int) -> list[Row]:
    """Whether an alert of this incident fires, and no people have been called for it."""
    return [{"exists": db.incidents.rows[incident]["state"] == "open" and db.firing(incident) > 0}]


def _again(db: Database, session: Session, former: int, **columns: Any) -> None:
    """Put a candidate like an earlier one, or change the one that waits; a locked row is waited for in vain."""
    old = db.candidates.rows[former]
    waits = waiting(db, old["source"], old["fingerprint"], old["rule"])
    kept = ("rule", "rung", "source", "fingerprint", "labels", "severity", "priority")
    if waits is not None and db.is_locked(waits["id"], session):
        raise asyncpg.LockNotAvailableError("canceling statement due to lock timeout")
    if put_candidate(db, **{**{name: old[name] for name in kept}, **columns}) is None and waits is not None:
        fresh = {"state": "new", "tries": waits["tries"] + 1, "last_reasons": [], "not_before": db.now()}
        marks = {"approved_by": "", "approved_plan": "", "lease_until": None}
        db.candidates.change(waits, **{**fresh, **marks, "rung": old["rung"], **columns})


@statement(writes=True)
def put_next_rung(db: Database, session: Session, candidate: int, rung: int, incident: int) -> list[Row]:
    """The ladder goes on: a candidate like the one before, on another rung."""
    _again(db, session, candidate, cause="next_rung", rung=rung, incident=incident)
    return []


@statement(writes=True)
def put_approved(db: Database, session: Session, candidate: int, incident: int, by: str, plan: str) -> list[Row]:
    """The approved rung comes back as a candidate."""
    _again(db, session, candidate, cause="approved", incident=incident, approved_by=by, approved_plan=plan)
    return []


@statement(writes=True)
def put_approval(db: Database, session: Session, number: int, approved: bool, actor: str, reason: str) -> list[Row]:
    """A person's word about an action that waits for it."""
    one = db.actions.rows.get(number)
    if one is None or one["state"] != "awaiting_approval":
        return []
    note = f"approved by {actor}; decided anew" if approved else f"rejected by {actor}"
    db.actions.change(one, state="done" if approved else "rejected", ended_at=db.now(), note=note)
    names = ("number", "incident", "candidate", "rule", "rung", "target_key")
    return [{**{name: one[name] for name in names}, "summary": one["plan"]["summary"]}]


@statement(writes=True)
def put_evidence(db: Database, session: Session, *values: Any) -> list[Row]:
    """One bundle of evidence, once for an action and its target."""
    names = ("incident", "action", "target_key", "sha256", "size", "truncated", "content")
    bundle = dict(zip(names, values, strict=True))
    about = ("incident", "action", "target_key")
    for known in db.evidence:
        if all(known[name] == bundle[name] for name in about):
            return [{"sha256": known["sha256"], "fresh": False}]
    db.evidence.insert(db.next("evidence"), {**bundle, "captured_at": db.now()})
    return [{"sha256": bundle["sha256"], "fresh": True}]


@statement()
def read_former(db: Database, session: Session, number: int) -> list[Row]:
    """An action that is to be undone, and the action that undoes it."""
    one = db.actions.rows.get(number)
    if one is None:
        return []
    undoing = [
        other["number"]
        for other in db.actions
        if other["incident"] == one["incident"]
        and (other["plan"].get("undoes") or {}).get("action") == number
        and other["state"] not in AFTER_UNDO
    ]
    image = one["before_image"]
    texts = {"before_image": encode(image) if image is not None else None, "undone_by": max(undoing, default=None)}
    return [{**_told(one), **texts}]


@statement(writes=True)
def ask_undo(db: Database, session: Session, number: int, actor: str) -> list[Row]:
    """A person's wish becomes a candidate."""
    one = db.actions.rows[number]
    candidate = db.candidates.rows[one["candidate"]]
    made = put_candidate(
        db,
        cause="undo",
        rule=one["rule"],
        rung=-1,
        source="undo",
        fingerprint=str(number),
        labels=candidate["labels"],
        incident=one["incident"],
        approved_by=actor,
        severity=db.incidents.rows[one["incident"]]["severity"],
        priority=candidate["priority"],
    )
    return [{"id": made["id"]}] if made is not None else []
