"""Not again so soon on the same target, and less and less soon when it did not help."""

from __future__ import annotations

from datetime import datetime, timedelta

from remediator.core.words import span
from remediator.model.action import ActionState, PastAction
from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal
from remediator.model.policy import Policy

FAILED = frozenset({ActionState.UNCHANGED, ActionState.WORSE, ActionState.UNKNOWN})
"""Ends that doubled the cooldown: it did not help, or nobody can say that it did."""

ATTEMPTED = FAILED | {ActionState.RECOVERED, ActionState.DONE}
"""Ends of actions that really reached the target. Refused, expired, observed and rejected ones did nothing to it."""


def check(case: Case) -> Refusal | None:
    """Refuse within the cooldown after the latest attempt on the target.

    A ladder climbs through the cooldown that its own lower rungs began: it waited for their verdict already, and the
    next rung is what the runbook says to do then.
    """
    attempts = [past for past in case.history.target if past.state in ATTEMPTED and not _own_ladder(case, past)]
    if not attempts:
        return None
    latest = max(attempts, key=_ended)
    failures = failures_in_a_row(case.history.target, case.now, case.policy)
    length = cooldown_s(case.rule.limits.cooldown_s, failures, case.policy)
    until = _ended(latest) + timedelta(seconds=length)
    if case.now >= until:
        return None
    left = (until - case.now).total_seconds()
    return Refusal(
        reason=HoldReason.COOLDOWN,
        message=_message(case, latest, left, length, failures),
        numbers={"left_s": left, "cooldown_s": length, "failed": failures, "action": latest.number},
        retry_at=until,
    )


def cooldown_s(base_s: int, failures: int, policy: Policy) -> int:
    """Return the cooldown in seconds: the rule's, doubled for each failure up to the policy's cap."""
    # The shift is bounded, and a rule that asks for more patience than the cap keeps it.
    doublings = min(failures, policy.cooldown_cap_s.bit_length())
    return max(base_s, min(base_s << doublings, policy.cooldown_cap_s))


def failures_in_a_row(past: tuple[PastAction, ...], now: datetime, policy: Policy) -> int:
    """Count the failed attempts with less than the policy's clean time between them, backwards from now."""
    failures = 0
    later = now
    clean = timedelta(seconds=policy.cooldown_reset_s)
    for failed in sorted((p for p in past if p.state in FAILED), key=_ended, reverse=True):
        if later - _ended(failed) >= clean:
            break
        failures += 1
        later = failed.admitted_at
    return failures


def _ended(past: PastAction) -> datetime:
    """Return when the attempt was over, or when it began where the end is not known."""
    return past.ended_at or past.admitted_at


def _own_ladder(case: Case, past: PastAction) -> bool:
    """Tell whether the attempt was a lower rung of the ladder that this candidate climbs."""
    candidate = case.candidate
    return candidate.rung > 0 and candidate.incident is not None and past.incident == candidate.incident


def _message(case: Case, latest: PastAction, left: float, length: int, failures: int) -> str:
    """Return how long is left of how much, and who began it."""
    doubled = f", doubled by {failures} failed before" if failures else ""
    return (
        f"cooldown of {case.plan.target}: {span(left)} of {span(length)} left, "
        f"started by action {latest.number} ({latest.action}, {latest.state}){doubled}"
    )
