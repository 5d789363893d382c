"""Replaces every pod of a workload, a few at a time: what ``kubectl rollout restart`` does."""

from __future__ import annotations

from remediator.actions.shape import ActionType, Parameters, Permission
from remediator.model.facts import Facts, WorkloadFacts
from remediator.model.owners import Budget
from remediator.model.plan import CannotPlan, PatchObject, Plan
from remediator.model.policy import Policy
from remediator.model.rule import Rule
from remediator.model.target import Kind, Target


class RestartParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``allow_single``: also restart a workload that has one pod only, and so nobody who serves meanwhile.

    That holds for the strategy Recreate too: with one pod, ending it first is the same outage.
    ``allow_disruption``: also where a PodDisruptionBudget lets none of the pods go that are up.
    """

    allow_single: bool = False
    allow_disruption: bool = False


def plan(
    target: Target, parameters: RestartParameters, facts: Facts, _rule: Rule, _policy: Policy
) -> Plan | CannotPlan:
    """Plan a new rollout of the same pod template; say so when the workload would not roll, or not gently."""
    workload = facts.workload
    if workload is None:
        return CannotPlan(reason="unknown", message=f"nothing is known about {target}")
    obstacle = _obstacle(target, workload, allow_single=parameters.allow_single)
    if obstacle is None and not parameters.allow_disruption:
        obstacle = _over_budget(target, workload, facts.budgets)
    if obstacle is not None:
        return obstacle
    return Plan(
        action="restart",
        target=target,
        summary=f"restart {target}: {_how(workload.replicas)}",
        # The executor's mark on the pod template is the change: a time stamp would start a second rollout when redone.
        steps=(PatchObject(target=target, patch={}, mark_template=True),),
        changes=True,
        disruptive=True,
    )


def _obstacle(target: Target, workload: WorkloadFacts, *, allow_single: bool) -> CannotPlan | None:
    """Return why a restart makes no sense on this workload, if it makes none."""
    if workload.deleting:
        return CannotPlan(reason="deleting", message=f"{target} is being deleted")
    if workload.paused:
        return CannotPlan(
            reason="paused",
            message=f"{target} is paused, a restart would not roll out; resume it (kubectl rollout resume)",
        )
    single_outage_is_meant = allow_single and workload.replicas == 1 and workload.strategy == "Recreate"
    if workload.strategy != "RollingUpdate" and not single_outage_is_meant:
        return CannotPlan(
            reason="strategy",
            message=f"{target} has the strategy {workload.strategy}: {_effect(workload.strategy)}",
            numbers={"strategy": workload.strategy},
        )
    if workload.replicas == 0:
        return CannotPlan(reason="no_pods", message=f"{target} wants 0 pods, there is nothing to restart")
    if workload.replicas == 1 and not allow_single:
        return CannotPlan(
            reason="single",
            message=f"{target} has 1 pod, nobody would serve meanwhile; the rule may say allow_single: true",
            numbers={"replicas": 1},
        )
    return None


def _over_budget(target: Target, workload: WorkloadFacts, budgets: tuple[Budget, ...]) -> CannotPlan | None:
    """Return the budget that would let none of the pods go. Where no pod is up there is nothing to lose."""
    spent = next((budget for budget in budgets if budget.allowed == 0 and budget.desired > 0), None)
    if spent is None or workload.available == 0:
        return None
    return CannotPlan(
        reason="budget",
        message=(
            f"PodDisruptionBudget {spent.name} needs {spent.desired} pods of {target} and {spent.healthy} are healthy: "
            "none may go; the rule may say allow_disruption: true"
        ),
        numbers={"desired": spent.desired, "healthy": spent.healthy, "available": workload.available},
    )


def _how(replicas: int) -> str:
    """Return what happens to the pods."""
    return f"replace its {replicas} pods one after the other" if replicas > 1 else "replace its only pod"


def _effect(strategy: str) -> str:
    """Return what a change of the pod template does under a strategy that does not roll."""
    if strategy == "OnDelete":
        return "its pods would stay as they are until somebody deletes them"
    return "all its pods would end before a new one starts"


RESTART = ActionType(
    name="restart",
    title="Replace every pod, a few at a time (kubectl rollout restart)",
    parameters=RestartParameters,
    kinds=frozenset(Kind),
    changes=True,
    disruptive=True,
    permissions=(
        Permission(group="", resources=("pods",), verbs=("get", "list")),
        Permission(group="policy", resources=("poddisruptionbudgets",), verbs=("list",)),
        Permission(group="apps", resources=("controllerrevisions", "replicasets"), verbs=("get", "list")),
        Permission(group="apps", resources=("daemonsets", "deployments", "statefulsets"), verbs=("get", "patch")),
    ),
    plan=plan,
)
