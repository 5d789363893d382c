"""Nothing is decided on old news."""

from __future__ import annotations

from remediator.core.words import span
from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal


def check(case: Case) -> Refusal | None:
    """Refuse facts older than the rule's shelf life, and those that claim to be as far in the future."""
    age = (case.now - case.facts.read_at).total_seconds()
    shelf_life = case.rule.shelf_life_s
    if abs(age) <= shelf_life:
        return None
    if age > 0:
        message = f"the facts are {span(age)} old, older than {span(shelf_life)}; they are read again"
    else:
        message = f"the facts are dated {span(-age)} ahead of the database's clock; set the clocks right"
    return Refusal(
        reason=HoldReason.STALE_FACTS,
        message=message,
        numbers={"age_s": age, "shelf_life_s": shelf_life},
        retry_at=case.now,
    )
