"""What makes pods end is not done to a workload that has too few healthy ones.

A workload with no ready pod at all is refused too: then something is wrong that new pods of the same kind seldom cure,
and the evidence in the old ones would be lost. A rule that knows better says ``min_healthy_percent: 0``, as the one for
Service Unavailable does, because its runbook says to restart what is down.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal
from remediator.model.facts import WorkloadFacts
from remediator.model.policy import Policy
from remediator.model.rule import Rule

RETRY_S = 60
"""Seconds until it is looked again whether pods came back by themselves."""


def check(case: Case) -> Refusal | None:
    """Refuse a disruptive plan on a workload below the healthy share."""
    if not case.plan.disruptive or case.facts.workload is None:
        return None
    return shortage(case.facts.workload, case.rule, case.policy, case.now)


def shortage(workload: WorkloadFacts, rule: Rule, policy: Policy, now: datetime) -> Refusal | None:
    """Return the refusal if less than the rule's, or else the policy's, percentage of the wanted pods is ready."""
    percent = policy.min_healthy_percent if rule.min_healthy_percent is None else rule.min_healthy_percent
    ready, wanted = workload.ready, workload.replicas
    if ready * 100 >= percent * wanted:
        return None
    share = ready * 100 // wanted
    return Refusal(
        reason=HoldReason.MIN_HEALTHY,
        message=(
            f"{ready} of {wanted} pods of {workload.target} are ready ({share} %), "
            f"at least {percent} % must be before pods are ended"
        ),
        numbers={"ready": ready, "replicas": wanted, "percent": share, "min_percent": percent},
        retry_at=now + timedelta(seconds=RETRY_S),
    )
