"""A remedy that helps again and again hides a cause: people have to look, and the remedy must not keep them from it."""

from __future__ import annotations

from datetime import timedelta

from remediator.core.words import span
from remediator.model.action import ActionState
from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal


def check(case: Case) -> Refusal | None:
    """Refuse the same action on a target that it has helped so often within the window; people are told."""
    limit = case.policy.masking
    since = case.now - timedelta(seconds=limit.window_s)
    helped = [
        past.number
        for past in case.history.target
        if past.state is ActionState.RECOVERED and past.action == case.plan.action and past.admitted_at > since
    ]
    if len(helped) < limit.count:
        return None
    return Refusal(
        reason=HoldReason.MASKING,
        message=(
            f"{case.plan.action} has helped {case.plan.target} {len(helped)} times within {span(limit.window_s)}, and "
            "it keeps coming back: the cause has to be found by people"
        ),
        numbers={"helped": len(helped), "limit": limit.count, "window_s": limit.window_s, "actions": sorted(helped)},
    )
