"""Not this often in the whole cluster: the rule's own limit, the policy's burst and its hourly limit."""

from __future__ import annotations

from remediator.core.guardrails.windows import CLUSTER, full
from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal


def check(case: Case) -> Refusal | None:
    """Refuse when a window of the cluster is full."""
    return full(case, CLUSTER, HoldReason.LIMIT_CLUSTER)
