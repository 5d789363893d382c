"""Reading what a batch of decisions is made on: one statement, sent when the admission lock is held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec
from msgspec import Struct, structs

from remediator.adapters.ledger.pool import Connection
from remediator.adapters.ledger.queries import QUERIES
from remediator.adapters.ledger.rows import Row
from remediator.model.action import PastAction
from remediator.model.case import AdmissionBatch, Assessed, Outlook, PlatformAlert, Scope, Touched, Window
from remediator.model.incident import Candidate, Incident, IncidentState
from remediator.model.pause import Pause
from remediator.model.sighting import Hush

T = TypeVar("T")


class Docket(Struct, frozen=True, kw_only=True):
    """A batch for the core; ``last_incident`` and ``last_action`` are the numbers drawn last (0: none yet)."""

    batch: AdmissionBatch
    last_incident: int
    last_action: int


class _Undecided(Struct, frozen=True):
    id: int
    reasons: tuple[str, ...]
    firing: bool
    hush: Hush | None = None


class _Work(Struct, frozen=True):
    """What is under way in an incident, and what a person said no to."""

    id: int
    working: frozenset[str]
    rejected: frozenset[str]


class _Counted(Struct, frozen=True):
    place: int
    actions: int
    oldest_at: datetime | None


_undecided = msgspec.json.Decoder(tuple[_Undecided, ...])
_incidents = msgspec.json.Decoder(tuple[Incident, ...])
_work = msgspec.json.Decoder(tuple[_Work, ...])
_past = msgspec.json.Decoder(tuple[PastAction, ...])
_windows = msgspec.json.Decoder(tuple[_Counted, ...])
_touched = msgspec.json.Decoder(tuple[Touched, ...])
_onsets = msgspec.json.Decoder(tuple[datetime, ...])
_platform = msgspec.json.Decoder(tuple[PlatformAlert, ...])
_pauses = msgspec.json.Decoder(tuple[Pause, ...])
_open = msgspec.json.Decoder(dict[str, int])


def orphan_key(candidate: Candidate) -> str:
    """Return the incident key of an alert whose target cannot be found."""
    return f"alert/{candidate.source}/{candidate.fingerprint}"


async def read(
    connection: Connection, items: Sequence[Assessed], scopes: Sequence[Scope], outlook: Outlook
) -> Docket | None:
    """Read what the decisions about ``items`` need, windows of ``scopes`` included; None: nothing is left to decide."""
    candidates = [item.candidate for item in items]
    keys = {item.facts.workload.target.key if item.facts.workload else orphan_key(item.candidate) for item in items}
    (found,) = await connection.fetch(
        QUERIES["read_admission"],
        [candidate.id for candidate in candidates],
        [candidate.tries for candidate in candidates],
        [candidate.rule for candidate in candidates],
        [candidate.fingerprint for candidate in candidates],
        sorted(keys),
        [candidate.incident for candidate in candidates if candidate.incident is not None],
        [scope.kind for scope in scopes],
        [scope.key for scope in scopes],
        [scope.limit.window_s for scope in scopes],
        outlook.touched_s,
        outlook.onsets_s,
        outlook.platform,
    )
    undecided = {one.id: one for one in _list(_undecided, found["undecided"])}
    if not undecided:
        return None
    return Docket(
        batch=_batch(found, tuple(item for item in items if item.candidate.id in undecided), scopes, undecided),
        last_incident=found["last_incident"],
        last_action=found["last_action"],
    )


def _batch(
    found: Row, items: tuple[Assessed, ...], scopes: Sequence[Scope], undecided: Mapping[int, _Undecided]
) -> AdmissionBatch:
    incidents = {one.id: one for one in _list(_incidents, found["incidents"])}
    unresolved = {one.target_key: one for one in incidents.values() if one.state is not IncidentState.RESOLVED}
    work = _list(_work, found["incidents"])
    past: dict[str, tuple[PastAction, ...]] = {}
    for action in _list(_past, found["past"]):
        past[action.target_key] = (*past.get(action.target_key, ()), action)
    open_by_namespace = _open.decode(found["open"]) if found["open"] else {}
    return AdmissionBatch(
        now=found["now"],
        items=tuple(_with_incident(item, incidents, unresolved) for item in items),
        incidents=unresolved,
        past=past,
        windows={
            scopes[one.place - 1]: Window(count=one.actions, oldest_at=one.oldest_at)
            for one in _list(_windows, found["windows"])
        },
        open_by_namespace=open_by_namespace,
        open_in_cluster=sum(open_by_namespace.values()),
        last_in_cluster=found["last_admission"],
        firing={number: one.firing for number, one in undecided.items()},
        working={one.id: one.working for one in work},
        rejected={one.id: one.rejected for one in work},
        last_action=found["last_action"],
        waited={number: one.reasons for number, one in undecided.items() if one.reasons},
        hushed={number: one.hush for number, one in undecided.items() if one.hush is not None},
        touched=_list(_touched, found["touched"]),
        onsets=_list(_onsets, found["onsets"]),
        platform=_list(_platform, found["platform"]),
        pauses=_list(_pauses, found["pauses"]),
    )


def _list(decoder: msgspec.json.Decoder[tuple[T, ...]], text: str | None) -> tuple[T, ...]:
    return decoder.decode(text) if text else ()


def _with_incident(item: Assessed, incidents: dict[int, Incident], unresolved: dict[str, Incident]) -> Assessed:
    own = incidents.get(item.candidate.incident) if item.candidate.incident is not None else None
    # What is undone belongs to the incident in which it was done, however long that is over.
    if own is None or (own.state is IncidentState.RESOLVED and not item.candidate.cause.takes_back):
        # The core finds the incidents of targets; what has no target is known by its alert alone.
        own = unresolved.get(orphan_key(item.candidate)) if item.facts.workload is None else None
    return structs.replace(item, incident=own) if own is not None else item
