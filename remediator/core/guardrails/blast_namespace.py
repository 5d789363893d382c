"""Not more than a share of the workloads of one namespace is touched in one stretch of time."""

from __future__ import annotations

from remediator.core.guardrails.shares import Share, crowded
from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal


def check(case: Case) -> Refusal | None:
    """Refuse a further target where a large share of its namespace was touched."""
    namespace = case.plan.target.namespace
    near = [one for one in case.history.touched if one.namespace == namespace]
    share = Share(case.facts.population.namespace, case.policy.blast_namespace_percent)
    return crowded(case, HoldReason.BLAST_NAMESPACE, f"namespace {namespace}", near, share)
