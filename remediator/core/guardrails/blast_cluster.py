"""Not more than a share of all workloads that remediator may act on is touched in one stretch of time."""

from __future__ import annotations

from remediator.core.guardrails.shares import Share, crowded
from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal


def check(case: Case) -> Refusal | None:
    """Refuse a further target where a large share of the cluster was touched."""
    share = Share(case.facts.population.cluster, case.policy.blast_cluster_percent)
    return crowded(case, HoldReason.BLAST_CLUSTER, "the cluster", case.history.touched, share)
