"""Not this often by one rule: a rule that keeps acting does not cure."""

from __future__ import annotations

from remediator.core.guardrails.windows import RULE, full
from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal


def check(case: Case) -> Refusal | None:
    """Refuse when a window of the rule is full."""
    return full(case, RULE, HoldReason.LIMIT_RULE)
