"""A freeze that was planned: nights, holidays, the days around a release."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from remediator.core.freezes import ends_at
from remediator.core.words import span
from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal
from remediator.model.freeze import Freeze
from remediator.model.target import Target


def check(case: Case) -> Refusal | None:
    """Refuse to change anything in a freeze."""
    return freezing(case.freezes, case.plan.target, case.now)


def freezing(freezes: Iterable[Freeze], target: Target, now: datetime) -> Refusal | None:
    """Return the refusal of the freeze that ends last, of those that cover the target's namespace."""
    covering = (one for one in freezes if not one.namespaces or target.namespace in one.namespaces)
    found = [(until, freeze) for freeze in covering if (until := ends_at(freeze, now)) is not None]
    if not found:
        return None
    until, freeze = max(found, key=lambda pair: pair[0])
    left = (until - now).total_seconds()
    because = f": {freeze.reason}" if freeze.reason else ""
    return Refusal(
        reason=HoldReason.FROZEN,
        message=f"changes are frozen by '{freeze.name}' for another {span(left)}{because}",
        numbers={"freeze": freeze.name, "left_s": left},
        retry_at=until,
    )
