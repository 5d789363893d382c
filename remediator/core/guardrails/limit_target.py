"""Not this often on one target, whichever rules ask."""

from __future__ import annotations

from remediator.core.guardrails.windows import TARGET, full
from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal


def check(case: Case) -> Refusal | None:
    """Refuse when a window of the target is full."""
    return full(case, TARGET, HoldReason.LIMIT_TARGET)
