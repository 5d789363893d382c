"""What several attempts did not cure is left to people: the next attempt would not know more than the last."""

from __future__ import annotations

from datetime import timedelta

from remediator.core.guardrails.cooldown import FAILED
from remediator.core.words import span
from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal


def check(case: Case) -> Refusal | None:
    """Refuse a target on which so many attempts of the window did not help; people are told."""
    limit = case.policy.quarantine
    since = case.now - timedelta(seconds=limit.window_s)
    failed = [past for past in case.history.target if past.state in FAILED and past.admitted_at > since]
    if len(failed) < limit.count:
        return None
    numbers = sorted(past.number for past in failed)
    return Refusal(
        reason=HoldReason.QUARANTINE,
        message=(
            f"{case.plan.target} is in quarantine: {len(failed)} attempts within {span(limit.window_s)} did not help "
            f"(actions {', '.join(map(str, numbers))}); people must find out why"
        ),
        numbers={"failed": len(failed), "limit": limit.count, "window_s": limit.window_s, "actions": numbers},
    )
