"""Many incidents at once have one cause, and changing each of their targets would make it worse: look, and call people.

The breaker trips at so many new incidents in so short a time, and stays open until it has been quiet for a while. Both
follow from when incidents began, so that every replica sees the same, also after a restart.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from remediator.core.words import span
from remediator.model.case import Case
from remediator.model.decision import HoldReason, Refusal
from remediator.model.policy import Policy

ALL = 100
LEAST = 5
"""Fewer than that are no storm, however small the cluster is."""


def check(case: Case) -> Refusal | None:
    """Refuse while a storm is on."""
    policy = case.policy
    limit = threshold(policy, case.facts.population.cluster)
    tripped = last_trip(case.history.onsets, limit, policy.storm.window_s)
    if tripped is None:
        return None
    calm = tripped + timedelta(seconds=policy.storm_quiet_s)
    if case.now >= calm:
        return None
    left = (calm - case.now).total_seconds()
    recent = case.now - timedelta(seconds=policy.storm.window_s)
    count = sum(1 for onset in case.history.onsets if onset > recent)
    return Refusal(
        reason=HoldReason.STORM,
        message=(
            f"a storm: {limit} or more incidents began within {span(policy.storm.window_s)}, {count} of them in the "
            f"last; nothing is changed until it has been calm for {span(policy.storm_quiet_s)} (in {span(left)} at "
            "the earliest)"
        ),
        numbers={"limit": limit, "window_s": policy.storm.window_s, "recent": count, "left_s": left},
        retry_at=calm,
    )


def threshold(policy: Policy, workloads: int | None) -> int:
    """Return how many new incidents are a storm: the policy's number, or less where there are few workloads."""
    if workloads is None or policy.storm_percent >= ALL:
        return policy.storm.count
    return min(policy.storm.count, max(LEAST, -(-workloads * policy.storm_percent // 100)))


def last_trip(onsets: Sequence[datetime], limit: int, window_s: int) -> datetime | None:
    """Return the last moment at which ``limit`` incidents had begun within the window before; None if there is none."""
    ordered = sorted(onsets)
    window = timedelta(seconds=window_s)
    for last in range(len(ordered) - 1, limit - 2, -1):
        if ordered[last] - ordered[last - limit + 1] < window:
            return ordered[last]
    return None
