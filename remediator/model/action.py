"""An admitted action and its durable states."""

from __future__ import annotations

import hashlib
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct

from remediator.model.plan import Plan
from remediator.model.rule import Mode
from remediator.model.target import Target


class ActionState(StrEnum):
    """The states of the machine; docs/architecture.md draws the arrows."""

    AWAITING_APPROVAL = "awaiting_approval"
    ADMITTED = "admitted"
    CLAIMED = "claimed"
    DISPATCHED = "dispatched"
    IN_DOUBT = "in_doubt"
    VERIFYING = "verifying"
    RECOVERED = "recovered"
    DONE = "done"
    UNCHANGED = "unchanged"
    WORSE = "worse"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    EXPIRED = "expired"
    OBSERVED = "observed"
    REJECTED = "rejected"

    @property
    def open(self) -> bool:
        """Tell whether the action still holds its target."""
        return self in OPEN_STATES


OPEN_STATES = frozenset(
    {
        ActionState.ADMITTED,
        ActionState.CLAIMED,
        ActionState.DISPATCHED,
        ActionState.IN_DOUBT,
        ActionState.VERIFYING,
    }
)


class Verdict(StrEnum):
    """Did it help? Unknown is a third value: it is neither healthy nor sick."""

    RECOVERED = "recovered"
    UNCHANGED = "unchanged"
    WORSE = "worse"
    UNKNOWN = "unknown"
    WAIT = "wait"


class Action(Struct, frozen=True, kw_only=True):
    """One row of the state machine.

    ``id`` is the SHA-256 of what makes it this action (incident, rule, rung, try, target uid): the same decision made
    twice has the same id. ``number`` is its short name for people. ``fence`` rises with every claim in the whole
    database. Times are the database's.
    """

    id: str
    number: int
    incident: int
    rule: str
    rung: int
    mode: Mode
    target: Target
    plan: Plan
    state: ActionState
    admitted_at: datetime
    good_until: datetime
    attempts: int = 0
    fence: int = 0
    pre_resource_version: str = ""
    applied_at: datetime | None = None
    note: str = ""


class BeforeImage(Struct, frozen=True, kw_only=True):
    """The object as it was when the write was sent; kept for the undo and for the proof."""

    resource_version: str
    uid: str
    generation: int
    object: dict[str, Any]


class PastAction(Struct, frozen=True, kw_only=True):
    """What a guard needs to know about an earlier action. ``incident`` lets a ladder climb through its own cooldown.

    ``same_batch``: it was decided a moment before, in the very batch that is being decided.
    """

    number: int
    action: str
    rule: str
    target_key: str
    namespace: str
    state: ActionState
    admitted_at: datetime
    ended_at: datetime | None = None
    incident: int | None = None
    same_batch: bool = False


def action_id(*, incident: int, candidate: int, rule: str, rung: int, uid: str) -> str:
    """Return the id of the action that this decision makes: 40 hex digits, the same however often it is computed."""
    text = "\n".join((str(incident), str(candidate), rule, str(rung), uid))
    return hashlib.sha256(text.encode()).hexdigest()[:40]
