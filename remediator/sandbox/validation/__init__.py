"""What the API server refuses about an object: one function, `validate`, and a module for each family of kinds."""

from __future__ import annotations

from remediator.sandbox.resources import (
    ADMISSION_BINDINGS,
    ADMISSION_POLICIES,
    APPLICATIONS,
    AUTOSCALERS,
    CONFIG_MAPS,
    DAEMON_SETS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    EVENTS,
    LEASES,
    NAMESPACES,
    NETWORK_POLICIES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    REPLICA_SETS,
    SECRETS,
    STATEFUL_SETS,
    Json,
    Resource,
)
from remediator.sandbox.status import Cause
from remediator.sandbox.validation import admission, metadata, plain, pods, policies, workloads
from remediator.sandbox.validation.faults import Check

_CHECKS: dict[object, Check] = {
    DEPLOYMENTS: workloads.deployment,
    REPLICA_SETS: workloads.replicated,
    STATEFUL_SETS: workloads.stateful_set,
    DAEMON_SETS: workloads.daemon_set,
    PODS: pods.pod,
    NETWORK_POLICIES: policies.network_policy,
    DISRUPTION_BUDGETS: policies.disruption_budget,
    AUTOSCALERS: policies.autoscaler,
    CONFIG_MAPS: plain.config_map,
    SECRETS: plain.secret,
    LEASES: plain.lease,
    EVENTS: plain.event,
    PERSISTENT_VOLUME_CLAIMS: plain.claim,
    NAMESPACES: plain.namespace,
    APPLICATIONS: plain.application,
    ADMISSION_POLICIES: admission.policy,
    ADMISSION_BINDINGS: admission.binding,
}


def validate(resource: Resource, obj: Json, old: Json | None) -> list[Cause]:
    """Return every fault of an object that is to be stored; `old` is what it replaces, None for a new one."""
    causes = metadata.check(resource, obj, old)
    check = _CHECKS.get(resource.storage)
    if check is not None:
        causes += check(obj, old)
    return causes
