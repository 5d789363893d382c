"""Writing rulings: incidents, actions, candidates, entries and messages of one batch, with numbers taken in advance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct, structs

from remediator.adapters.ledger import rows
from remediator.adapters.ledger.pool import Connection
from remediator.adapters.ledger.queries import QUERIES
from remediator.model.action import ActionState, action_id
from remediator.model.decision import Act, Ask, Hold, Observe
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.incident import Candidate
from remediator.model.plan import Plan
from remediator.model.rule import Mode
from remediator.ports.admission import Writ

SOONEST = timedelta(seconds=1)
LATEST = timedelta(minutes=15)
STATES = {Act: ActionState.ADMITTED, Observe: ActionState.ADMITTED, Ask: ActionState.AWAITING_APPROVAL}
MODES = {Act: Mode.ENFORCE, Observe: Mode.OBSERVE, Ask: Mode.ASK}


class Written(Struct, frozen=True, kw_only=True):
    """What was written: the writs, and how many incidents went to people."""

    writs: tuple[Writ, ...]
    escalated: int


class _Place(Struct, kw_only=True):
    """A writ with its numbers."""

    writ: Writ
    key: str
    incident: int | None = None
    action: int | None = None


async def write(
    connection: Connection, writs: Sequence[Writ], now: datetime, known_reasons: Mapping[int, tuple[str, ...]]
) -> Written:
    """Write a batch. A hold that repeats its candidate's last reasons is counted there, not written again."""
    places = [_Place(writ=writ, key=_key(writ)) for writ in writs]
    fresh = await _number(connection, places)
    if fresh:
        await connection.execute(QUERIES["put_incidents"], rows.as_json([_incident(place) for place in fresh.values()]))
    ties = [place for place in places if place.incident is not None]
    if ties:
        await connection.execute(
            QUERIES["tie_alerts"],
            [place.incident for place in ties],
            [_candidate(place).source for place in ties],
            [_candidate(place).fingerprint for place in ties],
        )
    acting = [place for place in places if place.action is not None]
    if acting:
        await connection.execute(QUERIES["put_actions"], rows.as_json([_action(place) for place in acting]))
    await connection.execute(QUERIES["settle_candidates"], rows.as_json([_settled(place, now) for place in places]))
    escalated = await _tell_people(connection, places)
    entries = list(_entries(places, fresh, escalated, known_reasons))
    if entries:
        await connection.execute(QUERIES["append_entries"], rows.entries_json(entries))
    return Written(writs=tuple(writs), escalated=len(escalated))


async def _number(connection: Connection, places: list[_Place]) -> dict[str, _Place]:
    """Give every place its incident and action numbers; return the places that open a new incident, by key."""
    fresh: dict[str, _Place] = {}
    for place in places:
        known = place.writ.ruling.assessed.incident
        place.incident = known.id if known is not None else None
        if place.writ.incident and known is None:
            fresh.setdefault(place.key, place)
    acting = [place for place in places if not _holds(place)]
    if not fresh and not acting:
        return fresh
    (numbers,) = await connection.fetch(QUERIES["allocate"], len(fresh), len(acting))
    incidents = dict(zip(fresh, numbers["incidents"], strict=True))
    for place in places:
        if place.writ.incident and place.incident is None:
            place.incident = incidents[place.key]
    for place, number in zip(acting, numbers["actions"], strict=True):
        place.action = number
    return fresh


def _candidate(place: _Place) -> Candidate:
    return place.writ.ruling.assessed.candidate


def orphan_key(candidate: Candidate) -> str:
    """Return the incident key of an alert whose target cannot be found."""
    return f"alert/{candidate.source}/{candidate.fingerprint}"


def _key(writ: Writ) -> str:
    assessed = writ.ruling.assessed
    if assessed.facts.workload is not None:
        return assessed.facts.workload.target.key
    return orphan_key(assessed.candidate)


def _incident(place: _Place) -> dict[str, Any]:
    ruling = place.writ.ruling
    workload = ruling.assessed.facts.workload
    return {
        "id": place.incident,
        "target_key": place.key,
        "target": workload.target if workload else None,
        "severity": ruling.rule.severity if ruling.rule else "P3",
        "rule": _candidate(place).rule,
        "title": place.writ.title,
    }


def _plan(place: _Place) -> Plan:
    decision = place.writ.ruling.decision
    if isinstance(decision, Hold):
        raise TypeError("a hold has no plan")
    return decision.plan


def _action(place: _Place) -> dict[str, Any]:
    ruling, plan, candidate = place.writ.ruling, _plan(place), _candidate(place)
    kind = type(ruling.decision)
    return {
        "number": place.action,
        "id": action_id(
            incident=place.incident or 0,
            candidate=candidate.id,
            rule=candidate.rule,
            rung=candidate.rung,
            uid=f"{plan.target.uid}/{candidate.tries}",
        ),
        "incident": place.incident,
        "candidate": candidate.id,
        "rule": candidate.rule,
        "rung": candidate.rung,
        "action": plan.action,
        "mode": MODES[kind],
        "target_key": plan.target.key,
        "namespace": plan.target.namespace,
        "target": plan.target,
        "plan": plan,
        "changes": plan.changes,
        "state": STATES[kind],
        "shelf_life_s": ruling.rule.shelf_life_s if ruling.rule else 0,
    }


def _settled(place: _Place, now: datetime) -> dict[str, Any]:
    decision = place.writ.ruling.decision
    retry_at = decision.retry_at if isinstance(decision, Hold) else None
    again = min(max(retry_at, now + SOONEST), now + LATEST) if retry_at is not None else None
    return {
        "id": _candidate(place).id,
        "state": "held" if again else "decided",
        "not_before": again,
        "incident": place.incident,
        "facts": place.writ.ruling.assessed.facts,
        "reasons": list(place.writ.entry.reasons),
    }


async def _tell_people(connection: Connection, places: list[_Place]) -> set[int]:
    """Put messages into the outbox: every question, one call for each incident; return the incidents called for now."""
    questions = [place for place in places if place.writ.people and not _holds(place)]
    calls: dict[int, _Place] = {}
    for place in places:
        if place.writ.people and _holds(place) and place.incident is not None:
            calls.setdefault(place.incident, place)
    escalated: set[int] = set()
    if calls:
        escalated = {row["id"] for row in await connection.fetch(QUERIES["escalate_incidents"], list(calls))}
    telling = questions + [place for number, place in calls.items() if number in escalated]
    if telling:
        messages = [{"incident": place.incident, "payload": payload(place)} for place in telling]
        await connection.execute(QUERIES["put_outbox"], rows.as_json(messages))
    return escalated


def _holds(place: _Place) -> bool:
    return isinstance(place.writ.ruling.decision, Hold)


def payload(place: _Place) -> dict[str, Any]:
    """Return the message about one ruling."""
    rule, incident = place.writ.ruling.rule, place.writ.ruling.assessed.incident
    return {
        "incident": place.incident,
        "title": incident.title if incident else place.writ.title,
        "severity": rule.severity.value if rule else "P3",
        "target": place.key,
        "rule": _candidate(place).rule,
        "action": place.action,
        "message": place.writ.people,
        "urgent": _holds(place),
    }


def _entries(
    places: list[_Place], fresh: Mapping[str, _Place], escalated: set[int], known: Mapping[int, tuple[str, ...]]
) -> Iterator[NewEntry]:
    opened = {id(place) for place in fresh.values()}
    told: set[int] = set()
    for place in places:
        writ, candidate = place.writ, _candidate(place)
        about = NewEntry(
            kind=EntryKind.INCIDENT_OPENED,
            summary="",
            rule=candidate.rule,
            target_key=place.key,
            incident=place.incident,
        )
        if id(place) in opened:
            severity = writ.ruling.rule.severity.value if writ.ruling.rule else "P3"
            summary = f"{severity} incident opened: {writ.title}"
            yield structs.replace(about, summary=summary)
        if not _repeats(writ, known.get(candidate.id)):
            yield structs.replace(writ.entry, incident=place.incident, action=place.action, target_key=place.key)
        if place.incident in escalated and place.incident not in told and writ.people and _holds(place):
            told.add(place.incident)
            summary = f"people are called: {writ.people}"
            yield structs.replace(about, kind=EntryKind.INCIDENT_ESCALATED, summary=summary, reasons=writ.entry.reasons)


def _repeats(writ: Writ, known: tuple[str, ...] | None) -> bool:
    """Tell whether this only says again why it must wait; the last word about a candidate is never a repeat."""
    decision = writ.ruling.decision
    waits = isinstance(decision, Hold) and decision.retry_at is not None
    return waits and bool(writ.entry.reasons) and known == writ.entry.reasons
