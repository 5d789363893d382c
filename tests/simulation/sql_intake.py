"""The statements of sql/inbox.sql, sql/match.sql and sql/ledger.sql, as they are there, over the tables in memory."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tests.simulation.registry import statement
from tests.simulation.tables import Database, Row, Session, decode, encode, moment

SIGNAL = (
    *("source", "fingerprint", "status", "starts_at", "ends_at", "labels", "annotations", "generator_url"),
    *("group_key", "receiver", "confirmed_at"),
)


@statement(writes=True)
def put_signals(db: Database, session: Session, given: str, count: int) -> list[Row]:
    """One row for each distinct fact, and its place in the inbox."""
    fresh: list[Row] = []
    for one in decode(given):
        signal = {name: one.get(name) for name in SIGNAL}
        for name in ("starts_at", "ends_at", "confirmed_at"):
            signal[name] = moment(signal[name])
        put, is_fresh = _put(db, signal)
        if put is None:
            continue
        if is_fresh:
            fresh.append(put)
        if (is_fresh or _speaks_against(db, put)) and put["id"] not in db.inbox.rows:
            db.inbox.insert(put["id"], {"signal": put["id"]})
    some = 1 <= len(fresh) <= count - 1
    columns = {"sources": "source", "fingerprints": "fingerprint", "statuses": "status", "starts": "starts_at"}
    told = {name: [one[column] for one in fresh] if some else None for name, column in columns.items()}
    return [{"fresh": len(fresh), "some": some, **told}]


def _put(db: Database, signal: Row) -> tuple[Row | None, bool]:
    now = db.now()
    key = (signal["source"], signal["fingerprint"], signal["starts_at"], signal["status"])
    number = db.next("signals")  # drawn before it is known whether the row is there
    known = db.signals.rows.get(db.facts.get(key, 0))
    if known is None:
        row = db.signals.insert(number, {"id": number, **signal, "received_at": now, "last_seen_at": now})
        db.facts[key] = number
        db.journal.append(lambda: db.facts.pop(key, None))
        return row, True
    later = signal["ends_at"] and known["ends_at"] and signal["ends_at"] > known["ends_at"]
    if known["last_seen_at"] < now - timedelta(minutes=1) or later or signal["confirmed_at"] is not None:
        db.signals.change(
            known,
            last_seen_at=now,
            ends_at=_greatest(known["ends_at"], signal["ends_at"]),
            confirmed_at=_greatest(known["confirmed_at"], signal["confirmed_at"]),
        )
        return known, False
    return None, False


def _greatest(*times: datetime | None) -> datetime | None:
    return max((one for one in times if one is not None), default=None)


def _speaks_against(db: Database, put: Row) -> bool:
    alert = db.alerts.rows.get((put["source"], put["fingerprint"]))
    if alert is None or alert["status"] == put["status"]:
        return False
    return put["status"] == "firing" or (put["ends_at"] is not None and put["ends_at"] >= alert["starts_at"])


@statement(writes=True)
def put_quarantine(db: Database, session: Session, *columns: list[str]) -> list[Row]:
    """Alerts that could not be used."""
    for one in zip(*columns, strict=True):
        number = db.next("quarantine")
        db.quarantine.insert(number, dict(zip(("source", "path", "reason", "raw"), one, strict=True)))
    return []


@statement()
def wake(db: Database, session: Session, stage: str) -> list[Row]:
    """Tell the other replicas at the commit."""
    db.wakes.append(stage)
    return []


@statement()
def take_signals(db: Database, session: Session, limit: int, few: int) -> list[Row]:
    """The oldest signals that nobody has judged, each beside the present state of its alert; a few, under the lock."""
    found: list[Row] = []
    numbers = sorted(db.inbox.rows)[:limit]
    alone = db.take_lock("lock_admission", session) if 0 < len(numbers) <= few else None
    for number in numbers:
        signal = db.signals.rows[number]
        alert = db.alerts.rows.get((signal["source"], signal["fingerprint"]))
        beside = {
            "state": alert["status"] if alert else None,
            **{f"state_{name}": alert[name] if alert else None for name in ("starts_at", "ends_at", "changed_at")},
            "state_labels": encode(alert["labels"]) if alert else None,
        }
        texts = {"labels": encode(signal["labels"]), "annotations": encode(signal["annotations"])}
        found.append({**signal, **texts, **beside, "alone": alone})
    return found


@statement(writes=True)
def record_matched(db: Database, session: Session, *given: Any) -> list[Row]:
    """All that comes of a batch of signals. A signal under a rule waits at most once."""
    states, wanted, entries, judged, lease_s = given
    for one in decode(states):
        _put_state(db, one)
    lease = db.now() + timedelta(seconds=lease_s) if lease_s else None
    rows = [{"cause": "signal", "rung": 0, **one, "lease_until": lease} for one in decode(wanted)]
    fresh = [made for one in rows if (made := put_candidate(db, **one)) is not None]
    db.say(decode(entries))
    for number in judged:
        db.inbox.delete(number)
    if fresh and not lease_s:
        db.wakes.append("assess")
    names = ("id", "rule", "source", "fingerprint", "first_seen_at")
    leased = [{name: one[name] for name in names} for one in fresh] if lease_s else []
    return [{"leased": encode(leased) if leased else None}]


def _put_state(db: Database, state: Row) -> None:
    for name in ("starts_at", "ends_at", "changed_at"):
        state[name] = moment(state.get(name))
    key = (state["source"], state["fingerprint"])
    known = db.alerts.rows.get(key)
    if known is None:
        db.alerts.insert(key, state)
    else:
        db.alerts.change(known, **state)


def waiting(db: Database, source: str, fingerprint: str, rule: str) -> Row | None:
    """Return the candidate that waits for this signal under this rule, if one does."""
    wanted = (source, fingerprint, rule)
    waits = (one for one in db.candidates if one["state"] != "decided")
    return next((one for one in waits if (one["source"], one["fingerprint"], one["rule"]) == wanted), None)


def put_candidate(db: Database, **columns: Any) -> Row | None:
    """Insert a candidate with the table's defaults; None where one waits already, and then a number is lost."""
    number, now = db.next("candidates"), db.now()
    if waiting(db, columns["source"], columns["fingerprint"], columns["rule"]) is not None:
        return None
    row = {
        "id": number,
        "incident": None,
        "approved_by": "",
        "approved_plan": "",
        "priority": 0,
        "facts": None,
        "first_seen_at": now,
        "state": "new",
        "not_before": now,
        "lease_until": None,
        "tries": 0,
        "last_reasons": [],
        **columns,
    }
    return db.candidates.insert(number, row)


@statement(writes=True)
def hasten_incidents(db: Database, session: Session, sources: list[str], fingerprints: list[str]) -> list[Row]:
    """The alerts of these incidents have ended: look at them now."""
    wanted = db.incidents_of(set(zip(sources, fingerprints, strict=True)))
    for one in db.incidents:
        if one["id"] in wanted and one["state"] != "resolved":
            db.incidents.change(one, check_at=db.now())
    return []


@statement(writes=True)
def hasten_verification(db: Database, session: Session, sources: list[str], fingerprints: list[str]) -> list[Row]:
    """The alerts of these incidents have ended: look at their open actions now."""
    wanted = db.incidents_of(set(zip(sources, fingerprints, strict=True)))
    for one in db.actions:
        if one["incident"] in wanted and one["state"] == "verifying":
            db.actions.change(one, check_at=db.now())
    return []


@statement()
def firing_alerts(db: Database, session: Session, source: str, fingerprint: str, limit: int) -> list[Row]:
    """Alerts that fire, in the order of their keys, after the given one."""
    keys = sorted(
        key for key, one in db.alerts.rows.items() if one["status"] == "firing" and key > (source, fingerprint)
    )
    return [{**db.alerts.rows[key], "labels": encode(db.alerts.rows[key]["labels"])} for key in keys[:limit]]


@statement()
def rules_held(db: Database, session: Session) -> list[Row]:
    """What each rule said that all that fires has been held against."""
    return list(db.rules_held.rows.values())


@statement(writes=True)
def hold_rules(db: Database, session: Session, names: list[str], digests: list[str]) -> list[Row]:
    """These rules, and no others."""
    for name in set(db.rules_held.rows) - set(names):
        db.rules_held.delete(name)
    for name, digest in zip(names, digests, strict=True):
        known = db.rules_held.rows.get(name)
        if known is None:
            db.rules_held.insert(name, {"rule": name, "digest": digest})
        elif known["digest"] != digest:
            db.rules_held.change(known, digest=digest)
    return []


@statement(writes=True)
def append_entries(db: Database, session: Session, entries: str) -> list[Row]:
    """The only statement that writes to the ledger alone."""
    db.say(decode(entries))
    return []


@statement()
def said_lately(db: Database, session: Session, kind: str, seconds: float) -> list[Row]:
    """Whether the ledger has an entry of a kind that is younger."""
    since = db.now() - timedelta(seconds=seconds)
    return [{"said": any(one["kind"] == kind and one["at"] > since for one in db.ledger)}]


@statement()
def read_incident(db: Database, session: Session, number: int) -> list[Row]:
    """One incident."""
    found = db.incidents.rows.get(number)
    return [{**found, "target": encode(found["target"]) if found["target"] else None}] if found else []
