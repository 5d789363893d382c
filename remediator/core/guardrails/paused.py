"""The kill switch: while somebody has paused everything, or this part of it, nothing is changed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from remediator.core.words import span
from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal
from remediator.model.pause import Pause
from remediator.model.target import Target

RETRY_S = 60
"""Seconds until it is asked again whether a pause without an end was lifted."""


def check(case: Case) -> Refusal | None:
    """Refuse to change what is paused."""
    return stopped(case.history.pauses, case.plan.target, case.rule.name, case.now)


def stopped(pauses: Iterable[Pause], target: Target, rule: str, now: datetime) -> Refusal | None:
    """Return the refusal of the pause that lasts longest, of those that stop the rule on the target."""
    found = [pause for pause in pauses if pause.stops(target, rule, now)]
    if not found:
        return None
    pause = max(found, key=lambda one: (one.until is None, one.until or one.since))
    if pause.until is None:
        left, lasts = None, "until it is resumed"
    else:
        left = (pause.until - now).total_seconds()
        lasts = f"for another {span(left)}"
    return Refusal(
        reason=HoldReason.PAUSED,
        message=f"{pause} is paused {lasts}, says {pause.actor}: {pause.reason}",
        numbers={"pause": pause.number, "scope": pause.scope.value, "key": pause.key, "left_s": left},
        retry_at=pause.until or now + timedelta(seconds=RETRY_S),
    )
