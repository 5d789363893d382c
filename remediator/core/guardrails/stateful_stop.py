"""What keeps data gets one attempt: after one that did not help, people go on, whichever rule asks next."""

from __future__ import annotations

from datetime import timedelta

from remediator.core.guardrails.cooldown import FAILED
from remediator.model.action import ActionState
from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal
from remediator.model.target import Kind

JUDGED = FAILED | {ActionState.RECOVERED}
DAY = timedelta(days=1)


def check(case: Case) -> Refusal | None:
    """Refuse a stateful target whose latest verdict of the last day is that it did not help."""
    if not (case.plan.target.kind is Kind.STATEFULSET or case.rule.target.stateful):
        return None
    lately = (past for past in case.history.target if past.admitted_at > case.now - DAY)
    failed = next((past for past in lately if past.state in JUDGED), None)
    if failed is None or failed.state not in FAILED:
        return None
    return Refusal(
        reason=HoldReason.STATEFUL_STOP,
        message=(
            f"{case.plan.target} keeps data, and action {failed.number} ({failed.action}, {failed.state}) did not help "
            "it within the last day; people must go on"
        ),
        numbers={"action": failed.number, "state": failed.state.value},
    )
