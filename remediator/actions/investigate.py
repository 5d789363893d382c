"""Looks at what the runbook's Investigation sections look at, and keeps it with the incident. Changes nothing."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from remediator.actions.shape import ActionType, Parameters, Permission
from remediator.model.facts import Facts
from remediator.model.plan import CannotPlan, CaptureEvidence, Plan
from remediator.model.policy import Policy
from remediator.model.rule import Rule
from remediator.model.target import Kind, Target


class InvestigateParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``log_lines``: how many of the last lines of each container's log are kept, and of its previous run's."""

    log_lines: Annotated[int, Meta(ge=1, le=5000)] = 200


def plan(
    target: Target, parameters: InvestigateParameters, _facts: Facts, _rule: Rule, _policy: Policy
) -> Plan | CannotPlan:
    """Plan one reading of the target and what surrounds it."""
    return Plan(
        action="investigate",
        target=target,
        summary=f"look at {target}: pods, events, logs, endpoints, ingress, rollout history, nodes",
        steps=(CaptureEvidence(target=target, log_lines=parameters.log_lines),),
    )


INVESTIGATE = ActionType(
    name="investigate",
    title="Keep pods, events, logs, endpoints, ingress, rollout history and node state as evidence",
    parameters=InvestigateParameters,
    kinds=frozenset(Kind),
    changes=False,
    disruptive=False,
    permissions=(
        Permission(group="", resources=("events", "endpoints", "pods", "services"), verbs=("get", "list")),
        Permission(group="", resources=("pods/log",), verbs=("get",)),
        Permission(group="", resources=("nodes",), verbs=("get", "list"), cluster=True),
        Permission(
            group="apps",
            resources=("controllerrevisions", "daemonsets", "deployments", "replicasets", "statefulsets"),
            verbs=("get", "list"),
        ),
        Permission(group="networking.k8s.io", resources=("ingresses",), verbs=("get", "list")),
    ),
    plan=plan,
)
