"""What the ledger keeps: one entry for every decision, every effect and every refusal."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct, field


class EntryKind(StrEnum):
    """A closed set: what can be read in the ledger."""

    SIGNAL_UNMATCHED = "signal.unmatched"
    SIGNAL_LATE = "signal.late"
    SIGNAL_QUARANTINED = "signal.quarantined"
    SIGNALS_TRUNCATED = "signals.truncated"
    ALERT_FIRING = "alert.firing"
    ALERT_REOPENED = "alert.reopened"
    ALERT_CHANGED = "alert.changed"
    ALERT_RESOLVED = "alert.resolved"
    ALERT_MISSED = "alert.missed"
    INCIDENT_OPENED = "incident.opened"
    INCIDENT_ESCALATED = "incident.escalated"
    INCIDENT_RESOLVED = "incident.resolved"
    DECISION_ACT = "decision.act"
    DECISION_OBSERVE = "decision.observe"
    DECISION_ASK = "decision.ask"
    DECISION_HOLD = "decision.hold"
    APPROVAL = "approval"
    UNDO_ASKED = "undo.asked"
    RETURN_DUE = "return.due"
    RETURN_ENDED = "return.ended"
    ACTION_DISPATCHED = "action.dispatched"
    ACTION_APPLIED = "action.applied"
    ACTION_OBSERVED = "action.observed"
    ACTION_IN_DOUBT = "action.in_doubt"
    ACTION_REFUSED = "action.refused"
    ACTION_EXPIRED = "action.expired"
    ACTION_VERIFIED = "action.verified"
    ACTION_UNDONE = "action.undone"
    EVIDENCE = "evidence"
    FORGOTTEN = "evidence.forgotten"
    NOTIFIED = "notified"
    NOTIFY_FAILED = "notify.failed"
    MONITORING_LOST = "monitoring.lost"
    MONITORING_FOUND = "monitoring.found"
    RULES_LOADED = "rules.loaded"
    RULES_REJECTED = "rules.rejected"
    CLOCKS = "clocks"
    FENCES = "fences"
    STARTED = "daemon.started"
    STOPPED = "daemon.stopped"
    STORM = "storm"
    UNDECIDABLE = "decision.failed"
    PAUSED = "changes.paused"
    RESUMED = "changes.resumed"


class NewEntry(Struct, frozen=True, kw_only=True):
    """An entry before it is written. ``summary``: one readable sentence; ``data``: the numbers, never secrets."""

    kind: EntryKind
    summary: str
    incident: int | None = None
    action: int | None = None
    rule: str = ""
    target_key: str = ""
    reasons: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)
    actor: str = "remediator"


class Entry(Struct, frozen=True, kw_only=True):
    """An entry as the ledger holds it."""

    seq: int
    at: datetime
    kind: EntryKind
    summary: str
    incident: int | None
    action: int | None
    rule: str
    target_key: str
    reasons: tuple[str, ...]
    data: dict[str, Any]
    actor: str
