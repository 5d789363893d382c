"""Some targets are never touched: the cluster's own namespaces, and what the operator lists."""

from __future__ import annotations

from fnmatch import fnmatchcase

from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal
from remediator.model.policy import Policy
from remediator.model.target import Target


def check(case: Case) -> Refusal | None:
    """Refuse to change a protected target."""
    return shield(case.plan.target, case.policy)


def shield(target: Target, policy: Policy) -> Refusal | None:
    """Return the refusal if one of the policy's patterns covers the target."""
    for pattern in policy.protected_namespaces:
        if fnmatchcase(target.namespace, pattern.lower()):
            return _refusal(target, f"namespace {pattern}")
    for pattern in policy.protected:
        if fnmatchcase(target.key, pattern.lower()):
            return _refusal(target, pattern)
    return None


def _refusal(target: Target, entry: str) -> Refusal:
    """Return the refusal, naming the entry of the policy that made it."""
    return Refusal(
        reason=HoldReason.PROTECTED,
        message=f"{target} is protected by the policy's entry '{entry}'; people must repair it",
        numbers={"entry": entry},
    )
