"""The statements of sql/admit.sql, as they are there, over the tables in memory."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from tests.simulation.registry import statement
from tests.simulation.tables import OPEN, Database, Row, Session, decode, encode, moment

CANDIDATE = (
    *("id", "cause", "rule", "rung", "source", "fingerprint", "first_seen_at", "tries", "incident", "approved_by"),
    "approved_plan",
)
PAST = ("number", "incident", "action", "rule", "target_key", "namespace", "state", "admitted_at", "ended_at")
INCIDENT = (
    *("id", "target_key", "target", "severity", "state", "rule", "title", "opened_at", "healthy_since", "resolved_at"),
)


@statement(writes=True)
def take_candidates(db: Database, session: Session, limit: int, lease_s: float) -> list[Row]:
    """Lease candidates that are due, the most severe first; at most half of them were held, if new ones wait."""
    now = db.now()
    due = [
        one
        for one in db.candidates
        if one["state"] in ("new", "held")
        and one["not_before"] <= now
        and (one["lease_until"] is None or one["lease_until"] < now)
        and not db.is_locked(one["id"], session)
    ]
    due.sort(key=lambda one: (one["severity"], one["not_before"], one["id"]))
    held = [one for one in due if one["state"] == "held"]
    room = max(limit - min(limit, len(due) - len(held)), (limit + 1) // 2)
    taken = [one for one in due if one not in held[room:]][:limit]
    for one in taken:
        db.candidates.change(one, lease_until=now + timedelta(seconds=lease_s))
    return [{**{name: one[name] for name in CANDIDATE}, "labels": encode(one["labels"])} for one in taken]


@statement()
def read_admission(db: Database, session: Session, *given: Any) -> list[Row]:
    """All that a batch is decided on."""
    ids, tries, rules, fingerprints, keys, own, kinds, scope_keys, seconds, touched_s, onsets_s, platform = given
    now = db.now()
    assessed = list(zip(ids, tries, rules, fingerprints, strict=True))
    undecided = [found for one in assessed if (found := _undecided(db, session, *one)) is not None]
    acting = [one for one in db.actions if one["changes"] and one["mode"] == "enforce"]
    looking = [one for one in db.actions if not one["changes"]]
    open_now = Counter(one["namespace"] for one in acting if one["state"] in OPEN)
    scopes = list(zip(kinds, scope_keys, seconds, strict=True))
    pauses = [
        {name: one[name] for name in ("number", "scope", "key", "reason", "actor", "since", "until")}
        for one in db.in_force()
    ]
    onsets = sorted(
        (one["opened_at"] for one in db.incidents if one["opened_at"] > now - timedelta(seconds=onsets_s)), reverse=True
    )
    return [
        {
            "now": now,
            "undecided": encode(undecided) if undecided else None,
            "incidents": encode([_incident(db, one) for one in db.incidents if _wanted(one, keys, own)]),
            "past": encode([past for key in keys for past in _past(db, key, now)]),
            "windows": encode(
                [
                    _counted(looking if scope[0] == "look" else acting, place, scope, now)
                    for place, scope in enumerate(scopes, 1)
                ]
            ),
            "open": encode(open_now),
            "touched": encode(_touched(acting, now - timedelta(seconds=touched_s))),
            "onsets": encode(onsets[:1000]),
            "platform": encode(_platform(db, platform)),
            "pauses": encode(pauses),
            "last_admission": max((one["admitted_at"] for one in acting), default=None),
            "last_incident": db.numbers["incidents"],
            "last_action": db.numbers["actions"],
        }
    ]


def _undecided(db: Database, session: Session, number: int, tries: int, rule: str, fingerprint: str) -> Row | None:
    one = db.candidates.rows.get(number)
    if one is None:
        return None
    session.candidates.add(number)
    same = (one["tries"], one["rule"], one["fingerprint"]) == (tries, rule, fingerprint)
    if one["state"] == "decided" or not same:
        return None
    alert = db.alerts.rows.get((one["source"], one["fingerprint"]))
    firing = (alert is not None and alert["status"] == "firing") or db.firing(one["incident"]) > 0
    hush = db.hush_on(one["source"], one["fingerprint"], one["incident"]) if db.hushed.rows else None
    return {"id": number, "reasons": one["last_reasons"], "firing": firing, "hush": hush}


def _wanted(incident: Row, keys: list[str], own: list[int]) -> bool:
    return (incident["state"] != "resolved" and incident["target_key"] in keys) or incident["id"] in own


def _incident(db: Database, one: Row) -> Row:
    actions = [action for action in db.actions if action["incident"] == one["id"]]
    working = {action["rule"] for action in actions if action["state"] in ("awaiting_approval", *OPEN)}
    working |= {c["rule"] for c in db.candidates if c["incident"] == one["id"] and c["state"] != "decided"}
    rejected = {action["rule"] for action in actions if action["state"] == "rejected"}
    return {**{name: one[name] for name in INCIDENT}, "working": sorted(working), "rejected": sorted(rejected)}


def _past(db: Database, key: str, now: datetime) -> list[Row]:
    day, month = now - timedelta(hours=24), now - timedelta(days=31)
    mine = [one for one in db.actions if one["target_key"] == key and one["changes"]]
    asked = [one for one in mine if one["state"] == "awaiting_approval" and one["admitted_at"] > day]
    done = [one for one in mine if one["mode"] == "enforce" and one["admitted_at"] > month]
    latest = sorted((*done, *asked), key=lambda one: one["admitted_at"], reverse=True)
    old = [one for one in mine if one["mode"] == "enforce" and one["state"] in OPEN and one["admitted_at"] <= month]
    return [{name: one[name] for name in PAST} for one in (*latest[:50], *old)]


def _counted(acting: list[Row], place: int, scope: tuple[str, str, int], now: datetime) -> Row:
    kind, key, seconds = scope
    column = {"target": "target_key", "rule": "rule", "namespace": "namespace", "look": "action"}.get(kind)
    since = now - timedelta(seconds=seconds)
    times = [
        one["admitted_at"] for one in acting if one["admitted_at"] > since and (column is None or one[column] == key)
    ]
    return {"place": place, "actions": len(times), "oldest_at": min(times, default=None)}


def _touched(acting: list[Row], since: datetime) -> list[Row]:
    latest: dict[tuple[str, str], datetime] = {}
    for one in acting:
        if one["admitted_at"] > since:
            key = (one["target_key"], one["namespace"])
            latest[key] = max(one["admitted_at"], latest.get(key, one["admitted_at"]))
    return [{"target_key": key, "namespace": space, "admitted_at": at} for (key, space), at in latest.items()]


def _platform(db: Database, names: Any) -> list[Row]:
    counts: Counter[tuple[str, str]] = Counter(
        (one["labels"]["alertname"], one["labels"].get("namespace", ""))
        for one in db.alerts
        if one["status"] == "firing" and one["labels"].get("alertname") in names
    )
    return [{"alertname": name, "namespace": space, "count": count} for (name, space), count in counts.items()]


@statement()
def allocate(db: Database, session: Session, incidents: int, actions: int) -> list[Row]:
    """Numbers for new incidents and actions."""
    return [
        {
            "incidents": [db.next("incidents") for _ in range(incidents)],
            "actions": [db.next("actions") for _ in range(actions)],
        }
    ]


@statement(writes=True)
def record_decisions(db: Database, session: Session, *given: Any) -> list[Row]:
    """All that comes of a batch of decisions."""
    opened, tied, admitted, settled, calls, told, said, wakes, lasting = given
    session.lasting = session.lasting and lasting
    incidents = _open_incidents(db, decode(opened))
    for tie in decode(tied):
        if tie["incident"] not in db.incidents.rows:
            raise asyncpg.ForeignKeyViolationError("incident_alerts_incident_fkey")
        tie_alert(db, tie["incident"], tie["source"], tie["fingerprint"])
    actions = [_admit(db, one) for one in sorted(decode(admitted), key=lambda one: one["number"])]
    for one in decode(settled):
        _settle(db, one)
    called = _call(db, calls)
    put_messages(db, [one for one in decode(told) if not one["if_called"] or one["incident"] in called])
    db.say([one for one in decode(said) if not one["if_called"] or one["incident"] in called])
    if wakes:
        db.wakes.append("execute")
    return [{"called": called, "opened": incidents, "admitted": actions}]


def _open_incidents(db: Database, rows: list[Row]) -> list[int]:
    now = db.now()
    drawn = []
    for one in sorted(rows, key=lambda one: one["id"]):
        if any(known["target_key"] == one["target_key"] and known["state"] != "resolved" for known in db.incidents):
            raise asyncpg.UniqueViolationError("incidents_one_open")
        drawn.append(db.next("incidents"))
        row = {"id": drawn[-1], **{name: one[name] for name in ("target_key", "target", "severity", "rule", "title")}}
        state = "escalated" if one["called"] else "open"
        times = {"opened_at": now, "check_at": now + timedelta(seconds=15), "healthy_since": None, "resolved_at": None}
        db.incidents.insert(drawn[-1], {**row, "state": state, **times, "escalated_at": now if one["called"] else None})
    return drawn


def tie_alert(db: Database, incident: int, source: str, fingerprint: str) -> None:
    """Let an alert belong to an incident."""
    key = (incident, source, fingerprint)
    if key not in db.ties.rows:
        db.ties.insert(key, {"incident": incident, "source": source, "fingerprint": fingerprint})


def _admit(db: Database, one: Row) -> int:
    holds = one["changes"] and one["mode"] == "enforce" and one["state"] in OPEN
    for known in db.actions:
        busy = known["changes"] and known["mode"] == "enforce" and known["state"] in OPEN
        if known["id"] == one["id"] or (holds and busy and known["target_key"] == one["target_key"]):
            raise asyncpg.UniqueViolationError("actions_one_open")
    now = db.now()
    number = db.next("actions")
    row = {**{name: value for name, value in one.items() if name != "shelf_life_s"}, "number": number}
    defaults = {
        "admitted_at": now,
        "good_until": now + timedelta(seconds=one["shelf_life_s"]),
        "owner": "",
        "lease_until": None,
        "fence": 0,
        "attempts": 0,
        "before_image": None,
        "applied_at": None,
        "check_at": None,
        "quiet_since": None,
        "ended_at": None,
        "note": "",
    }
    db.actions.insert(number, {**defaults, **row})
    return number


def _settle(db: Database, one: Row) -> None:
    row = db.candidates.rows[one["id"]]
    db.candidates.change(
        row,
        state=one["state"],
        not_before=moment(one["not_before"]) or row["not_before"],
        incident=one["incident"] if one["incident"] is not None else row["incident"],
        facts=one["facts"],
        last_reasons=one["reasons"],
        tries=row["tries"] + 1,
        lease_until=None,
    )


def _call(db: Database, incidents: Any) -> list[int]:
    called = []
    for number in incidents:
        one = db.incidents.rows.get(number)
        if one is not None and one["state"] == "open":
            db.incidents.change(one, state="escalated", escalated_at=db.now())
            called.append(number)
    return called


def put_messages(db: Database, rows: list[Row]) -> None:
    """Put messages into the outbox."""
    for one in rows:
        number, now = db.next("outbox"), db.now()
        message = {"id": number, "created_at": now, "incident": one["incident"], "payload": one["payload"]}
        db.outbox.insert(number, {**message, "state": "waiting", "attempts": 0, "not_before": now, "last_error": ""})


@statement(writes=True)
def escalate_incidents(db: Database, session: Session, incidents: Any) -> list[Row]:
    """People are called for these; tells which of them were not escalated before."""
    return [{"id": number} for number in _call(db, incidents)]
