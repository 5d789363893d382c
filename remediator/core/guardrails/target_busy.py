"""One thing at a time is done to one target."""

from __future__ import annotations

from datetime import timedelta

from remediator.core.words import span
from remediator.model.action import ActionState, PastAction
from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal

RETRY_S = 15
"""Seconds until it is asked again whether the other action has ended."""


def check(case: Case) -> Refusal | None:
    """Refuse while another action on the target is open, or waits for a person's answer."""
    for past in case.history.target:
        if past.state.open:
            return _busy(case, past)
    if case.candidate.approved_by:
        return None
    waiting = next((p for p in case.history.target if p.state is ActionState.AWAITING_APPROVAL), None)
    return _asked(case, waiting) if waiting is not None else None


def _busy(case: Case, past: PastAction) -> Refusal:
    """Return the refusal that names the open action."""
    age = (case.now - past.admitted_at).total_seconds()
    return Refusal(
        reason=HoldReason.TARGET_BUSY,
        message=f"action {past.number} ({past.action}, {past.state}) has worked on {case.plan.target} for {span(age)}",
        numbers={"action": past.number, "state": past.state.value, "age_s": age},
        retry_at=case.now + timedelta(seconds=RETRY_S),
    )


def _asked(case: Case, past: PastAction) -> Refusal:
    """Return the refusal that names the question which is still open."""
    age = (case.now - past.admitted_at).total_seconds()
    return Refusal(
        reason=HoldReason.AWAITING_APPROVAL,
        message=f"action {past.number} ({past.action}) on {case.plan.target} has waited {span(age)} for a person's yes",
        numbers={"action": past.number, "age_s": age},
    )
