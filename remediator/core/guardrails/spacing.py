"""Changes are begun one after the other, so that the effect of one can be seen before the next."""

from __future__ import annotations

from datetime import timedelta

from remediator.core.words import span
from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal


def check(case: Case) -> Refusal | None:
    """Refuse within the policy's spacing after the latest admission in the cluster."""
    last = case.history.last_in_cluster
    if last is None:
        return None
    until = last + timedelta(seconds=case.policy.spacing_s)
    if case.now >= until:
        return None
    left = (until - case.now).total_seconds()
    return Refusal(
        reason=HoldReason.SPACING,
        message=(
            f"an action was begun {span((case.now - last).total_seconds())} ago; "
            f"changes keep {span(case.policy.spacing_s)} apart, the next may start in {span(left)}"
        ),
        numbers={"left_s": left, "spacing_s": case.policy.spacing_s},
        retry_at=until,
    )
