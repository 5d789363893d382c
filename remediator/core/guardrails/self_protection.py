"""Remediator does not operate on itself, nor on the database that holds what it is doing."""

from __future__ import annotations

from fnmatch import fnmatchcase

from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal
from remediator.model.policy import Policy
from remediator.model.target import Target


def check(case: Case) -> Refusal | None:
    """Refuse to change what remediator runs on."""
    return own(case.plan.target, case.policy)


def own(target: Target, policy: Policy) -> Refusal | None:
    """Return the refusal if the target is one of our own."""
    entry = next((pattern for pattern in policy.own if fnmatchcase(target.key, pattern.lower())), None)
    if entry is None:
        return None
    return Refusal(
        reason=HoldReason.SELF_PROTECTION,
        message=f"{target} is what remediator itself runs on ('{entry}'); people must repair it",
        numbers={"entry": entry},
    )
