"""Is this a target that can be acted on at all? Asked when planning, when deciding, and again before the write."""

from __future__ import annotations

from datetime import datetime, timedelta

from remediator.model.decision import HoldReason, Refusal
from remediator.model.facts import Facts
from remediator.model.rule import Rule
from remediator.model.target import Target

RETRY_S = 15
"""Seconds until the cluster is asked again after it could not be read."""

_PROBLEMS = {
    HoldReason.TARGET_MISSING: "the alert's labels name no workload, and the rule does not name one either",
    HoldReason.TARGET_AMBIGUOUS: "the alert's labels lead to more than one workload",
    HoldReason.TARGET_NOT_FOUND: "the workload is not in the cluster",
    HoldReason.TARGET_NOT_ALLOWED: "the rule may not touch the workload that the labels lead to",
    HoldReason.CLUSTER_UNREACHABLE: "the cluster could not be read, so nothing is known about the workload",
}


def unusable(facts: Facts, now: datetime) -> Refusal:
    """Return the refusal of facts that say nothing about a workload: unknown is neither healthy nor sick."""
    reason = next((known for known in _PROBLEMS if known == facts.problem), HoldReason.CLUSTER_UNREACHABLE)
    message = _PROBLEMS[reason]
    if facts.detail:
        message = f"{message}: {facts.detail}"
    again = facts.retryable or reason is HoldReason.CLUSTER_UNREACHABLE
    return Refusal(
        reason=reason,
        message=message,
        numbers={"problem": facts.problem or "nothing was read"},
        retry_at=now + timedelta(seconds=RETRY_S) if again else None,
    )


def not_allowed(target: Target, rule: Rule) -> Refusal | None:
    """Refuse a target outside the rule's namespaces and kinds. The reader has looked already; this trusts nobody."""
    spec = rule.target
    if target.namespace not in spec.namespaces:
        outside = f"namespace {target.namespace} is not among {', '.join(spec.namespaces)}"
    elif target.kind not in spec.kinds:
        outside = f"{target.kind} is not among {', '.join(spec.kinds)}"
    elif spec.name and target.name != spec.name:
        outside = f"the rule is about {spec.name} only"
    else:
        return None
    return Refusal(
        reason=HoldReason.TARGET_NOT_ALLOWED,
        message=f"rule {rule.name} may not touch {target}: {outside}",
        numbers={"target": target.key},
    )
