"""Few things at a time are done in the whole cluster: a wrong idea must not be everywhere at once."""

from __future__ import annotations

from datetime import timedelta

from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal

RETRY_S = 15
"""Seconds until it is asked again whether one of the others has ended."""


def check(case: Case) -> Refusal | None:
    """Refuse while as many changing actions are open in the cluster as the policy allows."""
    count, limit = case.history.open_in_cluster, case.policy.open_per_cluster
    if count < limit:
        return None
    return Refusal(
        reason=HoldReason.CLUSTER_BUSY,
        message=f"{count} of at most {limit} actions are open in the cluster",
        numbers={"open": count, "limit": limit},
        retry_at=case.now + timedelta(seconds=RETRY_S),
    )
