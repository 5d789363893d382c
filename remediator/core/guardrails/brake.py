"""While the platform itself is in trouble, nothing is changed on it: one cause would be treated as many."""

from __future__ import annotations

from datetime import timedelta

from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal
from remediator.model.policy import Brake

RETRY_S = 60
"""Seconds until it is asked again whether the platform is well."""


def check(case: Case) -> Refusal | None:
    """Refuse while one of the policy's platform alerts fires often enough."""
    for brake in case.policy.brakes:
        count = _firing(case, brake)
        if count >= brake.count:
            return _refusal(case, brake, count)
    return None


def _firing(case: Case, brake: Brake) -> int:
    """Count the alerts that pull this brake for the case's target."""
    return sum(
        alert.count
        for alert in case.history.platform
        if alert.alertname == brake.alertname
        and (not brake.per_namespace or alert.namespace == case.plan.target.namespace)
    )


def _refusal(case: Case, brake: Brake, count: int) -> Refusal:
    """Return the refusal that names the alert."""
    where = f" in namespace {case.plan.target.namespace}" if brake.per_namespace else ""
    times = f" ({count} of them; {brake.count} are enough)" if brake.count > 1 else ""
    return Refusal(
        reason=HoldReason.BRAKE,
        message=f"{brake.alertname} fires{where}{times}: the platform comes first, nothing is changed meanwhile",
        numbers={"alertname": brake.alertname, "count": count, "limit": brake.count},
        retry_at=case.now + timedelta(seconds=RETRY_S),
    )
