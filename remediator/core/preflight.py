"""The last look, at the object as it is just before the write.

The decision was made on facts that are some seconds old, perhaps by another replica under another policy. What must not
be done to the object as it is now is refused here, whatever was decided.
"""

from __future__ import annotations

from datetime import datetime

from remediator.core.bounds import highest_replicas
from remediator.core.decide import effective_mode
from remediator.core.guardrails.min_healthy import shortage
from remediator.core.guardrails.opted_out import objection
from remediator.core.guardrails.protected import shield
from remediator.core.guardrails.rollout_in_progress import unfinished
from remediator.core.targets import not_allowed, unusable
from remediator.model.action import Action
from remediator.model.decision import HoldReason, Refusal
from remediator.model.facts import Facts, WorkloadFacts
from remediator.model.plan import PatchObject
from remediator.model.policy import Policy
from remediator.model.rule import Mode, Rule

REPLICAS = "spec.replicas"
FEWEST = frozenset({"spec.minReplicas", "spec.minReplicaCount"})
MOST = frozenset({"spec.maxReplicas", "spec.maxReplicaCount"})
COUNTS = FEWEST | MOST | {REPLICAS}


def recheck(action: Action, live: Facts, rule: Rule, policy: Policy, *, approved: bool = False) -> Refusal | None:
    """Return why the action must not be carried out on the object as just read, or None. Time is ``live.read_at``.

    ``rule`` is the rule as it is in force now. ``approved``: a person said yes to this very plan.
    """
    if not action.plan.changes:
        return None
    if live.workload is None or live.problem:
        return unusable(live, live.read_at)
    return (
        _lowered(action, rule, policy, approved=approved)
        or _forbidden(action, live.workload, rule, policy)
        or _unsound(action, live.workload, rule, policy, live.read_at)
        or _bounds_moved(action, live)
    )


def _forbidden(action: Action, workload: WorkloadFacts, rule: Rule, policy: Policy) -> Refusal | None:
    """Refuse another object, and one that may no longer be touched."""
    return (
        _other_object(action, workload)
        or not_allowed(workload.target, rule)
        or shield(workload.target, policy)
        or objection(workload)
    )


def _unsound(action: Action, workload: WorkloadFacts, rule: Rule, policy: Policy, now: datetime) -> Refusal | None:
    """Refuse a change that was sensible when it was decided and is not any more."""
    # An undo takes away what its action added; what may have moved is looked at in core.undo.
    moved = _replicas_moved(action, workload) if action.plan.undoes is None else None
    dead = _cannot_roll(action, workload) or moved
    if dead is not None or not action.plan.disruptive:
        return dead
    return shortage(workload, rule, policy, now) or unfinished(workload, now)


def _other_object(action: Action, workload: WorkloadFacts) -> Refusal | None:
    """Refuse an object that has the name but not the identity, and one without identity."""
    expected, found = action.target.uid, workload.target.uid
    if workload.target.key == action.target.key and expected and expected == found:
        return None
    return Refusal(
        reason=HoldReason.TARGET_NOT_FOUND,
        message=f"{action.target} is not the object that was decided about (uid {found or 'unknown'}, was {expected})",
        numbers={"uid": found, "expected_uid": expected},
    )


def _lowered(action: Action, rule: Rule, policy: Policy, *, approved: bool) -> Refusal | None:
    """Refuse a write that was admitted before an operator lowered the rule, or everything.

    Lowered to ask, it is decided anew, and then asked about; a yes that was given to this plan before still holds.
    """
    mode = effective_mode(rule, policy)
    if mode.rank >= action.mode.rank or (approved and mode is Mode.ASK):
        return None
    return Refusal(
        reason=HoldReason.AWAITING_APPROVAL if mode is Mode.ASK else HoldReason.RULE_GONE,
        message=f"rule {rule.name} was lowered to {mode} after action {action.number} was admitted",
        numbers={"mode": rule.mode.value, "ceiling": policy.ceiling.value},
    )


def _cannot_roll(action: Action, workload: WorkloadFacts) -> Refusal | None:
    """Refuse to write to what is ending or switched off, and to start a rollout that would not roll."""
    rolls = any(isinstance(step, PatchObject) and step.mark_template for step in action.plan.steps)
    if workload.deleting:
        why = "is being deleted"
    elif workload.replicas == 0:
        why = "was switched off (0 pods wanted)"
    elif workload.paused and rolls:
        why = "was paused, nothing would roll out"
    else:
        return None
    return _no_longer(action, workload, why)


def _replicas_moved(action: Action, workload: WorkloadFacts) -> Refusal | None:
    """Refuse a number of pods that adds none, or more than one step may, to those that are wanted now."""
    for step in action.plan.steps:
        counts = step.expected.items() if isinstance(step, PatchObject) else ()
        wanted = next((count for path, count in counts if path in COUNTS), None)
        if wanted is None:
            continue
        if wanted <= workload.replicas:
            return _no_longer(action, workload, f"already wants {workload.replicas} pods, the plan was {wanted}")
        if wanted > highest_replicas(workload.replicas):
            return _no_longer(
                action, workload, f"wants only {workload.replicas} pods now, {wanted} would be too big a step"
            )
    return None


def _bounds_moved(action: Action, live: Facts) -> Refusal | None:
    """Refuse a bound that would lower that of the autoscaler as it is now, or that it could not have."""
    scaler = live.around.scaler if live.around is not None else None
    if action.plan.undoes is not None or scaler is None or live.workload is None:
        return None
    for step in action.plan.steps:
        for path, wanted in step.expected.items() if isinstance(step, PatchObject) else ():
            now = (scaler.minimum or 0) if path in FEWEST else scaler.maximum if path in MOST else None
            if now is None:
                continue
            if wanted <= now:
                return _no_longer(action, live.workload, f"has {path} {now} at {scaler.lever}, the plan was {wanted}")
            if path in FEWEST and wanted > scaler.maximum:
                why = f"may have at most {scaler.maximum} pods by {scaler.lever}, the plan was at least {wanted}"
                return _no_longer(action, live.workload, why)
    return None


def _no_longer(action: Action, workload: WorkloadFacts, why: str) -> Refusal:
    """Return the refusal of a plan that events have overtaken."""
    return Refusal(
        reason=HoldReason.CANNOT_PLAN,
        message=f"{workload.target} {why}, since action {action.number} was decided",
        numbers={"replicas": workload.replicas, "paused": workload.paused, "deleting": workload.deleting},
    )
