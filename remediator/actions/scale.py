"""Adds pods to a workload, up to a cap. It never takes any away.

Whoever decides about the number of pods is the one who is told: the autoscaler or KEDA's ScaledObject where there is
one, by the bound that holds it back; otherwise the workload. What would be taken back at once is not written.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from remediator.actions.parameters import Span, seconds_of
from remediator.actions.shape import ActionType, Parameters, Permission
from remediator.core.bounds import highest_replicas
from remediator.model.facts import Facts, WorkloadFacts
from remediator.model.owners import Keeper, LeverKind, Scaler, Surroundings
from remediator.model.plan import CannotPlan, PatchObject, Plan
from remediator.model.policy import Policy
from remediator.model.rule import Rule
from remediator.model.target import Kind, Target

Count = Annotated[int, Meta(ge=1, le=1000)]
BOUNDS = {
    LeverKind.AUTOSCALER: ("minReplicas", "maxReplicas"),
    LeverKind.SCALED_OBJECT: ("minReplicaCount", "maxReplicaCount"),
}
"""The fields of a lever that hold it back: the fewest and the most pods."""
PENDING = "Pending"
LEVER_LENT = "1h"
"""For how long a bound of an autoscaler is lent: for good it would be an autoscaler no more."""


class ScaleParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either ``to``, the wanted number of pods, or ``step`` more pods than now, up to ``max``.

    ``return_after``: the pods are lent, and go back in steps when they have not been needed for so long (``1h``); the
    bounds of an autoscaler always are, for an hour if nothing is said. ``allow_gitops``: also where Argo CD or Flux
    keeps the number as it is in Git, because it is known not to be there.
    """

    to: Count | None = None
    step: Count | None = None
    max: Count | None = None
    return_after: Span | None = None
    allow_gitops: bool = False


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


class _Size(Struct, frozen=True, kw_only=True):
    """How many pods there are to be; ``wanted`` is what the rule asks for, ``count`` what is allowed of it."""

    present: int
    wanted: int
    count: int
    numbers: dict[str, int]


def plan(target: Target, parameters: ScaleParameters, facts: Facts, _rule: Rule, policy: Policy) -> Plan | CannotPlan:
    """Plan an absolute number of pods above the present one, computed from the facts of this decision."""
    workload = facts.workload
    if workload is None:
        return CannotPlan(reason="unknown", message=f"nothing is known about {target}")
    obstacle = _obstacle(target, workload, facts)
    if obstacle is not None:
        return obstacle
    around = facts.around or Surroundings()
    size = _size(target, parameters, workload, around, policy)
    if isinstance(size, CannotPlan):
        return size
    if around.scaler is not None:
        return _through(target, around.scaler, size, parameters)
    if not parameters.allow_gitops and around.keeper is not None and around.keeper.reverts("spec", "replicas"):
        return _kept(target, around.keeper, "spec", "replicas")
    return Plan(
        action="scale",
        target=target,
        summary=_summary(target, size),
        steps=(_replicas(target, size.count),),
        undo=(_replicas(target, size.present),),
        changes=True,
        return_after_s=seconds_of(parameters.return_after) if parameters.return_after else None,
    )


def _obstacle(target: Target, workload: WorkloadFacts, facts: Facts) -> CannotPlan | None:
    """Return why the workload must not be scaled, or nobody can know whether it may."""
    if workload.deleting:
        return CannotPlan(reason="deleting", message=f"{target} is being deleted")
    if workload.replicas == 0:
        return CannotPlan(
            reason="no_pods",
            message=f"{target} wants 0 pods: somebody has switched it off, and somebody must switch it on",
            numbers={"replicas": 0},
        )
    if facts.around is None:
        return CannotPlan(reason="owner_unknown", message=f"nobody has looked who else scales {target}")
    if facts.around.unknown:
        why = "; ".join(facts.around.unknown)
        return CannotPlan(reason="owner_unknown", message=f"it is not known who else decides about {target}: {why}")
    homeless = [pod.name for pod in facts.pods if pod.phase == PENDING and not pod.node]
    if homeless:
        return CannotPlan(
            reason="no_node",
            message=f"{len(homeless)} pods of {target} wait for a node already ({homeless[0]}): more would wait too",
            numbers={"waiting": len(homeless)},
        )
    return None


def _size(
    target: Target, parameters: ScaleParameters, workload: WorkloadFacts, around: Surroundings, policy: Policy
) -> _Size | CannotPlan:
    """Return how many pods there are to be, after the rule's cap, one step's bound and the namespace's quotas."""
    present, wanted = workload.replicas, _wanted(parameters, workload)
    cap = min(parameters.max or policy.max_replicas, policy.max_replicas)
    bound = highest_replicas(present)
    count = min(wanted, cap, bound)
    numbers = {"replicas": present, "wanted": wanted, "cap": cap, "largest_step_to": bound}
    if count <= present:
        return _no_room(target, workload, numbers)
    tightest = min(around.rooms, key=lambda room: room.pods, default=None)
    if tightest is None:
        return _Size(present=present, wanted=wanted, count=count, numbers=numbers)
    numbers["quota_leaves"] = tightest.pods
    if tightest.pods == 0:
        message = f"quota {tightest.quota} leaves no {tightest.key} for another pod of {target}: raise it first"
        return CannotPlan(reason="quota", message=message, numbers=numbers)
    return _Size(present=present, wanted=wanted, count=min(count, present + tightest.pods), numbers=numbers)


def _through(target: Target, scaler: Scaler, size: _Size, parameters: ScaleParameters) -> Plan | CannotPlan:
    """Plan the bound of whatever scales the workload: the fewest pods, or the most where it has come to its end."""
    if scaler.paused:
        message = f"{scaler.lever} was told to leave {target} alone: resume it, or take its annotation away"
        return CannotPlan(reason="scaler_paused", message=message, numbers=dict(size.numbers))
    fewest, most = BOUNDS[scaler.lever.kind]
    maxed_out = size.present >= scaler.maximum
    field, before = (most, scaler.maximum) if maxed_out else (fewest, scaler.minimum)
    count = size.count if maxed_out else min(size.count, scaler.maximum)
    if count <= (before or 0):
        message = f"{scaler.lever} asks for at least {before} pods of {target} already, which has {size.present}"
        return CannotPlan(reason="already", message=message, numbers=dict(size.numbers))
    if not parameters.allow_gitops and scaler.keeper is not None and scaler.keeper.reverts("spec", field):
        return _kept(scaler.lever, scaler.keeper, "spec", field)
    was = "nothing" if before is None else before
    less = _less(count, size.wanted)

    def step(value: int | None) -> PatchObject:
        expected = {f"spec.{field}": value}
        return PatchObject(target=target, patch={"spec": {field: value}}, expected=expected, through=scaler.lever)

    return Plan(
        action="scale",
        target=target,
        summary=f"raise {field} of {scaler.lever} from {was} to {count}: it scales {target}, now {size.present}{less}",
        steps=(step(count),),
        undo=(step(before),),
        changes=True,
        return_after_s=seconds_of(parameters.return_after or LEVER_LENT),
    )


def _kept(what: object, keeper: Keeper, *path: str) -> CannotPlan:
    """Return the refusal of a change that would be taken back at once, and the ways out."""
    pointer = "/" + "/".join(path)
    ways = f"let it ignore {pointer}, change it in Git, or say allow_gitops: true if Git does not have it"
    message = f"{keeper} keeps {what} as it is in Git and would take it back: {ways}"
    return CannotPlan(reason="kept_in_git", message=message, numbers={"keeper": keeper.name, "pointer": pointer})


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


def _summary(target: Target, size: _Size) -> str:
    """Return one sentence, which says so when less is done than the rule asks for."""
    return f"scale {target} from {size.present} to {size.count} pods{_less(size.count, size.wanted)}"


def _less(count: int, wanted: int) -> str:
    return f" (asked for {wanted}, cut to what one step or the cap allows)" if count < wanted else ""


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
        Permission(group="", resources=("resourcequotas",), verbs=("list",)),
        Permission(group="autoscaling", resources=("horizontalpodautoscalers",), verbs=("get", "list", "patch")),
        Permission(group="keda.sh", resources=("scaledobjects",), verbs=("get", "list", "patch")),
        # Applications may be in any namespace, and are only looked at.
        Permission(group="argoproj.io", resources=("applications",), verbs=("list",), cluster=True),
    ),
    plan=plan,
    faults=faults,
    surroundings=True,
)
