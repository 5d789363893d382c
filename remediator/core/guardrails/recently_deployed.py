"""What broke after a deployment is cured by taking the deployment back, not by ending its pods: people decide that."""

from __future__ import annotations

from datetime import datetime, timedelta

from remediator.core.words import span
from remediator.model.action import PastAction
from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal
from remediator.model.facts import WorkloadFacts

FIRST_S = 60
"""A rollout that began so soon after the workload was made is its first: there is nothing to go back to."""
ROLLOUT_S = 60
"""Seconds within which a rollout that one of our own actions asked for has begun."""


def check(case: Case) -> Refusal | None:
    """Refuse to end pods of a workload that somebody else has rolled out lately; people are told."""
    workload = case.facts.workload
    if not case.plan.disruptive or workload is None or workload.rollout_started_at is None:
        return None
    age = (case.now - workload.rollout_started_at).total_seconds()
    if age >= case.policy.recent_deploy_s or _first(workload, workload.rollout_started_at):
        return None
    if any(_began(past, workload.rollout_started_at) for past in case.history.target):
        return None
    revision = f", revision {workload.revision}" if workload.revision else ""
    return Refusal(
        reason=HoldReason.RECENTLY_DEPLOYED,
        message=(
            f"{workload.target} was rolled out {span(age)} ago{revision}: what came with that is cured by rolling it "
            "back, not by ending pods; people decide"
        ),
        numbers={"age_s": age, "recent_s": case.policy.recent_deploy_s, "revision": workload.revision},
    )


def _first(workload: WorkloadFacts, started_at: datetime) -> bool:
    """Tell whether it is the rollout with which the workload was made."""
    return workload.revision == "1" or (
        workload.created_at is not None and started_at - workload.created_at < timedelta(seconds=FIRST_S)
    )


def _began(past: PastAction, started_at: datetime) -> bool:
    """Tell whether an action of ours has begun that rollout."""
    last = (past.ended_at or past.admitted_at) + timedelta(seconds=ROLLOUT_S)
    return past.admitted_at - timedelta(seconds=1) <= started_at <= last
