"""No alert, no action."""

from __future__ import annotations

from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal


def check(case: Case) -> Refusal | None:
    """Refuse when the alert has stopped firing since the candidate was made."""
    if case.history.alert_firing:
        return None
    return Refusal(reason=HoldReason.NOT_FIRING, message="the alert no longer fires; nothing is left to repair")
