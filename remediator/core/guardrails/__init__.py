"""The guards: each looks at a case and says no with its numbers, or nothing. One file a guard, one signature.

The order is that in which the reasons are told. All are asked, so a person sees everything that stands in the way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from remediator.core.guardrails import (
    cluster_busy,
    cooldown,
    limit_cluster,
    limit_namespace,
    limit_rule,
    limit_target,
    min_healthy,
    namespace_busy,
    not_firing,
    opted_out,
    protected,
    rollout_in_progress,
    spacing,
    stale_facts,
    target_busy,
    target_unknown,
)
from remediator.core.guardrails.windows import scopes
from remediator.model.case import Case
from remediator.model.decision import Refusal

__all__ = ["GUARDS", "Guard", "refusals", "scopes"]


@dataclass(frozen=True, slots=True)
class Guard:
    """One guard. ``every_plan``: also asked of plans that change nothing; reading and telling need few permissions."""

    name: str
    check: Callable[[Case], Refusal | None]
    every_plan: bool = False


GUARDS: tuple[Guard, ...] = (
    Guard("protected", protected.check),
    Guard("opted_out", opted_out.check),
    Guard("not_firing", not_firing.check, every_plan=True),
    Guard("target_unknown", target_unknown.check, every_plan=True),
    Guard("target_busy", target_busy.check),
    Guard("namespace_busy", namespace_busy.check),
    Guard("cluster_busy", cluster_busy.check),
    Guard("cooldown", cooldown.check),
    Guard("limit_target", limit_target.check),
    Guard("limit_rule", limit_rule.check),
    Guard("limit_namespace", limit_namespace.check),
    Guard("limit_cluster", limit_cluster.check),
    Guard("spacing", spacing.check),
    Guard("min_healthy", min_healthy.check),
    Guard("rollout_in_progress", rollout_in_progress.check),
    Guard("stale_facts", stale_facts.check),
)


def refusals(case: Case, guards: tuple[Guard, ...] = GUARDS) -> tuple[Refusal, ...]:
    """Ask every guard that concerns the plan and return every no, in order."""
    asked = (guard.check(case) for guard in guards if guard.every_plan or case.plan.changes)
    return tuple(refusal for refusal in asked if refusal is not None)
