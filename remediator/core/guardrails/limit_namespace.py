"""Not this often in one namespace."""

from __future__ import annotations

from remediator.core.guardrails.windows import NAMESPACE, full
from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal


def check(case: Case) -> Refusal | None:
    """Refuse when a window of the namespace is full."""
    return full(case, NAMESPACE, HoldReason.LIMIT_NAMESPACE)
