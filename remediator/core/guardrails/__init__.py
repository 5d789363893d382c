"""The guards: each looks at a case and says no with its numbers, or nothing. One file a guard, one signature.

The order is that in which the reasons are told. All are asked, so a person sees everything that stands in the way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from remediator.core.guardrails import (
    blast_cluster,
    blast_namespace,
    brake,
    cluster_busy,
    cooldown,
    frozen,
    limit_cluster,
    limit_namespace,
    limit_rule,
    limit_target,
    masking,
    min_healthy,
    namespace_busy,
    not_firing,
    not_opted_in,
    opted_out,
    paused,
    protected,
    quarantine,
    recently_deployed,
    rollout_in_progress,
    self_protection,
    spacing,
    stale_facts,
    stateful_stop,
    storm,
    storm_evidence,
    target_busy,
    target_unknown,
)
from remediator.core.guardrails.windows import looks, scopes
from remediator.model.case import Case
from remediator.model.decision import Refusal

__all__ = ["GUARDS", "Guard", "looks", "refusals", "scopes"]


@dataclass(frozen=True, slots=True)
class Guard:
    """One guard. ``every_plan``: also asked of plans that change nothing; reading and telling need few permissions."""

    name: str
    check: Callable[[Case], Refusal | None]
    every_plan: bool = False


GUARDS: tuple[Guard, ...] = (
    Guard("paused", paused.check),
    Guard("frozen", frozen.check),
    Guard("brake", brake.check),
    Guard("storm", storm.check),
    Guard("storm_evidence", storm_evidence.check, every_plan=True),
    Guard("self_protection", self_protection.check),
    Guard("protected", protected.check),
    Guard("opted_out", opted_out.check),
    Guard("not_opted_in", not_opted_in.check),
    Guard("not_firing", not_firing.check, every_plan=True),
    Guard("target_unknown", target_unknown.check, every_plan=True),
    Guard("target_busy", target_busy.check),
    Guard("namespace_busy", namespace_busy.check),
    Guard("cluster_busy", cluster_busy.check),
    Guard("stateful_stop", stateful_stop.check),
    Guard("quarantine", quarantine.check),
    Guard("masking", masking.check),
    Guard("cooldown", cooldown.check),
    Guard("limit_target", limit_target.check),
    Guard("limit_rule", limit_rule.check),
    Guard("limit_namespace", limit_namespace.check),
    Guard("limit_cluster", limit_cluster.check),
    Guard("blast_namespace", blast_namespace.check),
    Guard("blast_cluster", blast_cluster.check),
    Guard("spacing", spacing.check),
    Guard("min_healthy", min_healthy.check),
    Guard("rollout_in_progress", rollout_in_progress.check),
    Guard("recently_deployed", recently_deployed.check),
    Guard("stale_facts", stale_facts.check),
)


def refusals(case: Case, guards: tuple[Guard, ...] = GUARDS) -> tuple[Refusal, ...]:
    """Ask every guard that concerns the plan and return every no, in order."""
    asked = (guard.check(case) for guard in guards if guard.every_plan or case.plan.changes)
    return tuple(refusal for refusal in asked if refusal is not None)
