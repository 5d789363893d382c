"""Writing rulings: incidents, actions, candidates, entries and messages of one batch, by one statement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Any

import asyncpg
from msgspec import Struct, structs

from remediator.adapters.ledger import rows
from remediator.adapters.ledger.docket import Docket, orphan_key
from remediator.adapters.ledger.errors import LedgerReason, ledger_error
from remediator.adapters.ledger.pool import Connection
from remediator.adapters.ledger.queries import QUERIES
from remediator.model.action import ActionState, action_id
from remediator.model.decision import Act, Ask, Hold, Observe
from remediator.model.entry import EntryKind, NewEntry
from remediator.model.errors import LedgerError
from remediator.model.incident import Candidate
from remediator.model.plan import Plan
from remediator.model.rule import Mode
from remediator.ports.admission import Writ

SOONEST = timedelta(seconds=1)
LATEST = timedelta(minutes=15)
CROWD = 8
"""From so many actions on, other replicas are woken to share them; fewer are taken by who admitted them, at once."""
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


async def write(connection: Connection, writs: Sequence[Writ], docket: Docket) -> Written:
    """Write a batch. A hold that repeats its candidate's last reasons is only counted.

    The commit waits for the disk where people are told something: a number that they know must never be another's.
    Else it need not: who acts on a decision first commits that it is about to, and that lasts only with all before it.
    Raises LedgerError (retryable) where somebody else has drawn a number that was foreseen.
    """
    places = [_Place(writ=writ, key=_key(writ)) for writ in writs]
    fresh = _number(places, docket)
    calls = _calls(places)
    opened = {place.incident for place in fresh.values()}
    acting = [place for place in places if place.action is not None]
    messages = list(_messages(places, calls, opened))
    given = (
        rows.as_json([_incident(place, place.incident in calls) for place in fresh.values()]),
        rows.as_json([_tie(place) for place in places if place.incident is not None]),
        rows.as_json([_action(place) for place in acting]),
        rows.as_json([_settled(place, docket.batch.now) for place in places]),
        [incident for incident in calls if incident not in opened],
        rows.as_json(messages),
        rows.as_json([one for place in places for one in _entries(place, fresh, calls, docket)]),
        len(acting) >= CROWD,
        bool(messages),
    )
    try:
        (told,) = await connection.fetch(QUERIES["record_decisions"], *given)
    except asyncpg.ForeignKeyViolationError as error:
        if not fresh:
            raise
        raise _overtaken() from error
    drawn = list(told["opened"]), list(told["admitted"])
    if drawn != ([place.incident for place in fresh.values()], [place.action for place in acting]):
        raise _overtaken()
    return Written(writs=tuple(writs), escalated=len(told["called"]) + len(opened & calls.keys()))


def _overtaken() -> LedgerError:
    message = "a number for an incident or an action was drawn by somebody else at the same time"
    return ledger_error(LedgerReason.CONTENTION, message)


def _number(places: list[_Place], docket: Docket) -> dict[str, _Place]:
    """Give every place its incident and action numbers; return the places that open a new incident, by key.

    New numbers are those that the database will draw next: decisions are made one batch after the other.
    """
    fresh: dict[str, _Place] = {}
    incident, action = docket.last_incident, docket.last_action
    for place in places:
        known = place.writ.ruling.assessed.incident
        if known is not None:
            place.incident = known.id
        elif place.writ.incident:
            if place.key not in fresh:
                incident += 1
                place.incident = incident
            place.incident = fresh.setdefault(place.key, place).incident
        if not _holds(place):
            action += 1
            place.action = action
    return fresh


def _candidate(place: _Place) -> Candidate:
    return place.writ.ruling.assessed.candidate


def _key(writ: Writ) -> str:
    assessed = writ.ruling.assessed
    if assessed.facts.workload is not None:
        return assessed.facts.workload.target.key
    return orphan_key(assessed.candidate)


def _tie(place: _Place) -> dict[str, Any]:
    candidate = _candidate(place)
    return {"incident": place.incident, "source": candidate.source, "fingerprint": candidate.fingerprint}


def _incident(place: _Place, called: bool) -> dict[str, Any]:  # noqa: FBT001 - a column of the row
    ruling = place.writ.ruling
    workload = ruling.assessed.facts.workload
    return {
        "id": place.incident,
        "target_key": place.key,
        "target": workload.target if workload else None,
        "severity": ruling.rule.severity if ruling.rule else "P3",
        "rule": _candidate(place).rule,
        "title": place.writ.title,
        "called": called,
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


def _calls(places: Sequence[_Place]) -> dict[int, _Place]:
    """Return the first place that calls people for an incident, by its number; only an open one will be called for."""
    calls: dict[int, _Place] = {}
    for place in places:
        if place.writ.people and _holds(place) and place.incident is not None:
            calls.setdefault(place.incident, place)
    return calls


def _messages(
    places: Sequence[_Place], calls: Mapping[int, _Place], opened: AbstractSet[int | None]
) -> Iterator[dict[str, Any]]:
    """Yield what people are told: every question, and one call for each incident that is called for now."""
    for place in places:
        if place.writ.people and not _holds(place):
            yield {"incident": place.incident, "payload": payload(place), "if_called": False}
    for incident, place in calls.items():
        yield {"incident": incident, "payload": payload(place), "if_called": incident not in opened}


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
    place: _Place, fresh: Mapping[str, _Place], calls: Mapping[int, _Place], docket: Docket
) -> Iterator[dict[str, Any]]:
    """Yield the ledger's entries about one place."""
    writ, candidate = place.writ, _candidate(place)
    about = NewEntry(
        kind=EntryKind.INCIDENT_OPENED,
        summary="",
        rule=candidate.rule,
        target_key=place.key,
        incident=place.incident,
    )
    if fresh.get(place.key) is place:
        severity = writ.ruling.rule.severity.value if writ.ruling.rule else "P3"
        yield _said(structs.replace(about, summary=f"{severity} incident opened: {writ.title}"))
    if not _repeats(writ, docket.batch.waited.get(candidate.id)):
        yield _said(structs.replace(writ.entry, incident=place.incident, action=place.action, target_key=place.key))
    if place.incident is not None and calls.get(place.incident) is place:
        summary = f"people are called: {writ.people}"
        kind, known = EntryKind.INCIDENT_ESCALATED, place.key not in fresh
        yield _said(structs.replace(about, kind=kind, summary=summary, reasons=writ.entry.reasons), if_called=known)


def _said(entry: NewEntry, *, if_called: bool = False) -> dict[str, Any]:
    """Return an entry as a row; ``if_called``: written only if people are called for its incident now."""
    return {**structs.asdict(entry), "if_called": if_called}


def _repeats(writ: Writ, known: tuple[str, ...] | None) -> bool:
    """Tell whether this only says again why it must wait; the last word about a candidate is never a repeat."""
    decision = writ.ruling.decision
    waits = isinstance(decision, Hold) and decision.retry_at is not None
    return waits and bool(writ.entry.reasons) and known == writ.entry.reasons
