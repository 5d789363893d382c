"""Adds pods to a workload, up to a cap. It never takes any away."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from remediator.actions.shape import ActionType, Parameters, Permission
from remediator.core.bounds import highest_replicas
from remediator.model.facts import Facts, WorkloadFacts
from remediator.model.plan import CannotPlan, PatchObject, Plan
from remediator.model.policy import Policy
from remediator.model.rule import Rule
from remediator.model.target import Kind, Target

Count = Annotated[int, Meta(ge=1, le=1000)]


class ScaleParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either ``to``, the wanted number of pods, or ``step`` more pods than now, up to ``max``."""

    to: Count | None = None
    step: Count | None = None
    max: Count | None = None


def faults(parameters: ScaleParameters) -> tuple[str, ...]:
    """Say whether it is unclear how far to go."""
    if parameters.to is not None and parameters.step is None and parameters.max is None:
        return ()
    if parameters.to is None and parameters.step is not None and parameters.max is not None:
        return ()
    if parameters.to is not None:
        return ("give either 'to' (how many pods), or 'step' and 'max' (how many more, up to how many), not both",)
    if parameters.step is not None:
        return ("'step' needs 'max': say up to how many pods",)
    return ("say how far: 'to' (how many pods), or 'step' and 'max' (how many more, up to how many)",)


def plan(target: Target, parameters: ScaleParameters, facts: Facts, _rule: Rule, policy: Policy) -> Plan | CannotPlan:
    """Plan an absolute number of pods above the present one, computed from the facts of this decision."""
    workload = facts.workload
    if workload is None:
        return CannotPlan(reason="unknown", message=f"nothing is known about {target}")
    if workload.deleting:
        return CannotPlan(reason="deleting", message=f"{target} is being deleted")
    if workload.replicas == 0:
        return CannotPlan(
            reason="no_pods",
            message=f"{target} wants 0 pods: somebody has switched it off, and somebody must switch it on",
            numbers={"replicas": 0},
        )
    wanted = _wanted(parameters, workload)
    cap = min(parameters.max or policy.max_replicas, policy.max_replicas)
    bound = highest_replicas(workload.replicas)
    count = min(wanted, cap, bound)
    numbers = {"replicas": workload.replicas, "wanted": wanted, "cap": cap, "largest_step_to": bound}
    if count <= workload.replicas:
        return _no_room(target, workload, numbers)
    return Plan(
        action="scale",
        target=target,
        summary=_summary(target, workload.replicas, count, wanted),
        steps=(_replicas(target, count),),
        undo=(_replicas(target, workload.replicas),),
        changes=True,
    )


def _wanted(parameters: ScaleParameters, workload: WorkloadFacts) -> int:
    """Return how many pods the rule asks for."""
    return parameters.to if parameters.to is not None else workload.replicas + (parameters.step or 0)


def _no_room(target: Target, workload: WorkloadFacts, numbers: dict[str, int]) -> CannotPlan:
    """Return the refusal of a scale-up that would add nothing."""
    if numbers["wanted"] <= workload.replicas:
        message = f"{target} already wants {workload.replicas} pods, the rule asks for {numbers['wanted']}"
        return CannotPlan(reason="already", message=message, numbers=numbers)
    message = f"{target} wants {workload.replicas} pods and may have at most {numbers['cap']}"
    return CannotPlan(reason="at_cap", message=message, numbers=numbers)


def _summary(target: Target, before: int, count: int, wanted: int) -> str:
    """Return one sentence, which says so when less is done than the rule asks for."""
    less = f" (asked for {wanted}, cut to what one step or the cap allows)" if count < wanted else ""
    return f"scale {target} from {before} to {count} pods{less}"


def _replicas(target: Target, count: int) -> PatchObject:
    """Return the write of one absolute number of pods."""
    return PatchObject(target=target, patch={"spec": {"replicas": count}}, expected={"spec.replicas": count})


SCALE = ActionType(
    name="scale",
    title="Add pods, up to a cap; never take any away",
    parameters=ScaleParameters,
    kinds=frozenset({Kind.DEPLOYMENT, Kind.STATEFULSET}),
    changes=True,
    disruptive=False,
    permissions=(
        Permission(group="", resources=("pods",), verbs=("get", "list")),
        Permission(group="apps", resources=("controllerrevisions", "replicasets"), verbs=("get", "list")),
        # The workload itself, not its scale subresource: that one drops annotations, so it cannot carry our mark.
        Permission(group="apps", resources=("deployments", "statefulsets"), verbs=("get", "patch")),
    ),
    plan=plan,
    faults=faults,
)
