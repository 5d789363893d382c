"""What makes pods end is not done on top of a rollout."""

from __future__ import annotations

from datetime import datetime, timedelta

from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal
from remediator.model.facts import WorkloadFacts

RETRY_S = 30
"""Seconds until it is looked again whether the rollout is over."""


def check(case: Case) -> Refusal | None:
    """Refuse a disruptive plan on a workload that is rolling."""
    if not case.plan.disruptive or case.facts.workload is None:
        return None
    return unfinished(case.facts.workload, case.now)


def unfinished(workload: WorkloadFacts, now: datetime) -> Refusal | None:
    """Return the refusal if a rollout is under way; one that is stuck will not end by waiting, so a person is told."""
    if not workload.rolling:
        return None
    progress = f"{workload.updated} of {workload.replicas} pods updated"
    if workload.stuck:
        message = (
            f"the rollout of {workload.target} is stuck ({progress}, progress deadline exceeded); a person must look"
        )
    else:
        message = f"{workload.target} is rolling out ({progress})"
    return Refusal(
        reason=HoldReason.ROLLOUT_IN_PROGRESS,
        message=message,
        numbers={
            "updated": workload.updated,
            "replicas": workload.replicas,
            "current": workload.current,
            "generation": workload.generation,
            "observed_generation": workload.observed_generation,
            "stuck": workload.stuck,
        },
        retry_at=None if workload.stuck else now + timedelta(seconds=RETRY_S),
    )
