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
    message = (
        f"action {past.number} ({past.action} by rule {past.rule}, {past.state}) has worked on {case.plan.target} "
        f"for {span(age)}"
    )
    return Refusal(
        reason=HoldReason.TARGET_BUSY,
        message=_lost(case, past) if past.same_batch else message,
        numbers={"action": past.number, "rule": past.rule, "state": past.state.value, "age_s": age},
        retry_at=case.now + timedelta(seconds=RETRY_S),
    )


def _asked(case: Case, past: PastAction) -> Refusal:
    """Return the refusal that names the question which is still open."""
    age = (case.now - past.admitted_at).total_seconds()
    message = (
        f"action {past.number} ({past.action} by rule {past.rule}) on {case.plan.target} has waited {span(age)} for a "
        "person's yes"
    )
    return Refusal(
        reason=HoldReason.AWAITING_APPROVAL,
        message=_lost(case, past) if past.same_batch else message,
        numbers={"action": past.number, "rule": past.rule, "age_s": age},
    )


def _lost(case: Case, winner: PastAction) -> str:
    """Return that another rule was preferred, which, and what it does or asks for instead."""
    what = "asks people to" if winner.state is ActionState.AWAITING_APPROVAL else "will"
    return (
        f"rule {winner.rule} comes before rule {case.rule.name} for {case.plan.target}: it {what} {winner.action} it "
        f"(action {winner.number}), and one thing is done at a time"
    )
