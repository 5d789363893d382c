"""All that fires for one target, from the first signal until it is healthy."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from remediator.model.rule import Severity
from remediator.model.target import Target


class IncidentState(StrEnum):
    """Open (the machine works on it), escalated (people do) or resolved."""

    OPEN = "open"
    ESCALATED = "escalated"
    RESOLVED = "resolved"


class Incident(Struct, frozen=True, kw_only=True):
    """One incident. ``target`` is None where no target could be found; then ``target_key`` names the fingerprint."""

    id: int
    target_key: str
    target: Target | None
    severity: Severity
    state: IncidentState
    rule: str
    title: str
    opened_at: datetime
    healthy_since: datetime | None = None
    resolved_at: datetime | None = None


class Cause(StrEnum):
    """Why a candidate exists."""

    SIGNAL = "signal"
    NEXT_RUNG = "next_rung"
    APPROVED = "approved"
    UNDO = "undo"
    RETURN = "return"

    @property
    def takes_back(self) -> bool:
        """Tell whether it is a wish to take something back, and not an alert."""
        return self in (Cause.UNDO, Cause.RETURN)


class Candidate(Struct, frozen=True, kw_only=True):
    """One signal under one rule, on its way to a decision.

    ``first_seen_at`` is when it entered; ``tries`` counts the decisions already made about it (each a Hold with a
    retry) and is the row's version. ``incident`` is known from the second rung on. ``approved_plan`` is the summary of
    the plan that ``approved_by`` said yes to. Of an UNDO ``approved_by`` has asked for it, and ``fingerprint`` is the
    number of the action; of a RETURN that of the action that lent something.
    """

    id: int
    cause: Cause
    rule: str
    rung: int
    source: str
    fingerprint: str
    labels: dict[str, str]
    first_seen_at: datetime
    tries: int = 0
    incident: int | None = None
    approved_by: str = ""
    approved_plan: str = ""
