"""What could not be read is not acted on."""

from __future__ import annotations

from remediator.core.targets import unusable
from remediator.model.case import Case
from remediator.model.decision import Refusal


def check(case: Case) -> Refusal | None:
    """Refuse facts without a workload in them; ask again soon where the cluster was out of reach."""
    if case.facts.workload is not None and not case.facts.problem:
        return None
    return unusable(case.facts, case.now)
